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
from functools import lru_cache
from typing import Dict, List, NamedTuple

from ansible_collections.xen.blockdev.plugins.module_utils.config.disk_page import (
    Edit,
    Page,
    places_of,
    put_before,
    put_behind,
    removable,
    taken_out,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import (
    INDENT,
    DomainConfigError,
    Setting,
    Token,
    effective,
    parse,
    quote,
    unquoted,
    write_list,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained

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
    places = places_of(parse(text))
    if len(places) != 1 or text[places[0].value_start] not in "'\"":
        return text
    start, end = places[0].value_start, places[0].end
    value = f"[ {text[start:end]} ]" if str(places[0].value).strip() else "[]"
    return text[:start] + value + text[end:]


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
    page = Page(mended(text))
    old = effective_disks(page.settings)
    if not page.places and not disks:
        return text
    if not page.places:
        separator = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{separator}disk = {value}\n"
    if not old and disks:
        return page.edited(_first(page, disks))
    compared = _compared(old, disks)
    page = Page(page.edited(_replaced(page, disks, compared) + _added(page, disks, compared)))
    for number in reversed(_after_adding(compared)):
        page = Page(page.edited(taken_out(page, page.items[number])))
    if compared.removed:
        page = Page(page.edited(_emptied(page)))
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


def _replaced(page: Page, disks: Sequence[str], compared: _Comparison) -> List[Edit]:
    edits = []
    for number, new in compared.kept.items():
        item = page.items[number]
        if not _alike(_spec(item), disks[new]):
            edits.append(Edit(item.start, item.end, _written(disks[new], item, in_place=True)))
    return edits


def _added(page: Page, disks: Sequence[str], compared: _Comparison) -> List[Edit]:
    edits = []
    for number, added in compared.added.items():
        item = page.items[max(number, 0)]
        put = put_before if number < 0 else put_behind
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


def _first(page: Page, disks: Sequence[str]) -> List[Edit]:
    """Put disks into a list that has none."""
    place = page.places[0]
    comments = page.within(place)
    if not comments:
        return [Edit(place.value_start, place.end, write_disks(disks))]
    closing = page.line_start(place.end)
    alone = page.line_start(comments[-1].start)
    margin = page.text[alone : comments[-1].start]
    indent = INDENT if margin.strip() else margin
    lines = "".join(f"{indent}{quote(spec)},\n" for spec in disks)
    return [Edit(closing, closing, lines)]


def _emptied(page: Page) -> List[Edit]:
    """Take out what is left of lists that have neither a disk nor a comment any more."""
    edits = []
    for place in page.places:
        if page.within(place):
            continue
        if place is page.places[0]:
            edits.append(Edit(place.value_start, place.end, "[]"))
        else:
            edits.append(Edit(*removable(page.text, place), ""))
    return edits
