# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this is a Xen host, and how Xen's programs are run on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import Completed
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import FakeHost


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("kind", "capabilities", "message"),
    [(None, None, "does not say xen"), ("kvm", None, "does not say xen"), ("xen", "", "control_d")],
)
def test_not_a_xen_host(
    host: FakeHost, kind: Optional[str], capabilities: Optional[str], message: str
) -> None:
    for name, text in (("HYPERVISOR_TYPE", kind), ("CAPABILITIES", capabilities)):
        path = host.home / name
        path.unlink()
        if text is not None:
            path.write_text(text)
    assert not dom0.is_dom0()
    assert xen_state.attached_devices() == []
    assert host.reads == 0
    with pytest.raises(XenError, match=f"not a Xen host: .*{message}"):
        dom0.require_dom0()


def test_the_programs_of_xen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with them is wrong with Xen, whose errors undo what was begun."""
    assert dom0.run(["echo", "a"], 5) == Completed(0, "a\n", "")
    process = dom0.start(["sleep", "20"], stdin=subprocess.PIPE)
    with pytest.raises(XenError, match="`sleep 20` did not end"):
        dom0.finish(process, 0.1)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(programs, "SYSTEM_PATH", os.devnull)
    with pytest.raises(XenError, match=r"xl is not on this host.*; looked in no directory"):
        dom0.start(["xl"])
