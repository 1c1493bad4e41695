# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diff shows of a config with passwords."""

from __future__ import annotations

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config.passwords import MASK, masked

SECRET = "s3cret"


@pytest.mark.parametrize(
    "line",
    [
        "vncpasswd = 's3cret'",
        'spicepasswd="s3cret"',
        "vncpasswd += 's3cret'",
        r"vncpasswd = 'it\'s s3cret'",
        "spicepasswd = 53",
        "vfb = ['type=vnc,vncpasswd=s3cret,vnclisten=::']",
        'vfb = ["type=vnc, vncpasswd=it\'s s3cret"]',
        r"vfb = ['vncpasswd=it\'s s3cret']",
        "# vncpasswd = 's3cret'",
        "memory = 1 # vfb=['vncpasswd=s3cret, and so on']",
        "memory = 1 # it's vncpasswd='s3cret'",
        "a = 'x # y'; vncpasswd = 's3cret'",
    ],
)
def test_passwords_are_masked(line: str) -> None:
    text = f"name = 'web'\n{line}\nmemory = 2\n"
    before, after = masked(text, text.replace("s3cret", "0ther").replace("53", "54"))
    assert SECRET not in before and "53" not in before and MASK in before
    assert "0ther" not in after and "54" not in after and f"{MASK} (changed)" in after
    assert before.count("\n") == 3
    assert before.endswith("\nmemory = 2\n") and after.endswith("\nmemory = 2\n")
    assert masked(text, text) == (before, before)
    assert masked("", text)[1] == before


def test_what_is_beside_a_password_is_shown() -> None:
    line = "vfb = ['type=vnc,vncpasswd=s3cret,vnclisten=::']\n"
    assert masked(line, line)[1] == f"vfb = ['type=vnc,vncpasswd={MASK},vnclisten=::']\n"
    assert masked("", "vncpasswd = 's3cret'\n")[1] == f"vncpasswd = '{MASK}'\n"


def test_another_change_is_not_taken_for_one_of_the_password() -> None:
    old, new = "vncpasswd='x'\n", "memory=1\nvncpasswd = 'x'\nspicepasswd='y'\n"
    assert masked(old, new) == (
        f"vncpasswd='{MASK}'\n",
        f"memory=1\nvncpasswd = '{MASK}'\nspicepasswd='{MASK}'\n",
    )


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("'ab'", "'cb'", True),
        ("'ab'", "'ac'", True),
        ("'ab'", '"ab"', False),
        ("'53'", "53", False),
    ],
)
def test_passwords_are_compared_in_full_and_without_their_quotes(
    old: str, new: str, changed: bool
) -> None:
    shown = masked(f"vncpasswd = {old}\n", f"vncpasswd = {new}\n")[1]
    assert (f"{MASK} (changed)" in shown) == changed


def test_a_text_without_passwords_stays() -> None:
    text = 'name = "web"; memory = 64 # odd\ndisk = [ \'/dev/a,,xvda\' ]\nvif = ["bridge=b"]\n'
    assert masked(text, text) == (text, text)
