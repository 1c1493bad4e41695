# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configs that ``mirage configure -t xen`` writes, NAME.xl and NAME.xl.in.

Both come from one generator (``lib/devices/target.ml`` in mirage 4.11) and say the same since
2.6.1: name, kernel, type (``builder`` before 3.8), memory, on_crash, the blocks as ``disk`` in the
order of a hash table, the networks as ``vif``. NAME.xl.in has placeholders for what depends on the
host. NAME.xl has values of the machine that built the unikernel instead: kernel and blocks are
relative to the directory of the project in version 4 and absolute before, the bridges are guessed.

The slot of each block is compiled into the unikernel. The numbers start at 1, so the first is
xvdb. A block that ``config.ml`` gets from ``block_of_xenstore_id`` is not listed.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.config import placeholders
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import OPTION
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.disk.values import DiskSpecError
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

# Mirage writes it without quotes, which is not valid for xl.
_BARE_MEMORY = re.compile(
    rf"^([ \t]*{OPTION}[ \t]*=[ \t]*)(@MEMORY@)(?=[ \t]*(?:[;#].*)?$)", re.MULTILINE
)
_BLOCK = re.compile(r"@BLOCK:(.+)@")  # A file name may have an @ of its own.
_NETWORK = "NETWORK:"


class MirageConfigError(BlockdevError):
    """A text that is not a config of MirageOS, or a name that several of its blocks have."""


class Block(NamedTuple):
    """A disk for which the unikernel was built."""

    file: str
    """The name of its file: in NAME.xl.in as ``config.ml`` has it, in NAME.xl the target."""
    disk: Dict[str, Any]
    """What the config says about it, by the keys of DiskSpec, without the target."""
    slot: DeviceNumber
    """That of its ``vdev``."""


class MirageConfig(NamedTuple):
    """The content of such a config, except for the name: the user names the domain."""

    blocks: Sequence[Block]
    options: Mapping[str, config_syntax.Value]
    """All other settings by xl's names, including their placeholders."""

    @property
    def networks(self) -> List[str]:
        """The names of the networks whose bridges have to be filled in."""
        names = (name for value in self.options.values() for name in placeholders.names_in(value))
        return [name[len(_NETWORK) :] for name in names if name.startswith(_NETWORK)]

    def block(self, file: str) -> Optional[Block]:
        """The block with that file name or, if there is none, with that name in any directory.

        Raises MirageConfigError, as ``block_for`` does, if several blocks match.
        """
        return self._first_match(file, (_whole, posixpath.basename))

    def block_for(self, disk: str) -> Optional[Block]:
        """The block of a disk with that name: the name of its file, with or without the directory,
        or without directory and extension."""
        return self._first_match(disk, (_whole, posixpath.basename, _stem))

    def _first_match(self, name: str, forms: Sequence[Callable[[str], str]]) -> Optional[Block]:
        for form in forms:
            blocks = [block for block in self.blocks if form(block.file) == name]
            if len(blocks) > 1:
                files = ", ".join(repr(block.file) for block in blocks)
                raise MirageConfigError(
                    f"{name!r} matches several blocks of the template, {files}: set block to one "
                    "of them"
                )
            if blocks:
                return blocks[0]
        return None

    def filled(
        self,
        name: str,
        kernel: Optional[str],
        memory: Optional[int],
        networks: Mapping[str, str],
    ) -> Dict[str, Any]:
        """The options for a domain. ``kernel``, ``memory`` (MiB) and ``networks``, bridges by the
        names of networks, replace those of the template; other placeholders remain."""
        given = {"kernel": kernel, "memory": memory}
        chosen = {option: value for option, value in given.items() if value is not None}
        known: Dict[str, object] = {
            "NAME": name,
            **{option.upper(): value for option, value in chosen.items()},
            **{_NETWORK + network: bridge for network, bridge in networks.items()},
        }
        options = {
            option: placeholders.filled(value, known) for option, value in self.options.items()
        }
        return {**options, **chosen}


def parse(text: str) -> MirageConfig:
    """Read the text of a NAME.xl or NAME.xl.in. Raises MirageConfigError."""
    if "=" not in text:
        raise MirageConfigError(
            f'{text!r:.80} is not the text of a config; read a file with "{{{{ lookup('
            "'ansible.builtin.file', 'mirage/hello.xl.in') }}\""
        )
    # The file lookup drops the last line end, without which xl rejects a comment.
    text = _BARE_MEMORY.sub(r"\1'\2'", text) + "\n"
    try:
        options = config_text.settings(text)
        blocks = [_block(spec) for spec in config_text.disk_specs(text)]
    except (config_syntax.DomainConfigError, DiskSpecError) as error:
        raise MirageConfigError(str(error)) from error
    return MirageConfig(
        blocks, {name: value for name, value in options.items() if name not in ("name", "disk")}
    )


def _block(spec: str) -> Block:
    disk = DiskSpec.parse(spec)
    if disk.target is None:
        raise MirageConfigError(f"disk {spec!r} has no target")
    try:
        slot = disk.slot
    except device_number.DeviceNumberError as error:
        raise MirageConfigError(f"disk {spec!r}: vdev: {error}") from error
    placeholder = _BLOCK.fullmatch(disk.target)
    file = placeholder[1] if placeholder else disk.target
    return Block(file, replace(disk, target=None).as_dict(), slot)


def _whole(file: str) -> str:
    return file


def _stem(file: str) -> str:
    return posixpath.splitext(posixpath.basename(file))[0]
