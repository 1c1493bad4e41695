# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running LVM: one report for all groups that matter, and commands that change one volume."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable, List, Mapping

from ansible_collections.xen.blockdev.plugins.module_utils.errors import HostError, VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import (
    Completed,
    ProgramMissingError,
    errors_as,
)
from ansible_collections.xen.blockdev.plugins.module_utils.volume import report as volume_report
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import Group

MISC = "/proc/misc"
"""The drivers that have a minor number of their own; device-mapper is one of them."""

REPORT_SECONDS = 120
"""A disk of another group that does not answer makes LVM wait."""

CHANGE_SECONDS = 600
"""LVM waits for another command in the same group, and may discard what a volume had."""

# What LVM says beside its errors.
_NOISE = re.compile(r"\s*(WARNING: |Run `.*--help' for more information|File descriptor \d+ )")


@dataclass(frozen=True)
class LvmReport:
    """What LVM reports."""

    groups: Mapping[str, Group]
    """Those that were asked for and are there, by their names."""
    complaint: str
    """What LVM says of the others, in one line."""

    def group(self, name: str) -> Group:
        """The group with this name. Raises VolumeError if it is not reported."""
        if name not in self.groups:
            said = f" ({self.complaint})" if self.complaint else ""
            raise VolumeError(
                f"this host has no volume group {name}{said}; `vgs` lists those that it has"
            )
        return self.groups[name]


def read(names: Iterable[str]) -> LvmReport:
    """The groups with these names.

    Raises HostError if there is no LVM or no device-mapper, and VolumeError for a report that
    cannot be read.
    """
    with errors_as(VolumeError):
        done = _run(REPORT_SECONDS, *volume_report.ARGUMENTS, *sorted(set(names)))
    # LVM has had the kernel load the module by now, if there is one.
    _require_device_mapper()
    # LVM fails if a single group is not there, and reports the others all the same.
    groups = volume_report.groups_in(done.stdout) if done.stdout.strip() else {}
    return LvmReport(groups, _errors(done) if done.code else "")


def run_change(command: str, *arguments: str) -> None:
    """Run a command that changes a volume. Raises VolumeError with what LVM says if it fails."""
    with errors_as(VolumeError):
        done = _run(CHANGE_SECONDS, command, *arguments)
    if done.code:
        raise VolumeError(f"{command} failed: {_errors(done)}")


def _run(seconds: float, *arguments: str) -> Completed:
    try:
        return programs.run(
            ["lvm", *arguments],
            seconds,
            variables={"LVM_SUPPRESS_FD_WARNINGS": "1"},
            shown=f"`lvm {arguments[0]}`",
        )
    except ProgramMissingError as error:
        raise HostError(str(error)) from None


def _require_device_mapper() -> None:
    """Raise HostError if the kernel cannot make devices of volumes."""
    with open(MISC, encoding="ascii", errors="replace") as drivers:
        if not any(line.split()[1:] == ["device-mapper"] for line in drivers):
            raise HostError(
                "this kernel has no device-mapper, so it has no logical volumes: load it first "
                "(modprobe dm_mod), or use a kernel that has it"
            )


def _errors(done: Completed) -> str:
    """What LVM says went wrong, in one line."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    errors: List[str] = [line for line in lines if line and not _NOISE.match(line)]
    return " ".join(errors) or f"it ended with exit status {done.code}"
