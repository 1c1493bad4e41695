# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person finds on the page, and how they get from one thing to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest
from fleet import recorded
from playwright.sync_api import Locator, Page, expect
from rendering import Opened, Rendered

REPORT = recorded()
FINDINGS = {one["code"]: one for one in REPORT["findings"]}


def found(page: Page) -> List[str]:
    """The slots of the disks that a search has found, with their guests."""
    return page.locator("#found .guest").evaluate_all(
        """guests => guests.flatMap(guest => [...guest.querySelectorAll("tbody th .name")].map(
            slot => `${guest.querySelector("h3").textContent} / ${slot.textContent}`))"""
    )


def row(page: Page, anchor: str) -> Locator:
    """What the page has at an anchor."""
    return page.locator(f'[id="{anchor}"]')


# ---- what is wrong ----


def test_it_says_what_is_wrong_the_worst_first(example: Path, opened: Opened) -> None:
    page = opened(example)
    expect(page).to_have_title("Xen disks: failed, 11 errors, 9 warnings")
    expect(page.locator(".verdict")).to_have_text("Failed")
    severities = page.locator("#findings .severity").all_inner_texts()
    order = ["Error", "Warning", "Note", "Accepted"]
    assert severities == sorted(severities, key=order.index)
    assert set(severities) == set(order)


def test_it_has_all_that_a_finding_says(example: Path, opened: Opened) -> None:
    page = opened(example)
    for one in (*REPORT["findings"], *REPORT["accepted"]):
        item = row(page, f"finding/{one['id']}")
        expect(item).to_be_visible()
        group = item.locator("xpath=ancestor::details")
        for text in (one["seen"], one["remedy"], one["reason"], one["place"]["path"]):
            expect(item).to_contain_text(text or "")
        expect(group).to_contain_text(one["leads_to"])


def test_a_finding_leads_to_its_disk_and_back(example: Path, opened: Opened) -> None:
    page = opened(example)
    page.get_by_role("link", name="xen1 / web / xvdc").first.click()
    disk = row(page, "disk/xen1/web/xvdc")
    expect(disk).to_be_focused()
    expect(disk).to_be_in_viewport()
    disk.get_by_role("link", name="error: two writers").click()
    finding = row(page, f"finding/{FINDINGS['two-writers']['id']}")
    expect(finding).to_be_focused()
    expect(finding).to_be_in_viewport()
    page.go_back()
    expect(disk).to_be_in_viewport()


def test_the_address_of_a_disk_can_be_kept(
    large: Path, large_report: Dict[str, Any], opened: Opened
) -> None:
    disk = large_report["hosts"][39]["disks"][150]
    address = f"disk/xen40/{disk['domain']}/{disk['slot']}"
    page = opened(large, f"#{address}")
    expect(row(page, address)).to_be_in_viewport()
    expect(row(page, "host/xen40")).to_have_attribute("open", "")


# ---- the layers ----


def test_each_disk_has_its_four_layers_beside_each_other(example: Path, opened: Opened) -> None:
    page = opened(example)
    for disk in REPORT["hosts"][0]["disks"]:
        line = row(page, f"disk/xen1/{disk['domain']}/{disk['slot']}")
        boxes = [cell.bounding_box() for cell in line.locator(".layer").all()]
        assert len(boxes) == 4
        tops, lefts = [box["y"] for box in boxes], [box["x"] for box in boxes]
        assert len(set(tops)) == 1
        assert lefts == sorted(set(lefts))
        for layer, box in zip(("storage", "binding"), line.locator(".box").all()):
            expect(box).to_contain_text((disk[layer] or {}).get("name", ""))


def test_the_columns_of_all_disks_are_aligned(example: Path, opened: Opened) -> None:
    page = opened(example)
    lefts = {
        tuple(round(cell.bounding_box()["x"]) for cell in line.locator(".box").all())
        for line in page.locator("details.host tbody tr").all()
    }
    # A layer that is not needed has no box: its line fills the place.
    assert len({left[0] for left in lefts}) == len({left[2:] for left in lefts}) == 1


def test_a_break_is_a_gap_with_words(example: Path, opened: Opened) -> None:
    page = opened(example)
    broken = page.locator("details.host .connector.broken").all_text_contents()
    wanted = sorted(
        one["code"].replace("-", " ")
        for one in REPORT["findings"]
        if one["layer"] in ("binding", "slot", "guest")
    )
    assert sorted(text.partition(": ")[2].partition(": ")[2] for text in broken) == wanted
    assert all(text.startswith("broken here: ") for text in broken)


def test_what_is_accepted_breaks_nothing(rendered: Rendered, opened: Opened) -> None:
    report = recorded()
    (one,) = (one for one in report["findings"] if one["code"] == "no-boot-unit")
    report["findings"].remove(one)
    report["accepted"].append({**one, "reason": "started by hand"})
    page = opened(rendered(report))
    line = row(page, "disk/xen1/web/xvdb")
    expect(line.locator(".connector.broken")).to_have_text("broken here: warning: old size")
    expect(line.get_by_role("link", name="accepted: no boot unit")).to_be_visible()


def test_a_shared_disk_names_the_others_and_leads_to_them(example: Path, opened: Opened) -> None:
    page = opened(example)
    sharing = row(page, "disk/xen1/web/xvdc").locator(".sharing")
    expect(sharing).to_have_text("same data: xen2 / win / xvda, xen2 / db / xvdb")
    sharing.get_by_role("link", name="xen2 / db / xvdb").click()
    other = row(page, "disk/xen2/db/xvdb")
    expect(other).to_be_focused()
    expect(other.locator(".sharing")).to_contain_text("xen1 / web / xvdc")


def test_bars_show_what_is_promised_beyond_what_is_there(example: Path, opened: Opened) -> None:
    page = opened(example)
    store = row(page, "host/xen1").locator(".stores li")
    assert store.locator(".figures div").all_inner_texts() == [
        "other data\n477GiB",
        "taken by disks\n3GiB",
        "promised, not taken yet\n64GiB",
        "more than there is\n44GiB",
        "free now\n20GiB",
    ]
    widths = {
        part.get_attribute("class"): part.bounding_box()["width"]
        for part in store.locator("rect").all()
    }
    whole, full = widths["whole"], store.locator("svg.bar").bounding_box()["width"]
    # Some have a border, of which half is beside them.
    assert widths["others"] + widths["taken"] + widths["owed"] == pytest.approx(whole, abs=3)
    assert whole + widths["beyond"] == pytest.approx(full, abs=5)
    assert widths["beyond"] / full == pytest.approx(44 / 544, abs=0.01)
    expect(store.get_by_role("link", name="error: nearly full")).to_be_visible()


def test_groups_and_pools_have_bars(example: Path, opened: Opened) -> None:
    page = opened(example)
    group, pool = row(page, "host/xen2").locator(".stores li").all()[1:]
    expect(group.locator(".name")).to_have_text("vg0 500GiB volume group, 2 volumes in use")
    expect(pool.locator(".name")).to_have_text(
        "/dev/vg0/pool 300GiB thin pool of vg0, 4 volumes, metadata 12.5 % full"
    )
    assert pool.locator(".figures div").all_inner_texts() == [
        "other data\n0 bytes",
        "taken by disks\n50GiB",
        "promised, not taken yet\n300GiB",
        "more than there is\n50GiB",
        "free now\n250GiB",
    ]


def test_a_host_that_was_not_read_says_why(example: Path, opened: Opened) -> None:
    page = opened(example)
    expect(page.locator("#hosts a", has_text="xen3")).to_have_text("xen3 unreachable")
    expect(row(page, "host/xen3")).to_contain_text("No route to host")


# ---- search ----


@pytest.mark.parametrize(
    ("words", "disks"),
    [
        ("spool", ["xen2 / mail / xvda"]),
        ("/dev/mapper/mpatha", ["xen2 / db / xvdb", "xen2 / win / xvda"]),
        ("LOOP2", ["xen1 / db / xvdb"]),
        ("5632", ["xen2 / win / hdc"]),
        ("xen1 hdc", []),
        ("xen2.example.com hdc", ["xen2 / win / hdc"]),
        ("pool0", ["xen1 / db / xvda"]),
        ("web 51728", ["xen1 / web / xvdb"]),
        ("/etc/xen/db.cfg xen2", ["xen2 / db / xvda", "xen2 / db / xvdb"]),
        ("os.iso", ["xen2 / win / hdc"]),
        ("saved", ["xen2 / mail / xvda"]),
        ("/dev/vg0/gone", ["xen1 / db / xvdc"]),
        ("no such thing", []),
    ],
)
def test_disks_are_found_by_any_name_path_slot_or_number(
    example: Path, opened: Opened, words: str, disks: List[str]
) -> None:
    page = opened(example)
    page.get_by_role("searchbox", name="Search").fill(words)
    assert found(page) == disks
    expect(page.locator("#hits")).to_contain_text(f"{len(disks)} disk")


def test_whole_names_and_numbers_come_first(
    large: Path, large_report: Dict[str, Any], opened: Opened
) -> None:
    domains = large_report["hosts"][7]["domains"]
    # Its id is a part of other numbers, of disks that come before it.
    domain = next(one for one in domains[60:] if one["domid"] is not None)
    page = opened(large)
    page.locator("#query").fill(f"xen08 {domain['domid']}")
    assert page.locator("#found .guest").count() > 1
    first = page.locator("#found .guest h3").first
    expect(first).to_have_text(f"xen08 / {domain['name']}")


def test_findings_and_hosts_are_searched_too(example: Path, opened: Opened) -> None:
    page = opened(example)
    page.locator("#query").fill("/dev/loop5")
    shown = page.locator("#findings li:visible")
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text("losetup --detach /dev/loop5")
    page.locator("#query").fill("xen3")
    assert page.locator("#hosts li:visible .name").all_inner_texts() == ["xen3"]


def test_a_search_ends_and_everything_is_back(example: Path, opened: Opened) -> None:
    page = opened(example)
    before = page.locator("main").inner_text()
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("spool")
    expect(page.locator("#results")).to_be_visible()
    expect(row(page, "host/xen1")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#results")).to_be_hidden()
    assert page.locator("main").inner_text() == before


def test_a_result_leads_to_the_disk_and_back_to_the_search(example: Path, opened: Opened) -> None:
    page = opened(example)
    page.locator("#query").fill("spool")
    page.locator("#found").get_by_role("link", name="xvda", exact=True).click()
    expect(row(page, "disk/xen2/mail/xvda")).to_be_focused()
    expect(page.locator("#results")).to_be_hidden()
    page.go_back()
    expect(page.locator("#query")).to_have_value("spool")
    assert found(page) == ["xen2 / mail / xvda"]


def test_many_results_come_in_parts(large: Path, opened: Opened) -> None:
    page = opened(large)
    page.locator("#query").fill("51728")
    total = int(page.locator("#hits").inner_text().split()[0].replace(",", ""))
    assert total > 3000
    assert len(found(page)) == 100
    page.get_by_role("button", name=f"Show more ({total - 100:,} left)").click()
    assert len(found(page)) == 200


# ---- filters ----


def test_kinds_of_findings_can_be_hidden(example: Path, opened: Opened) -> None:
    page = opened(example)
    for kind in ("errors", "notes"):
        page.get_by_role("checkbox", name=kind).uncheck()
    shown = page.locator("#findings .severity:visible").all_inner_texts()
    assert set(shown) == {"Warning", "Accepted"}


def test_disks_without_findings_can_be_hidden(example: Path, opened: Opened) -> None:
    page = opened(example)
    page.get_by_role("checkbox", name="Only disks with findings").check()
    shown = page.locator("details.host tbody tr:visible")
    assert shown.count() == sum(
        bool(disk["findings"]) for host in REPORT["hosts"] for disk in host["disks"]
    )
    page.locator("#query").fill("xen2 win")
    assert found(page) == ["xen2 / win / xvda"]


# ---- keyboard ----


def test_it_can_be_used_by_keyboard_alone(
    large: Path, large_report: Dict[str, Any], opened: Opened
) -> None:
    name = large_report["hosts"][39]["domains"][55]["name"]
    page = opened(large)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to what is wrong")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type(f"{name} xen40")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(row(page, f"guest/xen40/{name}")).to_be_focused()
    summary = row(page, "host/xen07").locator("> summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(row(page, "guest/xen07/web-000")).to_be_visible()


def test_a_focus_can_be_seen(example: Path, opened: Opened) -> None:
    page = opened(example)
    page.keyboard.press("/")
    assert page.locator("#query").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


# ---- without the script, and on paper ----


def test_without_scripts_findings_hosts_and_bars_are_there(example: Path, opened: Opened) -> None:
    page = opened(example, java_script_enabled=False)
    expect(page.get_by_text("it has not run")).to_be_visible()
    expect(page.locator("#tools")).to_be_hidden()
    expect(page.locator("#findings li")).to_have_count(26)
    expect(page.locator("#hosts li")).to_have_count(3)
    expect(row(page, "host/xen1").locator(".figures")).to_contain_text("44GiB")
    page.get_by_role("link", name="xen1 / web / xvdc").first.click()
    expect(row(page, "host/xen1")).to_be_in_viewport()


def test_on_paper_everything_is_there_that_can_be(
    example: Path, large: Path, opened: Opened
) -> None:
    page = opened(large, color_scheme="dark")
    assert page.locator("#findings details:not([open])").count()
    page.emulate_media(media="print")
    expect(page.locator("#tools")).to_be_hidden()
    last = page.locator("#findings li").last
    expect(last).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    note = "e => getComputedStyle(e.querySelector('.guests'), '::before').content"
    assert "not printed" in row(page, "host/xen07").evaluate(note)
    small = opened(example)
    assert row(small, "host/xen1").evaluate(note) == "none"
    assert small.pdf(format="A4").startswith(b"%PDF")
