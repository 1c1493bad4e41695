# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains that are unpaused while their consoles are followed, with a stand-in for xl's console."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.console import log as console_log
from ansible_collections.xen.blockdev.plugins.module_utils.console.transcript import ConsoleError
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0
from ansible_collections.xen.blockdev.plugins.module_utils.resources import console
from ansible_collections.xen.blockdev.plugins.module_utils.resources.console import ConsoleItem
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl

DEFAULTS = {"expect": None, "fail": None, "timeout": 5, "log": None}
STAYS = "exec sleep 60"


class Host:
    """Guests whose output is that of a shell script, which runs once they are unpaused."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.domains: Dict[str, xl.Listed] = {}

    def guest(self, name: str, script: str, flags: str = "--p---") -> None:
        domid = len(self.domains) + 1
        self.domains[name] = xl.Listed(domid, name, flags)
        (self.home / str(domid)).write_text(f"{script}\n")

    def listed(self) -> List[xl.Listed]:
        for name, domain in list(self.domains.items()):
            flags = self.home / f"{domain.domid}.flags"
            if flags.exists():
                self.domains[name] = xl.Listed(domain.domid, name, flags.read_text().strip())
        return list(self.domains.values())

    def unpause(self, domid: int) -> None:
        (self.home / f"{domid}.flags").write_text("-b----")
        (self.home / f"{domid}.go").touch()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    fake = Host(tmp_path)
    command = tmp_path / "bin" / "xl"
    command.parent.mkdir()
    command.write_text(
        "#!/bin/sh\n"
        '[ "$1" = console ] || exit 9\n'
        f"cd {tmp_path}; until [ -e $2.go ]; do sleep 0.01; done\n"
        "domid=$2; . ./$2\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(xl, "listed", fake.listed)
    monkeypatch.setattr(xl, "unpause", fake.unpause)
    monkeypatch.setattr(dom0, "require_dom0", lambda: None)
    monkeypatch.setattr(console, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(console, "DRAIN_SECONDS", 0.2)
    monkeypatch.setattr(console, "AFTER_SECONDS", 0.2)
    return fake


@pytest.fixture
def daemon_log(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log that xenconsoled writes of guest ``app``."""
    monkeypatch.setattr(console_log, "PROC", str(tmp_path / "proc"))
    log = tmp_path / "guest-app.log"
    log.write_text("of an earlier domain\n")
    process = tmp_path / "proc" / "7"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("xenconsoled\n")
    (process / "fd" / "3").symlink_to("/dev/null")
    (process / "fd" / "4").symlink_to(log)
    return log


def read(**options: Any) -> ConsoleItem:
    return ConsoleItem.read({**DEFAULTS, **options})


def follow(*items: Dict[str, Any], check_mode: bool = False, pending: Any = None) -> List[State]:
    with console.open_consoles(Pending.read(pending, check_mode)) as consoles:
        plans = [consoles.plan(read(**item)) for item in items]
        if check_mode:
            return [{"actions": [action.sentence for action in plan.actions]} for plan in plans]
        for plan in plans:
            for action in plan.actions:
                action.run()
        consoles.settle()
        return [plan.read_back() for plan in plans]


def test_a_guest_prints_what_is_expected(host: Host, tmp_path: Path) -> None:
    host.guest("app", f"printf 'hello\\r\\nwell\\r\\n'; {STAYS}")
    log = tmp_path / "log"
    (state,) = follow({"name": "app", "expect": "^well$", "log": str(log)})
    assert 0 <= state.pop("seconds") < 5
    assert state == {
        "domid": 1,
        "verdict": "expected",
        "passed": True,
        "reason": "it printed the expected text: 'well'",
        "tail": ["hello", "well"],
    }
    assert log.read_bytes() == b"hello\r\nwell\r\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_many_guests_are_followed_at_once(host: Host) -> None:
    host.guest("well", f"sleep 0.2; echo well; {STAYS}")
    host.guest("bad", f"echo bad; {STAYS}")
    host.guest("hangs", f"echo waiting; {STAYS}")
    host.guest("ends", "echo bye; echo ---s-- >$domid.flags")
    host.guest("crashes", f"echo oops; echo ---sc- >$domid.flags; {STAYS}")
    names = ["well", "bad", "hangs", "ends", "crashes"]
    wanted = {"expect": "well", "fail": "bad", "timeout": 1}
    states = follow(*({"name": name, **wanted} for name in names))
    assert [state["verdict"] for state in states] == [
        "expected",
        "unwanted",
        "timeout",
        "ended",
        "crashed",
    ]
    assert [state["passed"] for state in states] == [True, False, False, False, False]
    assert states[2]["reason"] == "it did not print the expected text within 1 s"
    assert [state["tail"][-1] for state in states] == ["well", "bad", "waiting", "bye", "oops"]


def test_without_an_expectation_a_guest_is_to_end(host: Host) -> None:
    host.guest("ends", "echo ---s-- >$domid.flags")
    host.guest("bad", "echo bad; echo ---s-- >$domid.flags")
    host.guest("stays", STAYS)
    ends, bad, stays = follow(
        *({"name": name, "fail": "bad", "timeout": 1} for name in ("ends", "bad", "stays"))
    )
    assert (ends["verdict"], ends["passed"]) == ("ended", True)
    assert (bad["verdict"], bad["passed"]) == ("unwanted", False)
    assert (stays["verdict"], stays["passed"]) == ("timeout", False)


def test_last_words_count(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the silence after which a guest has ended, but are never that silent:
    four times as long, so that a busy machine does not matter."""
    monkeypatch.setattr(console, "DRAIN_SECONDS", 2)
    words = "for word in 1 2 3 4 5; do sleep 0.5; echo $word; done; echo more"
    host.guest("app", f"echo ---s-- >$domid.flags; {words}")
    (state,) = follow({"name": "app", "expect": "more", "timeout": 60})
    assert state["verdict"] == "expected"


def test_output_during_xl_list_counts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy host: a guest prints its last words and ends while `xl list` takes its time."""

    def listed() -> List[xl.Listed]:
        if (host.home / "1.go").exists():
            (host.home / "asked").touch()
            wait_for(host.home / "1.ended")
            time.sleep(2 * console.DRAIN_SECONDS)
        return host.listed()

    monkeypatch.setattr(xl, "listed", listed)
    host.guest(
        "app",
        "until [ -e asked ]; do sleep 0.01; done; echo well; echo ---s-- >$domid.flags; "
        f"touch 1.ended; {STAYS}",
    )
    (state,) = follow({"name": "app", "expect": "well"})
    assert state["verdict"] == "expected"


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_output_that_the_console_lost_is_taken_from_the_log(
    host: Host, daemon_log: Path, tmp_path: Path
) -> None:
    host.guest(
        "app",
        "echo hello; printf 'hello\\nall ' >>guest-app.log; echo 'well' >>guest-app.log; "
        "echo ---s-- >$domid.flags",
    )
    log = tmp_path / "log"
    (state,) = follow({"name": "app", "expect": "^all well$", "log": str(log)})
    assert state["verdict"] == "expected"
    assert log.read_text() == "hello\nall well\n"


def test_a_log_of_other_bytes_is_no_help(host: Host, daemon_log: Path) -> None:
    host.guest(
        "app",
        "echo hello; echo '[2026-11-29 12:00:00] hello' >>guest-app.log; "
        "echo '[2026-11-29 12:00:00] well' >>guest-app.log; echo ---s-- >$domid.flags",
    )
    (state,) = follow({"name": "app", "expect": "well"})
    assert (state["verdict"], state["tail"]) == ("ended", ["hello"])


def test_a_guest_that_dies_of_an_exception(host: Host) -> None:
    died = "echo 'Fatal error: exception Exit'; echo 'Solo5: solo5_exit(2) called'; "
    host.guest("dies", f"{died} echo ---s-- >$domid.flags; {STAYS}")
    host.guest("later", f"echo well; {died} echo ---s-- >$domid.flags; {STAYS}")
    host.guest("still", f"echo well; {died} {STAYS}")
    host.guest("good", f"echo well; echo 'Solo5: solo5_exit(0) called'; {STAYS}")
    dies, later, still, good = follow(
        {"name": "dies"}, *({"name": name, "expect": "well"} for name in ("later", "still", "good"))
    )
    for state in (dies, later, still):
        assert (state["verdict"], state["passed"]) == ("crashed", False)
        assert state["reason"] == "it crashed with status 2: Fatal error: exception Exit"
    assert good["verdict"] == "expected"


def test_a_console_that_is_lost(host: Host) -> None:
    host.guest("app", "echo 'somebody else reads it' >&2; exit 1")
    (state,) = follow({"name": "app", "expect": "well"})
    assert (state["verdict"], state["passed"]) == ("lost", False)
    assert state["reason"] == "the connection to its console was lost: somebody else reads it"


def test_nothing_stays_open_or_runs_on(host: Host) -> None:
    host.guest("app", f"echo $$ >pid; echo well; {STAYS}")
    before = os.listdir("/proc/self/fd")
    follow({"name": "app", "expect": "well"})
    assert os.listdir("/proc/self/fd") == before
    pid = int((host.home / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_log_does_not_grow_for_ever(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LOG_LIMIT", 5000)
    host.guest("app", f"yes line | head -n 5000; echo well; {STAYS}")
    (state,) = follow({"name": "app", "expect": "well", "log": str(tmp_path / "log")})
    assert state["verdict"] == "expected"
    assert (tmp_path / "log").stat().st_size == 5000


# ---- what cannot be followed ----


def test_a_domain_that_stays_paused_is_not_waited_for(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpause(_domid: int) -> None:
        raise ConsoleError("it is still paused")

    monkeypatch.setattr(xl, "unpause", unpause)
    host.guest("app", STAYS)
    with console.open_consoles(Pending()) as consoles:
        plan = consoles.plan(read(name="app", timeout=60))
        with pytest.raises(ConsoleError, match="follow its console: it is still paused"):
            plan.actions[0].run()
        began = time.monotonic()
        consoles.settle()
        assert time.monotonic() - began < 10
        with pytest.raises(ConsoleError, match="was not followed"):
            plan.read_back()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "none"}, "there is no such domain; start it first"),
        ({"name": "runs"}, "it is running, not paused"),
        ({"name": "app", "expect": "("}, "expect: '\\(' is not a regular expression"),
        ({"name": "app", "fail": "("}, "fail: '\\(' is not a regular expression"),
        ({"name": "app", "log": "log"}, "log: 'log' is not the absolute path of a file"),
        ({"name": "app", "log": "{tmp}/none/log"}, "log: the directory .*/none does not exist"),
        ({"name": "app", "log": "{tmp}/there"}, "log: .*/there already exists; remove it"),
    ],
)
def test_bad_input(host: Host, tmp_path: Path, item: Dict[str, str], message: str) -> None:
    host.guest("app", "")
    host.guest("runs", "", "-b----")
    (tmp_path / "there").touch()
    item = {key: value.replace("{tmp}", str(tmp_path)) for key, value in item.items()}
    with pytest.raises(
        BlockdevError, match=f"^cannot unpause domain .* and follow its console: {message}"
    ):
        follow(item)
    assert not (tmp_path / "1.go").exists()


def test_a_domain_is_listed_once(host: Host) -> None:
    host.guest("app", "")
    with pytest.raises(ConsoleError, match="domain app is listed twice"):
        follow({"name": "app"}, {"name": "app"})


def test_check_mode_with_a_domain_that_would_be_started(host: Host) -> None:
    pending = {"domains": [{"name": "new"}]}
    (plan,) = follow({"name": "new"}, check_mode=True, pending=pending)
    assert plan == {"actions": ["unpause domain new and follow its console"]}
    with pytest.raises(ConsoleError, match="no such domain"):
        follow({"name": "new"}, pending=pending)
    with pytest.raises(ConsoleError, match="no such domain"):
        follow({"name": "other"}, check_mode=True, pending=pending)


def test_a_timeout_that_never_ends() -> None:
    with pytest.raises(BlockdevError, match="app and follow its console: timeout inf is not a "):
        read(name="app", timeout=float("inf"))
