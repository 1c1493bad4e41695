# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filter returns means the same as the configs, and its page reads back as that."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.filter.to_xen_domains import to_xen_domains
from ansible_collections.xen.blockdev.plugins.module_utils.config import disk_list
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskInConfig,
    DiskInGuest,
    DiskStorage,
    FoundConfig,
    ImageFile,
    LoopDevice,
    RunningGuest,
    StorageDevice,
    Survey,
    SurveyedDisk,
    SurveyedDomain,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils import config_texts
from hypothesis import given, settings
from hypothesis import strategies as st

IMAGES = {"/srv/xen/a/data.raw": 2**30, "/srv/a b.img": 1000, "/srv/a-root.img": 512}
DEVICES = ("/dev/vg/a-x", "/dev/mapper/vg-a--y", "/dev/sdb")


def surveyed(*texts: str) -> Survey:
    """The survey of a host with these configs, of which none runs."""
    configs, disks = [], []
    for number, text in enumerate(texts):
        path = f"/etc/xen/{number}.cfg"
        try:
            name = config_text.name(text)
            listed = [ListedDisk.read(one) for one in config_text.meant(text)]
            config_text.disk_specs(text)
        except BlockdevError as error:
            configs.append(FoundConfig(path, path, problems=(str(error),)))
            continue
        problems = () if name else ("it does not set a name",)
        configs.append(
            FoundConfig(path, path, name, config_text.is_rendered(text), problems=problems)
        )
        disks += [in_slot(name, path, place, one) for place, one in enumerate(listed)]
    slots: dict[Any, SurveyedDisk] = {}
    for disk in disks:
        key = disk.domain, disk.xenstore_key, disk.xenstore_key is None and disk.configured
        old = slots.setdefault(key, disk)
        if old is not disk:
            slots[key] = replace(old, configured=old.configured + disk.configured)
    names = sorted({one.domain for one in configs if one.domain})
    return Survey(
        version=1,
        host="xen1",
        time=0.0,
        is_xen=True,
        config_dirs=("/etc/xen",),
        images_dirs=("/srv/xen",),
        autostart_dir="/etc/xen/auto",
        domains=tuple(
            SurveyedDomain(name, tuple(one.path for one in configs if one.domain == name))
            for name in names
        ),
        configs=tuple(configs),
        disks=tuple(slots.values()),
        storages=(
            *(
                DiskStorage(path, "file", file=ImageFile(path, size=IMAGES[path]))
                for path in IMAGES
            ),
            *(DiskStorage(path, "device", device=StorageDevice(path, "8:1")) for path in DEVICES),
        ),
    )


def in_slot(name: str | None, path: str, position: int, listed: ListedDisk) -> SurveyedDisk:
    spec = listed.spec
    if spec is None:
        found = DiskInConfig(path, position, listed.text, problem=listed.problem)
        return SurveyedDisk(name, None, None, configured=(found,))
    known = spec.target in IMAGES or spec.target in DEVICES
    found = DiskInConfig(
        path,
        position,
        listed.text,
        said=spec.as_dict(),
        target=spec.target,
        target_form="path" if str(spec.target).startswith("/") else "other",
        storage=spec.target if known else None,
        target_problem=None if known else "it does not exist",
    )
    return SurveyedDisk(name, spec.slot.xenstore_key, spec.vdev, configured=(found,))


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads Ansible's tag for what is no template."""


class Unsafe(str):
    """A text that Ansible takes as it is."""


Loader.add_constructor("!unsafe", lambda loader, node: Unsafe(loader.construct_scalar(node)))


def loaded(page: str) -> Any:
    return yaml.load(page, Loader=Loader)


def untouched(text: str, domain: dict[str, Any]) -> None:
    """Assert that xen_domain_config would leave the config as it is."""
    (config,) = disk_plan.plan([domain]).configs
    if "disks" not in config:
        return
    old = [ListedDisk.read(one) for one in config_text.disk_specs(text)]
    specs = {one.spec.slot.xenstore_key: one.spec for one in old if one.spec}
    wanted = [DiskSpec.of_options(one) for one in config["disks"]]
    new = [ListedDisk.of(one.with_unsaid(specs[one.slot.xenstore_key])) for one in wanted]
    keys = {one.slot.xenstore_key for one in wanted}
    kept = [one for one in old if one.identity not in keys]
    assert not kept or config.get("unlisted_disks") == "keep"
    assert disk_list.replace_disks(text, [*new, *kept]) == text


TARGETS = st.sampled_from(
    [*IMAGES, *DEVICES, "", "/srv//x", "vg/x", "x.img", "/srv/gone.raw", "/dev/vg/gone", "{{ 1 }}"]
)
SLOTS = st.sampled_from(["xvda", "xvdb", "hda", "hdc", "xvdd8", "51712", "5", "sda", "d0p0", "xvd"])
SPECS = st.one_of(
    st.builds(
        "{},{},{},{}{}".format,
        TARGETS,
        st.sampled_from(["", "raw", "qcow2", "empty"]),
        SLOTS | SLOTS.map("{}:cdrom".format),
        st.sampled_from(["", "w", "r", "rw", "ro"]),
        st.sampled_from(["", ",backendtype=qdisk", ",no-discard", ",script=x", ",cdrom", ",,"]),
    ),
    st.builds(
        "{}{},{},{}".format,
        st.sampled_from(["phy:", "file:", "tap:aio:", "tap:qcow2:", "drbd:", "rbd:"]),
        TARGETS,
        SLOTS,
        st.sampled_from(["w", "r"]),
    ),
    st.builds(
        "{}vdev={}, {}target={}".format,
        st.sampled_from(["", "format=raw, ", "access=ro, ", "devtype=cdrom, ", "colo, ", "x=1,"]),
        SLOTS,
        st.sampled_from(["", "backendtype=qdisk, ", "discard, ", "backend=0, ", "trusted, "]),
        TARGETS,
    ),
)
CONFIGS = st.builds(
    "name = '{}'\ndisk = [\n{}]\n".format,
    st.sampled_from(["a", "b", "12", "a b"]),
    st.lists(SPECS.map("  '{}', # x\n".format), max_size=5).map("".join),
)


@settings(deadline=None)
@given(st.lists(CONFIGS, max_size=3))
def test_every_config_stays_as_it_is(texts: list[str]) -> None:
    found = to_xen_domains(recorded(surveyed(*texts)))
    disk_plan.plan(found["domains"])
    assert loaded(found["text"])["xen_domains"] == found["domains"]
    by_path = {f"/etc/xen/{number}.cfg": text for number, text in enumerate(texts)}
    for domain in found["domains"]:
        untouched(by_path[domain["config_path"]], domain)


@settings(deadline=None)
@given(st.lists(config_texts.configs | config_texts.mutated(), max_size=2))
def test_no_text_breaks_it(texts: list[str]) -> None:
    found = to_xen_domains(recorded(surveyed(*texts)))
    assert loaded(found["text"])["xen_domains"] == found["domains"]
    for domain in found["domains"]:
        number = int(re.findall(r"[0-9]+", domain["config_path"])[0])
        untouched(texts[number], domain)


# ---- loop devices ----

IMAGE = "/srv/xen/a/data.raw"
LINK = "/dev/disk/by-loop-file" + IMAGE
BOUND = LoopDevice(
    *("/dev/loop3", IMAGE, False, LINK, 7, 3, IMAGES[IMAGE], 0, 0, 512, False, False, True, False),
    marked=True,
    storage=IMAGE,
)
USUAL = {"name": "data", "size": "1GiB"}


def of_loop(target: str, form: str, *devices: LoopDevice, **options: Any) -> Any:
    """What is taken over of a config with this target, and why the rest is not."""
    survey = surveyed(f"name = 'a'\ndisk = [ '{target},,xvda,w' ]\n")
    (disk,) = survey.disks
    found = replace(disk.configured[0], target_form=form, storage=IMAGE, target_problem=None)
    disks = (replace(disk, configured=(found,)),)
    host = recorded(replace(survey, disks=disks, loop_devices=devices))
    result = to_xen_domains(host, **options)
    return result["domains"][0].get("disks", []), " ".join(result["notes"]), result["text"]


def test_an_image_that_is_bound_at_every_boot_is_the_usual_one() -> None:
    assert of_loop(LINK, "link", BOUND)[:2] == ([USUAL], "")
    wide = replace(BOUND, sector_size=4096)
    assert of_loop(LINK, "link", wide)[0] == [{**USUAL, "sector_size": 4096}]


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        ((), "is not bound to a loop device"),
        ((BOUND, BOUND), "is bound more than once"),
        ((replace(BOUND, offset=512),), "is bound to /dev/loop3 only in part"),
        ((replace(BOUND, size_limit=512),), "is bound to /dev/loop3 only in part"),
        ((replace(BOUND, by_script=True),), "by Xen's script"),
        ((replace(BOUND, autoclear=True),), "only as long as somebody uses that"),
        ((replace(BOUND, size=512),), "has another size than /dev/loop3 shows"),
        ((replace(BOUND, persistent=False),), "is not bound when the host boots"),
    ],
)
def test_a_link_that_provision_would_have_to_mend_is_a_choice(
    devices: tuple[LoopDevice, ...], why: str
) -> None:
    disks, note, page = of_loop(LINK, "link", *devices)
    assert (disks, why in note) == ([], True)
    assert "# - {name: data, size: 1GiB, vdev: xvda" in page
    asked = of_loop(LINK, "link", *devices, changes=["loop_devices"])[0]
    assert [disk["name"] for disk in asked] == ["data"]


def test_the_number_of_a_loop_device_is_kept_and_its_image_offered() -> None:
    disks, note, page = of_loop("/dev/loop3", "loop", BOUND)
    assert disks == [{"name": "data", "target": "/dev/loop3"}]
    assert f"/dev/loop3 is {IMAGE} now, and may be another image" in note
    assert "# - {name: data, size: 1GiB, vdev: xvda}" in page
    assert of_loop("/dev/loop3", "loop", BOUND, changes=["loop_devices"])[0] == [USUAL]
    partial = replace(BOUND, offset=512)
    disks, note, _page = of_loop("/dev/loop3", "loop", partial, changes=["loop_devices"])
    assert disks == [{"name": "xvda", "target": "/dev/loop3"}]
    assert f"/dev/loop3 shows a part of {IMAGE}." in note


def test_a_file_that_this_collection_binds_is_a_choice() -> None:
    disks, note, page = of_loop(IMAGE, "path", BOUND)
    assert (disks, f"This collection binds {IMAGE}" in note) == ([], True)
    assert "# - {name: data, size: 1GiB, vdev: xvda, loop: false}" in page
    theirs = replace(BOUND, marked=False, persistent=False)
    assert of_loop(IMAGE, "path", theirs)[0] == [{**USUAL, "loop": False}]


NASTY = "{{ lookup('pipe', 'id') }}\n- x: #\u2028\x85\x07 é'\" \\ {% %}"


def test_texts_of_the_host_are_never_run_and_never_end_a_comment() -> None:
    target = "/srv/{{ 1 }}'.img"
    survey = surveyed(f'name = "a"\ndisk = [ "{target},qcow2,xvda,w", "/dev/sdb,,xvdb,w" ]\n')
    (first, second) = survey.disks
    vbd = DiskInGuest(
        *("a", 1, 51728, "xvdb", "disk", NASTY, None, None, "raw", "phy", "rw"),
        *(4, 4, None, None, None, None),
    )
    survey = replace(
        survey,
        host=NASTY,
        guests=(RunningGuest(1, "a"),),
        domains=(replace(survey.domains[0], domids=(1,), saves=(NASTY,)),),
        disks=(first, replace(second, attached=(vbd,))),
    )
    survey = replace(
        survey, domains=(*survey.domains, SurveyedDomain(NASTY, configs=(), domids=(2,)))
    )
    page = to_xen_domains(recorded(survey))["text"]
    assert page.isascii() or page.replace("\n", "").isprintable()
    assert loaded(page) == {
        "xen_domains": [{"config_path": "/etc/xen/0.cfg", "name": "a", "unlisted_disks": "keep"}]
    }
    chosen = re.sub("^( *)# (- |disks:|  [a-z]+: )", r"\1\2", page, flags=re.MULTILINE)
    entries = loaded(chosen)["xen_domains"][0]["disks"]
    assert [entry.get("path") or entry["target"] for entry in entries] == [
        target,
        "/dev/sdb",
        NASTY,
    ]
    assert [type(entry.get("path") or entry["target"]) for entry in entries] == [
        Unsafe,
        str,
        Unsafe,
    ]


def test_a_line_break_in_a_name_ends_no_comment() -> None:
    survey = surveyed("name = 'a'\n")
    vbd = DiskInGuest(
        *("a", 1, 51712, "xvda", "disk", "/dev/a\nb", None, None, "raw", "phy", "rw"),
        *(4, 4, None, None, None, None),
    )
    survey = replace(
        survey,
        guests=(RunningGuest(1, "a"),),
        domains=(replace(survey.domains[0], domids=(1,)),),
        disks=(SurveyedDisk("a", 51712, "xvda", attached=(vbd,)),),
    )
    page = to_xen_domains(recorded(survey))["text"]
    assert '# - {name: xvda, target: "/dev/a\\nb", vdev: xvda}\n' in page
    assert loaded(page) == {"xen_domains": [{"name": "a", "config_path": "/etc/xen/0.cfg"}]}


def test_long_entries_have_a_line_for_each_key() -> None:
    path = "/srv/" + "long/" * 20 + "a.qcow2"
    survey = surveyed(f"name = 'a'\ndisk = [ '{path},qcow2,xvda,w' ]\n")
    page = to_xen_domains(recorded(survey))["text"]
    assert f"      - name: xvda\n        path: {path}\n        format: qcow2\n" in page
    assert max(len(line) for line in page.splitlines() if path not in line) <= 100


def test_the_directories_are_in_the_page_if_they_are_not_the_usual_ones() -> None:
    survey = recorded(surveyed("name = 'a'\n"))
    found = to_xen_domains(survey, images_dir="/data", config_dir="/conf")
    assert loaded(found["text"]) == {
        "xen_images_dir": "/data",
        "xen_config_dir": "/conf",
        "xen_domains": [{"name": "a", "config_path": "/etc/xen/0.cfg"}],
    }
    assert "xen_domains: []" in to_xen_domains(recorded(surveyed()))["text"]


@pytest.mark.parametrize(
    ("host", "options", "message"),
    [
        ({}, {}, "to_xen_domains: host has no key version"),
        (None, {"changes": ["all"]}, "changes: 'all' is none of loop_devices, attached"),
        (None, {"changes": "attached"}, "changes must be a list of loop_devices and attached"),
        (None, {"images_dir": "srv"}, "'srv' is not absolute"),
    ],
)
def test_bad_input_is_refused(host: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        to_xen_domains(recorded(surveyed()) if host is None else host, **options)
    assert message in str(error.value)
