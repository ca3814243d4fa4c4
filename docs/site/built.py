"""``python -m docs.site.built FOLDER`` checks a site that was built: no page asks another host for anything.

Links and their anchors are checked by the build itself, and by ``tests/test_docs.py``.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

FETCHING = {
    "img": ("src", "srcset"),
    "script": ("src",),
    "link": ("href",),
    "iframe": ("src",),
    "source": ("src", "srcset"),
}
"""Attributes for which a browser asks without being told to."""


class Fetched(HTMLParser):
    """What a page makes a browser fetch from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        self.elsewhere += [
            value
            for name, value in attrs
            if value and name in FETCHING.get(tag, ()) and re.match(r"(https?:)?//", value)
        ]


def asked_elsewhere(site: Path) -> Iterator[str]:
    """A line for each thing that a page or style sheet of the site would fetch from another host."""
    for page in sorted(site.rglob("*.html")):
        parser = Fetched()
        parser.feed(page.read_text())
        yield from (f"{page.relative_to(site)}: {target}" for target in parser.elsewhere)
    for sheet in sorted(site.rglob("*.css")):
        for target in re.findall(r"""(?:url\(|@import )["']?((?:https?:)?//[^"')]+)""", sheet.read_text()):
            yield f"{sheet.relative_to(site)}: {target}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = [*asked_elsewhere(folder), *([] if (folder / "index.html").is_file() else [f"{folder} has no index.html"])]
    print(*found, f"{len(list(folder.rglob('*.html')))} pages: {folder / 'index.html'}", sep="\n")
    sys.exit(bool(found))
