# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk list of a configuration that this collection did not write: what it says, and how to
change only what differs.

Disks are compared by what xl makes of them, see ``DiskSpec.meaning``, and identified by their
slots. A disk that is as wanted keeps its text, its place and its comments. So the order of the list
stays: the boot loader of a PV guest reads the first disk of the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
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
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained

_KEYED = re.compile(r"(?:\A|,)[ \t]*(?:target|vdev)=")


# --- reading ---------------------------------------------------------------------------------


def effective_disks(settings: Iterable[Setting]) -> List[str]:
    """The disk specifications, unquoted, that xl would use.

    Raises DomainConfigError if xl would silently lose disks: ``disk`` is a single string, or its
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
            "disk has a list inside its list, at which xl stops reading and loses the disks that "
            "follow; write one flat list of strings"
        )
    return specs


def mended(text: str) -> str:
    """The text with ``disk = 'SPEC'`` as the list ``disk = [ 'SPEC' ]``, which xl needs.

    Any other text is returned unchanged. Raises DomainConfigError if it is no valid configuration.
    """
    places = places_of(parse(text))
    if len(places) != 1 or text[places[0].value_start] not in "'\"":
        return text
    start, end = places[0].value_start, places[0].end
    value = f"[ {text[start:end]} ]" if str(places[0].value).strip() else "[]"
    return text[:start] + value + text[end:]


# --- comparing -------------------------------------------------------------------------------


class _Comparison(NamedTuple):
    """What to do with the disks of a list, by the indexes of old and wanted ones."""

    kept: Dict[int, int]
    """By the index of an old disk, the wanted one in its slot."""
    removed: List[int]
    """The old disks whose slots are not wanted."""
    added: Dict[int, List[int]]
    """The wanted disks in other slots, by the index of the old one that they follow: that of the
    wanted disk before them; -1 for those that come first."""


def _compared(old: Iterable[ListedDisk], wanted: Sequence[ListedDisk]) -> _Comparison:
    by_slot: Dict[object, List[int]] = {}
    for number, disk in enumerate(wanted):
        by_slot.setdefault(disk.identity, []).append(number)
    compared = _Comparison({}, [], {})
    for number, disk in enumerate(old):
        found = by_slot.get(disk.identity)
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


def replace_disks(text: str, disks: Sequence[ListedDisk]) -> str:
    """The text with these disks as the only ones that count, and everything else as it was.

    A disk that differs is replaced in its place, in the style of the old one; a new one follows the
    disk that precedes it in ``disks``, in the style of its neighbour. A removed
    disk that has a comment, beside it or right above it, becomes a comment itself, so that the note
    stays with what it is about. A ``disk`` that is a string becomes a list. A text whose disks mean
    the same already is returned unchanged.

    Raises DomainConfigError as effective_disks does, and for a specification that xl cannot read
    back.
    """
    value = write_disks([disk.text for disk in disks])
    page = Page(mended(text))
    old = effective_disks(page.settings)
    if not page.places and not disks:
        return text
    if not page.places:
        separator = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{separator}disk = {value}\n"
    if not old and disks:
        return page.edited(_first(page, disks, value))
    compared = _compared(map(ListedDisk.read, old), disks)
    page = Page(page.edited(_replaced(page, disks, compared) + _added(page, disks, compared)))
    for number in reversed(_after_adding(compared)):
        page = Page(page.edited(taken_out(page, page.items[number])))
    if compared.removed:
        page = Page(page.edited(_emptied(page)))
    return page.text


def write_disks(specs: Sequence[str]) -> str:
    """Write a disk list. Raises DomainConfigError for a specification that xl cannot read back."""
    if isinstance(specs, str):
        raise DomainConfigError(f"disk: expected a list of disk specifications, not {specs!r}")
    with explained("disk"):
        return write_list(quote(spec) + "," for spec in specs)


def _after_adding(compared: _Comparison) -> List[int]:
    """Which the removed disks are once the new ones are in the list."""
    return [
        number + sum(len(new) for place, new in compared.added.items() if place < number)
        for number in compared.removed
    ]


def _replaced(page: Page, disks: Sequence[ListedDisk], compared: _Comparison) -> List[Edit]:
    edits = []
    for number, new in compared.kept.items():
        item = page.items[number]
        if not disks[new].is_like(_listed(item)):
            edits.append(Edit(item.start, item.end, _written(disks[new], item, in_place=True)))
    return edits


def _added(page: Page, disks: Sequence[ListedDisk], compared: _Comparison) -> List[Edit]:
    edits = []
    for number, added in compared.added.items():
        item = page.items[max(number, 0)]
        put = put_before if number < 0 else put_behind
        edits += put(page, item, [_written(disks[new], item) for new in added])
    return edits


def _listed(item: Token) -> ListedDisk:
    return ListedDisk.read(unquoted(item) if item.kind == "string" else item.text)


def _written(disk: ListedDisk, like: Token, in_place: bool = False) -> str:
    """The disk with the quotes and in the style of another item, which it replaces if it is
    ``in_place``."""
    mark = like.text[0] if like.kind == "string" else "'"
    old, spec = _listed(like), disk.spec
    if spec is None:
        return quote(disk.text, mark)
    if in_place and old.spec is not None:
        spec = replace(spec, vdev=old.spec.vdev)  # The same slot, as it was written.
    for style in ("keyed",) if _KEYED.search(old.text) else ("positional", "keyed"):
        with suppress(BlockdevError):
            return quote(spec.render(style), mark)
    return quote(disk.text, mark)


def _first(page: Page, disks: Sequence[ListedDisk], value: str) -> List[Edit]:
    """Put disks, ``value`` as a list, into a list that has none."""
    place = page.places[0]
    comments = page.within(place)
    if not comments:
        return [Edit(place.value_start, place.end, value)]
    closing = page.line_start(place.end)
    alone = page.line_start(comments[-1].start)
    margin = page.text[alone : comments[-1].start]
    indent = INDENT if margin.strip() else margin
    lines = "".join(f"{indent}{quote(disk.text)},\n" for disk in disks)
    return [Edit(closing, closing, lines)]


def _emptied(page: Page) -> List[Edit]:
    """Remove lists that no longer have a disk or a comment."""
    edits = []
    for place in page.places:
        if page.within(place):
            continue
        if place is page.places[0]:
            edits.append(Edit(place.value_start, place.end, "[]"))
        else:
            edits.append(Edit(*removable(page.text, place), ""))
    return edits
