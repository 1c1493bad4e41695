# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configs refer to an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config.images import NamingConfigs
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import bound


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "a.raw"
    path.touch()
    return str(path)


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    directory = tmp_path / "xen"
    directory.mkdir()
    return directory


def naming(image: str, configs: Path, *but_for: Path) -> List[str]:
    named_in: Dict[str, Any] = {"directories": [str(configs)], "but_for": [*map(str, but_for)]}
    device = bound(Path(image))
    return [os.path.basename(file) for file in NamingConfigs(lambda: [device]).of(image, named_in)]


@pytest.mark.parametrize("form", ["{image},raw,xvda,r", "{link},,xvda", "/dev/loop3,,xvda"])
def test_a_config_refers_to_an_image_by_path_link_or_device(
    image: str, configs: Path, form: str
) -> None:
    spec = form.format(image=image, link=loop_link.link_of(image))
    (configs / "web.cfg").write_text(f"name='web'\ndisk=['{spec}']\n")
    (configs / "db.cfg").write_text("name='db'\ndisk=['/dev/vg0/db,,xvda']\n# /dev/loop3\n")
    assert naming(image, configs) == ["web.cfg"]
    assert naming(image, configs, configs / "web.cfg") == []


def test_another_name_of_the_image(image: str, configs: Path) -> None:
    os.link(image, f"{configs}/hard.raw")
    (configs / "web.cfg").write_text(f"name='web'\ndisk=['{configs}/hard.raw,,xvda']\n")
    assert naming(image, configs) == ["web.cfg"]


def test_a_text_that_cannot_be_parsed_counts_if_it_has_the_path(image: str, configs: Path) -> None:
    (configs / "old.py").write_text(f"import os\ndisk = ['file:{image},xvda,w']\n")
    (configs / "copy.cfg~").write_text(f"disk = ['{image},,xvda']\n")
    (configs / "notes").write_text("import os\n")
    (configs / "directory").mkdir()
    assert naming(image, configs) == ["old.py"]


def test_without_the_option_no_configs_are_found(image: str) -> None:
    assert NamingConfigs(list).of(image, None) == []
    assert NamingConfigs(list).of(image, {"directories": ["/no/such"], "but_for": None}) == []
