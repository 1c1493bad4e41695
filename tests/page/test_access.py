# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For everybody: a screen reader, a phone, no colours, little light. axe-core comes with its
package and asks no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from rendering import Opened

PHONE = {"viewport": {"width": 360, "height": 740}}
VIEWS: Dict[str, Dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
    "phone, dark": {**PHONE, "color_scheme": "dark"},
    "forced colours": {"forced_colors": "active"},
}
COLUMNS = ["storage", "loop device or volume", "slot", "what the guest has"]
SPOKEN = {"error", "warning", "note", "accepted"}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("words", ["", "xen1"])
def test_axe_has_nothing_to_say(example: Path, opened: Opened, view: str, words: str) -> None:
    # What axe adds to a page, the page's policy forbids.
    page = opened(example, bypass_csp=True, **VIEWS[view])
    page.locator("#query").fill(words)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    # Nothing that is drawn only when it is scrolled to may go unchecked.
    page.locator(".guest").evaluate_all(
        "guests => guests.forEach(guest => { guest.style.contentVisibility = 'visible'; })"
    )
    result = Axe().run(page, options={"runOnly": tags})
    assert result.violations_count == 0, result.generate_report()
    checked = {one["id"] for one in result.response["passes"]}
    assert {"color-contrast", "link-name", "label"} <= checked


@pytest.mark.parametrize("width", [320, 360, 768, 1024])
def test_nothing_is_wider_than_the_screen(example: Path, opened: Opened, width: int) -> None:
    page = opened(example, viewport={"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_the_layers_are_below_each_other(example: Path, opened: Opened) -> None:
    page = opened(example, **PHONE)
    boxes = [box.bounding_box() for box in page.locator('[id="disk/xen1/web/xvdb"] .box').all()]
    tops = [box["y"] for box in boxes]
    assert tops == sorted(set(tops))
    gap = page.locator('[id="disk/xen1/web/xvdb"] .connector.broken').first
    expect(gap).to_contain_text("no boot unit")


def test_a_severity_is_a_word_and_a_shape(example: Path, opened: Opened) -> None:
    page = opened(example)
    marks = page.locator("a.mark")
    assert marks.count() > 10
    for mark in marks.all():
        assert mark.inner_text().partition(":")[0] in SPOKEN
        expect(mark.locator("svg.icon use")).to_have_count(1)
    shapes = {
        use.get_attribute("href"): page.locator(use.get_attribute("href")).inner_html()
        for use in page.locator("a.mark use, .counts use").all()
    }
    assert len(shapes) == len(set(shapes.values())) == 4


def test_a_screen_reader_gets_tables_with_heads(example: Path, opened: Opened) -> None:
    page = opened(example)
    table = page.get_by_role("table", name="Disks of web").first
    heads = table.get_by_role("columnheader")
    assert heads.all_inner_texts() == [
        "storage",
        "loop device or volume",
        "slot",
        "what the guest has",
    ]
    expect(table.get_by_role("rowheader").first).to_contain_text("xvda")
    assert table.get_by_role("row").first.get_by_role("columnheader").count() == 4
    expect(page.locator("#hits")).to_have_role("status")
