"""The Compare tab, in a real browser against a real server."""

from __future__ import annotations

import pytest
from helpers.page import wait_for, write
from playwright.sync_api import Page, expect

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


def test_no_fewer_than_two_voices_are_compared(page: Page) -> None:
    page.click("#compare-tab")
    page.click("#compare-choose")
    page.click("#picker [data-id=aria]")
    expect(page.locator("#picker [data-id=aria]")).to_have_attribute("aria-pressed", "true")
    page.click("#picker [data-id=nova]")
    page.click("#picker [data-id=aria]")
    expect(page.locator("#picker [data-id=aria]")).to_have_attribute("aria-pressed", "false")
    page.click("#picker .close")
    assert page.locator("#compare-list h2").all_inner_texts() == ["Atlas", "Nova"]
