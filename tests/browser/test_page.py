"""The page in a real browser against a real server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from helpers.servers import Server, until
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

SHORT = "Hello there. This is heard."
LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 6

TRIES = 3
"""Attempts at real-time measurements; the best one counts, as the machine may be busy."""

STOPPED = """() => new Promise((silent) => {
    const asked = performance.now();
    document.getElementById("stop").click();
    const look = () =>
        __tts.state === "idle" ? silent(performance.now() - asked) : setTimeout(look, 1);
    look();
})"""
"""Stops playback and returns the milliseconds until silence."""


def probe(page: Page) -> dict[str, Any]:
    """Return the state of the worklet."""
    state: dict[str, Any] = page.evaluate("({...window.__tts})")
    return state


def ended(server: Server, how: str) -> float:
    """Return the number of contexts that ended this way."""
    found = re.search(
        rf'^dia_contexts_ended_total{{end="{how}"}} (\S+)$', server.get("/metrics")[1], re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def wait_for(page: Page, condition: str, timeout_s: float = 20) -> None:
    until(lambda: page.evaluate(condition), timeout_s)


def test_plays_a_whole_text(page: Page) -> None:
    underruns = []
    for _ in range(TRIES):
        page.fill("#text", SHORT)
        page.click("#play")
        wait_for(page, "__tts.state === 'playing'")
        assert page.is_enabled("#stop")
        wait_for(page, "__tts.state === 'idle'")
        state = probe(page)
        assert state["running"]
        assert state["received"] > 22050
        assert state["consumed"] == pytest.approx(state["received"], rel=0.01)
        assert page.is_disabled("#stop")
        for reading in ("#first-audio", "#first-heard"):
            assert page.inner_text(reading).endswith(" ms")
        underruns.append(state["underruns"])
    assert min(underruns) == 0


def test_plays_in_real_time(page: Page) -> None:
    page.fill("#text", LONG)
    page.click("#play")
    wait_for(page, "__tts.consumed > 4410")
    off_s = []
    for _ in range(TRIES):
        played, began = page.evaluate("[__tts.consumed, performance.now()]")
        wait_for(page, f"__tts.consumed > {played} + 2 * 22050")
        later, ended = page.evaluate("[__tts.consumed, performance.now()]")
        off_s.append(abs((later - played) / 22050 - (ended - began) / 1000))
    assert min(off_s) < 0.25
    page.click("#stop")


def test_draws_the_spectrum(page: Page) -> None:
    drawn = "document.getElementById('spectrum').toDataURL()"
    blank = page.evaluate(drawn)
    page.fill("#text", LONG)
    page.click("#play")
    until(lambda: page.evaluate(drawn) != blank, timeout_s=20)
    page.click("#stop")


def test_stop_silences_within_100_ms_and_allows_the_next_text(page: Page, server: Server) -> None:
    cancelled = ended(server, "cancelled")
    silent_ms = []
    for _ in range(TRIES):
        page.fill("#text", LONG)
        page.click("#play")
        wait_for(page, "__tts.state === 'playing' && __tts.consumed > 11025")
        silent_ms.append(page.evaluate(STOPPED))
    assert min(silent_ms) < 100
    until(lambda: ended(server, "cancelled") == cancelled + TRIES)
    stopped_at = probe(page)["consumed"]
    page.fill("#text", SHORT)
    page.click("#play")
    wait_for(page, "__tts.state === 'playing'")
    wait_for(page, "__tts.state === 'idle'")
    state = probe(page)
    assert state["consumed"] == pytest.approx(state["received"], rel=0.01)
    assert state["received"] < 4 * 22050
    assert stopped_at > 0


def test_playing_again_replaces_what_is_playing(page: Page) -> None:
    page.fill("#text", LONG)
    page.click("#play")
    wait_for(page, "__tts.consumed > 4410")
    first = probe(page)["context"]
    page.fill("#text", SHORT)
    page.click("#play")
    wait_for(page, f"__tts.context !== '{first}' && __tts.state === 'playing'")
    wait_for(page, "__tts.state === 'idle'")
    assert probe(page)["received"] < 4 * 22050


def test_marks_the_word_and_sentence_being_played(page: Page) -> None:
    text = "Grüße 🎉 to you all. The second sentence is here."
    page.fill("#text", text)
    page.click("#play")
    wait_for(page, "document.querySelector('mark.word').textContent === 'you'")
    marks = page.locator("#transcript mark.sentence").all_inner_texts()
    assert marks[0] + "you" + marks[1] == "Grüße 🎉 to you all."
    wait_for(page, "document.querySelector('mark.word').textContent === 'second'")
    assert page.inner_text("#transcript") == text
    wait_for(page, "__tts.state === 'idle'")
    assert page.inner_text("mark.word") == ""


def test_text_can_be_streamed_in_tokens(page: Page) -> None:
    page.fill("#text", "One two three four. Five six seven eight. Nine ten.")
    page.check("#trickle")
    page.fill("#rate", "15")
    page.click("#play")
    wait_for(page, "__tts.state === 'playing'")
    early = probe(page)["received"]
    wait_for(page, "__tts.state === 'idle' && __tts.context === null")
    state = probe(page)
    assert early < state["received"]
    assert state["consumed"] == pytest.approx(state["received"], rel=0.01)


def test_voice_and_speed_are_used(page: Page) -> None:
    page.fill("#text", SHORT)
    page.select_option("#voice", "kai")
    page.fill("#speed", "2")
    assert page.inner_text("#speed-value") == "2.00×"
    page.click("#play")
    wait_for(page, "__tts.state === 'playing'")
    wait_for(page, "__tts.state === 'idle'")
    fast = probe(page)["received"]
    page.fill("#speed", "1")
    page.click("#play")
    wait_for(page, f"__tts.received > {fast}")
    page.click("#stop")


def test_works_with_the_keyboard_alone(page: Page) -> None:
    page.focus("#text")
    page.keyboard.press("Control+A")
    page.keyboard.type(LONG[:200])
    page.keyboard.press("Control+Enter")
    wait_for(page, "__tts.state === 'playing'")
    page.keyboard.press("Escape")
    wait_for(page, "__tts.state === 'idle'")
    page.focus("#text")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached[:5] == ["voice", "speed", "trickle", "rate", "play"]


def test_every_control_has_a_name(page: Page) -> None:
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button")]
            .filter((control) => !control.hidden && !control.labels?.length && !control.textContent.trim())
            .filter((control) => !control.ariaLabel)
            .map((control) => control.id)"""
    )
    assert unnamed == []


def test_the_panel_shows_each_device_and_its_memory(page: Page) -> None:
    page.click("#server-tab")
    page.wait_for_selector("#devices li")
    assert "cpu_0" in page.inner_text("#devices")
    assert "ready" in page.inner_text("#devices")
    assert page.locator("#devices .level").first.inner_text().startswith("Memory pressure")
    assert page.inner_text("#connections") != "–"


@pytest.mark.parametrize("width", [320, 360, 768])
def test_fits_the_screen_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.click("#server-tab")
    page.wait_for_selector("#devices li")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_asks_for_a_required_key(browser: Browser, start_server: Callable[..., Server]) -> None:
    locked = start_server("--max-workers=1", DIA_API_KEYS="the-key")
    page = browser.new_page()
    page.goto(locked.url)
    page.wait_for_selector("#key-form", state="visible")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-form", state="visible")
    wait_for(page, "document.getElementById('connection').textContent === 'API key required'")
    page.wait_for_selector("#key-refused", state="visible")
    page.fill("#key", "the-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("#play:enabled")
    assert page.is_hidden("#key-refused")
    page.click("#server-tab")
    page.wait_for_selector("#devices li")
    page.close()


def test_reports_a_lost_server(browser: Browser, start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    page = browser.new_page()
    page.goto(server.url)
    page.wait_for_selector("#play:enabled")
    server.process.terminate()
    server.process.wait(10)
    page.wait_for_selector("#play:disabled")
    assert "Offline" in page.inner_text("#connection")
    page.wait_for_selector("#toast", state="visible")
    page.close()


def test_stop_moves_the_focus_to_play(page: Page) -> None:
    page.fill("#text", LONG)
    page.click("#play")
    wait_for(page, "__tts.state === 'playing'")
    page.focus("#stop")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "play"
    assert page.inner_text("#buffer") == "0 ms"


@pytest.mark.parametrize("nothing", ["   ", "...\n"])
def test_an_empty_text_shows_an_error(page: Page, nothing: str) -> None:
    page.fill("#text", nothing)
    page.click("#play")
    assert "type some text" in page.inner_text("#toast")
    assert page.evaluate("document.activeElement.id") == "text"
    page.fill("#text", "Hello again.")
    page.click("#play")
    page.wait_for_function("() => window.__tts.received > 0")
    assert page.is_hidden("#toast")


def test_a_too_long_text_is_rejected_before_it_is_sent(page: Page) -> None:
    page.fill("#text", "Too long. " * 10_241)
    page.click("#play")
    assert "102,410 characters; at most 102,400" in page.inner_text("#toast")
    assert page.is_hidden("#transcript")
    page.fill("#text", SHORT)
    page.click("#play")
    wait_for(page, "__tts.state === 'playing'")
    assert page.is_hidden("#toast")
    assert page.is_hidden("#engine-notice")
    assert page.is_visible("#transcript")


@pytest.mark.slow
def test_shows_what_an_engine_announces(browser: Browser, start_server: Callable[..., Server]) -> None:
    server = start_server("--engine=dia", "--model=random:tiny", "--slots=1", "--max-workers=1")
    page = browser.new_page()
    page.goto(server.url)
    page.wait_for_selector("#play:enabled")
    assert "Dia produces noise" in page.inner_text("#engine-notice")
    page.close()


def test_links_to_the_http_api(page: Page) -> None:
    page.click("#server-tab")
    page.click("#server a")
    page.wait_for_selector("h1")
    assert page.url.endswith("/docs")
    assert "/audio_prompts/upload" in page.inner_text("body")


def test_an_invalid_unused_rate_does_not_prevent_playing(page: Page) -> None:
    page.uncheck("#trickle")
    page.fill("#rate", "1000")
    page.fill("#text", SHORT)
    page.click("#play")
    page.wait_for_function("() => window.__tts.received > 0")


def test_a_long_text_scrolls_to_the_marked_word(page: Page) -> None:
    page.fill("#text", 30 * "One. Two.\n" + 30 * LONG)
    page.click("#play")
    page.wait_for_function("() => document.getElementById('transcript').scrollTop > 0")
    height = page.evaluate("document.getElementById('transcript').offsetHeight")
    assert height < page.evaluate("innerHeight") / 2
    page.click("#stop")


def test_reports_an_insecure_context_at_once(browser: Browser, start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--allowed-origins=http://speech.test")
    elsewhere = browser.browser_type.launch(
        executable_path=shutil.which("chromium"),
        args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP speech.test 127.0.0.1"],
    )
    page = elsewhere.new_page()
    page.goto(server.url.replace("127.0.0.1", "speech.test"))
    page.wait_for_selector("#voice:enabled")
    assert "https or from this machine" in page.inner_text("#toast")
    assert page.is_disabled("#play")
    page.keyboard.press("Control+Enter")
    assert "https or from this machine" in page.inner_text("#toast")
    elsewhere.close()


def test_keeps_to_the_rate_of_messages(browser: Browser, start_server: Callable[..., Server]) -> None:
    strict = start_server("--max-workers=1", DIA_MESSAGES_PER_SECOND="2")
    page = browser.new_page()
    page.goto(strict.url)
    page.wait_for_selector("#play:enabled")
    page.click("#play")
    wait_for(page, "__tts.state === 'playing'")
    assert page.is_hidden("#toast")
    page.close()
