# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that work on images: what they get, and the errors if they fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool

SH = Tool("sh", "runs scripts")


def test_what_a_tool_prints(tmp_path: Path) -> None:
    with open(tmp_path / "a.raw", "w", encoding="ascii") as image:
        number = image.fileno()
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            printed = SH.run(
                *("-c", f"pwd; echo $MORE; echo there >{by_number(number)}"),
                timeout=5,
                descriptors={number: "a.raw"},
                directory=directory,
                environment={"MORE": "x"},
            )
        finally:
            os.close(directory)
    assert printed == f"{tmp_path}\nx\n"
    assert (tmp_path / "a.raw").read_text() == "there\n"


def test_what_a_tool_prints_into_a_file(tmp_path: Path) -> None:
    """It goes where the descriptor is, which then is at the end of it."""
    with open(tmp_path / "a.raw", "w+b", buffering=0) as image:
        image.truncate(9)
        image.seek(2)
        said = SH.run("-c", "echo x", timeout=5, descriptors={}, output=image.fileno())
        assert (said, image.tell()) == ("", 4)
    assert (tmp_path / "a.raw").read_bytes() == b"\0\0x\n\0\0\0\0\0"


def test_a_tool_that_fails_names_the_image(tmp_path: Path) -> None:
    """It gets the image as a descriptor, which means nothing to the user."""
    with open(tmp_path / "a.raw", "w", encoding="ascii") as image:
        number = image.fileno()
        script = f"echo {by_number(number)}: no, nor {by_number(number)}0 >&2; exit 1"
        with pytest.raises(ImageError) as caught:
            SH.run("-c", script, timeout=5, descriptors={number: r"/srv/a\b.raw"}, action="-c")
    assert str(caught.value) == rf"sh -c failed: /srv/a\b.raw: no, nor {by_number(number)}0"


def test_a_tool_that_does_not_end() -> None:
    with pytest.raises(ImageError, match=r"^sh did not end within 0\.2 s and was killed$"):
        SH.run("-c", "exec sleep 20", timeout=0.2, descriptors={})


def test_a_tool_that_is_missing() -> None:
    nothing = Tool("no-such-tool", "does nothing")
    message = "^no-such-tool, which does nothing, is not on this host: install it"
    with pytest.raises(ImageError, match=message):
        nothing.require()
    with pytest.raises(ImageError, match=message):
        nothing.run(timeout=5, descriptors={})
    SH.require()
