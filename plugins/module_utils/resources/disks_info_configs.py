# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configs of a host, for xen_disks_info: each file is read once, whatever its names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

from ansible_collections.xen.blockdev.plugins.module_utils.config import autostart as xendomains
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import guest_of
from ansible_collections.xen.blockdev.plugins.module_utils.config.images import (
    possible_configs,
    text_of_config,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_gaps import Gaps
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    AutostartEntry,
    FoundConfig,
)

EXAMPLES = "xlexample."
"""How the names of the configs begin that xl brings as examples."""

Given = TypeVar("Given")
Found = TypeVar("Found")

_SETS_NAME = re.compile(r"^[ \t]*name[ \t]*=", re.MULTILINE)


@dataclass(frozen=True)
class ReadConfig:
    """A config and its disks."""

    config: FoundConfig
    disks: Sequence[ListedDisk]
    """Those that are meant: see ``config/text.meant``."""


class ConfigReader:
    """Reads the configs of some directories, and those that xendomains starts."""

    def __init__(
        self, directories: Sequence[str], autostart_dir: str, keep_settings: bool, gaps: Gaps
    ) -> None:
        """``keep_settings``: whether FoundConfig.settings is wanted."""
        self._directories = directories
        self._keep_settings = keep_settings
        self._gaps = gaps
        self._entries = self._read_entries(autostart_dir)

    def configs(self) -> List[ReadConfig]:
        """All configs, in the order in which they were found."""
        found = (self._config(file, path) for file, path in self._paths().items())
        return [one for one in found if one]

    def autostart(self, configs: Sequence[ReadConfig]) -> Tuple[AutostartEntry, ...]:
        """The entries of the autostart directory, which lead to these ``configs``."""
        paths = {one.config.file: one.config.path for one in configs}
        return tuple(
            AutostartEntry(
                path=path,
                file=file,
                exists=os.path.exists(file),
                is_link=os.path.islink(path),
                is_started=xendomains.is_started_name(os.path.basename(path)),
                config=paths.get(file),
            )
            for path, file in self._entries.items()
        )

    def _read_entries(self, directory: str) -> Dict[str, str]:
        """By path, the file to which each entry of the autostart directory leads."""
        with self._gaps.noted("autostart", directory):
            paths = (os.path.join(directory, one) for one in xendomains.visible_names(directory))
            return {path: os.path.realpath(path) for path in paths}
        return {}

    def _paths(self) -> Dict[str, str]:
        """By file, the first path of each that may be a config."""
        paths: Dict[str, str] = {}
        for directory in self._directories:
            with self._gaps.noted("config", directory):
                for path in possible_configs(directory):
                    if not os.path.basename(path).startswith(EXAMPLES):
                        paths.setdefault(os.path.realpath(path), path)
        for path, file in self._entries.items():
            paths.setdefault(file, path)
        return paths

    def _config(self, file: str, path: str) -> Optional[ReadConfig]:
        """The config in a file; None if the file is something else."""
        text = None
        with self._gaps.noted("config", path):
            text = text_of_config(file)
        return None if text is None else self._read(file, path, text)

    def _read(self, file: str, path: str, text: str) -> Optional[ReadConfig]:
        entries = tuple(one for one, its_file in self._entries.items() if its_file == file)
        is_meant = bool(entries) or path.endswith(".cfg") or _SETS_NAME.search(text) is not None
        try:
            settings = config_text.settings(text)
        except BlockdevError as error:
            problem = _without_password(str(error), text)
            unreadable = FoundConfig(path, file, autostart=entries, problems=(problem,))
            return ReadConfig(unreadable, ()) if is_meant else None
        name = settings.pop("name", None)
        if not (is_meant or isinstance(name, str)):
            return None  # It may be xl.conf, or the config of something else.
        settings.pop("disk", None)
        problems = [] if isinstance(name, str) else ["it does not set a name"]
        guest = _tried(guest_of, settings, problems)
        specs = _tried(config_text.meant, text, problems) or ()
        _tried(config_text.disk_specs, text, problems)  # xl may not read what is meant.
        return ReadConfig(
            FoundConfig(
                path=path,
                file=file,
                domain=name if isinstance(name, str) else None,
                rendered=config_text.is_rendered(text),
                guest=guest,
                settings=settings if self._keep_settings else None,
                autostart=entries,
                problems=tuple(dict.fromkeys(problems)),
            ),
            [ListedDisk.read(spec) for spec in specs],
        )


def _without_password(problem: str, text: str) -> str:
    """The problem of a text, which quotes the line, without the quotation if there are passwords in
    the text: the line may be that of one."""
    return problem.partition(": ")[0] if "passwd" in text else problem


def _tried(read: Callable[[Given], Found], given: Given, problems: List[str]) -> Optional[Found]:
    """What ``read`` makes of ``given``; None with one more of the ``problems`` if it cannot."""
    try:
        return read(given)
    except BlockdevError as error:
        problems.append(str(error))
        return None
