# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what Sphinx does not: links of the site, messages that it explains, a picture it shares.

``check.py links FOLDER`` looks at the built site, ``messages`` and ``picture`` at a collection.
"""

from __future__ import annotations

import ast
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Callable, Iterator
from urllib.parse import unquote, urlsplit

GAP = "…"
"""Stands for what differs from one message to the next."""

GUIDES = Path("docs", "docsite", "rst")


class Page(HTMLParser):
    """The places of a page that links can lead to, and where its own lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the element is and has."""
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.places.add(value or "")
            elif name in ("href", "src") and value:
                self.links.append(value)


def links(site: Path) -> Iterator[str]:
    """The links of a built site that lead to nothing in it; other sites are not asked."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site} has no pages"
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path.resolve()
            if not target.is_file():
                yield f"{path}: {link} leads to no file"
            elif target in pages and url.fragment and url.fragment not in pages[target].places:
                yield f"{path}: {link} leads to no place in {target.name}"


def messages(collection: Path) -> Iterator[str]:
    """The headings of the guide to error messages that no message has."""
    known = "\n".join(
        text
        for path in sorted((collection / "plugins" / "module_utils").rglob("*.py"))
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
    )
    guide = collection / GUIDES / "guide_troubleshooting.rst"
    headings = re.findall(r"^``(.+)``\n\^+$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    if len(headings) < 20:
        yield f"{guide} has {len(headings)} headings that are messages: are they still found?"
    for heading in headings:
        for part in filter(None, map(str.strip, heading.split(GAP))):
            # A message may be put together at a colon or the like.
            if part not in known and any(
                piece not in known for piece in re.split("[:;,] ", part.rstrip(":;,"))
            ):
                yield f"{guide}: no message has {part!r}, as in {heading!r}"


def _texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a program, with GAP for what is put into them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def picture(collection: Path) -> Iterator[str]:
    """Pages of Ansible's cannot have files of images, so the README's stands in a guide as well."""
    file = (collection / "docs" / "layers.svg").read_text(encoding="utf-8")
    guide = (collection / GUIDES / "guide_architecture.rst").read_text(encoding="utf-8")
    if " ".join(file.split()) not in " ".join(guide.split()):
        yield "docs/layers.svg is not what guide_architecture.rst has of it: copy it there"


CHECKS: dict[str, Callable[[Path], Iterator[str]]] = {
    "links": links,
    "messages": messages,
    "picture": picture,
}


def main() -> int:
    check, folder = sys.argv[1:]
    problems = list(CHECKS[check](Path(folder).resolve()))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
