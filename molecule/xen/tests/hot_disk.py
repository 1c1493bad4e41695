# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A block device as a disk of a running guest: what must hold of it, whatever is behind it."""

from __future__ import annotations

from typing import Any, Dict, List, Optional


class HotDisk:
    """The disk in one slot of a guest. Each method checks what a module says and a guest sees."""

    def __init__(self, xen: Any, domain: str, vdev: str, target: str) -> None:
        self._xen = xen
        self._options = {"domain": domain, "vdev": vdev, "target": target}
        self.domain = domain
        self.target = target
        self.key = 51712 + 16 * (ord(vdev[-1]) - ord("a"))  # xvda to xvdp

    def attach(self, **options: Any) -> Dict[str, str]:
        """Check mode, a run, and a run again. What the guest says of the disk."""
        for check, changed in ((True, True), (False, True), (False, False)):
            self._run(check, changed, **options)
        return self.seen()

    def attach_only(self) -> Dict[str, str]:
        """A run alone, which is quicker. What the guest says of the disk."""
        self._run(False, True)
        return self.seen()

    def _run(self, check: bool, changed: bool, **options: Any) -> None:
        result, _vbd = self._xen.vbd(check, **options, **self._options)
        assert (result["failed"], result["changed"]) == (False, changed), result

    def again(self) -> None:
        """A run that finds the disk in its slot."""
        self._run(False, False)

    def detach(self) -> None:
        """A run, and a run again. The guest has lost the disk."""
        for changed in (True, False):
            self._run(False, changed, state="absent")
        self._xen.await_report(self.domain, lambda report: self.key not in report)

    def seen(self, size: Optional[int] = None) -> Dict[str, str]:
        """What the guest says once the disk is as large as it is for dom0, or C(size) bytes: it
        reads what dom0 reads."""
        if size is None:
            size = int(self._xen.shell("blockdev --getsize64 %s", self.target))
        report = self._xen.await_report(
            self.domain,
            lambda report: report.get(self.key, {}).get("sectors") == str(size // 512),
        )
        disk: Dict[str, str] = report[self.key]
        assert disk["sha256"] == self._xen.sha256(self.target)
        return disk

    def write(self, text: str) -> None:
        """The guest writes a line to the disk, which dom0 reads then."""
        self.begin_to_write(text)
        self.await_written(text)

    def begin_to_write(self, text: str) -> None:
        """The guest is told to write a line to the disk."""
        name = self._xen.report(self.domain)[self.key]["name"]
        self._writes = self._count("written", name)
        self._xen.tell(self.domain, f"write {name} {text}")

    def await_written(self, text: str) -> None:
        """Wait until the guest has written it."""
        name = self._xen.report(self.domain)[self.key]["name"]
        self._xen.await_(
            lambda: self._count("written", name),
            lambda count: count > self._writes,
            lambda: self._xen.console(self.domain)[-2000:],
        )
        report = self._xen.ask_again(self.domain)
        assert report[self.key]["sha256"] == self._xen.sha256(self.target)
        assert self._xen.shell("head -n 1 %s", self.target) == text

    def write_fails(self, text: str) -> None:
        """The guest is told to write a line to the disk, and cannot."""
        name = self._xen.report(self.domain)[self.key]["name"]
        refusals = self._count("refused", name)
        self._xen.tell(self.domain, f"write {name} {text}")
        self._xen.await_(
            lambda: self._count("refused", name),
            lambda count: count > refusals,
            lambda: self._xen.console(self.domain)[-2000:],
        )

    def has_written(self) -> bool:
        """Whether the guest has written what it was told to."""
        name = self._xen.report(self.domain)[self.key]["name"]
        return self._count("written", name) > self._writes

    def _count(self, word: str, name: str) -> int:
        """How often the guest has said that of the disk."""
        lines: List[str] = self._xen.console(self.domain).splitlines()
        return lines.count(f"xen-lab: {word} {name}")
