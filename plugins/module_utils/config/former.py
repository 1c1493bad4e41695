# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configs that a domain has under other paths than the wanted one.

A new config may replace such a config, which then says which disks its guest has.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from typing import Dict, List, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config import autostart, config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import Config
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError


class FormerConfigs:
    """Finds the other configs of a domain. The configs that xendomains starts are read once."""

    def __init__(self) -> None:
        self._expected: Set[str] = set()
        self._started = lru_cache(maxsize=None)(_started)

    def expect(self, path: str) -> None:
        """Note that this call manages the config at ``path``, so that no new config replaces it."""
        self._expected.add(os.path.realpath(path))

    def or_itself(self, domain: str, config: Config, autostart_dir: str) -> List[Config]:
        """The configs that say which disks the domain has: ``config`` or, if it is new, the others.

        The others are those in the usual places that this collection wrote for the domain, and
        those in ``autostart_dir`` from which xendomains starts it.
        """
        if config.text is not None:
            return [config]
        usual = (
            _find(os.path.join(place, f"{domain}.cfg"))
            for place in (config.directory, config_text.CONFIG_DIR)
        )
        ours = [one for one in usual if one and _is_ours(one, domain)]
        found = {one.file: one for one in (*ours, *self._started(autostart_dir).get(domain, ()))}
        return [one for file, one in found.items() if file not in self._expected]


def _started(autostart_dir: str) -> Dict[str, List[Config]]:
    """By domain, the configs from which xendomains starts it."""
    configs: Dict[str, List[Config]] = {}
    for name in autostart.visible_names(autostart_dir):
        config = _find(os.path.join(autostart_dir, name))
        with suppress(BlockdevError):
            domain = config_text.name(config.text) if config and config.text else None
            if config and domain:
                configs.setdefault(domain, []).append(config)
    return configs


def _find(path: str) -> Optional[Config]:
    """The config at ``path``; None if it cannot be read. It may not exist."""
    with suppress(BlockdevError, OSError):
        return config_file.find(path)
    return None


def _is_ours(config: Config, domain: str) -> bool:
    return config.text is not None and config_text.is_rendered_for(config.text, domain)
