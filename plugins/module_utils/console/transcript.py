# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that a guest prints on its console, and the verdict on the guest.

The guest controls this text, so it is only searched and shown.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import List, Optional, Pattern

from ansible_collections.xen.blockdev.plugins.module_utils.console.endings import Ending
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

WINDOW = 256 * 1024
"""Characters that are kept to be searched and shown. Earlier ones are in the log only."""

SPAN = 16 * 1024
"""The greatest length of a match, in characters."""

TAIL_LINES = 20
LINE_LENGTH = 300
MATCH_LENGTH = 300
"""Limits of what is shown: the number of lines, and the characters of a line and of a match."""

# Sequences that move a terminal's cursor or colour its text (ECMA-48), and all other control
# characters but the line feed and the tab.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~] | \x1b[ -/]*[0-Z\\-~] | [\x00-\x08\x0b-\x1f\x7f-\x9f]", re.VERBOSE
)
# The beginning of such a sequence whose end has not arrived yet. No sequence is longer.
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|[ -/]{0,8})\Z")


class ConsoleError(BlockdevError):
    """A console cannot be followed as requested."""


@dataclass(frozen=True)
class Match:
    """The first text that matched an expression."""

    wanted: bool
    """Whether it is the expected text, not one that means failure."""
    text: str


class Transcript:
    """The text of a console as it arrives, and the first match of one of two expressions."""

    def __init__(
        self, expect: Optional[Pattern[str]] = None, fail: Optional[Pattern[str]] = None
    ) -> None:
        """``expect``: the expected text. ``fail``: text that means failure."""
        self.match: Optional[Match] = None
        self._expect = expect
        self._fail = fail
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._text = ""
        self._dropped = 0
        """The number of characters before ``_text``."""
        self._match_end = 0
        """The index of the last character of the match, counted from the start of the output."""

    def feed(self, data: bytes, final: bool = False) -> None:
        """Add the next output of the guest. ``final``: nothing follows."""
        new = self._rest + self._decode(data, final)
        unfinished = None if final else _UNFINISHED.search(new)
        self._rest = unfinished[0] if unfinished else ""
        before = len(self._text)
        self._text += _CONTROL.sub("", new[: len(new) - len(self._rest)])
        if self.match is None:
            self._search(max(before - SPAN, 0))
        self._dropped += max(len(self._text) - WINDOW, 0)
        self._text = self._text[-WINDOW:]

    def _search(self, position: int) -> None:
        found = [
            (match.start(), pattern is self._expect, match[0], match.end())
            for pattern in (self._fail, self._expect)
            for match in [pattern.search(self._text, position) if pattern else None]
            if match
        ]
        if found:
            start, wanted, text, end = min(found)
            self.match = Match(wanted, text[:MATCH_LENGTH])
            self._match_end = self._dropped + max(end - 1, start)

    @property
    def ending(self) -> Ending:
        """What the guest has printed about its end."""
        ending = Ending()
        for line in self._text.split("\n"):
            ending = ending.after(line)
        return ending

    @property
    def expects_end(self) -> bool:
        """Whether the expected text ends in a line that shows how the guest ends: then that end is
        the expected one."""
        position = self._match_end - self._dropped
        if not self.match or not self.match.wanted or position < 0:
            return False
        line = self._text[:position].rpartition("\n")[2] + self._text[position:].partition("\n")[0]
        return Ending().after(line) != Ending()

    @property
    def tail(self) -> List[str]:
        """The last lines, without empty ones at the end."""
        lines = self._text.rstrip().split("\n")[-TAIL_LINES:]
        return [line[-LINE_LENGTH:] for line in lines] if any(lines) else []


def expression(text: str) -> Pattern[str]:
    """The regular expression ``text``, whose ``^`` and ``$`` match at each line. Raises
    ConsoleError if it is not valid."""
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ConsoleError(f"{text!r} is not a regular expression: {error}") from None


# ---- the verdict ----


@dataclass(frozen=True)
class Verdict:
    """How the run of a guest ended."""

    verdict: str
    """``expected``, ``unwanted``, ``ended``, ``crashed``, ``timeout`` or ``lost``."""
    passed: bool
    reason: str
    """The verdict as a sentence, without a full stop."""


def of_match(match: Match) -> Verdict:
    """The verdict if only the text that matched counts."""
    if match.wanted:
        return Verdict("expected", True, f"it printed the expected text: {match.text!r}")
    return Verdict("unwanted", False, f"it printed text that means failure: {match.text!r}")


def of_end(status: str, transcript: Transcript, expected: bool) -> Verdict:
    """The verdict on a guest that has ended, or has printed the expected text and still runs.

    A crash counts whatever was printed before, unless the crash itself was expected. ``status``:
    the status of the domain, see xl.Listed, or ``absent``. ``expected``: whether a text was
    expected.
    """
    match, ending = transcript.match, transcript.ending
    if match and (transcript.expects_end or not match.wanted):
        return of_match(match)
    if status == "crashed" or ending.failed:
        return Verdict("crashed", False, _crash(ending))
    if match:
        return of_match(match)
    if expected:
        return Verdict("ended", False, "it ended without printing the expected text")
    return Verdict("ended", True, "it ended by itself")


def _crash(ending: Ending) -> str:
    number = f" with status {ending.status}" if ending.status else ""
    return f"it crashed{number}{_because(ending)}"


def _because(ending: Ending) -> str:
    return f": {ending.cause[:MATCH_LENGTH]}" if ending.cause else ""


def of_timeout(seconds: float, expected: bool, ending: Ending) -> Verdict:
    """The verdict on a guest that is still running."""
    what = "it did not print the expected text" if expected else "it did not end"
    return Verdict("timeout", False, f"{what} within {seconds:g} s{_because(ending)}")


def of_lost(words: str) -> Verdict:
    """The verdict on a guest that still runs, but whose console can no longer be read. ``words``:
    the error of xl."""
    return Verdict("lost", False, f"the connection to its console was lost: {words}")
