# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paused domains that are let run while their consoles are followed, all at once."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property, partial
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Set, cast

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
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl

LOOK_SECONDS = 1
"""Between two looks at which domains still run."""

DRAIN_SECONDS = 2
"""How long nothing more comes from the console of a guest that has ended before it is let be."""

AFTER_SECONDS = 2
"""How long a guest that has printed what was expected is given to die of something after that."""

CHUNK = 64 * 1024

LOG_LIMIT = 64 * 1024**2
"""Bytes. A guest that prints for ever must not fill the disk of this host."""


@contextmanager
def open_consoles(pending: Pending) -> Iterator[Consoles]:
    """The consoles of this host's domains. Raises XenError if this is not a Xen host."""
    dom0.require_dom0()
    with ExitStack() as stack:
        yield Consoles(pending, stack)


class Consoles(Resource[Mapping[str, Any]]):
    """The consoles of this host's domains."""

    def __init__(self, pending: Pending, stack: ExitStack) -> None:
        self._pending = pending
        self._stack = stack
        self._wanted: Set[str] = set()
        self._followed: List[Follower] = []

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; ``item`` has the options of xen_console."""
        name = item["name"]
        if name in self._wanted:
            raise ConsoleError(f"domain {name} is wanted twice: name it once")
        self._wanted.add(name)
        sentence = f"let domain {name} run and follow its console"
        with explained(f"cannot {sentence}"):
            expect = console_transcript.expression("expect", item["expect"])
            fail = console_transcript.expression("fail", item["fail"])
            log = None if item["log"] is None else _log_path(item["log"])
            domain = self._paused(item)
        state: State = {} if domain is None else {"domid": domain.domid}
        if domain is None:
            return Plan(state, state, dict, [Action(sentence, lambda: None)])
        follower = Follower(domain, Transcript(expect, fail), item["timeout"], expect is not None)
        return Plan(
            before=state,
            after=state,
            read_back=follower.state,
            actions=[Action(sentence, partial(self._begin, follower, log, sentence))],
        )

    def settle(self) -> None:
        """Follow all consoles until there is a verdict on each of the guests."""
        with selectors.DefaultSelector() as selector:
            for follower in self._followed:
                selector.register(follower.output, selectors.EVENT_READ, follower)
            look = time.monotonic() + LOOK_SECONDS
            while not all(follower.verdict for follower in self._followed):
                _read(selector, max(look - time.monotonic(), 0))
                if time.monotonic() >= look:
                    asked = time.monotonic()
                    domains = {domain.domid: domain for domain in xl.listed()}
                    # xl may have taken long, and nothing was read until it ended.
                    _read(selector, 0)
                    for follower in self._followed:
                        follower.look(domains.get(follower.domain.domid), asked)
                    look = time.monotonic() + LOOK_SECONDS

    @cached_property
    def _logs(self) -> Dict[str, str]:
        return console_log.found()

    @cached_property
    def _domains(self) -> Dict[str, xl.Listed]:
        return {domain.name: domain for domain in xl.listed()}

    def _paused(self, item: Mapping[str, Any]) -> Optional[xl.Listed]:
        """The domain; None if an earlier task would have started it."""
        domain = self._domains.get(item["name"])
        if domain is None:
            if item["name"] in self._pending.domains:
                return None
            raise ConsoleError("there is no such domain; start it first (xen_domain, paused: true)")
        if domain.status != "paused":
            raise ConsoleError(
                f"it is {domain.status} and not paused, so that what it printed first may be lost; "
                "start it with paused: true"
            )
        return domain

    def _begin(self, follower: Follower, log: Optional[str], sentence: str) -> None:
        with explained(f"cannot {sentence}"):
            follower.begin(
                None if log is None else self._stack.enter_context(_new_file(log)),
                console_log.opened(self._logs.get(follower.domain.name)),
            )
            self._stack.callback(follower.close)
            xl.unpause(follower.domain.domid)
            self._followed.append(follower)


def _read(selector: selectors.BaseSelector, timeout: float) -> None:
    """Take what the consoles give, waiting for the first of it so many seconds."""
    for key, _events in selector.select(timeout):
        if not key.data.read():
            selector.unregister(key.fileobj)


class Follower:
    """One guest whose console is followed."""

    def __init__(
        self, domain: xl.Listed, transcript: Transcript, timeout: float, expected: bool
    ) -> None:
        """``timeout``: seconds from when the guest is let run. ``expected``: whether a text is
        waited for."""
        self.domain = domain
        self.verdict: Optional[Verdict] = None
        self._transcript = transcript
        self._timeout = timeout
        self._expected = expected
        self._log: Optional[int] = None
        self._daemon: Optional[console_log.ConsoleLog] = None
        self._received = 0
        self._recent = b""
        """The last bytes that were received."""
        self._begun = self._heard = self._matched = self._ended = 0.0
        self._seconds = 0.0
        self._status: Optional[str] = None
        """How the domain was listed when its guest was first seen to have ended."""
        self._open = True
        """Whether more can come from the console."""

    def begin(self, log: Optional[int], daemon: Optional[console_log.ConsoleLog]) -> None:
        """Attach to the console. ``log``: an empty file, a descriptor, that gets all of it.
        ``daemon``: what xenconsoled logs of it, where it does."""
        self._daemon = daemon
        # It would end at the end of its input, so that stays open.
        self._process = dom0.start(["xl", "console", str(self.domain.domid)], stdin=subprocess.PIPE)
        self.output = cast(IO[bytes], self._process.stdout).fileno()
        """The descriptor from which the console is read."""
        self._log = log
        self._begun = self._heard = time.monotonic()

    def read(self) -> bool:
        """Take what there is; whether more can come."""
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

    def look(self, domain: Optional[xl.Listed], asked: float) -> None:
        """Tell whether to go on, now that xl lists the ``domain`` like this, or not any more.
        ``asked``: when xl was asked."""
        if self.verdict:
            return
        now = time.monotonic()
        if self._status is None and (domain is None or not domain.runs):
            self._status = "absent" if domain is None else domain.status
            self._ended = now
        if self._status is not None:
            self._look_at_end(self._status, now)
        elif self._transcript.match:
            if now >= self._matched + AFTER_SECONDS or self._transcript.ending.status is not None:
                self._judge(console_transcript.of_end("running", self._transcript, self._expected))
        elif not self._open and self._heard < asked:
            self._judge(console_transcript.of_lost(self._last_words()))
        elif now >= self._begun + self._timeout:
            ending = self._transcript.ending
            self._judge(console_transcript.of_timeout(self._timeout, self._expected, ending))

    def _look_at_end(self, status: str, now: float) -> None:
        """Judge a guest that has ended, unless its last words may still be on their way."""
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
        """The result keys. ConsoleError where there is no verdict."""
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
        """Leave the console."""
        if self._daemon:
            self._daemon.close()
        self._process.kill()
        with self._process, suppress(OSError):  # closes its pipes
            pass


def _log_path(path: str) -> str:
    """``path`` without links; ConsoleError unless a new file can be made there."""
    if not is_file_path(path):
        raise ConsoleError(f"log {path!r} is not the absolute path of a file")
    file = resolved(path)
    directory = os.path.dirname(file)
    if not os.path.isdir(directory):
        raise ConsoleError(f"the directory {directory} of log does not exist; create it first")
    if os.path.lexists(file):
        raise ConsoleError(f"log {path} is there already; remove it, or name another file")
    check_writable(directory, f"write log {path}")
    return file


@contextmanager
def _new_file(path: str) -> Iterator[int]:
    """A descriptor of the new file ``path``, see resolved, which nobody else can read."""
    directory, name = os.path.split(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with opened_real(directory) as place, opened(name, flags, 0o600, place) as descriptor:
        yield descriptor
