"""Media keys and the player of the desktop or the lock screen, through the browser's own media session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.chromium import launch
from helpers.media_keys import MediaKeys, media_keys
from helpers.page import highlighted, open_page, play, wait_for
from helpers.servers import Server, until
from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SENTENCES = "One is first. Two is second. Three is third. Four is fourth. Five is fifth. Six is sixth."
TITLE = SENTENCES[:80]


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[MediaKeys]:
    with media_keys(tmp_path) as keys:
        yield keys


@pytest.fixture
def page(browser: Browser, server: Server, keys: MediaKeys) -> Iterator[Page]:
    listening = launch(browser.browser_type, whole=True, environment=keys.environment)
    page = open_page(listening.new_page(), server.url)
    play(page, SENTENCES)
    wait_for(page, "app.player.take.complete")
    until(lambda: keys.present and "Playing" in keys.shown("PlaybackStatus"))
    yield page
    listening.close()


def test_media_keys_control_the_speech(page: Page, keys: MediaKeys) -> None:
    keys.press("Pause")
    wait_for(page, "app.player.state === 'paused'")
    until(lambda: "Paused" in keys.shown("PlaybackStatus"))
    keys.press("Play")
    wait_for(page, "app.player.state === 'playing'")
    keys.press("Next")
    wait_for(page, highlighted("sentence", "Two is second."))
    keys.press("Next")
    wait_for(page, highlighted("sentence", "Three is third."))
    keys.press("Previous")
    wait_for(page, highlighted("sentence", "Two is second."))
    keys.press("PlayPause")
    wait_for(page, "app.player.state === 'paused'")


def test_the_desktop_shows_the_take_and_its_position(page: Page, keys: MediaKeys) -> None:
    seconds = page.evaluate("app.player.take.seconds")
    assert keys.metadata("xesam:title") == TITLE
    until(lambda: keys.metadata("mpris:length") == pytest.approx(1e6 * seconds, rel=0.01))
    keys.press("Pause")
    wait_for(page, "app.player.state === 'paused'")
    until(lambda: shown_s(keys) == pytest.approx(position_s(page), abs=0.5))
    page.focus("#scrubber")
    page.keyboard.press("Home")
    until(lambda: shown_s(keys) == pytest.approx(0, abs=0.5))
    page.keyboard.press("ArrowRight")
    until(lambda: shown_s(keys) == pytest.approx(5, abs=0.5))


def position_s(page: Page) -> float:
    seconds: float = page.evaluate("app.player.position / app.player.take.rate")
    return seconds


def shown_s(keys: MediaKeys) -> float:
    found = re.search(r"int64 (\d+)", keys.shown("Position"))
    assert found is not None
    return int(found[1]) / 1e6
