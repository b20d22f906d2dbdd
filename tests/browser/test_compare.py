"""The Compare tab, in a real browser against a real server."""

from __future__ import annotations

import re

import pytest
from helpers.page import ended, open_page, play, wait_for, write
from helpers.servers import Server, until
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser


def test_compares_voices_made_at_once_and_heard_in_turn(page: Page) -> None:
    write(page, "Which of us is best?")
    page.click("#compare-tab")
    assert page.locator("#compare-list h2").all_inner_texts() == ["Aria", "Atlas"]
    page.click("#compare-choose")
    page.click("#picker [data-id=nova]")
    page.click("#picker [data-id=kai]")
    page.click("#picker [data-id=zara]")  # a fifth is not taken
    page.click("#picker .close")
    assert page.locator("#compare-list h2").all_inner_texts() == ["Aria", "Atlas", "Nova", "Kai"]
    page.click("#compare-all")
    cards = page.locator("#compare-list li")
    expect(cards.nth(3)).to_contain_text(" ms")
    expect(cards.nth(0)).to_have_attribute("data-playing", "true")
    seconds = page.evaluate("app.player.take.seconds")
    assert 0.5 < seconds < 3
    expect(cards.nth(1)).to_have_attribute("data-playing", "true", timeout=10_000)
    cards.nth(3).locator("button").click()
    expect(cards.nth(3)).to_have_attribute("data-playing", "true")
    assert page.evaluate("app.player.take.settings.voice") == "kai"
    wait_for(page, "app.player.state === 'ended'")
    expect(cards.nth(3).locator("button")).to_have_text("Play")


def test_a_take_of_another_tab_does_not_continue_the_turn(page: Page) -> None:
    write(page, "Which of us is best?")
    page.click("#compare-tab")
    page.click("#compare-all")
    wait_for(page, "app.player.state === 'playing'")
    page.keyboard.press("Escape")
    page.click("#speak-tab")
    play(page, "Neither.")
    take = page.evaluate_handle("app.player.take")
    wait_for(page, "app.player.position > 0 && !app.player.active")
    assert page.evaluate("(take) => app.player.take === take && app.player.state === 'ended'", take)


@pytest.mark.slow
def test_escape_and_removal_of_a_voice_stop_its_synthesis(page: Page, server: Server) -> None:
    write(page, "The quick brown fox jumps over the lazy dog near the river bank. " * 1500)
    cancelled = ended(server, "cancelled")
    page.click("#compare-tab")
    page.click("#compare-all")
    wait_for(page, "app.player.state === 'playing'")
    page.keyboard.press("Escape")
    until(lambda: ended(server, "cancelled") == cancelled + 2)
    page.click("#compare-choose")
    page.click("#picker [data-id=nova]")
    page.click("#picker .close")
    page.click("#compare-list li:has-text('Nova') button")
    wait_for(page, "app.player.state === 'playing' && app.player.take.settings.voice === 'nova'")
    cancelled = ended(server, "cancelled")
    page.click("#compare-choose")
    page.click("#picker [data-id=nova]")
    until(lambda: ended(server, "cancelled") > cancelled)
    assert not page.evaluate("app.player.active")


def test_no_fewer_than_two_voices_are_compared(page: Page) -> None:
    page.click("#compare-tab")
    page.click("#compare-choose")
    page.click("#picker [data-id=aria]")
    expect(page.locator("#picker [data-id=aria]")).to_have_attribute("aria-pressed", "true")
    page.click("#picker [data-id=nova]")
    aria = page.query_selector("#compare-list li")
    page.click("#picker [data-id=aria]")
    expect(page.locator("#picker [data-id=aria]")).to_have_attribute("aria-pressed", "false")
    page.click("#picker [data-id=aria]")
    assert page.evaluate("(card) => card.isConnected", aria)  # not one more for each time it is chosen
    page.click("#picker [data-id=aria]")
    page.click("#picker .close")
    assert page.locator("#compare-list h2").all_inner_texts() == ["Atlas", "Nova"]


def test_voices_asked_for_without_a_connection_are_made_when_it_is_back(
    browser: Browser, server: Server
) -> None:
    page = open_page(browser.new_page(), server.url)
    page.click("#compare-tab")
    page.context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('offline'))")
    expect(page.locator("#connection")).to_have_text("Offline, reconnecting…")
    page.click("#compare-all")
    expect(page.locator("#toast")).to_contain_text("no connection")
    page.context.set_offline(False)
    expect(page.locator("#connection")).to_contain_text("Connected", timeout=20_000)
    page.click("#compare-all")
    first = page.locator("#compare-list li").first
    expect(first).to_have_attribute("data-playing", "true")
    expect(first).to_contain_text(re.compile(r"\d ms"))
    page.close()
