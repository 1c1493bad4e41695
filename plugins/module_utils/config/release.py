# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images leave the configs of this host, so that what was made for them can be taken back.

A config that is written anew is the only record of the disks that its domain had. An image that it
named, and that no config names any more, needs no loop device. Its data is nobody's to delete.
"""

from __future__ import annotations

import os
from typing import (
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.config.file import Config
from ansible_collections.xen.blockdev.plugins.module_utils.config.images import (
    NamingConfigs,
    file_of,
    image_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding


class Releases:
    """The images that the configs of one module call let go.

    ``bindings`` gives the host's bound loop devices; it is asked once, when a config changes.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> None:
        self._bindings = bindings
        self._configs = NamingConfigs(bindings)
        self._texts: Dict[str, Optional[str]] = {}
        """What the configs that are planned will say, by their files."""
        self._plans: Dict[str, Tuple[Plan, List[str]]] = {}
        """By image, the plan that lets it go, and its warning."""

    def extend_plan(
        self,
        plan: Plan,
        config: Config,
        new: Tuple[Optional[str], Iterable[str]],
        directories: Iterable[str],
        known: Iterable[str],
    ) -> None:
        """Add to ``plan`` the result key ``released``, and a warning for each image in it.

        ``new``: the text that the config is to have, None for no config, and the disks in it.
        ``directories``: where configs are, beside that of this one. ``known``: images that other
        tasks look after.
        """
        text, specs = new
        self._texts[config.file] = text
        released: List[str] = []
        plan.before["released"] = []
        plan.after["released"] = released
        if text != config.text:
            wanted = self._images(disk_spec.targets_of(specs))
            self._keep(wanted)
            gone = _without(self._images(config.targets), {*wanted, *known})
            for image in self._named_nowhere(gone, [config.directory, *directories]):
                self._let_go(plan, image, sorted(config.targets))
        read_config = plan.read_back
        plan.read_back = lambda: {**read_config(), "released": released}

    def _let_go(self, plan: Plan, image: str, targets: Sequence[str]) -> None:
        """Note that the image is let go by ``plan``, whose config had the ``targets``."""
        numbered = [
            t for t in targets if loop_binding.number_of(t) is not None and self._image(t) == image
        ]
        warnings = []
        if numbered:
            # Whoever writes a number has bound the device elsewhere, or udev does not run.
            warnings = [_warning_of_number(image, numbered[0])]
        elif os.path.isfile(image):
            warnings = [_warning(image)]
        if not numbered:
            plan.after["released"].append(image)
        plan.warnings += warnings
        self._plans[image] = (plan, warnings)

    def _keep(self, images: Set[str]) -> None:
        """An image that comes into another config is not let go by the one that it leaves."""
        for image in images & set(self._plans):
            plan, warnings = self._plans.pop(image)
            plan.after["released"][:] = [one for one in plan.after["released"] if one != image]
            for warning in warnings:
                plan.warnings.remove(warning)

    def _images(self, targets: Iterable[str]) -> Set[str]:
        """The images behind the targets: files, and what loop devices are named after."""
        return set(filter(None, map(self._image, targets)))

    def _image(self, target: str) -> Optional[str]:
        return image_of(target, self._bindings)

    def _named_nowhere(self, images: List[str], directories: Iterable[str]) -> List[str]:
        """Those that no config names, in what is there and in what is planned."""
        texts = self._all_texts(directories) if images else {}
        return [one for one in images if not any(self._configs.among(one, texts))]

    def _all_texts(self, directories: Iterable[str]) -> Dict[str, str]:
        """By file, what the configs in the directories say, those that are planned as they will."""
        texts = {**self._configs.texts(directories), **self._texts}
        return {file: text for file, text in texts.items() if text is not None}


def _without(images: Iterable[str], others: Iterable[str]) -> List[str]:
    """The images that are none of the others, which may have other paths; in order."""
    files = set(map(file_of, others))
    return sorted(image for image in images if file_of(image) not in files)


def _warning(image: str) -> str:
    return (
        f"no config names {image} any more; the image stays with its data: delete it if it is not "
        "needed (xen_raw_disk with state: absent)"
    )


def _warning_of_number(image: str, device: str) -> str:
    return (
        f"no config names {device} any more, which is bound to {image} now; a number does not tell "
        "whose it is, so it stays bound: unbind it if it is not needed (xen_loopdev with state: "
        "absent)"
    )
