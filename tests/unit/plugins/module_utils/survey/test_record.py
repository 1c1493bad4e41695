# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey becomes plain values and is read back unchanged."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any, Dict, Iterator, get_type_hints

import pytest
import yaml
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.survey import model
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DataIdentity,
    DiskInConfig,
    DiskStorage,
    FoundConfig,
    ImageFile,
    StorageDevice,
    Survey,
    SurveyedDisk,
    VolumeName,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import (
    SurveyError,
    recorded,
    survey_of,
)
from ansible_collections.xen.blockdev.plugins.modules import xen_disks_info
from hypothesis import given, settings
from hypothesis import strategies as st

SURVEY = Survey(1, "xen1", 1.5, True, ("/etc/xen",), ("/srv/xen",), "/etc/xen/auto")
DISK = DiskInConfig("/etc/xen/web.cfg", 0, "/a,,xvda", {"target": "/a", "vdev": "xvda"})


def with_everything(text: str) -> Survey:
    """A survey with each kind of value, in which a user or guest has written ``text``."""
    return replace(
        SURVEY,
        configs=(FoundConfig(text, text, text, guest=Guest("pv"), settings={text: [text, 1]}),),
        disks=(SurveyedDisk(text, 51712, "xvda", (replace(DISK, text=text),)),),
        storages=(
            DiskStorage(text, "file", 512, ImageFile(text, size=512, modified=1.25)),
            DiskStorage(
                "/dev/vg/lv",
                "device",
                device=StorageDevice("/dev/dm-0", "253:0", volume=VolumeName("vg", text, "u")),
                identities=(DataIdentity("volume", "u"),),
            ),
        ),
        guests=None,
    )


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_that_it_is_read_back(text: str) -> None:
    survey = with_everything(text)
    assert survey_of(json.loads(json.dumps(recorded(survey)))) == survey


def test_that_bytes_which_are_no_text_stay_apart() -> None:
    texts = [recorded(name.decode("utf-8", "surrogateescape")) for name in (b"a\xe9", b"a\xea")]
    assert texts == ["a\\xe9", "a\\xea"]
    assert recorded("ü\ud800\udce9") == "ü\\ud800\\xe9"
    json.dumps(recorded(with_everything("\ud800")), ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "host: its version is 2, and this collection reads 1"),
        ({"disks": {}}, "host.disks is of type dict"),
        ({"disks": [{"domain": "web"}]}, "host.disks[0] has no key xenstore_key"),
        ({"is_xen": "yes"}, "host.is_xen is of type str"),
        ({"time": True}, "host.time is of type bool"),
        ({"storages": [{"name": "a", "kind": "file", "size": True}]}, "size is of type bool"),
        ({"storages": [{"name": None, "kind": "file"}]}, "host.storages[0].name is of type None"),
    ],
)
def test_that_anything_else_is_an_error(changes: Dict[str, Any], words: str) -> None:
    with pytest.raises(SurveyError) as error:
        survey_of({**recorded(SURVEY), **changes})
    assert words in str(error.value)


@pytest.mark.parametrize("value", [None, [], "host", {"host": recorded(SURVEY)}])
def test_that_no_survey_is_an_error(value: object) -> None:
    with pytest.raises(SurveyError, match="is it from xen_disks_info"):
        survey_of(value)


def test_that_keys_of_a_later_version_are_left_out() -> None:
    assert survey_of({**recorded(SURVEY), "volume_groups": []}) == SURVEY


# ---- the documentation ----


def keys(kind: Any) -> Dict[str, Any]:
    """The keys of a type, each with those of the values in it."""
    hints = get_type_hints(kind)
    return {one.name: next(of_values(hints[one.name]), {}) for one in fields(kind)}


def of_values(hint: Any) -> Iterator[Dict[str, Any]]:
    """The keys of the dataclass in a type such as Optional[Tuple[SaveFile, ...]]."""
    if is_dataclass(hint):
        yield keys(hint)
    for argument in getattr(hint, "__args__", ()):
        yield from of_values(argument)


def documented(entry: Dict[str, Any]) -> Dict[str, Any]:
    return {name: documented(one) for name, one in entry.get("contains", {}).items()}


def test_that_the_module_documents_each_key() -> None:
    (host,) = yaml.safe_load(xen_disks_info.RETURN).values()
    assert documented(host) == keys(model.Survey)
