# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paused domains that are unpaused while their consoles are followed, all at once."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Dict, Iterator, Mapping, Optional, Pattern, Set, cast

from ansible_collections.xen.blockdev.plugins.module_utils.console import log as console_log
from ansible_collections.xen.blockdev.plugins.module_utils.console import (
    transcript as console_transcript,
)
from ansible_collections.xen.blockdev.plugins.module_utils.console.transcript import (
    ConsoleError,
    Transcript,
    Verdict,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    check_writable,
    is_file_path,
    opened,
    opened_real,
    resolved,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import checked_seconds
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl

LOOK_SECONDS = 1
"""Between two readings of which domains still run."""

DRAIN_SECONDS = 2
"""How long the console of a guest that has ended must be silent before it is closed."""

AFTER_SECONDS = 2
"""How long a guest that has printed the expected text is followed, in case it then crashes."""

CHUNK = 64 * 1024

LOG_LIMIT = 64 * 1024**2
"""Bytes. A guest that prints forever must not fill the disk of this host."""


@dataclass(frozen=True)
class ConsoleItem:
    """One domain whose console is wanted, and what its guest is expected to print."""

    name: str
    expect: Optional[Pattern[str]]
    fail: Optional[Pattern[str]]
    timeout: float
    """Seconds from when the domain is unpaused."""
    log: Optional[str]
    """An absolute path, at which no file may exist."""

    @classmethod
    def read(cls, options: State) -> ConsoleItem:
        """From the checked options of xen_console. Raises ConsoleError if one is invalid."""
        with explained(f"cannot {_sentence(options['name'])}"):
            return cls(
                name=options["name"],
                expect=_expression("expect", options["expect"]),
                fail=_expression("fail", options["fail"]),
                timeout=checked_seconds(options["timeout"]),
                log=None if options["log"] is None else _path(options["log"]),
            )

    @property
    def sentence(self) -> str:
        """What is done for this item, as the sentence of an action."""
        return _sentence(self.name)


def _sentence(name: str) -> str:
    return f"unpause domain {name} and follow its console"


def _expression(option: str, text: Optional[str]) -> Optional[Pattern[str]]:
    with explained(option):
        return None if text is None else console_transcript.expression(text)


def _path(path: str) -> str:
    if not is_file_path(path):
        raise ConsoleError(f"log: {path!r} is not the absolute path of a file")
    return path


@contextmanager
def open_consoles(pending: Pending) -> Iterator[Consoles]:
    """The consoles of this host's domains. Raises XenError if this is not a Xen host."""
    dom0.require_dom0()
    domains = {domain.name: domain for domain in xl.listed()}
    with ExitStack() as stack:
        yield Consoles(domains, console_log.find(), pending, stack)


class Consoles(Resource[ConsoleItem]):
    """The consoles of this host's domains."""

    def __init__(
        self,
        domains: Mapping[str, xl.Listed],
        logs: Mapping[str, str],
        pending: Pending,
        stack: ExitStack,
    ) -> None:
        """``domains``, ``logs``: by the names of domains; for ``logs`` see console_log.find.
        ``stack`` closes what is opened."""
        self._domains = domains
        self._logs = logs
        self._pending = pending
        self._stack = stack
        self._wanted: Set[str] = set()
        self._followers: Dict[str, Follower] = {}
        """By the names of the domains that were unpaused."""

    def plan(self, item: ConsoleItem) -> Plan:
        """See Resource.plan."""
        if item.name in self._wanted:
            raise ConsoleError(f"domain {item.name} is listed twice; list it once")
        self._wanted.add(item.name)
        with explained(f"cannot {item.sentence}"):
            log = None if item.log is None else _new_path(item.log)
            domain = self._paused(item.name)
        if domain is None:
            return Plan(actions=[Action(item.sentence, lambda: None)])
        state: State = {"domid": domain.domid}
        return Plan(
            before=state,
            after=state,
            read_back=partial(self._read_back, item.name),
            actions=[Action(item.sentence, partial(self._begin, item, domain, log))],
        )

    def settle(self) -> None:
        """Follow all consoles until there is a verdict on each of the guests."""
        followers = self._followers.values()
        with selectors.DefaultSelector() as selector:
            for follower in followers:
                selector.register(follower.output, selectors.EVENT_READ, follower)
            look = time.monotonic() + LOOK_SECONDS
            while not all(follower.verdict for follower in followers):
                _read(selector, max(look - time.monotonic(), 0))
                if time.monotonic() >= look:
                    asked = time.monotonic()
                    domains = {domain.domid: domain for domain in xl.listed()}
                    # xl may have taken long, and nothing was read until it ended.
                    _read(selector, 0)
                    for follower in followers:
                        follower.update(domains.get(follower.domain.domid), asked)
                    look = time.monotonic() + LOOK_SECONDS

    def _paused(self, name: str) -> Optional[xl.Listed]:
        """The domain; None if an earlier task would have started it."""
        domain = self._domains.get(name)
        if domain is None:
            if name in self._pending.domains:
                return None
            raise ConsoleError("there is no such domain; start it first (xen_domain, paused: true)")
        if domain.status != "paused":
            raise ConsoleError(
                f"it is {domain.status}, not paused, so its first output may be lost; "
                "start it with paused: true"
            )
        return domain

    def _begin(self, item: ConsoleItem, domain: xl.Listed, log: Optional[str]) -> None:
        with explained(f"cannot {item.sentence}"):
            follower = Follower(
                domain,
                item,
                None if log is None else self._stack.enter_context(_new_file(log)),
                console_log.open_log(self._logs.get(domain.name)),
            )
            self._stack.callback(follower.close)
            xl.unpause(domain.domid)
            self._followers[item.name] = follower

    def _read_back(self, name: str) -> State:
        if name not in self._followers:
            raise ConsoleError(f"the console of domain {name} was not followed")
        return self._followers[name].state()


def _read(selector: selectors.BaseSelector, timeout: float) -> None:
    """Read the output of the consoles, waiting up to ``timeout`` seconds for the first of it."""
    for key, _events in selector.select(timeout):
        if not key.data.read():
            selector.unregister(key.fileobj)


class Follower:
    """One guest whose console is followed."""

    def __init__(
        self,
        domain: xl.Listed,
        item: ConsoleItem,
        log: Optional[int],
        daemon: Optional[console_log.ConsoleLog],
    ) -> None:
        """Attach to the console of the paused ``domain``.

        ``log``: the descriptor of an empty file that gets the whole output. ``daemon``: what
        xenconsoled logs of it, if it does. Raises XenError if xl cannot be started.
        """
        self.domain = domain
        self.verdict: Optional[Verdict] = None
        self._timeout = item.timeout
        self._expected = item.expect is not None
        self._transcript = Transcript(item.expect, item.fail)
        self._log = log
        self._daemon = daemon
        # xl ends at the end of its input, so that stays open.
        self._process = dom0.start(["xl", "console", str(domain.domid)], stdin=subprocess.PIPE)
        self.output = cast(IO[bytes], self._process.stdout).fileno()
        """The descriptor from which the console is read."""
        self._received = 0
        self._recent = b""
        """The last bytes that were received."""
        self._begun = self._heard = time.monotonic()
        self._matched = self._ended = self._seconds = 0.0
        self._status: Optional[str] = None
        """How the domain was listed when its guest was first seen to have ended."""
        self._open = True
        """Whether the console can still give more."""

    def read(self) -> bool:
        """Read the next output; whether there can be more."""
        data = os.read(self.output, CHUNK)
        self._open = bool(data)
        self._take(data, final=not data)
        return self._open

    def _take(self, data: bytes, final: bool = False) -> None:
        self._heard = time.monotonic()
        had_match = bool(self._transcript.match)
        self._transcript.feed(data, final)
        if self._log is not None and self._received < LOG_LIMIT:
            os.write(self._log, data[: LOG_LIMIT - self._received])
        self._received += len(data)
        self._recent = (self._recent + data)[-console_log.RECENT :]
        match = self._transcript.match
        if match and not had_match:
            self._matched = self._heard
            if not match.wanted:
                self._judge(console_transcript.of_match(match))

    def update(self, domain: Optional[xl.Listed], asked: float) -> None:
        """Reach a verdict if it is time for one. ``domain``: as xl lists it now, None if it is
        gone. ``asked``: when xl was asked, on the monotonic clock."""
        if self.verdict:
            return
        now = time.monotonic()
        if self._status is None and (domain is None or not domain.runs):
            self._status = "absent" if domain is None else domain.status
            self._ended = now
        if self._status is not None:
            self._judge_end(self._status, now)
        elif self._transcript.match:
            if now >= self._matched + AFTER_SECONDS or self._transcript.ending.status is not None:
                self._judge(console_transcript.of_end("running", self._transcript, self._expected))
        elif not self._open and self._heard < asked:
            self._judge(console_transcript.of_lost(self._last_words()))
        elif now >= self._begun + self._timeout:
            ending = self._transcript.ending
            self._judge(console_transcript.of_timeout(self._timeout, self._expected, ending))

    def _judge_end(self, status: str, now: float) -> None:
        """Judge a guest that has ended, unless its last output may still be on its way."""
        if self._open and now < max(self._heard, self._ended) + DRAIN_SECONDS:
            return
        daemon = self._daemon
        self._take(
            daemon.beyond(self._received, self._recent, LOG_LIMIT) if daemon else b"", final=True
        )
        if not self.verdict:
            self._judge(console_transcript.of_end(status, self._transcript, self._expected))

    def _last_words(self) -> str:
        return xl.words(dom0.finish(self._process, xl.XL_SECONDS))

    def _judge(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self._seconds = round(time.monotonic() - self._begun, 1)

    def state(self) -> State:
        """The result keys. Raises ConsoleError if there is no verdict."""
        if self.verdict is None:
            raise ConsoleError(f"the console of domain {self.domain.name} was not followed")
        return {
            "domid": self.domain.domid,
            "verdict": self.verdict.verdict,
            "passed": self.verdict.passed,
            "reason": self.verdict.reason,
            "seconds": self._seconds,
            "tail": self._transcript.tail,
        }

    def close(self) -> None:
        """Detach from the console."""
        if self._daemon:
            self._daemon.close()
        self._process.kill()
        with self._process, suppress(OSError):  # closes its pipes
            pass


def _new_path(path: str) -> str:
    """``path`` without links. Raises ConsoleError unless a new file can be created there."""
    file = resolved(path)
    directory = os.path.dirname(file)
    if not os.path.isdir(directory):
        raise ConsoleError(f"log: the directory {directory} does not exist; create it first")
    if os.path.lexists(file):
        raise ConsoleError(f"log: {path} already exists; remove it or choose another path")
    check_writable(directory, f"write log {path}")
    return file


@contextmanager
def _new_file(path: str) -> Iterator[int]:
    """A descriptor of the new file ``path``, see _new_path, which only its owner can read."""
    directory, name = os.path.split(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with opened_real(directory) as place, opened(name, flags, 0o600, place) as descriptor:
        yield descriptor
