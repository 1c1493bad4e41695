# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk list of a configuration that someone else wrote: read it, and change only what differs.

Disks are compared by what xl makes of them, see disk_spec.meaning, and known by their slots. A disk
that is as wanted keeps its text, its place and all that stands around it. So the order of the list
stays: the boot loader of a PV guest reads the first disk of the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils import device_number, disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.config_syntax import (
    INDENT,
    DomainConfigError,
    Parser,
    Setting,
    Token,
    effective,
    parse,
    quote,
    tokenize,
    unquoted,
    write_list,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained

_BLANKS = re.compile(r"[ \t]*")
_SEPARATOR = re.compile(r"[ \t]*;[ \t]*")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")
_KEYED = re.compile(r"(?:\A|,)[ \t]*(?:target|vdev)=")


# --- reading ---------------------------------------------------------------------------------


def effective_disks(settings: Iterable[Setting]) -> List[str]:
    """Give the disk specifications, unquoted, that xl would use.

    Raises DomainConfigError where xl would silently lose disks: C(disk) is a single string, or its
    list holds another list.
    """
    value = effective(settings).get("disk", [])
    if isinstance(value, str):
        raise DomainConfigError(
            f"disk is a single string ({value!r}), for which xl only warns and starts the domain "
            "without any disk; write it as a list, disk = [ 'SPEC' ]"
        )
    specs = [str(item) for item in value if isinstance(item, str)]
    if len(specs) < len(value):
        raise DomainConfigError(
            "disk holds a list inside its list, where xl stops reading and loses the disks that "
            "follow; write one flat list of strings"
        )
    return specs


def mended(text: str) -> str:
    """Give the text with C(disk = 'SPEC') as the list C(disk = [ 'SPEC' ]), which xl needs.

    Any other text is returned unchanged. Raises DomainConfigError if it is no valid configuration.
    """
    places = _places(parse(text))
    if len(places) != 1 or text[places[0].value_start] not in "'\"":
        return text
    start, end = places[0].value_start, places[0].end
    value = f"[ {text[start:end]} ]" if str(places[0].value).strip() else "[]"
    return text[:start] + value + text[end:]


def _places(settings: Sequence[Setting]) -> List[Setting]:
    """The settings of the disks that count: the last C(=), and each C(+=) after it."""
    places: List[Setting] = []
    for setting in settings:
        if setting.option == "disk":
            places = [*places, setting] if setting.adds else [setting]
    return places


# --- comparing -------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _slot(spec: str) -> object:
    """What a disk is known by; one that cannot be read by its text."""
    try:
        return device_number.parse(disk_spec.parse(spec)["vdev"]).xenstore_key
    except BlockdevError:
        return spec


def _alike(spec: str, other: str) -> bool:
    """Whether xl makes the same of both."""
    try:
        return disk_spec.meaning(disk_spec.parse(spec)) == disk_spec.meaning(disk_spec.parse(other))
    except BlockdevError:
        return spec == other


class _Comparison(NamedTuple):
    """What becomes of the disks of a list: indexes of old and wanted ones."""

    kept: Dict[int, int]
    """By the index of an old disk, the wanted one in its slot."""
    removed: List[int]
    """The old disks in whose slots none is wanted."""
    added: Dict[int, List[int]]
    """The wanted disks in other slots, by the index of the old one after which they go: that of the
    disk before them in what is wanted; -1 for those that go first."""


def _compared(old: Sequence[str], wanted: Sequence[str]) -> _Comparison:
    by_slot: Dict[object, List[int]] = {}
    for number, spec in enumerate(wanted):
        by_slot.setdefault(_slot(spec), []).append(number)
    compared = _Comparison({}, [], {})
    for number, spec in enumerate(old):
        found = by_slot.get(_slot(spec))
        if found:
            compared.kept[number] = found.pop(0)
        else:
            compared.removed.append(number)
    places = {new: number for number, new in compared.kept.items()}
    place = -1
    for number in range(len(wanted)):
        if number in places:
            place = places[number]
        else:
            compared.added.setdefault(place, []).append(number)
    return compared


# --- changing --------------------------------------------------------------------------------


def replace_disks(text: str, disks: Sequence[str]) -> str:
    """Make these disk specifications the only ones that count, and leave everything else as it is.

    A disk whose slot has another one is replaced in its place, in the style of the old one; a new
    one goes behind the disk that precedes it in C(disks), in the style of its neighbour. A removed
    disk that has a comment, beside it or right above it, becomes a comment itself, so that the note
    stays with what it is about. A C(disk) that is a string becomes a list. A text whose disks mean
    the same already is returned unchanged.

    Raises DomainConfigError as effective_disks does, and for a specification that xl cannot read
    back.
    """
    value = write_disks(disks)
    page = _Page(mended(text))
    old = effective_disks(page.settings)
    if not page.places and not disks:
        return text
    if not page.places:
        separator = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{separator}disk = {value}\n"
    if not old and disks:
        return page.edited(_first(page, disks))
    compared = _compared(old, disks)
    page = _Page(page.edited(_replaced(page, disks, compared) + _added(page, disks, compared)))
    for number in reversed(_after_adding(compared)):
        page = _Page(page.edited(_removed(page, page.items[number])))
    if compared.removed:
        page = _Page(page.edited(_emptied(page)))
    return page.text


def write_disks(specs: Sequence[str]) -> str:
    """Write a disk list. Raises DomainConfigError for a specification that xl cannot read back."""
    if isinstance(specs, str):
        raise DomainConfigError(f"disk: a list of disk specifications is wanted, not {specs!r}")
    with explained("disk"):
        return write_list(quote(spec) + "," for spec in specs)


def _after_adding(compared: _Comparison) -> List[int]:
    """Which the removed disks are once the new ones are in the list."""
    return [
        number + sum(len(new) for place, new in compared.added.items() if place < number)
        for number in compared.removed
    ]


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _Around:
    """What stands on the line of a disk in a list, before it and behind it."""

    before: Sequence[Token]
    comma: Optional[Token]
    """Right behind it."""
    behind: Sequence[Token]
    """Behind the comma, without the line end."""

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


class _Page:
    """A text, and where its disks are in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokenize(text)
        self.settings = Parser(self._tokens).settings()
        self.places = _places(self.settings)
        self._lines: Dict[int, List[Token]] = {}
        for token in self._tokens:
            if token.kind not in ("newline", "end"):
                self._lines.setdefault(token.line, []).append(token)
        self.items = [token for token in self._tokens if token.kind in ("string", "number")]
        self.items = [item for item in self.items if self._place(item)]

    def _place(self, token: Token) -> Optional[Setting]:
        for place in self.places:
            if place.value_start <= token.start < place.end:
                return place
        return None

    def edited(self, edits: Iterable[_Edit]) -> str:
        """The text with these changes, none of which overlaps another."""
        text = self.text
        for edit in sorted(edits, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text

    def around(self, item: Token) -> _Around:
        line = self._lines[item.line]
        position = line.index(item)
        behind = line[position + 1 :]
        comma = behind[0] if behind and behind[0].kind == "," else None
        return _Around(line[:position], comma, behind[1:] if comma else behind)

    def comma_below(self, item: Token) -> Optional[Token]:
        """The comma behind it that is on a later line."""
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
        """Whether the disks of its list are on lines of their own, as far as it goes."""
        place = self._place(item)
        lines = [other.line for other in self.items if self._place(other) == place]
        opening_line = self.text.count("\n", 0, place.value_start) + 1 if place else 0
        return len(set(lines)) == len(lines) and set(lines) != {opening_line}

    def first_line_above(self, item: Token) -> int:
        """The first of the lines right above it that have comments only, or its own."""
        line = item.line
        while [token.kind for token in self._lines.get(line - 1, ())] == ["comment"]:
            line -= 1
        return line

    def line_start(self, position: int) -> int:
        return self.text.rfind("\n", 0, position) + 1

    def line_end(self, position: int) -> int:
        found = self.text.find("\n", position)
        return len(self.text) if found < 0 else found

    def behind_blanks(self, position: int) -> int:
        match = _BLANKS.match(self.text, position)
        return match.end() if match else position

    def margin(self, position: int) -> str:
        """What is before a position on its line, as blanks of the same width."""
        return re.sub(r"[^\t]", " ", self.text[self.line_start(position) : position])


# --- what is put in --------------------------------------------------------------------------


def _replaced(page: _Page, disks: Sequence[str], compared: _Comparison) -> List[_Edit]:
    edits = []
    for number, new in compared.kept.items():
        item = page.items[number]
        if not _alike(_spec(item), disks[new]):
            edits.append(_Edit(item.start, item.end, _written(disks[new], item, in_place=True)))
    return edits


def _added(page: _Page, disks: Sequence[str], compared: _Comparison) -> List[_Edit]:
    edits = []
    for number, added in compared.added.items():
        item = page.items[max(number, 0)]
        put = _put_before if number < 0 else _put_behind
        edits += put(page, item, [_written(disks[new], item) for new in added])
    return edits


def _spec(item: Token) -> str:
    return unquoted(item) if item.kind == "string" else item.text


def _written(spec: str, like: Token, in_place: bool = False) -> str:
    """The specification with the quotes and in the style of another one, in the place of which it
    comes or not."""
    mark = like.text[0] if like.kind == "string" else "'"
    old = _spec(like)
    for style in ("keyed",) if _KEYED.search(old) else ("positional", "keyed"):
        try:
            disk = disk_spec.parse(spec)
            if in_place:
                disk["vdev"] = disk_spec.parse(old)["vdev"]  # the same slot
            return quote(disk_spec.render(disk, style), mark)
        except BlockdevError:
            pass
    return quote(spec, mark)


def _first(page: _Page, disks: Sequence[str]) -> List[_Edit]:
    """Put disks into a list that has none."""
    place = page.places[0]
    comments = page.within(place)
    if not comments:
        return [_Edit(place.value_start, place.end, write_disks(disks))]
    closing = page.line_start(place.end)
    alone = page.line_start(comments[-1].start)
    margin = page.text[alone : comments[-1].start]
    indent = margin if not margin.strip() else INDENT
    lines = "".join(f"{indent}{quote(spec)},\n" for spec in disks)
    return [_Edit(closing, closing, lines)]


def _put_before(page: _Page, item: Token, written: Sequence[str]) -> List[_Edit]:
    """Put disks before the first one, whose comments stay with it."""
    indent = page.margin(item.start)
    if page.around(item).before:
        gap = "\n" + indent if page.is_one_a_line(item) else " "
        return [_Edit(item.start, item.start, "".join(f"{one},{gap}" for one in written))]
    start = page.line_start(item.start)
    for _line in range(item.line - page.first_line_above(item)):
        start = page.line_start(start - 1)
    return [_Edit(start, start, "".join(f"{indent}{one},\n" for one in written))]


def _put_behind(page: _Page, item: Token, written: Sequence[str]) -> List[_Edit]:
    """Put disks behind another one, whose comments stay with it."""
    around = page.around(item)
    closed = bool(around.behind) and around.comment is None
    alone = not page.shares_line(item) and page.is_one_a_line(item)
    if not around.comment and (not alone or (closed and around.behind[0].kind != "]")):
        return [_Edit(item.end, item.end, "".join(f", {one}" for one in written))]
    last = around.comma or item
    end = last.end if closed else page.line_end(last.end)
    below = page.comma_below(item)
    if below or (around.comma_before and around.starts and not around.comma):
        lead = _lead(page, item, below)
        return [_Edit(end, end, "".join(f"\n{lead}{one}" for one in written))]
    indent = page.margin(_first_on_line(page, item).start)
    lines = [f"\n{indent}{one}" for one in written]
    if around.comma:
        return [_Edit(end, end, "".join(f"{line}," for line in lines))]
    if end == item.end:
        return [_Edit(end, end, "," + ",".join(lines))]
    return [_Edit(item.end, item.end, ","), _Edit(end, end, ",".join(lines))]


def _first_on_line(page: _Page, item: Token) -> Token:
    return next(other for other in page.items if other.line == item.line)


def _lead(page: _Page, item: Token, below: Optional[Token]) -> str:
    """What a line begins with, up to its disk, where lines begin with commas."""
    if below is None:
        return page.text[page.line_start(item.start) : item.start]
    return page.text[page.line_start(below.start) : page.behind_blanks(below.end)].rstrip("\n")


# --- what is taken out -----------------------------------------------------------------------


def _removed(page: _Page, item: Token) -> List[_Edit]:
    """Take a disk out, with one comma, or make a comment of it where it has one."""
    around = page.around(item)
    comma = around.comma or around.comma_before or page.comma_below(item)
    edits = []
    if comma and comma.line > item.line:
        edits.append(_Edit(comma.start, page.behind_blanks(comma.end), ""))
    start = comma.start if comma and comma is around.comma_before else item.start
    end = comma.end if comma and comma is around.comma else item.end
    if _is_noted(page, item, around):
        edits += _commented(page, item, start, end)
    elif around.starts and not around.behind:
        line_end = page.line_end(end)
        edits.append(_Edit(page.line_start(start), min(line_end + 1, len(page.text)), ""))
    elif start < item.start:
        edits.append(_Edit(start, end, ""))
    else:
        edits.append(_Edit(start, page.behind_blanks(end), ""))
    return edits


def _is_noted(page: _Page, item: Token, around: _Around) -> bool:
    if around.comment:
        return True
    alone = around.starts and not page.shares_line(item)
    return alone and page.first_line_above(item) < item.line


def _commented(page: _Page, item: Token, start: int, end: int) -> List[_Edit]:
    """Make a comment of a disk that is the last on its line. C(start), C(end): where it begins and
    ends with the comma that goes with it."""
    around = page.around(item)
    hash_mark = _Edit(start, item.start, "# ")
    if page.shares_line(item):
        margin = page.margin(_first_on_line(page, item).start)
        blanks = len(page.text[:start]) - len(page.text[:start].rstrip(" \t"))
        hash_mark = _Edit(start - blanks, item.start, f"\n{margin}# ")
    if around.behind and not around.comment:
        return [hash_mark, _Edit(end, end, "\n" + page.margin(item.start))]
    return [hash_mark]


def _emptied(page: _Page) -> List[_Edit]:
    """Take out what is left of lists that have neither a disk nor a comment any more."""
    edits = []
    for place in page.places:
        if page.within(place):
            continue
        if place is page.places[0]:
            edits.append(_Edit(place.value_start, place.end, "[]"))
        else:
            edits.append(_Edit(*_removable(page.text, place), ""))
    return edits


def _removable(text: str, setting: Setting) -> Tuple[int, int]:
    """What to cut out for a setting: with its own C(;), and its lines if nothing else is there."""
    start, end = setting.start, setting.end
    separator = _SEPARATOR.match(text, end)
    if separator:
        end = separator.end()
    line_start = text.rfind("\n", 0, start) + 1
    line_end = _LINE_END.match(text, end)
    if line_end and not text[line_start:start].strip(" \t"):
        return line_start, line_end.end()
    return start, end
