# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the README's pictures of the page anew: `make page-pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fleet import recorded
from playwright.sync_api import sync_playwright
from rendering import launched, pages_of

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = {"light": DOCS / "audit-page.png", "dark": DOCS / "audit-page-dark.png"}
MARGIN = 12


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        path = pages_of({"page": recorded()}, Path(directory))["page"]
        browser = launched(playwright)
        for scheme, picture in PICTURES.items():
            page = browser.new_page(
                color_scheme=scheme,  # type: ignore[arg-type]
                viewport={"width": 1120, "height": 800},
            )
            page.goto(f"file://{path}")
            box = page.locator("details.host").first.bounding_box()
            assert box
            page.screenshot(
                path=picture,
                full_page=True,
                clip={
                    "x": box["x"] - MARGIN,
                    "y": box["y"] - MARGIN,
                    "width": box["width"] + 2 * MARGIN,
                    "height": box["height"] + MARGIN,
                },
            )
        browser.close()


if __name__ == "__main__":
    main()
