# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains that are started and ended: plans, actions and failures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan, State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, programs
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.resources import domain
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import config_disks
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import User
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    FakeHost,
    QuietUsage,
    binding,
)

DEFAULTS = {
    "config": None,
    "state": "running",
    "paused": False,
    "timeout": 5,
}
LINK = "/dev/disk/by-loop-file/srv/100.raw"
RUNS = {"running": True, "status": "running"}
ABSENT = {"running": False, "status": "absent"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """web (1) and db (2) run without disks; loop0 to loop3 are bound to inodes 100 to 103."""
    with FakeHost(tmp_path, monkeypatch) as fake:
        for number in range(4):
            fake.device(f"/dev/loop{number}", 7, number)
            fake.file(f"/srv/{100 + number}.raw", 100 + number)
            fake.bindings.append(binding(number, 100 + number))
        monkeypatch.setattr(QuietUsage, "users", {})
        monkeypatch.setattr(QuietUsage, "file_users", [])
        monkeypatch.setattr(config_disks, "Usage", QuietUsage)
        monkeypatch.setattr(domain.config_file, "CONFIG_DIR", str(tmp_path))
        monkeypatch.setattr(domain, "KEPT_SECONDS", 0.1)
        monkeypatch.setattr(xl, "GONE_SECONDS", 0.1)
        yield fake


def config(host: FakeHost, name: str, *disks: str, text: str = "") -> str:
    """Write the config of a domain, with C(disks) as xl writes them."""
    path = host.home / f"{name}.cfg"
    lines = "".join(f"    '{spec}',\n" for spec in disks)
    path.write_text(f"name = '{name}'\n{text}disk = [\n{lines}]\n")
    return str(path)


def disk(target: str = "/dev/loop0", vdev: str = "xvda", access: str = "rw") -> str:
    return f"format=raw, vdev={vdev}, access={access}, target={target}"


def wanted(name: str, **options: Any) -> State:
    return {**DEFAULTS, "name": name, **options}


def plans_of(domains: domain.Domains, items: List[State]) -> List[Plan]:
    """In the order in which convergence plans and runs them."""
    read = [domain.DomainItem.read(item) for item in items]
    return [domains.plan(item) for item in sorted(read, key=domains.rank)]


def apply(*items: State) -> List[State]:
    """Plan, run, settle and read back; no actions give the state that was found."""
    with domain.open_domains(Pending()) as domains:
        plans = plans_of(domains, list(items))
        for one in plans:
            for action in one.actions:
                action.run()
        if any(one.actions for one in plans):
            domains.settle()
        return [one.read_back() if one.actions else one.before for one in plans]


def planned(*items: State, check_mode: bool = False, pending: Any = None) -> List[Plan]:
    with domain.open_domains(Pending.read(pending, check_mode)) as domains:
        return plans_of(domains, list(items))


def sentences(*items: State, check_mode: bool = False, pending: Any = None) -> List[str]:
    plans = planned(*items, check_mode=check_mode, pending=pending)
    return [action.sentence for one in plans for action in one.actions]


def error_of(*items: State, check_mode: bool = False, pending: Any = None) -> str:
    with pytest.raises(BlockdevError) as caught:
        planned(*items, check_mode=check_mode, pending=pending)
    return str(caught.value)


def failure(*items: State) -> str:
    with pytest.raises(BlockdevError) as caught:
        apply(*items)
    return str(caught.value)


def statuses() -> Dict[str, str]:
    return {one.name: one.status for one in xl.listed() if one.domid}


# ---- start ----


def test_start(host: FakeHost) -> None:
    path = config(host, "app", disk(), disk("/srv/103.raw", "xvdb", "ro"))
    (one,) = planned(wanted("app"))
    assert [action.sentence for action in one.actions] == [f"start domain app from {path}"]
    assert (one.before, one.after) == (ABSENT, RUNS)
    assert apply(wanted("app")) == [{**RUNS, "domid": 3}]
    assert host.changes() == [f"xl create -q -f {path}"]
    assert [(one.domain, one.target) for one in xen_state.attached_devices()] == [
        ("app", "/dev/loop0"),
        ("app", "/srv/103.raw"),
    ]
    assert sentences(wanted("app")) == []


def test_start_paused_and_unpause(host: FakeHost) -> None:
    path = config(host, "app=2")
    item = wanted("app=2", paused=True)
    assert sentences(item) == [f"start domain app=2 from {path} paused"]
    assert apply(item) == [{"running": True, "status": "paused", "domid": 3}]
    assert sentences(item) == []
    assert sentences(wanted("app=2")) == ["unpause domain app=2"]
    assert apply(wanted("app=2")) == [{**RUNS, "domid": 3}]
    assert host.changes() == [f"xl create -q -p -f {path}", "xl unpause 3"]


def test_the_host_is_read_once_for_all_results(host: FakeHost) -> None:
    """After all actions, although the start waits for the guest that shuts down."""
    config(host, "app")
    items = [down("web"), wanted("app"), wanted("db", state="destroyed")]
    with domain.open_domains(Pending()) as domains:
        plans = plans_of(domains, items)
        for one in plans:
            one.actions[0].run()
        domains.settle()
        before = host.reads
        states = [one.read_back() for one in plans]
    assert host.reads == before
    assert [state["running"] for state in states] == [False, False, True]


def test_a_slow_host_is_a_warning(host: FakeHost) -> None:
    config(host, "app", disk())
    host.behave(kills_script=1)
    (one,) = planned(wanted("app"))
    learned = one.actions[0].run()
    assert learned is not None
    (warning,) = learned.warnings
    assert "this was tried 2 times" in warning


def test_a_domain_that_runs_is_left_alone(host: FakeHost) -> None:
    assert apply(wanted("web"), wanted("db", paused=True)) == [
        {**RUNS, "domid": 1},
        {**RUNS, "domid": 2},
    ]
    assert host.commands() == ["xl list"]
    assert host.reads == 1


def test_a_name_with_blanks(host: FakeHost) -> None:
    config(host, "my app 5")
    apply(wanted("my app 5"))
    assert sentences(wanted("my app 5"), wanted("my", state="destroyed")) == []


def test_another_config(host: FakeHost) -> None:
    (host.home / "there").mkdir()
    path = host.home / "there" / "app"
    path.write_text("name = 'app'\n")
    assert sentences(wanted("app", config=str(path))) == [f"start domain app from {path}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such config; write it first (xen_domain_config)"),
        ("name = 'other'\n", "it is the config of domain other, not of app"),
        ("memory = 5\n", "it does not set a name"),
        ("name = 'app'\nmemory = @MEMORY@\n", "line 2 is not valid in an xl configuration"),
        ("name = 'app'\ndisk = 'a'\n", "disk is a single string"),
        ("name = 'app'\ndisk = ['a,raw']\n", "it has no vdev"),
        ("name = 'app'\ndisk = ['/dev/loop0,raw,xvd']\n", "lacks the letter"),
        (
            "name = 'app'\ndisk = ['/dev/loop0,raw,xvda', '/dev/loop1,raw,51712']\n",
            "its disks xvda and 51712 are in the same slot",
        ),
    ],
)
def test_bad_configs(host: FakeHost, text: str, message: str) -> None:
    path = host.home / "app.cfg"
    if text is not None:
        path.write_text(text)
    error = error_of(wanted("app"))
    assert error.startswith(f"cannot start domain app from {path}: ")
    assert message in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "5"}, "is not a valid name"),
        ({"name": ""}, "is not a valid name"),
        ({"name": "a/b"}, "is not a valid name"),
        ({"config": "app.cfg"}, "is not the absolute path of a file"),
        ({"config": "/etc"}, "is not a regular file"),
        ({"name": "Domain-0"}, "is this host itself"),
        ({"name": "Domain-0", "state": "destroyed"}, "is this host itself"),
        ({"name": "Domain-0", "state": "shutdown"}, "is this host itself"),
    ],
)
def test_errors_before_anything_is_touched(host: FakeHost, options: State, message: str) -> None:
    assert message in error_of(wanted(**{"name": "app", **options}))
    assert host.changes() == []


def test_dom0_by_another_name(host: FakeHost) -> None:
    host.store = {**host.store, "/local/domain/0/name": "host"}
    assert "host is this host itself" in error_of(wanted("host", state="destroyed"))


def test_a_domain_that_is_listed_twice(host: FakeHost) -> None:
    assert "listed twice" in error_of(wanted("web"), wanted("web", state="destroyed"))


def test_two_domains_of_one_name(host: FakeHost) -> None:
    host.store = {**host.store, "/local/domain/2/name": "web"}
    assert error_of(wanted("web")).startswith("two domains are named web (ids 1 and 2)")


def test_not_a_xen_host(host: FakeHost) -> None:
    Path(dom0.HYPERVISOR_TYPE).unlink()
    assert error_of(wanted("web"), check_mode=True).startswith("not a Xen host")


def test_a_config_and_images_that_an_earlier_task_would_make(
    host: FakeHost, tmp_path: Path
) -> None:
    item = wanted("app")
    pending: Dict[str, Any] = {"configs": [{"path": f"{tmp_path}/app.cfg"}]}
    assert "there is no such config" in error_of(item, pending=pending)
    assert len(sentences(item, check_mode=True, pending=pending)) == 1
    config(host, "app", disk("/dev/disk/by-loop-file/srv/new.raw"), disk("/srv/new.raw", "xvdb"))
    disks = {"disks": [{"path": "/srv/new.raw"}]}
    pending = {**disks, "devices": [{"path": "/srv/new.raw"}]}
    assert "it has no loop device" in error_of(item, pending=pending)
    assert "it has no loop device" in error_of(item, check_mode=True, pending=disks)
    assert len(sentences(item, check_mode=True, pending=pending)) == 1
    del pending["disks"]
    assert "'/srv/new.raw' cannot be found" in error_of(item, check_mode=True, pending=pending)
    config(host, "app", disk())
    assert "no such config" in error_of(wanted("new"), check_mode=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("---sc-", "has crashed and is kept"),
        ("---sw-", "has crashed and is kept"),
        ("---s--", "has shut down and is kept"),
        ("---sr-", "has shut down and is kept"),
        ("--ps--", "has shut down and is kept"),
        ("---ss-", "is suspended"),
        ("--ps-d", "is dying"),
    ],
)
def test_a_domain_in_the_way(host: FakeHost, flags: str, message: str) -> None:
    host.list_as(web=flags)
    assert error_of(wanted("web")).startswith(f"cannot start domain web: it (id 1) {message}")


# ---- whose disks they are ----


def use(host: FakeHost, target: str = "/dev/loop0", access: str = "rw") -> None:
    """Give a disk to web."""
    xl.attach(xen_state.Domain(1, "web", ""), 51712, disk(target, access=access))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/dev/loop0", "it is attached to domain web as xvda (rw)"),
        ("/srv/100.raw", "it shares data with /dev/loop0, which is attached to domain web as xvda"),
    ],
)
@pytest.mark.parametrize("access", ["rw", "ro"])
def test_a_disk_of_another_domain(host: FakeHost, target: str, message: str, access: str) -> None:
    use(host)
    path = config(host, "app", disk("/dev/loop1"), disk(target, "xvdb", access))
    error = error_of(wanted("app"))
    assert error.startswith(f"cannot start domain app from {path}: disk xvdb ({target}): {message}")
    assert "detach it there or end that domain first" in error


def test_disks_that_are_only_read(host: FakeHost) -> None:
    use(host, access="ro")
    config(host, "app", disk(access="ro"))
    config(host, "cd", "vdev=xvdb, devtype=cdrom, target=/srv/100.raw")
    assert len(sentences(wanted("app"), wanted("cd"))) == 2
    config(host, "app", "/srv/100.raw,raw,xvda")
    assert "is attached to domain web as xvda (ro)" in error_of(wanted("app"))


def test_a_disk_twice_in_a_config(host: FakeHost) -> None:
    config(host, "app", disk(), disk("/srv/100.raw", "xvdb", "ro"))
    assert "will be attached to domain app as xvda (rw)" in error_of(wanted("app"))


def test_domains_of_one_call_count(host: FakeHost) -> None:
    config(host, "app", disk())
    config(host, "other", disk("/srv/100.raw"))
    error = error_of(wanted("app"), wanted("other"))
    assert "which will be attached to domain app as xvda (rw)" in error
    assert host.changes() == []


@pytest.mark.parametrize("state", ["shutdown", "destroyed"])
def test_the_disks_of_a_domain_that_ends_are_free(host: FakeHost, state: str) -> None:
    use(host)
    host.behave(seconds_to_end=0.3)
    config(host, "app", disk())
    states = apply(wanted("app"), wanted("web", state=state))
    assert states == [ABSENT, {**RUNS, "domid": 3}]


def test_the_disks_of_a_domain_that_does_not_end_are_not_free(host: FakeHost) -> None:
    use(host)
    host.behave(stays=["web"])
    config(host, "app", disk())
    error = failure(wanted("app"), wanted("web", state="shutdown", timeout=0.2))
    assert "it is attached to domain web as xvda" in error
    assert statuses() == {"web": "running", "db": "running"}


def test_a_domain_that_is_kept_keeps_its_disks(host: FakeHost) -> None:
    use(host)
    host.list_as(web="---s--")
    config(host, "app", disk())
    error = error_of(wanted("web", state="shutdown"), wanted("app"))
    assert "it is attached to domain web as xvda" in error


@pytest.mark.parametrize("kind", ["mount", "swap", "holder", "process", "loop"])
def test_what_dom0_uses(host: FakeHost, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(QuietUsage, "users", {os.makedev(7, 0): [User(kind, "mounted on /mnt")]})
    for target in ("/dev/loop0", "/srv/100.raw"):
        config(host, "app", disk(target))
        if kind in sharing_rules.DOM0_USES:
            assert error_of(wanted("app")).endswith(
                f"disk xvda ({target}): it is mounted on /mnt in dom0; release it first"
            )
        else:
            assert len(sentences(wanted("app"))) == 1


def test_a_process_that_writes(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = User("process", "open for writing in process 12 (dd)")
    monkeypatch.setattr(QuietUsage, "writing", [writer])
    config(host, "app", disk())
    assert error_of(wanted("app")).endswith(
        "disk xvda (/dev/loop0): it is open for writing in process 12 (dd) in dom0; release it "
        "first"
    )
    config(host, "app", disk(access="ro"))
    (one,) = planned(wanted("app"))
    assert one.warnings == [
        "/dev/loop0 for domain app as xvda: it is open for writing in process 12 (dd), so it "
        "may change while the guest reads it"
    ]


def test_a_destroyed_domain_that_xen_still_has(host: FakeHost) -> None:
    host.keep_destroyed(9)
    config(host, "app", disk())
    (one,) = planned(wanted("app"))
    (warning,) = one.warnings
    assert "app as xvda: Xen still has domain 9, which was destroyed" in warning


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/srv/nope.raw", "disk xvda: target '/srv/nope.raw' cannot be found"),
        ("disk.img", "disk xvda: target: 'disk.img' is not absolute: use a full path"),
        ("phy:/dev/loop0", "has a prefix, which xl reads only in a positional string"),
        ("/dev/loop0,access=ro", "has access= in it: everything after target= is the target"),
        ("rbd:pool/a", "is for QEMU: write backendtype: qdisk"),
        ("/dev/loop9", "is a loop device that is not bound"),
        ("/dev/disk/by-loop-file/srv/nope.raw", "it has no loop device"),
        ("/dev/disk/by-loop-file/srv/own.raw", "is not bound to a loop device; bind it first"),
        (LINK, f"{LINK} does not lead to /dev/loop0, to which its image is bound"),
    ],
)
def test_targets_that_xl_could_not_open(host: FakeHost, target: str, message: str) -> None:
    host.device("/dev/loop9", 7, 9)
    host.file("/srv/own.raw", 500)
    config(host, "app", disk(target))
    assert message in error_of(wanted("app"))


def test_a_link_that_leads_to_its_image(host: FakeHost) -> None:
    host.device(LINK, 7, 0)
    config(host, "app", disk(LINK))
    assert len(sentences(wanted("app"))) == 1
    use(host, "/srv/100.raw")
    assert "which is attached to domain web" in error_of(wanted("app"))


def test_a_link_that_leads_to_another_image(host: FakeHost) -> None:
    host.device(LINK, 7, 1)
    config(host, "app", disk(LINK))
    assert "does not lead to /dev/loop0" in error_of(wanted("app"))


@pytest.mark.parametrize(
    "spec",
    [
        "vdev=xvdb, script=block-iscsi, target=iqn.2001-05.org.example:app",
        "vdev=xvdb, backend=db, target=/dev/nothing/here",
        "vdev=xvdb, backendtype=qdisk, target=rbd:pool/a",
        "vdev=xvdb, backend=gone, target=/dev/loop0",
        "vdev=xvdb, devtype=cdrom",
        ",,xvdb:cdrom",
    ],
)
def test_disks_that_are_left_to_xl(host: FakeHost, spec: str) -> None:
    use(host)
    config(host, "app", disk("/dev/loop1"), spec)
    assert len(sentences(wanted("app"))) == 1


@pytest.mark.parametrize("backend", ["0", "Domain-0"])
def test_a_backend_that_is_dom0_by_name(host: FakeHost, backend: str) -> None:
    use(host)
    host.store = {path: text for path, text in host.store.items() if path != "/local/domain/0/name"}
    config(host, "app", f"vdev=xvda, backend={backend}, target=/dev/loop0")
    assert "it is attached to domain web" in error_of(wanted("app"))


def test_another_run_took_the_disk_after_the_plan(host: FakeHost) -> None:
    config(host, "app", disk())
    (mine,) = planned(wanted("app"))
    use(host)
    with pytest.raises(BlockdevError, match=r"^cannot start domain app .* attached to domain web"):
        mine.actions[0].run()
    assert "app" not in statuses()


def test_the_image_was_bound_to_another_device_after_the_plan(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(host, "/srv/101.raw")
    config(host, "app", disk("/dev/loop2"))
    (mine,) = planned(wanted("app"))
    monkeypatch.setattr(loop_binding, "scan", lambda: [binding(2, 101)])
    with pytest.raises(BlockdevError, match=r"shares data with /srv/101\.raw"):
        mine.actions[0].run()


def test_another_run_started_it_after_the_plan(host: FakeHost) -> None:
    config(host, "app", disk())
    (mine,), (other,) = planned(wanted("app")), planned(wanted("app"))
    other.actions[0].run()
    mine.actions[0].run()
    assert len(host.changes()) == 1
    assert mine.read_back() == other.read_back()


def test_the_config_was_changed_after_the_plan(host: FakeHost) -> None:
    config(host, "app", disk())
    (mine,) = planned(wanted("app"))
    config(host, "app", disk("/dev/loop1"))
    with pytest.raises(BlockdevError, match="another program changed the config; run again"):
        mine.actions[0].run()
    assert host.changes() == []


# ---- a start that fails ----


@pytest.mark.parametrize("leaves_behind", [False, True])
def test_a_script_that_fails(host: FakeHost, leaves_behind: bool) -> None:
    host.behave(script_words={"/dev/loop0": "the LUN\nis asleep"}, leaves_behind=leaves_behind)
    path = config(host, "app", disk("/dev/loop1"), disk(vdev="xvdb"))
    rest = "; the failed attempt was cleaned up" if leaves_behind else ""
    assert failure(wanted("app")) == (
        f"cannot start domain app from {path}: the LUN is asleep{rest}"
    )
    assert statuses() == {"web": "running", "db": "running"}
    assert xen_state.attached_devices() == []


def test_what_a_failed_start_leaves_and_keeps(host: FakeHost) -> None:
    host.behave(script_words={"/dev/loop0": "no"}, leaves_behind=True, destroy_fails=True)
    config(host, "app", disk())
    assert failure(wanted("app")).endswith(
        "no; the failed attempt could not be cleaned up: it still exists after `xl destroy 3`: "
        "destroy failed (rc=-3)"
    )


def test_xl_that_hangs_is_killed_and_leaves_nothing(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(host, "app", disk())

    def hang(argv: List[str], timeout: float) -> programs.Completed:
        ended = real_run(argv, timeout)
        if argv[1] == "create":
            raise programs.ProgramTimeoutError(
                "`xl create` did not end within 240 s and was killed"
            )
        return ended

    real_run = programs.run
    monkeypatch.setattr(programs, "run", hang)
    assert failure(wanted("app")).endswith("and was killed; the failed attempt was cleaned up")
    assert "app" not in statuses()


def test_a_domain_that_another_program_started_is_not_destroyed(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(host, "app")
    before = xl.listed()
    apply(wanted("app"))
    lists = iter([before])
    real = xl.listed
    monkeypatch.setattr(xl, "listed", lambda: next(lists, None) or real())
    with pytest.raises(BlockdevError, match="another program has started it; run again"):
        xl.create("app", path, False)
    assert statuses()["app"] == "running"


def test_a_domain_that_another_program_started_while_ours_failed_is_not_destroyed(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(argv: List[str], timeout: float) -> programs.Completed:
        ended = real_run(argv, timeout)
        is_ours = argv[1] == "create"
        return programs.Completed(3, "", "failed to free memory\n") if is_ours else ended

    real_run = programs.run
    monkeypatch.setattr(programs, "run", fail)
    with pytest.raises(BlockdevError, match=r"^failed to free memory$"):
        xl.create("app", config(host, "app"), False)
    assert statuses()["app"] == "running"


def test_a_domain_that_was_there_before_is_not_destroyed(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(argv: List[str], timeout: float) -> programs.Completed:
        if argv[1] == "create":
            return programs.Completed(3, "", "failed to free memory for the domain\n")
        return real_run(argv, timeout)

    real_run = programs.run
    monkeypatch.setattr(programs, "run", fail)
    with pytest.raises(BlockdevError, match=r"^failed to free memory for the domain$"):
        xl.create("web", config(host, "web"), False)
    assert statuses()["web"] == "running"


def test_a_guest_that_ends_at_once(host: FakeHost) -> None:
    host.behave(ends_at_once=True)
    config(host, "app")
    assert "domain app was started, but its guest ended at once" in failure(wanted("app"))


def test_a_guest_that_crashes_at_once(host: FakeHost) -> None:
    host.behave(crashes=True)
    config(host, "app")
    assert failure(wanted("app")) == (
        "domain app was started, but it (id 3) has crashed and is kept for inspection (preserve); "
        "destroy it first (state: destroyed)"
    )


def test_a_domain_that_stays_paused(host: FakeHost) -> None:
    host.list_as(web="--p---")
    host.behave(stays_paused=True)
    assert failure(wanted("web")) == (
        "cannot unpause domain web: it is still paused: Domain 1:Unpausing domain: Invalid argument"
    )


def test_a_domain_that_was_unpaused_after_the_plan(host: FakeHost) -> None:
    host.list_as(web="--p---")
    (mine,) = planned(wanted("web"))
    host.list_as()
    mine.actions[0].run()
    assert host.changes() == []


def test_xl_that_lists_nothing(host: FakeHost) -> None:
    host.behave(lists_nothing=True)
    assert error_of(wanted("web")) == (
        "`xl list` lists no domain, not even dom0: libxl_list_domain failed."
    )


# ---- shut down ----


def down(name: str, **options: Any) -> State:
    return wanted(name, state="shutdown", **options)


def test_shut_down(host: FakeHost) -> None:
    (one,) = planned(down("web"))
    assert [action.sentence for action in one.actions] == ["shut down domain web"]
    assert (one.before, one.after) == ({**RUNS, "domid": 1}, ABSENT)
    assert apply(down("web")) == [ABSENT]
    assert statuses() == {"db": "running"}
    assert sentences(down("web"), down("nosuch")) == []


def test_all_guests_are_asked_before_one_is_waited_for(host: FakeHost) -> None:
    host.behave(seconds_to_end=0.4)
    before = len(host.commands())
    assert apply(down("web"), down("db")) == [ABSENT, ABSENT]
    commands = [line for line in host.commands()[before:] if line != "xl list -l"]
    assert commands[0] == "xl list"
    assert sorted(commands[1:4]) == ["xl list", "xl shutdown -F 1", "xl shutdown -F 2"]
    assert host.commands().count("xl list -l") == 1


@pytest.mark.parametrize("behaviour", [{"stays": ["web"]}, {"deaf": True}])
def test_a_guest_that_does_not_shut_down(host: FakeHost, behaviour: State) -> None:
    host.behave(**behaviour)
    assert failure(down("web", timeout=0.3)) == (
        "domain web is still running: its guest did not shut down within 0.3 s; give it more time "
        "(timeout), or end it as if the power failed (state: destroyed)"
    )


def test_each_guest_has_its_own_time(host: FakeHost) -> None:
    host.behave(stays=["web", "db"])
    with domain.open_domains(Pending()) as domains:
        plans = plans_of(domains, [down("web", timeout=0.1), down("db", timeout=0.2)])
        for one in plans:
            one.actions[0].run()
        domains.settle()
        for one, seconds in zip(plans, ("0.1 s", "0.2 s")):
            with pytest.raises(BlockdevError, match=f"within {seconds}"):
                one.read_back()


def test_a_guest_that_cannot_be_asked(host: FakeHost) -> None:
    host.behave(no_button=True)
    error = failure(down("web", timeout=60))
    assert error.startswith(
        "domain web is still running: xl could not ask its guest to shut down: PV "
    )
    assert error.endswith("shutdown failed (rc=-3)")


def test_a_paused_guest_cannot_be_asked(host: FakeHost) -> None:
    host.list_as(web="--p---")
    error = error_of(down("web"))
    assert error.startswith(
        "cannot shut down domain web: it is paused, so its guest cannot shut down"
    )
    assert host.changes() == []


@pytest.mark.parametrize(
    ("flags", "message"), [("---sc-", "has crashed and is kept"), ("---ss-", "is suspended")]
)
def test_a_guest_that_has_not_shut_down_in_order(host: FakeHost, flags: str, message: str) -> None:
    host.list_as(web=flags)
    assert message in error_of(down("web"))


@pytest.mark.parametrize(("flags", "status"), [("---s--", "shutdown"), ("--ps-d", "dying")])
def test_a_guest_that_has_ended_is_left_alone(host: FakeHost, flags: str, status: str) -> None:
    host.list_as(web=flags)
    assert apply(down("web")) == [{"running": False, "status": status, "domid": 1}]


def test_a_domain_that_would_restart(host: FakeHost) -> None:
    config(host, "app", text="on_poweroff = 'restart'\n")
    apply(wanted("app"))
    assert "it was started with on_poweroff = 'restart'" in error_of(down("app"))
    assert apply(wanted("app", state="destroyed")) == [ABSENT]


def test_a_domain_that_restarts(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    config(host, "app", text="on_poweroff = 'restart'\n")
    apply(wanted("app"))
    monkeypatch.setattr(xl, "on_poweroff", dict)
    assert failure(down("app")).startswith("domain app shut down and is running again (id 4): ")


def test_a_domain_that_is_kept(host: FakeHost) -> None:
    config(host, "app", text="on_poweroff = 'preserve'\n")
    apply(wanted("app"))
    kept = {"running": False, "status": "shutdown", "domid": 3}
    assert apply(down("app")) == [kept]
    assert sentences(down("app")) == []
    assert apply(wanted("app", state="destroyed")) == [ABSENT]


# ---- destroy ----


@pytest.mark.parametrize("flags", ["-b----", "--p---", "---sc-", "---s--", "---ss-", "--ps-d"])
def test_destroy(host: FakeHost, flags: str) -> None:
    host.list_as(web=flags)
    item = wanted("web", state="destroyed")
    assert sentences(item) == ["destroy domain web"]
    assert apply(item) == [ABSENT]
    assert host.changes() == ["xl destroy 1"]
    assert sentences(item) == []


def test_a_domain_that_cannot_be_destroyed(host: FakeHost) -> None:
    item = wanted("web", state="destroyed")
    host.behave(destroy_fails=True)
    assert failure(item) == (
        "cannot destroy domain web: it still exists after `xl destroy 1`: destroy failed (rc=-3)"
    )
    host.behave(destroy_fails=False, zombies=True)
    assert "it is dying but still exists after 0.1 s" in failure(item)


def test_a_domain_that_was_started_again(host: FakeHost) -> None:
    config(host, "web")
    with domain.open_domains(Pending()) as domains:
        plan = domains.plan(domain.DomainItem.read(wanted("web", state="destroyed")))
        plan.actions[0].run()
        apply(wanted("web"))
        with pytest.raises(BlockdevError, match=r"another program started it again \(id 3\)"):
            plan.read_back()
