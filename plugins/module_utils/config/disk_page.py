# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The positions of the disks in the text of a configuration, and how one is added or removed.

People write disk lists on one line or on many, with commas after or before the disks, and comments
beside and above them. A comment belongs to the disk on its line, or to the one right below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import (
    Parser,
    Setting,
    Token,
    tokenize,
)

_BLANKS = re.compile(r"[ \t]*")
_SEPARATOR = re.compile(r"[ \t]*;[ \t]*")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")


def places_of(settings: Sequence[Setting]) -> List[Setting]:
    """The settings of the disks that count: the last ``=``, and each ``+=`` after it."""
    places: List[Setting] = []
    for setting in settings:
        if setting.option == "disk":
            places = [*places, setting] if setting.adds else [setting]
    return places


class Edit(NamedTuple):
    """Replaces what is between two positions, in characters from the beginning, by ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _Around:
    """The tokens on the line of a disk in a list, before and after it."""

    before: Sequence[Token]
    comma: Optional[Token]
    """Right after it."""
    behind: Sequence[Token]
    """After the comma, without the line end."""

    @property
    def comment(self) -> Optional[Token]:
        """The comment beside it."""
        found = self.behind and self.behind[0].kind == "comment"
        return self.behind[0] if found else None

    @property
    def comma_before(self) -> Optional[Token]:
        found = self.before and self.before[-1].kind == ","
        return self.before[-1] if found else None

    @property
    def starts(self) -> bool:
        """Whether the line begins with it, or with its comma."""
        return not self.before or (len(self.before) == 1 and self.comma_before is not None)


class Page:
    """A text and the positions of its disks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokenize(text)
        self.settings = Parser(self._tokens).settings()
        self.places = places_of(self.settings)
        self._lines: Dict[int, List[Token]] = {}
        for token in self._tokens:
            if token.kind not in ("newline", "end"):
                self._lines.setdefault(token.line, []).append(token)
        found = [token for token in self._tokens if token.kind in ("string", "number")]
        self.items = [token for token in found if self._place(token)]

    def _place(self, token: Token) -> Optional[Setting]:
        for place in self.places:
            if place.value_start <= token.start < place.end:
                return place
        return None

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with these changes, none of which overlaps another."""
        text = self.text
        for edit in sorted(edits, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text

    def around(self, item: Token) -> _Around:
        """The line of a disk."""
        line = self._lines[item.line]
        position = line.index(item)
        behind = line[position + 1 :]
        comma = behind[0] if behind and behind[0].kind == "," else None
        return _Around(line[:position], comma, behind[1:] if comma else behind)

    def comma_below(self, item: Token) -> Optional[Token]:
        """The comma after it on a later line."""
        later = self._tokens[self._tokens.index(item) + 1 :]
        found = next(token for token in later if token.kind not in ("comment", "newline"))
        return found if found.kind == "," and found.line > item.line else None

    def within(self, place: Setting) -> List[Token]:
        """The comments and disks of a list."""
        kinds = ("comment", "string", "number")
        return [
            token
            for token in self._tokens
            if token.kind in kinds and place.value_start <= token.start < place.end
        ]

    def shares_line(self, item: Token) -> bool:
        """Whether another disk is on its line."""
        return any(other.line == item.line and other is not item for other in self.items)

    def is_one_a_line(self, item: Token) -> bool:
        """Whether each disk of its list is on a line of its own."""
        place = self._place(item)
        lines = [other.line for other in self.items if self._place(other) == place]
        opening_line = self.text.count("\n", 0, place.value_start) + 1 if place else 0
        return len(set(lines)) == len(lines) and set(lines) != {opening_line}

    def first_line_above(self, item: Token) -> int:
        """The first of the comment lines right above it, or its own line."""
        line = item.line
        while [token.kind for token in self._lines.get(line - 1, ())] == ["comment"]:
            line -= 1
        return line

    def line_start(self, position: int) -> int:
        """The position at which the line of a position begins."""
        return self.text.rfind("\n", 0, position) + 1

    def line_end(self, position: int) -> int:
        """The position at which the line of a position ends: its line feed, or the end of the
        text."""
        found = self.text.find("\n", position)
        return len(self.text) if found < 0 else found

    def behind_blanks(self, position: int) -> int:
        """The position after the blanks that begin at a position."""
        match = _BLANKS.match(self.text, position)
        return match.end() if match else position

    def margin(self, position: int) -> str:
        """The line before a position, as blanks of the same width."""
        return re.sub(r"[^\t]", " ", self.text[self.line_start(position) : position])


# --- putting in ------------------------------------------------------------------------------


def put_before(page: Page, item: Token, written: Sequence[str]) -> List[Edit]:
    """Put disks before the first one, whose comments stay with it."""
    indent = page.margin(item.start)
    if page.around(item).before:
        gap = "\n" + indent if page.is_one_a_line(item) else " "
        return [Edit(item.start, item.start, "".join(f"{one},{gap}" for one in written))]
    start = page.line_start(item.start)
    for _line in range(item.line - page.first_line_above(item)):
        start = page.line_start(start - 1)
    return [Edit(start, start, "".join(f"{indent}{one},\n" for one in written))]


def put_behind(page: Page, item: Token, written: Sequence[str]) -> List[Edit]:
    """Put disks after another one, whose comments stay with it."""
    around = page.around(item)
    closed = bool(around.behind) and around.comment is None
    alone = not page.shares_line(item) and page.is_one_a_line(item)
    if not around.comment and (not alone or (closed and around.behind[0].kind != "]")):
        return [Edit(item.end, item.end, "".join(f", {one}" for one in written))]
    last = around.comma or item
    end = last.end if closed else page.line_end(last.end)
    below = page.comma_below(item)
    if below or (around.comma_before and around.starts and not around.comma):
        lead = _lead(page, item, below)
        return [Edit(end, end, "".join(f"\n{lead}{one}" for one in written))]
    indent = page.margin(_first_on_line(page, item).start)
    lines = [f"\n{indent}{one}" for one in written]
    if around.comma:
        return [Edit(end, end, "".join(f"{line}," for line in lines))]
    if end == item.end:
        return [Edit(end, end, "," + ",".join(lines))]
    return [Edit(item.end, item.end, ","), Edit(end, end, ",".join(lines))]


def _first_on_line(page: Page, item: Token) -> Token:
    return next(other for other in page.items if other.line == item.line)


def _lead(page: Page, item: Token, below: Optional[Token]) -> str:
    """The beginning of a line up to its disk, in a list whose lines begin with commas."""
    if below is None:
        return page.text[page.line_start(item.start) : item.start]
    return page.text[page.line_start(below.start) : page.behind_blanks(below.end)]


# --- taking out ------------------------------------------------------------------------------


def taken_out(page: Page, item: Token) -> List[Edit]:
    """Remove a disk and one comma, or make a comment of it if it has a comment."""
    around = page.around(item)
    comma = around.comma or around.comma_before or page.comma_below(item)
    edits = []
    if comma and comma.line > item.line:
        edits.append(Edit(comma.start, page.behind_blanks(comma.end), ""))
    start = comma.start if comma and comma is around.comma_before else item.start
    end = comma.end if comma and comma is around.comma else item.end
    if _is_noted(page, item, around):
        edits += _commented(page, item, start, end)
    elif not page.text[page.line_start(start) : start].strip() and not around.behind:
        line_end = page.line_end(end)
        edits.append(Edit(page.line_start(start), min(line_end + 1, len(page.text)), ""))
    elif start < item.start:
        edits.append(Edit(start, end, ""))
    else:
        edits.append(Edit(start, page.behind_blanks(end), ""))
    return edits


def _is_noted(page: Page, item: Token, around: _Around) -> bool:
    if around.comment:
        return True
    alone = around.starts and not page.shares_line(item)
    return alone and page.first_line_above(item) < item.line


def _commented(page: Page, item: Token, start: int, end: int) -> List[Edit]:
    """Make a comment of a disk that is the last on its line. ``start``, ``end``: where it begins
    and ends, with its comma."""
    around = page.around(item)
    hash_mark = Edit(start, item.start, "# ")
    if page.shares_line(item):
        margin = page.margin(_first_on_line(page, item).start)
        end_before = len(page.text[:start].rstrip(" \t"))
        hash_mark = Edit(end_before, item.start, f"\n{margin}# ")
    if around.behind and not around.comment:
        return [hash_mark, Edit(end, end, "\n" + page.margin(item.start))]
    return [hash_mark]


def removable(text: str, setting: Setting) -> Tuple[int, int]:
    """What to remove for a setting: with its ``;``, and its lines if nothing else is on them."""
    start, end = setting.start, setting.end
    separator = _SEPARATOR.match(text, end)
    if separator:
        end = separator.end()
    line_start = text.rfind("\n", 0, start) + 1
    line_end = _LINE_END.match(text, end)
    if line_end and not text[line_start:start].strip(" \t"):
        return line_start, line_end.end()
    return start, end
