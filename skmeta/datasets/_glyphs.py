"""Letters of six scripts, drawn from the fonts that matplotlib ships."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

__all__ = ["load_glyphs"]

_SUBSETS = {
    "train": ("Latin", "Greek"),
    "validation": ("Cyrillic",),
    "test": ("Armenian", "Georgian", "Lao"),
}
_SCRIPTS = {
    "Latn": "Latin",
    "Grek": "Greek",
    "Cyrl": "Cyrillic",
    "Armn": "Armenian",
    "Geor": "Georgian",
    "Laoo": "Lao",
}  # by ISO code; of twins, the one whose script comes first may stay
_ALPHABETS = (string.ascii_letters, "αβγδεζηθικλμνξοπρςστυφχψω", "абвгдежзийклмнопрстуфхцчшщъыьэюя")
_MIN_FACES = 8
# Squared distance of images, as a share of their squared norms, below which letters are alike. It
# is small inside a script, where accents tell letters apart; designs repeat between scripts, and
# the two cases of a letter often differ in no more than the weight that scaling leaves.
_TWIN, _TWIN_OF_OTHER_SCRIPT, _TWIN_OF_OTHER_CASE = 0.05, 0.1, 0.2

_SIDE = 28
_BOX = 20.0  # longer side of a letter, as in MNIST
_MAX_BOX = 26.0  # what no warp leaves
_FONT_SIZE = 48
_FINER = 2  # pixels drawn for one of the image, along each side

_ROTATION = np.deg2rad(12)
_SHEAR = 0.2
_LOG_SCALE = 0.2
_SHIFT = 2.0  # pixels

_DESCR = f"""\
Letters of six scripts, each drawn in 8 to 16 faces as a grey image of 28 x 28 pixels.

Question: one to five drawings of some letters of a script never seen are known; which of them is
a new drawing?

Features: the grey level of each pixel, row by row, from 0 (paper) to 1 (ink). A letter is scaled
so that its longer side is 20 pixels, and centred. Unless warp=False, each image then has an affine
map of its own: a rotation of up to 12 degrees, a shear of up to {_SHEAR}, either side up to
{np.exp(_LOG_SCALE) - 1:.0%} longer or as much shorter, and a shift of up to 2 pixels, all uniform
and never out of the inner 26 x 26 pixels. Target: the letter.

The classes are the letters of the Unicode scripts that at least 8 of the text faces have. Twins
are left out: a letter whose plain image is nearly that of an earlier one in at least half of the
faces that have both, such as "o" after "O" or Greek "Α" after Latin "A", in the order Latin,
Greek, Cyrillic, Armenian, Georgian, Lao. So no letter of the validation or test scripts is drawn
like one of the training scripts.

Source: the fonts in the installed matplotlib that have the whole Latin, Greek and Cyrillic
alphabets, a glyph for each letter: DejaVu Sans, Sans Mono and Serif, and STIX General, four faces
each. Fonts of symbols and stand-ins for missing glyphs are none of them. Licences: DejaVu, the
Bitstream Vera licence, its changes being in the public domain, and for glyphs of the Arev fonts the
like licence of Tavmjong Bah; STIX, the SIL Open Font License 1.1. Both texts lie beside the fonts
in matplotlib. No font is part of skmeta.
"""


@dataclass(frozen=True)
class _Drawings:
    """Letters in faces, by script, letter and face."""

    bitmaps: list[Image]
    letters: NDArray[np.object_]
    scripts: NDArray[np.object_]
    faces: NDArray[np.object_]

    def __getitem__(self, which: NDArray[Any]) -> _Drawings:
        chosen = np.arange(len(self.bitmaps))[which]
        return _Drawings(
            [self.bitmaps[row] for row in chosen],
            self.letters[chosen],
            self.scripts[chosen],
            self.faces[chosen],
        )


def load_glyphs(
    subset: Literal["train", "validation", "test", "all"] = "train",
    *,
    warp: bool = True,
    random_state: int | RandomState | None = 0,
) -> Bunch:
    """Load drawings of letters: many classes, few examples each, in need of no download.

    One class is one letter, drawn in 8 to 16 faces of the fonts inside matplotlib; one image has
    28 x 28 pixels. Few-shot learners train on episodes of some classes (`n_way`) and meet classes
    never seen in `fit`: the subsets have whole scripts of their own. Give `groups` to draw each
    episode inside one script, leave it out to draw it over all of them.

    ========== ======================== ======= ======
    subset     scripts                  classes images
    ========== ======================== ======= ======
    train      Latin, Greek                 751   9780
    validation Cyrillic                      60    748
    test       Armenian, Georgian, Lao      184   1820
    all        these six                    995  12348
    ========== ======================== ======= ======

    A letter that is drawn like an earlier one, of its own or another script, is left out. The
    numbers are those of matplotlib 3.11; another version may bring other fonts.

    Parameters
    ----------
    subset : {"train", "validation", "test", "all"}, default="train"
        The scripts to load.
    warp : bool, default=True
        Rotate, shear, stretch and shift each image at random, a little, as if by hand. Without it
        a letter has nearly the same image in kindred faces, and few shots of raw pixels suffice.
    random_state : int, RandomState instance or None, default=0
        The source of the warps. An image is the same in each subset that has it, for an int.

    Returns
    -------
    glyphs : :class:`~sklearn.utils.Bunch`
        `data` of shape (n_samples, 784) in float32, from 0 to 1, `target` (the letter, a string),
        `groups` (its script), `faces` (the face it is drawn in), `feature_names`, `target_names`
        (the letters), `images_shape` (28, 28), `task_type` ("classification"), `forecast` (False:
        rows have no order), `shots` (numbers of support rows of a class worth trying), `question`
        and `DESCR` (what is drawn, sources and licences). Rows of a letter follow each other.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no such subset.

    Notes
    -----
    The first call draws all letters, in some seconds; they stay in memory (about 20 MB), and later
    calls only warp them.

    Examples
    --------
    >>> from skmeta.datasets import load_glyphs
    >>> glyphs = load_glyphs("test")
    >>> glyphs.data.shape[1], glyphs.target[0], glyphs.groups[0], glyphs.faces[0]
    (784, 'Բ', 'Armenian', 'DejaVuSans')
    >>> sorted(set(glyphs.groups))
    ['Armenian', 'Georgian', 'Lao']
    """
    if subset not in (*_SUBSETS, "all"):
        raise ValueError(f"subset={subset!r} must be one of {[*_SUBSETS, 'all']}.")
    drawings = _drawings()
    matrices, shifts = _plain(len(drawings.bitmaps))
    if warp:
        matrices, shifts = _warps(len(drawings.bitmaps), check_random_state(random_state))
    chosen = np.isin(drawings.scripts, _SUBSETS.get(subset, list(_SCRIPTS.values())))
    drawings = drawings[chosen]
    return Bunch(
        data=_images(drawings.bitmaps, matrices[chosen], shifts[chosen]).astype(np.float32)
        / np.float32(255),
        target=drawings.letters,
        groups=drawings.scripts,
        faces=drawings.faces,
        feature_names=[f"pixel_{row}_{column}" for row, column in np.ndindex(_SIDE, _SIDE)],
        target_names=list(dict.fromkeys(drawings.letters)),
        images_shape=(_SIDE, _SIDE),
        task_type="classification",
        forecast=False,
        shots=(1, 5),
        question="A few drawings of some new letters are known: which is another drawing?",
        DESCR=_DESCR,
    )


@lru_cache(maxsize=1)
def _drawings() -> _Drawings:
    """Draw every letter in every face that has it, without twins."""
    faces = dict(_text_faces())  # or what to install
    from PIL import ImageFont

    coverage = Counter(code for cmap in faces.values() for code in cmap)
    frequent = (chr(code) for code in sorted(coverage) if coverage[code] >= _MIN_FACES)
    script_of = {letter: script for letter in frequent if (script := _script(letter))}
    order = list(_SCRIPTS.values())
    letters = sorted(script_of, key=lambda letter: order.index(script_of[letter]))
    # The other layout engine is not on every machine.
    basic = ImageFont.Layout.BASIC
    fonts = [ImageFont.truetype(path, _FONT_SIZE, layout_engine=basic) for path in faces]
    cells = [
        (place, path.stem, _bitmap(font, letter))
        for place, letter in enumerate(letters)
        for (path, cmap), font in zip(faces.items(), fonts, strict=True)
        if ord(letter) in cmap
    ]
    places = np.array([place for place, _, _ in cells])
    scripts = [script_of[letter] for letter in letters]
    drawings = _Drawings(
        [bitmap for _, _, bitmap in cells],
        np.array(letters, dtype=object)[places],
        np.array(scripts, dtype=object)[places],
        np.array([face for _, face, _ in cells], dtype=object),
    )
    plain = _images(drawings.bitmaps, *_plain(len(cells)))
    kept = _without_twins(plain, places, drawings.faces, _limits(letters, scripts))
    return drawings[kept[places]]


def _text_faces() -> Iterator[tuple[Path, frozenset[int]]]:
    """Yield the fonts with all alphabets, by name, and the characters that each has."""
    try:
        import matplotlib
        from fontTools.ttLib import TTFont
    except ImportError as error:
        raise ImportError(
            "The letters are drawn from the fonts in the package matplotlib, which is not "
            'installed: pip install "skmeta[datasets]".'
        ) from error
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for path in sorted(folder.glob("*.ttf"), key=lambda path: path.stem):
        with TTFont(path, lazy=True) as font:
            glyph = font.getBestCmap() or {}
        # Fonts of last resort have all characters, but one glyph for a whole alphabet.
        if all(
            len({glyph[ord(letter)] for letter in alphabet if ord(letter) in glyph})
            == len(alphabet)
            for alphabet in _ALPHABETS
        ):
            yield path, frozenset(glyph)


def _script(character: str) -> str | None:
    """Return the script of a letter, None for other characters and scripts."""
    from fontTools.unicodedata import script

    if unicodedata.category(character) not in ("Lu", "Ll", "Lt", "Lo"):
        return None
    return _SCRIPTS.get(script(character))


def _bitmap(font: FreeTypeFont, letter: str) -> Image:
    """Return a letter, cropped to its ink."""
    from PIL import Image, ImageDraw

    side = 4 * _FONT_SIZE
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).text((side / 2, side / 2), letter, 255, font, anchor="mm")
    return image.crop(image.getbbox())


def _limits(letters: Sequence[str], scripts: Sequence[str]) -> NDArray[np.float64]:
    """Return the distance of two letters, below which they are twins."""
    script, caseless = np.array(scripts), np.array([letter.lower() for letter in letters])
    limit = np.where(script[:, None] == script, _TWIN, _TWIN_OF_OTHER_SCRIPT)
    limit[caseless[:, None] == caseless] = _TWIN_OF_OTHER_CASE
    return limit


def _without_twins(
    images: NDArray[np.uint8],
    places: NDArray[np.int64],
    faces: NDArray[np.object_],
    limit: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Tell which letters no earlier one is drawn like, in half of the faces of both."""
    alike = np.zeros(limit.shape, dtype=np.int8)
    shared = np.zeros_like(alike)
    for face in set(faces):
        rows = np.flatnonzero(faces == face)
        pixels = images[rows].astype(np.float32) / 255
        norms = np.square(pixels).sum(axis=1)
        cells = np.ix_(places[rows], places[rows])
        alike[cells] += 1 - 2 * (pixels @ pixels.T) / (norms[:, None] + norms) < limit[cells]
        shared[cells] += 1
    twins = (2 * alike >= shared) & (shared > 0)
    kept: NDArray[np.bool_] = np.logical_not(np.tril(twins, k=-1).any(axis=1))
    return kept


def _plain(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.tile(np.eye(2), (n, 1, 1)), np.zeros((n, 2))


def _warps(n: int, random: RandomState) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw linear maps (rotation after shear after stretch) and shifts."""
    turn, shear, wider, taller, *shift = random.uniform(-1, 1, (6, n))
    cosine, sine = np.cos(_ROTATION * turn), np.sin(_ROTATION * turn)
    matrices, shifts = _plain(n)
    matrices[:, 0, 1] = _SHEAR * shear
    matrices *= np.exp(_LOG_SCALE * np.stack([wider, taller], axis=1))[:, None]
    rotation = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(n, 2, 2)
    return rotation @ matrices, shifts + _SHIFT * np.stack(shift, axis=1)


def _images(
    bitmaps: Sequence[Image], matrices: NDArray[np.float64], shifts: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Draw bitmaps in the middle of a frame, each under a linear map and a shift."""
    from PIL.Image import Resampling, Transform

    sizes = np.array([bitmap.size for bitmap in bitmaps], dtype=np.float64)
    forward = matrices * (_BOX / sizes.max(axis=1))[:, None, None]
    extent = (np.abs(forward) @ sizes[..., None])[..., 0]
    shrink = np.minimum(1, _MAX_BOX / extent.max(axis=1))
    room = (_MAX_BOX - shrink[:, None] * extent) / 2
    middle = _SIDE / 2 + np.clip(shifts, -room, room)
    backward = np.linalg.inv(_FINER * shrink[:, None, None] * forward)
    origin = sizes[..., None] / 2 - backward @ (_FINER * middle)[..., None]
    maps = np.concatenate([backward, origin], axis=2).reshape(-1, 6).tolist()
    drawn = np.empty((len(bitmaps), _SIDE * _SIDE), dtype=np.uint8)
    fine = (_FINER * _SIDE, _FINER * _SIDE)
    for row, (bitmap, coefficients) in enumerate(zip(bitmaps, maps, strict=True)):
        image = bitmap.transform(fine, Transform.AFFINE, coefficients, Resampling.BILINEAR)
        drawn[row] = np.asarray(image.reduce(_FINER)).ravel()
    return drawn
