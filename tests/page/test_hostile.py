# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that guests wrote remain texts. Each text of the report is replaced by one that would be
something else in HTML, in an attribute, in a script, or on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from fleet import recorded
from playwright.sync_api import Browser, Page
from rendering import AllRendered, Opened, Rendered

FIXED = {"status", "severity", "kind", "state", "layer", "devtype", "fail_on", "access", "code"}
"""Keys whose values the judge chooses out of a list."""

HOSTILE = {
    "element": "</script></style></title></noscript><img src=x onerror=window.broken=1>",
    "quotes": "\"' onmouseover=\"window.broken=1\" autofocus onfocus='window.broken=1'",
    "comment": "<!--<script>window.broken=1//--><!]]>",
    "entity": "&lt;img src=x onerror=window.broken=1&gt;&quot;&#39;",
    "template": "{{ 7 * 7 }}{% raw %}{# x #}${window.broken=1}`",
    "link": "javascript:window.broken=1",
    "nothing": "a\x00b\x1b[31m\x07\r\n\t\u0085",
    "order": "a\u202egnp.exe\u2066\u200f\u200b\ufeff",
    "surrogate": "\ud800\udfff\udc80",
    "lines": "\u2028\u2029\x0b",
    "long": "w" * 70000,
    "wide": "\U0001f4a9\u0645\u0631\u062d\u0628\u0627 e\u0301\u0301\u0301",
    "proto": "__proto__",
    "path": "../../#disk/x?y=1 %2e%2f%00",
}

STRUCTURE = """() => [...document.querySelectorAll("*")].map(
    (one) => `${one.tagName} ${[...one.attributes].map((attribute) => attribute.name)}`)"""


def with_texts(value: Any, text: Callable[[str], str], key: str = "") -> Any:
    """A report with each of its texts replaced."""
    if isinstance(value, dict):
        return {name: with_texts(one, text, name) for name, one in value.items()}
    if isinstance(value, list):
        return [with_texts(one, text, key) for one in value]
    return text(value) if isinstance(value, str) and key not in FIXED else value


@pytest.fixture(scope="module")
def pages(all_rendered: AllRendered) -> Dict[str, Path]:
    """The page for each kind of text, and for a harmless one in the same places."""
    return all_rendered(
        {
            kind: with_texts(recorded(), lambda text, added=added: f"{text}{added}")
            for kind, added in {"plain": "-plain", **HOSTILE}.items()
        }
    )


def structure(page: Page) -> Any:
    page.wait_for_selector("#tools", state="visible")
    page.locator("#query").fill("xen")
    page.locator("#query").fill("")
    return page.evaluate(STRUCTURE)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_is_a_text(pages: Dict[str, Path], opened: Opened, kind: str) -> None:
    page = opened(pages[kind])
    assert structure(page) == structure(opened(pages["plain"]))
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_what_cannot_be_seen_is_shown(rendered: Rendered, opened: Opened) -> None:
    report = recorded()
    report["hosts"][0]["domains"][0]["name"] = "web\x00\u202eb"
    for disk in report["hosts"][0]["disks"]:
        if disk["domain"] == "web":
            disk["domain"] = "web\x00\u202eb"
    page = opened(rendered(report))
    heading = page.locator('[id="host/xen1"] h3').first
    assert heading.inner_text() == "web\\x00\\u202eb"


def test_a_very_long_text_says_what_is_left_out(rendered: Rendered, opened: Opened) -> None:
    report = recorded()
    report["findings"][0]["seen"] = "a" * 600 + "b" * 60000 + "c" * 600
    page = opened(rendered(report))
    seen = page.locator("#findings .seen").first.inner_text()
    assert len(seen) < 1100
    assert "[…60200 characters…]" in seen


FORBIDDEN = """async () => {
    const seen = [];
    document.addEventListener(
        "securitypolicyviolation", (one) => seen.push(one.effectiveDirective));
    const attempts = [
        () => fetch("http://127.0.0.1:9/"),
        () => { new Image().src = "http://127.0.0.1:9/"; },
        () => { document.body.innerHTML += "<p>markup</p>"; },
        () => document.body.setAttribute("onclick", "window.broken = 1"),
        () => document.body.click(),
        () => document.body.setAttribute("style", "color: red"),
        () => setTimeout("window.broken = 1"),
        () => {
            const frame = document.createElement("iframe");
            frame.src = "http://127.0.0.1:9/";
            document.body.append(frame);
        },
        () => {
            const form = document.createElement("form");
            form.action = "http://127.0.0.1:9/";
            document.body.append(form);
            form.submit();
        },
    ];
    for (const attempt of attempts) try { await attempt(); } catch {}
    for (let n = 0; n < 50 && !seen.includes("form-action"); n += 1) {
        await new Promise((done) => setTimeout(done, 100));
    }
    return seen;
}"""


def test_the_policy_forbids_what_the_page_never_does(example: Path, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"file://{example}")
        seen = page.evaluate(FORBIDDEN)
        assert page.evaluate("window.broken") is None
    wanted = ("connect-src", "img-src", "style-src-attr", "frame-src", "form-action")
    assert {*wanted, "require-trusted-types-for"} <= set(seen)
