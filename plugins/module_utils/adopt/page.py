# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page with ``xen_domains``, and comments that say where everything comes from.

What is not taken over is a comment that the user can make a line: an entry in it begins with
``# - ``. Texts of the host never end a comment.
"""

from __future__ import annotations

import textwrap
from datetime import datetime, timezone
from typing import Callable, Iterator, List, Mapping

from ansible_collections.xen.blockdev.plugins.module_utils.adopt.model import (
    Adoption,
    DomainEntry,
    DraftDisk,
    DraftDomain,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import Survey

WIDTH = 100

Dump = Callable[[Mapping[str, object]], str]
"""A mapping as YAML in one line, with braces."""


class AdoptedPage:
    """Writes the page of a host."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump

    def text(self, survey: Survey, adoption: Adoption, variables: Mapping[str, object]) -> str:
        """The page. ``variables``: others of the host that the plan needs."""
        lines = ["---", *_comment(_heading(survey), "")]
        lines += [self._line({name: value}) for name, value in variables.items()]
        plain = {entry["name"]: entry for entry in adoption.plain}
        lines.append("xen_domains:" if plain else "xen_domains: []")
        for domain in adoption.domains:
            lines += self._domain(domain, plain.get(domain.name))
        for sentence in adoption.unread:
            lines += ["", *_comment(sentence, "")]
        return "".join(f"{line}\n" for line in lines)

    def _domain(self, domain: DraftDomain, plain: object) -> Iterator[str]:
        if not isinstance(plain, dict) or domain.problems:
            yield from _comment(f"Not taken over: domain {domain.name}.", "  ")
            for sentence in (*domain.remarks, *domain.problems):
                yield from _comment(sentence, "  ")
            for disk in domain.disks:
                yield from _comment(disk.where, "  ", "  ")
            return
        yield from _comment(" ".join(domain.remarks), "  ")
        yield from self._entry({key: plain[key] for key in plain if key != "disks"}, "  ")
        if "disks" in plain:
            yield "    disks:"
        elif any(disk.choices for disk in domain.disks):
            yield "    # disks:"
        for disk in domain.disks:
            yield from self._disk(disk)

    def _disk(self, disk: DraftDisk) -> Iterator[str]:
        indent = " " * 6
        if disk.entry is None:
            yield from _comment(f"Not taken over: {disk.where}. {' '.join(disk.remarks)}", indent)
        elif disk.remarks:
            yield from _comment(" ".join(disk.remarks), indent)
        if disk.entry is not None:
            yield from self._short_entry(disk.entry, indent)
        for choice in disk.choices:
            yield from _comment(choice.what, indent)
            yield from (
                f"{indent}# {line[len(indent) :]}"
                for line in self._short_entry(choice.entry, indent)
            )

    def _short_entry(self, entry: DomainEntry, indent: str) -> List[str]:
        """An item of a list in one line if that is not too long."""
        line = f"{indent}- {self._dump(entry)}"
        return [line] if len(line) <= WIDTH else list(self._entry(entry, indent))

    def _entry(self, entry: DomainEntry, indent: str) -> Iterator[str]:
        """An item of a list with a line for each key."""
        mark = "- "
        for key, value in entry.items():
            line = f"{indent}{mark}{self._line({key: value})}"
            mark = "  "
            if len(line) > WIDTH and isinstance(value, dict):
                yield f"{indent}{mark}{key}:"
                yield from (f"{indent}    {self._line({name: one})}" for name, one in value.items())
            else:
                yield line

    def _line(self, pair: Mapping[str, object]) -> str:
        return self._dump(pair)[1:-1]


def commentable(text: str) -> str:
    """The text with everything escaped that is not printed, such as the end of a line."""
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _heading(survey: Survey) -> str:
    day = datetime.fromtimestamp(survey.time, timezone.utc).strftime("%Y-%m-%d")
    return (
        f"What {survey.host} had on {day}, taken over by xen.blockdev.adopt. With it, provision "
        "changes nothing. A comment with an entry is a choice: remove its # to have what it says."
    )


def _comment(text: str, indent: str, hanging: str = "") -> List[str]:
    mark = f"{indent}# {hanging}"
    lines = textwrap.wrap(
        commentable(text),
        WIDTH,
        initial_indent=mark,
        subsequent_indent=f"{mark}  " if hanging else mark,
        break_long_words=False,
        break_on_hyphens=False,
    )
    # No text of the host looks like an entry.
    return [line.replace("# -", "#  -", 1) for line in lines]
