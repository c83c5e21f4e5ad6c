"""Check that links between pages of the built site lead somewhere; no network is asked.

python docs/check_links.py docs/_build/html
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name == "id" and value:
                self.anchors.add(value)


def broken(root: Path) -> list[str]:
    """Return links that lead nowhere, with the page that has them."""
    files = (path for path in root.rglob("*.html") if root / "_static" not in path.parents)
    pages = {path: Page(path) for path in sorted(files)}  # of the theme's own, none is a page
    found = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if target in pages:
                there = not anchor or anchor in pages[target].anchors
            else:
                there = target.is_file()
            if not there:
                found.append(f"{path.relative_to(root)}: {link}")
    return found


if __name__ == "__main__":
    root = Path(sys.argv[1]).resolve()
    links = broken(root)
    print(
        "\n".join(links) or f"All links of {len(list(root.rglob('*.html')))} pages lead somewhere."
    )
    sys.exit(bool(links))
