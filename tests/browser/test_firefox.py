"""The page in Debian's Firefox, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.firefox import FIREFOX, Firefox, running_firefox
from helpers.media_keys import media_keys
from helpers.page import EXPOSE_APP, highlighted
from helpers.required import missing
from helpers.servers import Server, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CONTROL, ESCAPE, ENTER, RIGHT = "\ue009", "\ue00c", "\ue007", "\ue014"
SENTENCES = "One is first. Two is second. Three is third. Four is fourth. Five is fifth. Six is sixth."


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if FIREFOX is None:
        missing("the browser tests need: apt-get install firefox-esr")
    with running_firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


def open_page(firefox: Firefox, server: Server) -> None:
    firefox.open(server.url)
    firefox.until("!document.getElementById('play').disabled")
    firefox.evaluate(EXPOSE_APP)


def write(firefox: Firefox, text: str) -> None:
    """Replace the text by the keyboard."""
    if firefox.evaluate("!document.getElementById('edit').hidden"):
        firefox.click("#edit")
    firefox.click("#text")
    firefox.press(CONTROL, "a")
    firefox.type(text)
    assert firefox.evaluate("app.store.state.text").rstrip("\n") == text.replace(ENTER, "\n")


def test_speaks_lights_pauses_seeks_and_keeps(firefox: Firefox, server: Server) -> None:
    open_page(firefox, server)
    write(firefox, f"Hello there.{ENTER}{ENTER}{SENTENCES}")
    firefox.press(CONTROL, ENTER)
    firefox.until("app.player.state === 'playing'")
    assert firefox.evaluate("document.getElementById('text').ariaReadOnly ?? 'true'") == "true"
    firefox.until(highlighted("word", "there"))
    firefox.until("app.player.take.complete && document.querySelectorAll('#waterfall li').length === 5")
    x, y = firefox.evaluate(
        """(() => {
            const node = document.getElementById("text").firstChild;
            const range = new Range();
            range.setStart(node, node.data.indexOf("fourth"));
            range.setEnd(node, node.data.indexOf("fourth") + 6);
            const { x, y, width, height } = range.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        })()"""
    )
    firefox.evaluate("highlighted.length = 0")
    firefox.click_at(x, y)
    firefox.until(highlighted("sentence", "Four is fourth."))
    firefox.press(ESCAPE)
    firefox.until("app.player.state === 'paused'")
    firefox.evaluate("document.getElementById('text').focus()")
    firefox.press(RIGHT)
    firefox.press(" ")
    firefox.until("app.player.state === 'playing'")
    firefox.until("app.player.state === 'ended'", timeout_s=30)
    open_page(firefox, server)
    firefox.click("#history-button")
    firefox.until("document.querySelectorAll('#history-list li').length === 1")
    firefox.click("#history-list button")
    firefox.until("app.player.state === 'playing' && app.player.take.complete")


def test_changes_speed_and_sends_tokens(firefox: Firefox, server: Server) -> None:
    open_page(firefox, server)
    write(firefox, SENTENCES)
    firefox.click("#tokens")
    firefox.press(CONTROL, ENTER)
    firefox.until("app.player.state === 'playing'")
    assert not firefox.evaluate("app.player.take.complete")
    firefox.click("#speed-presets button:last-child")
    firefox.until("app.player.take.settings.speed === 2")
    firefox.until("app.player.state === 'ended'", timeout_s=60)
    starts = firefox.evaluate("app.player.take.sentences.map(({ start }) => start)")
    assert starts == [0, 14, 29, 45, 61, 76]
    firefox.click("#tokens")


def test_plays_on_when_the_server_is_killed(firefox: Firefox, start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    open_page(firefox, server)
    write(firefox, SENTENCES)
    firefox.press(CONTROL, ENTER)
    firefox.until("app.player.state === 'playing' && app.player.take.seconds > 5")
    held = firefox.evaluate("app.player.take.length")
    server.process.kill()
    server.process.wait(10)
    firefox.until("document.getElementById('connection').textContent.startsWith('Offline')")
    firefox.until(f"app.player.position > 0.95 * {held} || app.player.state === 'ended'", timeout_s=30)


@pytest.mark.parametrize(("width", "height"), [(360, 740), (640, 400)])
def test_every_tab_fits_a_phone_and_a_page_at_200_percent(
    firefox: Firefox, server: Server, width: int, height: int
) -> None:
    open_page(firefox, server)
    firefox.resize(width, height)
    try:
        for tab in ("compare", "voices", "server", "speak"):
            firefox.click(f"#{tab}-tab")
            firefox.until(f"!document.getElementById('{tab}').hidden")
            assert firefox.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert firefox.evaluate("document.getElementById('play').getBoundingClientRect().bottom") <= height
    finally:
        firefox.resize(1280, 860)


def test_compares_previews_and_watches(firefox: Firefox, server: Server) -> None:
    open_page(firefox, server)
    write(firefox, "Which of us is best?")
    firefox.click("#compare-tab")
    firefox.click("#compare-all")
    cards = "[...document.querySelectorAll('#compare-list li')]"
    firefox.until(f"{cards}.every((card) => / ms/.test(card.textContent))")
    firefox.until(f"{cards}[1].dataset.playing === 'true'")
    firefox.press(ESCAPE)
    firefox.until("app.player.state === 'paused'")
    firefox.click("#voices-tab")
    firefox.until("document.querySelectorAll('#voice-list li').length > 5")
    firefox.click("#voice-list button")
    firefox.until("document.querySelector('#voice-list button').textContent.startsWith('Stop')")
    firefox.click("#server-tab")
    firefox.until("document.querySelectorAll('#charts canvas').length >= 3")
    firefox.until("!document.getElementById('load').disabled")
    firefox.evaluate("document.getElementById('load').scrollIntoView()")
    firefox.click("#load")
    firefox.until("/slowest/.test(document.getElementById('load-notice').textContent)", timeout_s=40)
    firefox.click("#speak-tab")


def test_media_keys_control_the_speech(server: Server, tmp_path: Path) -> None:
    with media_keys(tmp_path) as keys, running_firefox(tmp_path / "profile", **keys.environment) as firefox:
        open_page(firefox, server)
        write(firefox, SENTENCES)
        firefox.press(CONTROL, ENTER)
        firefox.until("app.player.state === 'playing' && app.player.take.complete")
        until(lambda: keys.present and "Playing" in keys.shown("PlaybackStatus"))
        assert keys.metadata("xesam:title") == SENTENCES[:80]
        keys.press("Pause")
        firefox.until("app.player.state === 'paused'")
        keys.press("Play")
        firefox.until("app.player.state === 'playing'")
        keys.press("Next")
        firefox.until(highlighted("sentence", "Two is second."))
        keys.press("Previous")
        firefox.until(highlighted("sentence", "One is first."))


def test_right_to_left_text_stands_right(firefox: Firefox, server: Server) -> None:
    open_page(firefox, server)
    write(firefox, "مرحبا بكم.")
    assert firefox.evaluate("getComputedStyle(document.getElementById('text')).direction") == "rtl"
    firefox.press(CONTROL, ENTER)
    firefox.until(highlighted("word", "بكم"))


def test_drops_a_file_shows_code_and_keeps_the_text(firefox: Firefox, server: Server) -> None:
    open_page(firefox, server)
    firefox.evaluate(
        """(() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["From a file."], "notes.md"));
            const drop = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
            document.getElementById("text").dispatchEvent(drop);
        })()"""
    )
    firefox.until("app.store.state.text === 'From a file.'")
    firefox.click("#copy-code")
    firefox.until("/From a file/.test(document.getElementById('code-text').textContent)")
    firefox.press(ESCAPE)
    firefox.until("!document.getElementById('code').open")
    firefox.click("#speed-presets button:last-child")
    firefox.until("app.store.state.settings.speed === 2")
    open_page(firefox, server)
    assert firefox.evaluate("[app.store.state.text, app.store.state.settings.speed]") == ["From a file.", 2]
    firefox.evaluate("document.querySelector('#speed-presets button:nth-child(2)').click()")
