# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that several guests have, on one host or on different ones."""

from __future__ import annotations

from itertools import combinations
from typing import List, Optional, Sequence, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.same_data import (
    MOST_NAMED,
    SharedData,
    shared_data,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import OtherData
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    AuditedXen,
    codes,
    found_on,
    the_finding,
)
from hypothesis import given, settings
from hypothesis import strategies as st

LUN = ("unit", "naa.6001405abc")


def running(host: AuditedXen, domain: str, storage: str, access: str = "rw") -> None:
    """A domain that runs with this disk as xvda, which its config has as well."""
    host.config(domain)
    host.configured(domain, "xvda", storage, access=access)
    host.run(domain)
    host.attach(domain, "xvda", storage, access=access)


def off(
    host: AuditedXen, domain: str, storage: str, access: str = "rw", boot: bool = False
) -> None:
    """A domain that does not run and has this disk as xvda in its config."""
    host.config(domain, autostart=boot)
    host.configured(domain, "xvda", storage, access=access)


def hosts_with_lun(*names: str, identity: Tuple[str, str] = LUN) -> List[AuditedXen]:
    """Hosts that have one LUN, each under its own name."""
    hosts = [AuditedXen(name) for name in names]
    for host in hosts:
        host.device(f"/dev/mapper/{host.name}", identities=[identity])
    return hosts


def test_two_guests_of_a_host_write_to_one_disk() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    running(host, "web", "/dev/vg0/a")
    running(host, "db", "/dev/vg0/a", "ro")
    found = the_finding("two-writers", host)
    assert found.severity == "error"
    assert (found.place.host, found.place.domain, found.place.slot) == ("xen1", "web", "xvda")
    assert [one.domain for one in found.others] == ["db"]
    assert found.seen == (
        "domain web on xen1 as xvda (rw) and domain db on xen1 as xvda (ro) have it at the same "
        "time"
    )


def test_guests_that_only_read_may_share() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    for domain in ("web", "db", "mail"):
        running(host, domain, "/dev/vg0/a", "ro")
    off(host, "www", "/dev/vg0/a", "ro", boot=True)
    assert codes(host) == []


@pytest.mark.parametrize(
    "identity",
    [
        LUN,
        ("unit", "rbd xen//web@- of cluster 5f0c"),
        ("volume", "0123-4567"),
        ("network_file", "nas:/srv/xen/web.raw inode 7"),
        ("unit_file", "naa.6001405abc inode 7"),
    ],
)
def test_guests_of_two_hosts_write_to_one_disk(identity: Tuple[str, str]) -> None:
    one, other = hosts_with_lun("xen1", "xen2", identity=identity)
    running(one, "web", "/dev/mapper/xen1")
    running(other, "db", "/dev/mapper/xen2")
    found = the_finding("two-writers", one, other)
    assert [(at.host, at.path) for at in (found.place, *found.others)] == [
        ("xen1", "/dev/mapper/xen1"),
        ("xen2", "/dev/mapper/xen2"),
    ]


@pytest.mark.parametrize(
    "identity",
    [
        ("device", "8:16"),
        ("file", "8:1:131"),
        ("uuid_file", "5f0c2d1e inode 7"),
        ("unit", "t10.ATA     QEMU HARDDISK    QM00001 with 2048 sectors"),
        ("unit_file", "t10.IET     00010001 with 2048 sectors inode 7"),
    ],
)
def test_what_hosts_have_alike_by_chance_is_not_the_same(identity: Tuple[str, str]) -> None:
    one, other = hosts_with_lun("xen1", "xen2", identity=identity)
    running(one, "web", "/dev/mapper/xen1")
    running(other, "db", "/dev/mapper/xen2")
    assert codes(one, other) == []


def test_such_an_identity_is_good_enough_on_one_host() -> None:
    host = AuditedXen()
    for name in ("/dev/sda", "/dev/sdb"):
        host.device(name, identities=[("unit", "t10.IET     00010001 with 2048 sectors")])
    running(host, "web", "/dev/sda")
    running(host, "db", "/dev/sdb")
    assert codes(host) == ["two-writers"]


MULTIPATH = "mpath-36001405abc"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (MULTIPATH, MULTIPATH, ["two-writers"]),
        (f"part1-{MULTIPATH}", f"part1-{MULTIPATH}", ["two-writers"]),
        (f"part1-{MULTIPATH}", f"part2-{MULTIPATH}", []),
        ("mpath-1IET     00010001", "mpath-1IET     00010001", []),
        ("CRYPT-LUKS2-0123-a", "CRYPT-LUKS2-0123-b", []),
        ("mpath-eui.0123", "mpath-eui.0124", []),
    ],
)
def test_multipath_devices_of_two_hosts(first: str, second: str, expected: List[str]) -> None:
    hosts = [AuditedXen("xen1"), AuditedXen("xen2")]
    for host, uuid in zip(hosts, (first, second)):
        host.device("/dev/mapper/a", below=[LUN], device={"mapper_uuid": uuid})
        running(host, f"web-{host.name}", "/dev/mapper/a")
    assert codes(*hosts) == expected


def test_a_multipath_device_and_a_single_path_on_another_host() -> None:
    one, other = AuditedXen("xen1"), AuditedXen("xen2")
    one.device("/dev/mapper/a", below=[LUN], device={"mapper_uuid": MULTIPATH})
    running(one, "web", "/dev/mapper/a")
    other.device("/dev/sdb", identities=[LUN])
    running(other, "db", "/dev/sdb")
    assert codes(one, other) == ["two-writers"]


def test_a_guest_that_runs_on_two_hosts_at_once() -> None:
    one, other = hosts_with_lun("xen1", "xen2")
    running(one, "web", "/dev/mapper/xen1")
    running(other, "web", "/dev/mapper/xen2")
    assert codes(one, other) == ["two-writers"]


def test_a_guest_that_can_be_migrated_has_its_config_on_both_hosts() -> None:
    one, other = hosts_with_lun("xen1", "xen2")
    running(one, "web", "/dev/mapper/xen1")
    off(other, "web", "/dev/mapper/xen2")
    assert codes(one, other) == []


def test_but_not_both_hosts_may_start_it() -> None:
    one, other = hosts_with_lun("xen1", "xen2")
    for host in (one, other):
        off(host, "web", f"/dev/mapper/{host.name}", boot=True)
    found = the_finding("two-at-start", one, other)
    assert [at.host for at in (found.place, *found.others)] == ["xen1", "xen2"]


@pytest.mark.parametrize("saved", [False, True])
def test_a_config_with_a_disk_that_another_guest_holds(saved: bool) -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    off(host, "web", "/dev/vg0/a", "ro")
    host.config("db", [("xvdb", "/dev/vg0/a")])
    if saved:
        host.save("db", [("xvdb", "/dev/vg0/a")])
    else:
        host.run("db", [("xvdb", "/dev/vg0/a")])
    found = the_finding("held-by-another", host)
    assert (found.place.domain, [one.domain for one in found.others]) == ("web", ["db"])
    kept = ", saved in /var/lib/xen/save/db" if saved else ""
    assert found.seen == (
        f"/etc/xen/web.cfg has it for domain web (ro), and domain db on xen1 as xvdb (rw{kept}) "
        "holds it"
    )


def test_a_config_with_a_disk_that_a_guest_of_another_host_holds() -> None:
    one, other = hosts_with_lun("xen1", "xen2")
    off(one, "web", "/dev/mapper/xen1")
    running(other, "db", "/dev/mapper/xen2")
    found = the_finding("held-by-another", one, other)
    assert (found.place.host, found.others[0].host) == ("xen1", "xen2")


def test_two_configs_that_start_at_boot() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    for domain in ("web", "db"):
        off(host, domain, "/dev/vg0/a", boot=True)
    assert codes(host) == ["two-at-start"]


@pytest.mark.parametrize("boot", [False, True])
def test_two_configs_of_which_one_at_most_starts_at_boot(boot: bool) -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    off(host, "web", "/dev/vg0/a", boot=boot)
    off(host, "rescue", "/dev/vg0/a")
    assert codes(host) == ["two-configs"]


def test_a_config_with_a_disk_in_two_slots() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    host.config("web", [("xvda", "/dev/vg0/a"), ("xvdb", "/dev/vg0/a")])
    found = the_finding("two-at-start", host)
    assert [one.slot for one in (found.place, *found.others)] == ["xvda", "xvdb"]


def test_copies_of_a_config_are_of_one_domain() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    off(host, "web", "/dev/vg0/a", boot=True)
    host.config("web", [("xvda", "/dev/vg0/a")], path="/etc/xen/web.cfg.old")
    host.config("web", [("xvdb", "/dev/vg0/a")], path="/etc/xen/web.cfg.older")
    assert codes(host) == []


def test_a_partition_and_its_disk() -> None:
    host = AuditedXen()
    host.device("/dev/sdb", identities=[LUN])
    host.device("/dev/sdb1", below=[LUN])
    host.device("/dev/sdb2", below=[LUN])
    running(host, "one", "/dev/sdb1")
    running(host, "two", "/dev/sdb2")
    assert codes(host) == []
    running(host, "all", "/dev/sdb", "ro")
    found = the_finding("two-writers", host)
    assert [one.domain for one in (found.place, *found.others)] == ["all", "one", "two"]


def test_a_partition_whose_disk_only_a_config_has() -> None:
    host = AuditedXen()
    host.device("/dev/sdb", identities=[LUN])
    host.device("/dev/sdb1", below=[LUN])
    running(host, "one", "/dev/sdb1")
    off(host, "all", "/dev/sdb")
    assert codes(host) == ["held-by-another"]


def test_partitions_whose_disk_only_a_config_has() -> None:
    host = AuditedXen()
    host.device("/dev/sdb", identities=[LUN])
    for number in ("1", "2"):
        host.device(f"/dev/sdb{number}", below=[LUN])
        running(host, number, f"/dev/sdb{number}")
    off(host, "all", "/dev/sdb")
    found = the_finding("held-by-another", host)
    assert [one.domain for one in found.others] == ["1", "2"]


def test_backing_files_are_read_and_data_files_written() -> None:
    host = AuditedXen()
    host.image("/srv/base.raw")
    for name in ("a", "b"):
        behind = (OtherData("/srv/base.raw", "backing file", False),)
        host.image(f"/srv/{name}.qcow2", storage={"behind": behind}, signature="qcow2")
        host.config(name)
        host.configured(name, "xvda", f"/srv/{name}.qcow2", format="qcow2")
        host.run(name)
        host.attach(name, "xvda", f"/srv/{name}.qcow2", format="qcow2")
    assert codes(host) == []
    running(host, "c", "/srv/base.raw")
    found = the_finding("two-writers", host)
    assert {one.path for one in (found.place, *found.others)} == {"/srv/base.raw"}
    assert "domain a on xen1 as backing file of xvda (ro)" in found.seen


def test_a_medium_in_a_drive_is_read() -> None:
    host = AuditedXen()
    host.image("/srv/iso/a.iso")
    running(host, "web", "/srv/iso/a.iso")
    host.config("win", guest=Guest("hvm"))
    host.configured("win", "hdc", None, devtype="cdrom", access="ro")
    host.run("win")
    host.attach("win", "hdc", None, devtype="cdrom", access="ro", medium_storage="/srv/iso/a.iso")
    assert codes(host) == ["two-writers"]


def test_a_vbd_that_only_occupies_its_slot_has_no_data() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    running(host, "web", "/dev/vg0/a")
    host.run("db")
    host.config("db")
    host.attach("db", "xvda", "/dev/vg0/a", flaw="left over", is_served=False, backend_state=1)
    assert codes(host) == ["occupied-slot"]


def test_a_vbd_that_is_being_detached_may_still_write() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    running(host, "web", "/dev/vg0/a")
    host.run("db")
    host.config("db")
    host.attach("db", "xvda", "/dev/vg0/a", flaw="it is being detached", is_served=True)
    assert codes(host) == ["two-writers", "occupied-slot"]


def test_a_sentence_names_some_and_counts_the_others() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    for number in range(MOST_NAMED + 3):
        running(host, f"web{number}", "/dev/vg0/a")
    found = the_finding("two-writers", host)
    assert len(found.others) == MOST_NAMED + 2
    assert " and 3 more have it at the same time" in found.seen
    assert f"web{MOST_NAMED}" not in found.seen


def test_a_guest_with_the_data_under_another_name_than_its_config() -> None:
    host = AuditedXen()
    for name in ("/dev/sda", "/dev/sdb"):
        host.device(name, identities=[LUN])
    running(host, "db", "/dev/sda")
    host.config("web", [("xvda", "/dev/sda")])
    host.run("web", [("xvda", "/dev/sdb")])
    found = the_finding("two-writers", host)
    assert [one.domain for one in (found.place, *found.others)] == ["db", "web"]


def test_data_that_is_the_same_by_a_third_name() -> None:
    """Two names that have nothing in common, and one that has something of both."""
    host = AuditedXen()
    host.device("/dev/sda", identities=[("unit", "naa.1a")])
    host.device("/dev/sdb", identities=[("unit", "naa.2b")])
    running(host, "web", "/dev/sda")
    running(host, "db", "/dev/sdb")
    assert codes(host) == []
    host.device("/dev/dm-9", identities=[("unit", "naa.1a"), ("unit", "naa.2b")])
    running(host, "mail", "/dev/dm-9", "ro")
    found = the_finding("two-writers", host)
    assert len(found.others) == 2


# ---- the same by comparing all pairs ----

USES = st.lists(
    st.tuples(st.sampled_from(["own", "above"]), st.booleans(), st.sampled_from("abc")),
    max_size=6,
)


@given(USES)
@settings(deadline=None)
def test_it_finds_what_a_comparison_of_all_pairs_finds(
    written: Sequence[Tuple[str, bool, str]],
) -> None:
    host = AuditedXen()
    host.device("/dev/sdb", identities=[LUN])
    host.device("/dev/sdb1", below=[LUN])
    kinds = {}
    for number, (kind, writes, domain) in enumerate(written):
        slot = f"xvd{'abcdef'[number]}"
        kinds[domain, slot] = (kind, writes)
        storage = "/dev/sdb" if kind == "own" else "/dev/sdb1"
        host.attach(domain, slot, storage, access="rw" if writes else "ro")
    expected = {
        slot
        for one, other in combinations(kinds, 2)
        if (kinds[one][1] or kinds[other][1]) and "own" in (kinds[one][0], kinds[other][0])
        for slot in (one, other)
    }
    groups = shared_data([HostIndex("xen1", host.survey())])
    of_disk = (one for one in groups if any(use.storage.name == "/dev/sdb" for use in one.uses))
    shared = next(of_disk, SharedData())
    found = {(use.domain, use.slot) for use in shared.involved(lambda use: use.is_written)}
    assert found == expected


# ---- against the bare model ----


def two_storages(
    first: Sequence[Tuple[str, str]],
    second: Sequence[Tuple[str, str]],
    below: Optional[Sequence[Tuple[str, str]]] = None,
) -> AuditedXen:
    host = AuditedXen()
    host.device("/dev/a", identities=first)
    host.device("/dev/b", identities=second, below=below or ())
    host.attach("web", "xvda", "/dev/a")
    host.attach("db", "xvda", "/dev/b")
    return host


IDENTITIES = st.lists(st.tuples(st.just("unit"), st.sampled_from(["naa.1", "naa.2"])), max_size=2)


@given(IDENTITIES, IDENTITIES, IDENTITIES)
@settings(deadline=None)
def test_data_overlaps_as_the_survey_says(
    first: Sequence[Tuple[str, str]],
    second: Sequence[Tuple[str, str]],
    below: Sequence[Tuple[str, str]],
) -> None:
    host = two_storages(first, second, below)
    one, other = host.survey().storages
    found = [finding.code for finding in found_on(host)]
    assert ("two-writers" in found) == one.overlaps(other)
