# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configs that ``mirage configure -t xen`` writes, NAME.xl and NAME.xl.in.

Both come from one generator (``lib/devices/target.ml`` in mirage 4.11) and say the same since
2.6.1: name, kernel, type (``builder`` before 3.8), memory, on_crash, the blocks as ``disk`` in the
order of a hash table, the networks as ``vif``. NAME.xl.in has placeholders for what the host
decides. In NAME.xl these are values of the machine that built the unikernel: kernel and blocks
are relative to the project's folder in version 4 and absolute before, the bridges are guessed.

Which slot a block has is compiled into the unikernel. The numbers start at 1, so the first is
xvdb. A block that ``config.ml`` names by ``block_of_xenstore_id`` is not listed.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.config import placeholders
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import OPTION
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

# Where it stands without quotes, as Mirage writes it, it is no xl syntax.
_BARE_MEMORY = re.compile(
    rf"^([ \t]*{OPTION}[ \t]*=[ \t]*)(@MEMORY@)(?=[ \t]*(?:[;#].*)?$)", re.MULTILINE
)
_BLOCK = re.compile(r"@BLOCK:(.+)@")  # A file name may have an @ of its own.
_NETWORK = "NETWORK:"


class MirageConfigError(BlockdevError):
    """A text that is no config of MirageOS, or a name that several of its blocks have."""


class Block(NamedTuple):
    """A disk that the unikernel was built for."""

    file: str
    """The name of its file: in NAME.xl.in as ``config.ml`` has it, in NAME.xl the target."""
    disk: Dict[str, Any]
    """What the config says about it, by the keys of disk_spec, without the target."""


class MirageConfig(NamedTuple):
    """What such a config says, its name left out: a domain is called as its user wants."""

    blocks: Sequence[Block]
    options: Mapping[str, config_syntax.Value]
    """All other settings by xl's names, placeholders and all."""

    @property
    def networks(self) -> List[str]:
        """The names of the networks whose bridges are left open."""
        names = (name for value in self.options.values() for name in placeholders.found(value))
        return [name[len(_NETWORK) :] for name in names if name.startswith(_NETWORK)]

    def block(self, file: str) -> Optional[Block]:
        """The block of that file name; without its folder, if only one is called so.

        Raises MirageConfigError if several may be meant, as ``block_for`` does.
        """
        return self._first_match(file, (_whole, posixpath.basename))

    def block_for(self, disk: str) -> Optional[Block]:
        """The block of a disk of that name: whose file is called so, or is without its folder,
        or without folder and extension."""
        return self._first_match(disk, (_whole, posixpath.basename, _stem))

    def _first_match(self, name: str, forms: Sequence[Callable[[str], str]]) -> Optional[Block]:
        for form in forms:
            blocks = [block for block in self.blocks if form(block.file) == name]
            if len(blocks) > 1:
                files = ", ".join(repr(block.file) for block in blocks)
                raise MirageConfigError(
                    f"{name!r} may be any of the template's blocks {files}: write block, as it "
                    "stands here"
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
        """The options for a domain, with a kernel and an amount of memory (MiB) of its own where
        they are given, and bridges by the names of networks. What is not given is left open."""
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
            f'{text!r:.80} is not the text of a config; a file is read by "{{{{ lookup('
            "'ansible.builtin.file', 'mirage/hello.xl.in') }}\""
        )
    # A file lookup drops the last line end, without which xl refuses a comment.
    text = _BARE_MEMORY.sub(r"\1'\2'", text) + "\n"
    try:
        options = config_text.settings(text)
        blocks = [_block(spec) for spec in config_text.disks(text)]
    except (config_syntax.DomainConfigError, disk_spec.DiskSpecError) as error:
        raise MirageConfigError(str(error)) from error
    return MirageConfig(
        blocks, {name: value for name, value in options.items() if name not in ("name", "disk")}
    )


def _block(spec: str) -> Block:
    disk = disk_spec.parse(spec)
    target = str(disk.pop("target", ""))
    if not target:
        raise MirageConfigError(f"disk {spec!r} has no target, which each block has")
    try:
        device_number.parse(disk["vdev"])
    except device_number.DeviceNumberError as error:
        raise MirageConfigError(f"disk {spec!r}: vdev: {error}") from error
    placeholder = _BLOCK.fullmatch(target)
    return Block(placeholder[1] if placeholder else target, disk)


def _whole(file: str) -> str:
    return file


def _stem(file: str) -> str:
    return posixpath.splitext(posixpath.basename(file))[0]
