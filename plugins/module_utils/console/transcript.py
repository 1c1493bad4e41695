# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest prints on its console, and what that says about it.

All of it is the guest's: it is text to be searched and shown, and nothing else is taken from it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import List, Optional, Pattern

from ansible_collections.xen.blockdev.plugins.module_utils.console.endings import Ending
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

WINDOW = 256 * 1024
"""Characters that are kept to be searched and shown; what came before is in the log only."""

SPAN = 16 * 1024
"""Characters over which a match can stretch."""

TAIL_LINES = 20
LINE_LENGTH = 300
MATCH_LENGTH = 300
"""Of what is shown: lines, and characters of one of them and of a match."""

# Sequences that move a terminal's cursor or colour its text (ECMA-48), and all other control
# characters but the line feed and the tab.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~] | \x1b[ -/]*[0-Z\\-~] | [\x00-\x08\x0b-\x1f\x7f-\x9f]", re.VERBOSE
)
# The beginning of such a sequence whose end has not come yet; a longer one is none.
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|[ -/]{0,8})\Z")


class ConsoleError(BlockdevError):
    """A console cannot be followed as wanted."""


@dataclass(frozen=True)
class Match:
    """The first text that was looked for."""

    wanted: bool
    """Whether it is the expected one, or the one that means failure."""
    text: str


class Transcript:
    """The text on a console as it comes in, until one of two expressions matches."""

    def __init__(
        self, expect: Optional[Pattern[str]] = None, fail: Optional[Pattern[str]] = None
    ) -> None:
        """``expect``: the text that is waited for. ``fail``: the one that means failure."""
        self.match: Optional[Match] = None
        self._expect = expect
        self._fail = fail
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._text = ""
        self._dropped = 0
        """Characters that came before ``_text``."""
        self._match_end = 0
        """Where the last character of the match is, counted from the first one of all."""

    def feed(self, data: bytes, final: bool = False) -> None:
        """Take what the guest has printed next. ``final``: nothing follows."""
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
        """What the guest has said about its end."""
        ending = Ending()
        for line in self._text.split("\n"):
            ending = ending.after(line)
        return ending

    @property
    def expects_end(self) -> bool:
        """Whether the line in which the expected text ends is one that tells how the guest ends:
        that is then what is expected of it."""
        position = self._match_end - self._dropped
        if not self.match or not self.match.wanted or position < 0:
            return False
        line = self._text[:position].rpartition("\n")[2] + self._text[position:].partition("\n")[0]
        return Ending().after(line) != Ending()

    @property
    def tail(self) -> List[str]:
        """The last lines, the empty ones at the end left out."""
        lines = self._text.rstrip().split("\n")[-TAIL_LINES:]
        return [line[-LINE_LENGTH:] for line in lines] if any(lines) else []


def expression(option: str, text: Optional[str]) -> Optional[Pattern[str]]:
    """The regular expression that an option gives, ``^`` and ``$`` at each line. ConsoleError."""
    if text is None:
        return None
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ConsoleError(f"{option} {text!r} is no regular expression: {error}") from None


# ---- the verdict ----


@dataclass(frozen=True)
class Verdict:
    """How a guest did."""

    verdict: str
    """``expected``, ``unwanted``, ``ended``, ``crashed``, ``timeout`` or ``lost``."""
    passed: bool
    reason: str
    """The same as a sentence, without a full stop."""


def of_match(match: Match) -> Verdict:
    """The verdict where nothing but the text that matched counts."""
    if match.wanted:
        return Verdict("expected", True, f"it printed what was expected: {match.text!r}")
    return Verdict("unwanted", False, f"it printed what means failure: {match.text!r}")


def of_end(status: str, transcript: Transcript, expected: bool) -> Verdict:
    """The verdict on a guest that has ended, or has printed what was expected and runs on.

    How it ended counts whatever it has printed before, unless just that was expected.
    ``status``: what has become of the domain, as xl.Listed has it, or ``absent``. ``expected``:
    whether a text was waited for.
    """
    match, ending = transcript.match, transcript.ending
    if match and (transcript.expects_end or not match.wanted):
        return of_match(match)
    if status == "crashed" or ending.failed:
        return Verdict("crashed", False, _crash(ending))
    if match:
        return of_match(match)
    if expected:
        return Verdict("ended", False, "it ended without having printed what was expected")
    return Verdict("ended", True, "it ended by itself")


def _crash(ending: Ending) -> str:
    number = f" with status {ending.status}" if ending.status else ""
    return f"it crashed{number}{_because(ending)}"


def _because(ending: Ending) -> str:
    return f": {ending.cause[:MATCH_LENGTH]}" if ending.cause else ""


def of_timeout(seconds: float, expected: bool, ending: Ending) -> Verdict:
    """The verdict on a guest that is still running."""
    what = "it did not print what was expected" if expected else "it did not end"
    return Verdict("timeout", False, f"{what} within {seconds:g} s{_because(ending)}")


def of_lost(words: str) -> Verdict:
    """The verdict on a guest whose console cannot be read any more, though it runs on. ``words``:
    those of what read it."""
    return Verdict("lost", False, f"its console was lost: {words}")
