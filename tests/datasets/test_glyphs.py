"""Letters drawn from fonts."""

from __future__ import annotations

import sys
import unicodedata
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmeta.datasets import _glyphs, load_glyphs

SUBSETS = ("train", "validation", "test")
ORDINALS = ("FEMININE", "MASCULINE")


@pytest.fixture(scope="module")
def subsets():
    pytest.importorskip("matplotlib")
    return {name: load_glyphs(name) for name in (*SUBSETS, "all")}


@pytest.fixture(scope="module")
def plain():
    pytest.importorskip("matplotlib")
    return load_glyphs("all", warp=False)


@pytest.fixture(scope="module", params=["plain", "warped"])
def glyphs(request):
    pytest.importorskip("matplotlib")
    return load_glyphs("all", warp=request.param == "warped")


def _ink(glyphs):
    """Return the first and last inked row and column of each image, shape (n_samples, 2, 2)."""
    images = glyphs.data.reshape(-1, *glyphs.images_shape) > 0
    ends = []
    for axis in (2, 1):
        inked = images.any(axis=axis)
        ends.append([inked.argmax(axis=1), 27 - inked[:, ::-1].argmax(axis=1)])
    return np.array(ends).transpose(2, 0, 1)


@pytest.mark.parametrize("name", [*SUBSETS, "all"])
def test_rows_are_images_of_letters(subsets, name):
    glyphs = subsets[name]
    assert glyphs.data.shape == (len(glyphs.target), 784)
    assert glyphs.data.dtype == np.float32
    assert glyphs.data.min() == 0
    assert 0.99 < glyphs.data.max() <= 1
    assert len(glyphs.feature_names) == len(set(glyphs.feature_names)) == 784
    assert glyphs.feature_names[29] == "pixel_1_1"
    assert glyphs.target.shape == glyphs.groups.shape == glyphs.faces.shape
    assert list(dict.fromkeys(glyphs.target)) == glyphs.target_names
    for letter, script in set(zip(glyphs.target, glyphs.groups, strict=True)):
        assert len(letter) == 1
        assert unicodedata.category(letter)[0] == "L"
        assert unicodedata.name(letter).split()[0] in {script.upper(), "TURNED", *ORDINALS}


@pytest.mark.parametrize("name", [*SUBSETS, "all"])
def test_each_letter_has_at_most_one_drawing_of_each_of_enough_faces(subsets, name):
    glyphs = subsets[name]
    assert set(np.unique(glyphs.target, return_counts=True)[1]) <= set(range(8, 17))
    cells = set(zip(glyphs.target, glyphs.faces, strict=True))
    assert len(cells) == len(glyphs.target)


def test_subsets_share_neither_letters_nor_scripts_and_are_all(subsets):
    for one, other in combinations(SUBSETS, 2):
        assert not set(subsets[one].target) & set(subsets[other].target)
        assert not set(subsets[one].groups) & set(subsets[other].groups)
    parts = [subsets[name] for name in SUBSETS]
    for field in ("data", "target", "groups", "faces"):
        joined = np.concatenate([part[field] for part in parts])
        assert_array_equal(joined, subsets["all"][field])


def test_the_documented_table_is_right(subsets):
    for name in (*SUBSETS, "all"):
        glyphs = subsets[name]
        lines = load_glyphs.__doc__.splitlines()
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.split()[-2:] == [str(len(glyphs.target_names)), str(len(glyphs.target))]
        if name != "all":
            scripts = line.split(maxsplit=1)[1].rsplit(maxsplit=2)[0].strip()
            assert scripts.split(", ") == list(dict.fromkeys(glyphs.groups))


def test_images_are_inked_and_inside_the_frame(glyphs):
    ink = _ink(glyphs)
    assert ink.min() >= 1
    assert ink.max() <= 26
    share = glyphs.data.mean(axis=1)
    assert share.min() > 0.01
    assert share.max() < 0.6


def test_a_plain_letter_is_in_the_middle_with_its_longer_side_of_20_pixels(plain):
    ink = _ink(plain)
    assert np.abs(ink.sum(axis=2) - 27).max() <= 1
    longer = (ink[..., 1] - ink[..., 0] + 1).max(axis=1)
    assert set(longer) == {20}


def test_a_warp_leaves_letters_near_the_middle(subsets):
    middle = _ink(subsets["all"]).mean(axis=2) - 13.5
    assert np.abs(middle.mean(axis=0)).max() < 0.2
    distance = np.abs(middle).max(axis=1)
    assert 1 < np.median(distance) < 2
    assert distance.max() < 6  # a corner of the box may hold no ink


def test_no_two_letters_are_drawn_alike(plain):
    """Recount twins letter by letter, as cosines in the faces that both have."""
    order = {letter: place for place, letter in enumerate(plain.target_names)}
    place = np.array([order[letter] for letter in plain.target])
    script = np.array([plain.groups[place == p][0] for p in range(len(order))])
    unit = plain.data / np.linalg.norm(plain.data, axis=1, keepdims=True)
    faces = sorted(set(plain.faces))
    distance = np.full((len(faces), len(order), len(order)), np.nan, dtype=np.float32)
    for layer, face in zip(distance, faces, strict=True):
        rows = plain.faces == face
        layer[np.ix_(place[rows], place[rows])] = 1 - unit[rows] @ unit[rows].T
    middle = np.nanmedian(distance, axis=0)
    np.fill_diagonal(middle, np.inf)
    same = script[:, None] == script
    assert middle[same].min() > 0.03
    assert middle[~same].min() > 0.08
    pairs = [(order[a], order[a.lower()]) for a in order if a.lower() in order.keys() - {a}]
    assert len(pairs) > 100
    assert min(middle[pair] for pair in pairs) > 0.15


@pytest.mark.parametrize(
    ("twin", "kept"),
    [
        ("o", "O"),
        ("z", "Z"),
        ("ж", "Ж"),
        ("Α", "A"),
        ("А", "A"),
        ("К", "K"),
        ("Տ", "S"),
        ("ᴠ", "V"),
    ],
)
def test_the_first_of_twins_stays(plain, twin, kept):
    assert twin not in plain.target_names
    assert kept in plain.target_names


@pytest.mark.parametrize("letter", ["a", "é", "ß", "Ω", "λ", "Ж", "ф", "Բ", "ჯ", "ກ"])
def test_letters_of_one_design_stay(plain, letter):
    assert letter in plain.target_names


def test_a_seed_fixes_the_warps(subsets, plain):
    assert_array_equal(load_glyphs("test", random_state=0).data, subsets["test"].data)
    other = load_glyphs("test", random_state=1)
    assert_array_equal(other.target, subsets["test"].target)
    assert (other.data != subsets["test"].data).any(axis=1).all()
    assert (plain.data != subsets["all"].data).any(axis=1).all()
    random = np.random.RandomState(0)
    assert_array_equal(load_glyphs("test", random_state=random).data, subsets["test"].data)
    assert (load_glyphs("test", random_state=random).data != subsets["test"].data).any()


def test_what_is_returned_is_the_callers_own(subsets):
    glyphs = load_glyphs("all", warp=False)
    glyphs.target[:] = glyphs.groups[:] = glyphs.faces[:] = "?"
    again = load_glyphs("test")
    assert_array_equal(again.target, subsets["test"].target)
    assert_array_equal(again.groups, subsets["test"].groups)


def test_fonts_of_symbols_and_of_last_resort_are_left_out():
    pytest.importorskip("matplotlib")
    names = [path.stem for path, _ in _glyphs._text_faces()]
    assert len(names) == 16
    assert sum(name.startswith("DejaVu") for name in names) == 12
    assert sum(name.startswith("STIXGeneral") for name in names) == 4
    assert "DejaVuSansDisplay" not in names


def test_twins_in_half_of_the_shared_faces_are_dropped():
    images = np.zeros((7, 4), dtype=np.uint8)
    images[[0, 1, 2], 0] = 200  # letter 0 in faces a, b, c
    images[[3], 0] = images[[4], 1] = 200  # letter 1 is like it in a, not in b
    images[[5], 0] = images[[6], [2]] = 100  # letter 2 is like no other in b, nor in c
    places = np.array([0, 0, 0, 1, 1, 2, 2])
    faces = np.array(["a", "b", "c", "a", "b", "b", "c"], dtype=object)
    kept = _glyphs._without_twins(images, places, faces, np.full((3, 3), 0.05))
    assert_array_equal(kept, [True, False, True])


def test_limits_are_wider_between_scripts_and_cases():
    limit = _glyphs._limits(["A", "B", "a", "Α"], ["Latin", "Latin", "Latin", "Greek"])
    assert_array_equal(limit, limit.T)
    assert_array_equal(limit[0, 1:], [0.05, 0.2, 0.1])


def test_source_and_licences_are_told(subsets):
    for word in ("DejaVu", "STIX", "Bitstream Vera", "SIL Open Font License", "Question: "):
        assert word in subsets["test"].DESCR
    assert subsets["test"].task_type == "classification"
    assert subsets["test"].forecast is False
    assert subsets["test"].shots == (1, 5)


def test_unknown_subset():
    with pytest.raises(ValueError, match=r"subset='dev' must be one of \['train', 'validation'"):
        load_glyphs("dev")


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _glyphs._drawings.cache_clear()
    with pytest.raises(ImportError, match=r'pip install "skmeta\[datasets\]"'):
        load_glyphs()
