# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the output of a guest is searched, judged and shown."""

from __future__ import annotations

from typing import List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.console import (
    transcript as console_transcript,
)
from ansible_collections.xen.blockdev.plugins.module_utils.console.endings import Ending
from ansible_collections.xen.blockdev.plugins.module_utils.console.transcript import (
    ConsoleError,
    Match,
    Transcript,
    Verdict,
)
from hypothesis import given
from hypothesis import strategies as st


def fed(
    chunks: List[bytes], expect: Optional[str] = None, fail: Optional[str] = None
) -> Transcript:
    expressions = [console_transcript.expression(text) if text else None for text in (expect, fail)]
    transcript = Transcript(*expressions)
    for chunk in chunks:
        transcript.feed(chunk)
    transcript.feed(b"", final=True)
    return transcript


# ---- what is looked for ----


@pytest.mark.parametrize(
    ("printed", "match"),
    [
        (b"", None),
        (b"all went well\n", Match(True, "well")),
        (b"went bad\n", Match(False, "bad")),
        (b"first bad, then well\n", Match(False, "bad")),
        (b"first well, then bad\n", Match(True, "well")),
        (b"we\x1b[1;31mll\x1b[0m\n", Match(True, "well")),
        (b"we\r\nll\n", None),
        (b"wel\xe2\x82", None),
    ],
)
def test_the_first_match_counts(printed: bytes, match: Optional[Match]) -> None:
    assert fed([printed], "well", "bad").match == match


def test_failure_wins_where_both_begin_at_once() -> None:
    assert fed([b"test failed\n"], "test", "test failed").match == Match(False, "test failed")


def test_the_first_match_stays() -> None:
    assert fed([b"well\n", b"bad\n"], "well", "bad").match == Match(True, "well")


def test_lines_have_a_beginning_and_an_end() -> None:
    assert fed([b"not ok\r\nok\r\nmore"], "^ok$").match == Match(True, "ok")
    assert fed([b"not ok\r\n"], "^ok$").match is None


def test_a_long_match_is_cut() -> None:
    match = fed([b"x" * 1000], "x+").match
    assert match and len(match.text) == console_transcript.MATCH_LENGTH


@given(st.binary(max_size=200), st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=60))
def test_chunks_do_not_matter(before: bytes, after: bytes, sizes: List[int]) -> None:
    printed = before + "\n\x1b[32mgrün\x1b[0m\n".encode() + after
    chunks, rest = [], printed
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    whole, parts = fed([printed], "^gr.n$"), fed([*chunks, rest], "^gr.n$")
    assert whole.match == parts.match
    assert whole.tail == parts.tail


def test_a_match_is_found_far_into_much_text() -> None:
    chunks = [b"." * 1000 + b"\n"] * 1000
    assert fed([*chunks, b"we", b"ll"], "well").match == Match(True, "well")


def test_a_match_stretches_as_far_as_the_module_says() -> None:
    assert fed([b".a" + b"x" * 16383, b"b"], "ax*b").match
    assert fed([b".a" + b"x" * 16384, b"b"], "ax*b").match is None


def test_an_invalid_expression_is_refused() -> None:
    with pytest.raises(ConsoleError, match=r"^'\[' is not a regular expression: untermin"):
        console_transcript.expression("[")


# ---- what is shown ----


@pytest.mark.parametrize(
    ("printed", "tail"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"one\ntwo\n\n", ["one", "two"]),
        (b"\x1b]0;title\x07\x1b(B\x1b7one\x00\x08\n", ["0;titleone"]),
        (b"one\ttwo\x9b1m\xff", ["one\ttwo\ufffd1m\ufffd"]),
        (b"half a sequence\x1b[12", ["half a sequence[12"]),
    ],
)
def test_no_control_characters_are_shown(printed: bytes, tail: List[str]) -> None:
    assert fed([printed]).tail == tail


def test_little_is_shown_and_kept_of_much() -> None:
    transcript = fed([f"{number} {'x' * 2000}\n".encode() for number in range(1000)])
    assert len(transcript.tail) == console_transcript.TAIL_LINES
    assert {len(line) for line in transcript.tail} == {console_transcript.LINE_LENGTH}
    assert len(transcript._text) <= console_transcript.WINDOW


def test_a_sequence_that_never_ends_is_not_kept() -> None:
    transcript = Transcript()
    for _round in range(1000):
        transcript.feed(b"\x1b[" + b"0;" * 1000)
    assert len(transcript._text) + len(transcript._rest) <= console_transcript.WINDOW + 100


# ---- verdicts ----


EXCEPTION = b"Fatal error: exception Not_found\nSolo5: solo5_exit(2) called\n"


@pytest.mark.parametrize(
    ("status", "printed", "expect", "verdict", "reason"),
    [
        ("crashed", b"", None, "crashed", "it crashed"),
        ("crashed", b"", "ok", "crashed", "it crashed"),
        ("crashed", b"ok", "ok", "crashed", "it crashed"),
        ("shutdown", b"", "ok", "ended", "it ended without printing the expected text"),
        ("shutdown", b"", None, "ended", "it ended by itself"),
        ("absent", b"", None, "ended", "it ended by itself"),
        ("shutdown", b"Solo5: solo5_exit(0) called\n", None, "ended", "it ended by itself"),
        ("running", b"ok", "ok", "expected", "it printed the expected text: 'ok'"),
        (
            "shutdown",
            b"Solo5: solo5_exit(0) called\n",
            "ok",
            "ended",
            "it ended without printing the expected text",
        ),
        (
            "shutdown",
            EXCEPTION,
            None,
            "crashed",
            "it crashed with status 2: Fatal error: exception Not_found",
        ),
        (
            "shutdown",
            b"ok\n" + EXCEPTION,
            "ok",
            "crashed",
            "it crashed with status 2: Fatal error: exception Not_found",
        ),
        (
            "running",
            b"ok\n" + EXCEPTION,
            "ok",
            "crashed",
            "it crashed with status 2: Fatal error: exception Not_found",
        ),
        (
            "shutdown",
            EXCEPTION[:33],
            None,
            "crashed",
            "it crashed: Fatal error: exception Not_found",
        ),
        (
            "shutdown",
            EXCEPTION,
            "(?s)Not_found.*solo5_exit.2.",
            "expected",
            "it printed the expected text: 'Not_found\\nSolo5: solo5_exit(2)'",
        ),
        ("crashed", b"no", None, "unwanted", "it printed text that means failure: 'no'"),
    ],
)
def test_the_end_of_a_guest(
    status: str, printed: bytes, expect: Optional[str], verdict: str, reason: str
) -> None:
    found = console_transcript.of_end(status, fed([printed], expect, "^no$"), expect is not None)
    passed = verdict == "expected" or (verdict == "ended" and not expect)
    assert found == Verdict(verdict, passed, reason)


def test_an_end_that_is_expected_may_be_long_ago() -> None:
    text = b"Solo5: solo5_exit(2) called\n" + b"." * console_transcript.WINDOW
    assert not fed([text[:-1], b"x"], "solo5_exit.2.").expects_end


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (
            console_transcript.of_match(Match(True, "ok")),
            "expected",
            "it printed the expected text: 'ok'",
        ),
        (
            console_transcript.of_match(Match(False, "no")),
            "unwanted",
            "it printed text that means failure: 'no'",
        ),
        (
            console_transcript.of_timeout(2.5, True, Ending()),
            "timeout",
            "it did not print the expected text within 2.5 s",
        ),
        (
            console_transcript.of_timeout(60, False, Ending(cause="Fatal error: exception Exit")),
            "timeout",
            "it did not end within 60 s: Fatal error: exception Exit",
        ),
        (
            console_transcript.of_lost("gone"),
            "lost",
            "the connection to its console was lost: gone",
        ),
    ],
)
def test_only_the_expected_text_passes(found: Verdict, verdict: str, reason: str) -> None:
    assert found == Verdict(verdict, verdict == "expected", reason)
