# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords in the text of a domain's config, which no diff is to show."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Callable, Dict, Match, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import OPTION, STRING

MASK = "********"

# What of a config can hold a password: a setting, a comment, or a string such as vfb's.
_SECRET_PLACE = re.compile(
    rf"""(?P<comment>\#[^\n]*)
    | (?P<setting>(?P<key>{OPTION}passwd)[ \t]*\+?=[ \t]*)(?P<value>{STRING}|[0-9a-fx]+)
    | (?P<string>{STRING})""",
    re.VERBOSE,
)
_SECRET_IN_STRING = re.compile(r"(?P<key>[a-z]*passwd)(?P<sign>[ \t]*=)(?P<value>[^,]*)")
_SECRET_IN_COMMENT = re.compile(r"(?P<key>[a-z]*passwd)(?P<sign>[ \t]*\+?=)(?P<value>.*)")


def masked(before: str, after: str) -> Tuple[str, str]:
    """Both texts of a diff without the passwords in them, but with a word on those that changed."""
    known: Dict[str, Set[str]] = defaultdict(set)

    def of_before(key: str, value: str) -> str:
        known[key].add(value)
        return MASK

    def of_after(key: str, value: str) -> str:
        return f"{MASK} (changed)" if key in known and value not in known[key] else MASK

    return _with_passwords(before, of_before), _with_passwords(after, of_after)


def _with_passwords(text: str, shown: Callable[[str, str], str]) -> str:
    """The text of a config with each password replaced by what ``shown`` makes of key and value."""

    def inside(match: Match[str]) -> str:
        return f"{match['key']}{match['sign']}{shown(match['key'], match['value'])}"

    def mask(match: Match[str]) -> str:
        if match["comment"]:
            return _SECRET_IN_COMMENT.sub(inside, match[0])
        if match["string"]:
            quote, content = match[0][0], match[0][1:-1]
            return f"{quote}{_SECRET_IN_STRING.sub(inside, content)}{quote}"
        value = match["value"]
        if value[0] not in "'\"":
            return f"{match['setting']}{shown(match['key'], value)}"
        return f"{match['setting']}{value[0]}{shown(match['key'], value[1:-1])}{value[0]}"

    return _SECRET_PLACE.sub(mask, text)
