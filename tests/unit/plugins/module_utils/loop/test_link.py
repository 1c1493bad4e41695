# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of loop devices that follow their images."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link

LINK = f"{loop_link.LINK_DIR}/srv/a.raw"


def test_names_of_links() -> None:
    assert loop_link.link_of("/srv/a.raw") == LINK
    assert loop_link.linked_image(LINK) == "/srv/a.raw"
    assert loop_link.is_link(LINK)
    assert not loop_link.is_link(loop_link.LINK_DIR)
    assert not loop_link.is_link("/dev/disk/by-loop-files/srv/a.raw")
