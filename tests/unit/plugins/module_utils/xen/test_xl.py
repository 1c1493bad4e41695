# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of xl, and their failures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import Completed
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    DATA,
    WEB_UUID,
    FakeHost,
    recorded,
)

WEB = Domain(1, "web", WEB_UUID)
SPEC = "format=raw, vdev=xvdb, access=rw, target=/dev/loop0"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with FakeHost(tmp_path, monkeypatch) as fake:
        fake.device("/dev/loop0", 7, 0)
        yield fake


# ---- domains ----


def test_the_recorded_list() -> None:
    found = xl._LISTED.findall(recorded("xl list"))
    assert found == [("Domain-0", "0", "r-----"), ("web", "1", "-b----")]


HEADER = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"


@pytest.mark.parametrize(
    ("name", "rest", "domid", "flags"),
    [
        ("my app 5", "     7   128     1     ------       0.0", 7, "------"),
        ("a 1 2 3 r----- 1.0", " 32750 1048576   512     --p---  123456.7", 32750, "--p---"),
        ("(null)", "    12     0     1     --ps-d       8.0", 12, "--ps-d"),
        ("x" * 50, "     3   128     1     ---sc-       8.0", 3, "---sc-"),
    ],
)
def test_lists_are_read_from_the_right(
    monkeypatch: pytest.MonkeyPatch, name: str, rest: str, domid: int, flags: str
) -> None:
    ended = Completed(0, f"{HEADER}{name:<40}{rest}\n", "")
    monkeypatch.setattr(programs, "run", lambda argv, timeout: ended)
    assert xl.listed() == [xl.Listed(domid, name, flags)]


@pytest.mark.parametrize(
    ("flags", "status", "runs"),
    [
        ("r-----", "running", True),
        ("-b----", "running", True),
        ("------", "running", True),
        ("--p---", "paused", True),
        ("-bp---", "paused", True),
        ("---s--", "shutdown", False),
        ("---sr-", "shutdown", False),
        ("---sS-", "shutdown", False),
        ("--ps--", "shutdown", False),
        ("---s?-", "shutdown", False),
        ("---sc-", "crashed", False),
        ("---sw-", "crashed", False),
        ("---ss-", "suspended", False),
        ("--ps-d", "dying", False),
        ("---scd", "dying", False),
    ],
)
def test_states_of_domains(flags: str, status: str, runs: bool) -> None:
    domain = xl.Listed(1, "web", flags)
    assert (domain.status, domain.runs) == (status, runs)


def test_what_becomes_of_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = recorded("xl list -l web")
    for text, actions in (
        (printed, {1: "destroy"}),
        (printed.replace('"on_reboot"', '"on_poweroff"'), {1: "restart"}),
        ("[\n\n]\n", {}),
        ("", {}),
        ("[1]", {}),
        ("{}", {}),
    ):
        monkeypatch.setattr(
            programs, "run", lambda argv, timeout, text=text: Completed(0, text, "")
        )
        assert xl.on_poweroff() == actions


def test_the_words_of_a_failed_start() -> None:
    said = (
        ("libxl_device.c:455:libxl__device_disk_set_backend", "Disk vdev=xvda failed to stat: /a"),
        ("libxl_create.c:1643:domcreate_launch_dm", "Domain 1:unable to add disk devices"),
        ("libxl_domain.c:1183:libxl__destroy_domid", "Domain 1:Non-existant domain"),
        ("libxl_domain.c:1137:domain_destroy_callback", "Domain 1:Unable to destroy guest"),
        ("libxl_domain.c:1064:domain_destroy_cb", "Domain 1:Destruction of domain failed"),
    )
    lines = "".join(f"libxl: error: {place}: {words}\n" for place, words in said)
    stderr = f"Parsing config from /etc/xen/web.cfg\n{lines}"
    assert xl.words(Completed(3, "", stderr)) == (
        "Disk vdev=xvda failed to stat: /a; Domain 1:unable to add disk devices"
    )


# ---- disks ----


def attach(timeout: float = 0.05) -> None:
    xl.attach(WEB, 51728, SPEC)
    xl.await_state(WEB, 51728, (xen_state.CONNECTED,), timeout)


def slot_is_empty() -> bool:
    return xen_state.read_slot(WEB, 51728) is None


def test_attach_and_detach(host: FakeHost) -> None:
    attach()
    vbd = xen_state.read_slot(WEB, 51728)
    assert vbd and (vbd.target, vbd.backend_state) == ("/dev/loop0", 4)
    xl.detach(WEB, 51728, 1, force=False)
    assert slot_is_empty()
    assert host.commands() == [f"xl block-attach 1 {SPEC}", "xl block-detach 1 51728"]


def test_the_error_of_the_script_is_shown_and_nothing_is_left(host: FakeHost) -> None:
    words = "Device /dev/loop0 is mounted in a guest domain,\nand so cannot be mounted now."
    host.behave(script_words={"/dev/loop0": words})
    with pytest.raises(XenError) as caught:
        attach()
    assert str(caught.value) == (
        "Device /dev/loop0 is mounted in a guest domain, and so cannot be mounted now."
        "; the failed attempt was cleaned up"
    )
    assert slot_is_empty()


def test_an_exit_code_of_0_is_not_trusted(host: FakeHost) -> None:
    host.behave(does_nothing=True)
    with pytest.raises(XenError, match="exited with status 0 and no error message"):
        attach()


def patiently() -> List[str]:
    """The warnings of an attach that is tried again if necessary."""
    return xl.patiently(lambda: xl.attach(WEB, 51728, SPEC), slot_is_empty)


def test_a_script_that_was_ended_is_tried_again(host: FakeHost) -> None:
    host.behave(kills_script=2)
    (warning,) = patiently()
    assert re.match(
        r"Xen kills .* this was tried 3 times \([0-9]+ s\); this host is too slow", warning
    )
    assert not slot_is_empty()


def test_a_host_that_is_always_too_slow_is_an_error(host: FakeHost) -> None:
    host.behave(kills_script=9)
    with pytest.raises(XenError, match=r"because of timeout.* cleaned up; .*tried 3 times"):
        patiently()
    assert slot_is_empty()


def test_nothing_is_tried_again_while_something_is_left(host: FakeHost) -> None:
    host.behave(kills_script=9, stuck=True, force_fails=True)
    with pytest.raises(XenError, match=r"slot 51728 could not be emptied again"):
        patiently()
    assert sum("block-attach" in command for command in host.commands()) == 1


def test_another_failure_is_not_tried_again(host: FakeHost) -> None:
    host.behave(script_words={"/dev/loop0": "no"})
    with pytest.raises(XenError, match=r"^no; the failed attempt was cleaned up$"):
        patiently()
    assert sum("block-attach" in command for command in host.commands()) == 1


def test_nothing_is_tried_for_too_long(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.behave(kills_script=9)
    monkeypatch.setattr(xl, "SCRIPT_SECONDS", 0)
    with pytest.raises(XenError, match=r"tried once"):
        patiently()


def test_leftovers_that_cannot_be_removed(host: FakeHost) -> None:
    host.behave(script_words={"/dev/loop0": "no"}, stuck=True, force_fails=True)
    with pytest.raises(
        XenError,
        match=r"no; slot 51728 could not be emptied again: .* `xl block-detach --force 1 51728`",
    ):
        attach()


def test_a_slot_that_another_program_has_filled_is_not_touched(host: FakeHost) -> None:
    attach()
    with pytest.raises(XenError, match="another program has filled slot 51728 of domain web"):
        attach()
    assert not slot_is_empty()


@pytest.mark.parametrize("stuck", [False, True])
def test_a_guest_that_never_connects_leaves_the_slot_empty(host: FakeHost, stuck: bool) -> None:
    host.behave(never_connects=True, stuck=stuck, force_exits_1=True)
    with pytest.raises(XenError) as caught:
        attach()
    assert str(caught.value) == (
        "the guest did not connect within 0.05 s (backend InitWait (2), frontend Initialising (1))"
        ": a MirageOS unikernel connects when it first opens a disk, and some guests detect disks "
        "only when they boot; set wait_for: offered to leave it attached; the failed attempt "
        "was cleaned up"
    )
    assert slot_is_empty()


class Clock:
    """A clock that advances only in sleep."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


def test_a_guest_that_does_not_release_the_disk(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach()
    host.behave(stuck=True)
    monkeypatch.setattr(xl, "time", Clock())
    monkeypatch.setattr(xl, "POLL_SECONDS", 0.25)
    with pytest.raises(XenError, match=r"not release .* within 0.5 s .* set force: true"):
        xl.detach(WEB, 51728, 0.5, force=False)
    assert host.commands()[1:] == ["xl block-detach 1 51728"] * 3
    assert not slot_is_empty()


def test_force_asks_first_and_does_not_trust_the_exit_code(host: FakeHost) -> None:
    attach()
    host.behave(stuck=True, force_exits_1=True)
    xl.detach(WEB, 51728, 30, force=True)
    assert slot_is_empty()
    assert host.commands()[1:] == ["xl block-detach 1 51728", "xl block-detach --force 1 51728"]


def test_force_that_does_not_help(host: FakeHost) -> None:
    attach()
    host.behave(stuck=True, force_fails=True)
    with pytest.raises(
        XenError, match=r"still attached after `xl block-detach --force`: .*unable to"
    ):
        xl.detach(WEB, 51728, 30, force=True)


def recorded_errors() -> str:
    return (DATA / "recorded-xl-errors.txt").read_text()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "xl block-attach 6 /dev/loop0,raw,xvdb,w",
            "Device /dev/loop0 is mounted in a guest domain, and so cannot be mounted now.",
        ),
        (
            "xl block-attach 5 /dev/loop210,raw,xvda,w",
            "Disk vdev=xvda failed to stat: /dev/loop210: No such file or directory; "
            "unable to add device; libxl_device_disk_add failed.",
        ),
        ("xl block-attach nosuch /dev/loop0,raw,xvda,w", "nosuch is an invalid domain identifier"),
    ],
)
def test_the_words_in_recorded_output(command: str, words: str) -> None:
    stderr = recorded_errors().split(f"$ {command}\n", 1)[1].split("   rc=", 1)[0]
    assert xl.words(Completed(1, "", stderr)) == words


def test_words_if_there_is_no_message() -> None:
    assert xl.words(Completed(4, "", "\n")) == "xl exited with status 4 and no error message"


def test_a_command_that_is_gone_is_a_xen_error(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.home / "bin" / "xl").unlink()
    monkeypatch.setenv("PATH", str(host.home / "bin"))
    monkeypatch.setattr(programs, "SYSTEM_PATH", "/nonexistent")
    with pytest.raises(XenError, match="xl is not on this host"):
        attach()
