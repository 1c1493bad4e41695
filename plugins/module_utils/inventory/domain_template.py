# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain takes from its template, a config that MirageOS generated, and what fills it.

From there come the slots of its disks, which are compiled into the unikernel, and all that its
config says and the user does not. With a template or without, this is where a config is settled:
nothing in it is left to be filled in.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config import placeholders
from ansible_collections.xen.blockdev.plugins.module_utils.config.mirage_xl import (
    Block,
    MirageConfig,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import (
    VBD_OPTIONS,
    InventoryError,
    Options,
    nearest,
    shown,
)

Report = Callable[[str], None]
"""Takes a problem of the domain."""

_SLOT = "SLOT:"
_IN_CONFIG = {"kernel": "kernel", "memory": "memory", "networks": "vif"}
"""Options that need a template, and what says the same in ``config``."""

_TO_FILL = {
    "NAME": "write the name itself",
    "KERNEL": "write kernel, the path of the unikernel on the host",
    "MEMORY": "write memory",
    "BLOCK": "it has a meaning as a disk's target only",
    "NETWORK": "write its bridge into networks",
}


# ---- disks ----


def with_block(options: Options, template: Optional[MirageConfig], absent: bool) -> Options:
    """A disk's options, together with those that the template has for it.

    The slot is the template's. What else it says holds where the user does not say otherwise.
    Raises InventoryError for a disk that does not go with the template, unless it is absent: that
    one may have been in an earlier template.
    """
    try:
        block = _block(options, template)
        return {**_options_of(block), **_with_slot_of(block, options)} if block else options
    except BlockdevError as error:
        if absent:
            return options
        raise InventoryError(str(error)) from error


def blocks_without_disk(template: MirageConfig, keys: Iterable[int]) -> Iterator[str]:
    """What is wrong with blocks whose slots are not among the xenstore keys of present disks."""
    there = {*keys}
    for block in template.blocks:
        if _key(block.disk["vdev"]) not in there:
            yield (
                f"the template's block {shown(block.file)} has no disk that is present: add one "
                f"with block: {block.file}"
            )


def _block(options: Options, template: Optional[MirageConfig]) -> Optional[Block]:
    if template is None:
        for option in ("block", "xenstore_id"):
            if option in options:
                raise InventoryError(f"{option} does not apply: the domain has no template")
        return None
    if options.get("xenstore_id"):
        if "block" in options:
            raise InventoryError("block does not apply: xenstore_id: true is for a disk without")
        if "vdev" not in options:
            raise InventoryError("xenstore_id: true needs vdev, the slot that the unikernel names")
        return None
    return _block_in(template, options)


def _block_in(template: MirageConfig, options: Options) -> Optional[Block]:
    name = options.get("block", options.get("name"))
    if name is None:
        return None
    block = template.block(name) if "block" in options else template.block_for(name)
    if block is None:
        files = [known.file for known in template.blocks]
        raise InventoryError(
            f"the template has no block {shown(name)}: write block "
            f"({nearest(name, files) if files else 'it has none'}), or xenstore_id: true for a "
            "slot that the unikernel names itself"
        )
    return block


def _options_of(block: Block) -> Options:
    for key, value in block.disk.items():
        if key == "vdev":
            continue
        with explained(f"the template's {key} for it"):
            VBD_OPTIONS[key](value)
    return block.disk


def _with_slot_of(block: Block, options: Options) -> Options:
    written, built = options.get("vdev"), block.disk["vdev"]
    if written is not None and _key(written) != _key(built):
        raise InventoryError(
            f"vdev is {written}, but the template has its block {shown(block.file)} in {built}: "
            "leave vdev out"
        )
    return options


def _key(vdev: object) -> int:
    return device_number.parse(vdev).xenstore_key


# ---- the config ----


def config_of(
    name: str, options: Options, slots: Mapping[str, Sequence[int]], report: Report
) -> Optional[Options]:
    """What the config of a present domain says beside name and disks; None if nothing is wanted.

    ``slots``: the xenstore keys of the present disks by their names and labels. What is wrong is
    reported, and the result then not fit for use.
    """
    settings: Optional[Options] = options.get("config")
    if "template" in options:
        settings = _from_template(name, options, report)
    else:
        for option, instead in _IN_CONFIG.items():
            if option in options:
                report(f"{option} does not apply without a template: write {instead} into config")
    return None if settings is None else _filled(settings, slots, report)


def _from_template(name: str, options: Options, report: Report) -> Options:
    template: MirageConfig = options["template"]
    config, networks = options.get("config", {}), options.get("networks", {})
    for option, same in _IN_CONFIG.items():
        if option in options and same in config:
            report(f"{option} is said by {same} in config as well: leave one of them out")
    for network in networks:
        if network not in template.networks:
            report(f"networks: {_no_network(network, template.networks)}")
    settings = template.filled(name, options.get("kernel"), options.get("memory"), networks)
    settings.update(config)
    kernel = settings.get("kernel")
    if not any(placeholders.found(kernel)) and not str(kernel).startswith("/"):
        said = "the template has none" if kernel is None else f"{shown(kernel)} is not absolute"
        report(f"kernel is missing, the path of the unikernel on the host: {said}")
    return settings


def _no_network(network: str, known: Sequence[str]) -> str:
    if not known:
        return "the template leaves no bridge open: write vif into config to have other ones"
    return f"the template has no network {shown(network)}: {nearest(network, known)}"


def _filled(settings: Options, slots: Mapping[str, Sequence[int]], report: Report) -> Options:
    """The settings with the slots of disks filled in; what else is left to fill is a problem."""
    known: Dict[str, str] = {}
    for option, placeholder in dict.fromkeys(_places(settings)):
        if placeholder.startswith(_SLOT):
            disk = placeholder[len(_SLOT) :]
            keys = slots.get(disk, ())
            if len(keys) == 1:
                known[placeholder] = str(keys[0])
            else:
                report(f"{option}: @{placeholder}@: {_not_one(disk, keys, slots)}")
        else:
            hint = _TO_FILL[placeholder.partition(":")[0]]
            report(f"{option}: nothing fills @{placeholder}@: {hint}")
    return {option: placeholders.filled(value, known) for option, value in settings.items()}


def _places(settings: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    for option, value in settings.items():
        for placeholder in placeholders.found(value):
            yield option, placeholder


def _not_one(disk: str, keys: Sequence[int], slots: Mapping[str, Sequence[int]]) -> str:
    if keys:
        return f"{len(keys)} disks have {shown(disk)} as name or label"
    return f"no present disk has {shown(disk)} as name or label: " + (
        nearest(disk, slots) if slots else "there is none"
    )
