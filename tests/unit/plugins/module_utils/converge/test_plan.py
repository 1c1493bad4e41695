# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans that are added, and what diff mode shows of one."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action, Plan

BIND = Action("bind a", lambda: None)
WRITE = Action("write a", lambda: None)


def test_a_sum_has_both_parts_in_their_order() -> None:
    device = Plan(
        {"device": None}, {"device": "/dev/loop3"}, lambda: {"device": "/dev/loop4"}, [BIND]
    )
    unit = Plan(
        {"persistent": False},
        {"persistent": True},
        lambda: {"persistent": True},
        [WRITE],
        ["no systemd"],
    )
    both = device + unit
    assert (both.actions, both.warnings) == ([BIND, WRITE], ["no systemd"])
    assert both.before == {"device": None, "persistent": False}
    assert both.after == {"device": "/dev/loop3", "persistent": True}
    assert both.read_back() == {"device": "/dev/loop4", "persistent": True}
    assert (unit + device).actions == [WRITE, BIND]


def test_an_empty_part_changes_nothing() -> None:
    plan = Plan(
        {"size": 1},
        {"size": 2},
        lambda: {"size": 2},
        [BIND],
        file="/a",
        attributes=({"mode": "0600"}, {"mode": "0640"}),
        texts=("a", "b"),
    )
    for both in (plan + Plan(), Plan() + plan):
        assert both.read_back() == {"size": 2}
        assert (both.file, both.texts, both.actions) == ("/a", ("a", "b"), [BIND])
        assert both.attributes == plan.attributes


def test_what_diff_mode_shows() -> None:
    plan = Plan({"size": 1}, {"size": 2}, attributes=({"mode": "0600"}, {"mode": "0640"}))
    shown = {"before": {"size": 1, "mode": "0600"}, "after": {"size": 2, "mode": "0640"}}
    assert plan.diff() == shown
    assert (plan + Plan(texts=("a", "b"))).diff() == {"before": "a", "after": "b"}
