# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's config, and what it takes from its template, a config that MirageOS generated.

The template has the slots of the domain's disks, which are compiled into the unikernel, and the
options that the user has not set. The resulting config has no placeholders.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config import placeholders
from ansible_collections.xen.blockdev.plugins.module_utils.config.mirage_xl import (
    Block,
    MirageConfig,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import (
    VBD_OPTIONS,
    InventoryError,
    Options,
    Vdev,
    described,
    suggestion,
)

Report = Callable[[str], None]
"""Called with each problem of the domain."""

_SLOT = "SLOT:"
_IN_CONFIG = {"kernel": "kernel", "memory": "memory", "networks": "vif"}
"""Options that need a template, and the settings in ``config`` that correspond to them."""

_TO_FILL = {
    "NAME": "write the name itself",
    "KERNEL": "set kernel to the path of the unikernel on the host",
    "MEMORY": "set memory",
    "BLOCK": "it is valid only as the target of a disk",
    "NETWORK": "set its bridge in networks",
}


# ---- disks ----


def with_block(options: Options, template: Optional[MirageConfig], absent: bool) -> Options:
    """A disk's options, and those that the template has for it and the user has not set.

    Raises InventoryError if the disk does not fit the template, unless it is absent: it may have
    been in an earlier template.
    """
    try:
        block = _block(options, template)
        return {**_options_of(block), **_with_slot_of(block, options)} if block else options
    except BlockdevError as error:
        if absent:
            return options
        raise InventoryError(str(error)) from error


def blocks_without_disk(template: MirageConfig, keys: Iterable[int]) -> Iterator[str]:
    """The problems of blocks whose slots are not among ``keys``, the xenstore keys of the present
    disks."""
    there = {*keys}
    for block in template.blocks:
        if block.slot.xenstore_key not in there:
            yield (
                f"no present disk is the template's block {described(block.file)}: add one with "
                f"block: {block.file}"
            )


def _block(options: Options, template: Optional[MirageConfig]) -> Optional[Block]:
    if template is None:
        for option in ("block", "xenstore_id"):
            if option in options:
                raise InventoryError(f"{option} does not apply: the domain has no template")
        return None
    if options.get("xenstore_id"):
        if "block" in options:
            raise InventoryError("block and xenstore_id: true exclude each other")
        if "vdev" not in options:
            raise InventoryError("xenstore_id: true needs vdev: the slot that the unikernel names")
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
            f"the template has no block {described(name)}: set block "
            f"({suggestion(name, files) if files else 'it has none'}), or xenstore_id: true for a "
            "slot that the unikernel names itself"
        )
    return block


def _options_of(block: Block) -> Options:
    for key, value in block.disk.items():
        if key == "vdev":
            continue
        with explained(f"the template's {key} for it"):
            VBD_OPTIONS[key](value)
    return {**block.disk, "vdev": Vdev(str(block.disk["vdev"]), block.slot)}


def _with_slot_of(block: Block, options: Options) -> Options:
    written: Optional[Vdev] = options.get("vdev")
    if written and written.slot.xenstore_key != block.slot.xenstore_key:
        raise InventoryError(
            f"vdev is {written.text}, but the template has block {described(block.file)} in "
            f"{block.disk['vdev']}: omit vdev"
        )
    return options


# ---- the config ----


def config_of(
    name: str, options: Options, slots: Mapping[str, Sequence[int]], report: Report
) -> Optional[Options]:
    """The options in the config of a present domain; None if the user has not set any.

    ``slots``: the xenstore keys of the present disks by their names and labels. After a problem was
    reported, the result must not be used.
    """
    settings: Optional[Options] = options.get("config")
    if "template" in options:
        settings = _from_template(name, options, report)
    else:
        for option, instead in _IN_CONFIG.items():
            if option in options:
                report(f"{option} needs a template: set {instead} in config")
    return None if settings is None else _filled(settings, slots, report)


def _from_template(name: str, options: Options, report: Report) -> Options:
    template: MirageConfig = options["template"]
    config, networks = options.get("config", {}), options.get("networks", {})
    for option, same in _IN_CONFIG.items():
        if option in options and same in config:
            report(f"{option} is also set by {same} in config: omit one of them")
    for network in networks:
        if network not in template.networks:
            report(f"networks: {_no_network(network, template.networks)}")
    settings = template.filled(name, options.get("kernel"), options.get("memory"), networks)
    settings.update(config)
    kernel = settings.get("kernel")
    if not any(placeholders.names_in(kernel)) and not str(kernel).startswith("/"):
        found = "none" if kernel is None else f"{described(kernel)}, which is not absolute"
        report(f"set kernel to the path of the unikernel on the host: the template has {found}")
    return settings


def _no_network(network: str, known: Sequence[str]) -> str:
    if not known:
        return "the template has no networks to fill in: set vif in config to change its bridges"
    return f"the template has no network {described(network)}: {suggestion(network, known)}"


def _filled(settings: Options, slots: Mapping[str, Sequence[int]], report: Report) -> Options:
    """The settings with the slots of disks filled in; any other placeholder is a problem."""
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
            report(f"{option}: @{placeholder}@ is not filled in: {hint}")
    return {option: placeholders.filled(value, known) for option, value in settings.items()}


def _places(settings: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    for option, value in settings.items():
        for placeholder in placeholders.names_in(value):
            yield option, placeholder


def _not_one(disk: str, keys: Sequence[int], slots: Mapping[str, Sequence[int]]) -> str:
    if keys:
        return f"{len(keys)} disks have the name or label {described(disk)}"
    return f"no present disk has the name or label {described(disk)}: " + (
        suggestion(disk, slots) if slots else "the domain has none"
    )
