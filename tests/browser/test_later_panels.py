"""The panels of the other tabs, which load after the page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.page import wait_for
from helpers.servers import Server, until
from playwright.sync_api import Browser, Page, Route, expect

pytestmark = pytest.mark.browser

ALL_LOADED = "!document.querySelector('[aria-busy]')"


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Page]:
    """Return a page that has not been opened."""
    page = browser.new_page()
    yield page
    page.close()


def test_play_is_ready_before_the_other_tabs_are_loaded(new_page: Page, server: Server) -> None:
    held: list[Route] = []
    new_page.route("**/static/voices/panel.js", lambda route: held.append(route))
    new_page.goto(server.url)
    new_page.wait_for_selector("#play:enabled")
    new_page.click("#voices-tab")
    expect(new_page.locator("#voices")).to_have_attribute("aria-busy", "true")
    expect(new_page.locator("#voice-list-title")).to_be_hidden()
    until(lambda: held)
    held[0].continue_()
    expect(new_page.locator("#voice-list-title")).to_be_visible()
    expect(new_page.locator("#voice-list li").first).to_be_visible()


def test_every_tab_is_there_when_the_server_goes_away(new_page: Page, server: Server) -> None:
    new_page.goto(server.url)
    wait_for(new_page, ALL_LOADED)
    new_page.context.set_offline(True)
    for tab, something in (("compare", "#compare-choose"), ("voices", "#record"), ("server", "#server a")):
        new_page.click(f"#{tab}-tab")
        expect(new_page.locator(something)).to_be_visible()


def test_a_tab_that_cannot_be_loaded_says_so(new_page: Page, server: Server) -> None:
    new_page.route("**/static/voices/panel.js", lambda route: route.abort())
    new_page.goto(server.url)
    new_page.wait_for_selector("#play:enabled")
    new_page.click("#voices-tab")
    expect(new_page.locator("#toast")).to_contain_text("could not be loaded")
    new_page.click("#compare-tab")
    expect(new_page.locator("#compare-choose")).to_be_visible()
    new_page.unroute_all()
    new_page.click("#toast >> text=Reload")
    new_page.wait_for_selector("#play:enabled")
    new_page.click("#voices-tab")
    expect(new_page.locator("#voice-list-title")).to_be_visible()
