"""Accessibility of a page in a browser, checked by axe-core."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = ("serious", "critical")


def serious_violations(page: Page, within: str = "html") -> list[str]:
    """Return what axe-core finds serious or critical in an element, one line for each place."""
    found = Axe().run(page, context=within).response["violations"]
    return [
        f"{violation['id']}: {', '.join(map(str, node['target']))}: {node.get('failureSummary', '')}"
        for violation in found
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
