# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that a config gets, and the sentence of the action that writes it."""

from __future__ import annotations

from typing import Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config import config_file, disk_list
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import (
    Config,
    ConfigError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_item import (
    DomainConfigItem,
)


def wanted_text(
    item: DomainConfigItem, config: Config, disks: Sequence[ListedDisk]
) -> Tuple[str, str]:
    """Text and sentence for a config that is to have these disks. Raises BlockdevError."""
    if config.text is not None and (item.options is None or not item.overwrite):
        config_file.refuse_other_domain(item.domain, config.text)
    if item.only_disks(config):
        return _with_disks(item, config, str(config.text), disks)
    if config.text is not None and not config.rendered and not item.overwrite:
        raise ConfigError(
            "this config was not written by xen_domain_config; set overwrite: true to replace it, "
            "or omit options (in a plan, config) to change only its disk list"
        )
    texts = [disk.text for disk in disks]
    return config_text.render(item.domain, item.options or {}, texts), f"write {config.path}"


def emptied_text(config: Config, text: str) -> Tuple[str, str]:
    """The same for a config that says ``text`` and is to have no disks."""
    return disk_list.replace_disks(text, []), f"empty the disk list of {config.path}"


def _with_disks(
    item: DomainConfigItem, config: Config, text: str, disks: Sequence[ListedDisk]
) -> Tuple[str, str]:
    if item.disks is None:
        return text, ""
    sentence = f"replace the disk list in {config.path}"
    if disk_list.mended(text) != text:
        sentence = f"write disk in {config.path} as a list, since xl ignores a disk in a string"
    return disk_list.replace_disks(text, disks), sentence
