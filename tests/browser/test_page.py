"""The frame of the page: connection, key, tabs, and what everybody can use, in a real browser."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.axe import serious_violations
from helpers.chromium import launch
from helpers.page import open_page, play, wait_for, write
from helpers.prefix_proxy import prefix_proxy
from helpers.servers import Server, running_server
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 6


def test_works_with_the_keyboard_alone(page: Page) -> None:
    page.focus("#text")
    page.keyboard.press("Control+A")
    page.keyboard.type(LONG[:200])
    page.keyboard.press("Control+Enter")
    wait_for(page, "app.player.state === 'playing'")
    page.keyboard.press("Escape")
    wait_for(page, "app.player.state === 'paused'")
    reached = []
    for _ in range(22):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"voice", "language", "speed", "0.75×", "2×", "tokens", "rate"} <= set(reached)
    assert {"scrubber", "previous", "play", "next", "loop", "volume", "download"} <= set(reached)
    page.focus("#speak-tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#compare")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#server")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "server-tab"


def test_asks_for_a_required_key(browser: Browser, start_server: Callable[..., Server]) -> None:
    locked = start_server("--max-workers=1", DIA_API_KEYS="the-key")
    page = browser.new_page()
    page.goto(locked.url)
    page.wait_for_selector("#key-form", state="visible")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-refused", state="visible")
    expect(page.locator("#connection")).to_have_text("API key required")
    page.fill("#key", "the-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("#play:enabled")
    assert page.is_hidden("#key-form")
    page.click("#server-tab")
    page.wait_for_selector("#devices li")
    page.close()


def test_a_key_of_other_letters_is_a_key(browser: Browser, start_server: Callable[..., Server]) -> None:
    locked = start_server("--max-workers=1", DIA_API_KEYS="ключ")
    page = browser.new_page()
    page.goto(locked.url)
    page.fill("#key", "ключ")
    page.keyboard.press("Enter")
    page.wait_for_selector("#play:enabled")
    page.click("#voices-tab")
    page.wait_for_selector("#voice-list li")
    page.close()


def test_what_was_received_outlives_the_server(browser: Browser, start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    page = open_page(browser.new_page(), server.url)
    page.check("#tokens")
    page.fill("#rate", "40")
    play(page, LONG)
    wait_for(page, "app.player.take.seconds > 3")
    server.process.kill()
    server.process.wait(10)
    expect(page.locator("#toast")).to_contain_text("connection to the server was lost")
    expect(page.locator("#connection")).to_have_text("Offline, reconnecting…")
    held = page.evaluate("app.player.take.length")
    wait_for(page, f"app.player.position >= 0.99 * {held}")
    assert page.evaluate("app.player.take.length") == held
    expect(page.locator("#player-state")).to_have_text("Waiting for the server…")
    page.close()


@pytest.mark.slow
def test_the_rest_is_spoken_when_the_server_is_back(browser: Browser, tmp_path: Path) -> None:
    text = "One is first. Two is second. Three is third. Four is fourth. Five is fifth. Six is sixth. " * 2
    with running_server(tmp_path / "first", "--max-workers=1", "--drain-timeout-s=1") as server:
        page = open_page(browser.new_page(), server.url)
        page.check("#tokens")
        page.fill("#rate", "15")
        play(page, text.strip())
        wait_for(page, "app.player.take.seconds > 4")
        server.process.terminate()
        server.process.wait(15)
    expect(page.locator("#connection")).to_have_text("Offline, reconnecting…")
    assert page.evaluate("app.player.take.seconds") > 4
    page.uncheck("#tokens")
    with running_server(tmp_path / "second", "--max-workers=1", port=server.port):
        wait_for(page, "app.player.take.complete", timeout_s=60)
        starts = page.evaluate("app.player.take.sentences.map(({ start }) => start)")
        assert starts == [found.start() for found in re.finditer(r"\w+ is", text)]
        expect(page.locator("#toast")).to_be_hidden()
        wait_for(page, "app.player.state === 'ended'", timeout_s=60)
    page.close()


@pytest.mark.slow
def test_a_server_that_comes_back_with_a_key_asks_for_it(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    with running_server(tmp_path / "first", "--max-workers=1") as server:
        open_page(page, server.url)
    expect(page.locator("#toast")).to_contain_text("cannot be reached")
    with running_server(tmp_path / "second", "--max-workers=1", port=server.port, DIA_API_KEYS="the-key"):
        page.wait_for_selector("#key-form", state="visible", timeout=60_000)
        expect(page.locator("#toast")).to_be_hidden()
        page.fill("#key", "the-key")
        page.keyboard.press("Enter")
        expect(page.locator("#connection")).to_have_text("Connected")
    page.close()


def test_a_silent_server_is_offline_and_comes_back(
    browser: Browser, start_server: Callable[..., Server]
) -> None:
    server = start_server("--max-workers=1")
    page = open_page(browser.new_page(), server.url)
    server.process.send_signal(signal.SIGSTOP)
    expect(page.locator("#connection")).to_have_text("Offline, reconnecting…", timeout=8000)
    server.process.send_signal(signal.SIGCONT)
    expect(page.locator("#connection")).to_contain_text("Connected", timeout=15_000)
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_have_text("Offline, reconnecting…")
    page.context.set_offline(False)
    expect(page.locator("#connection")).to_contain_text("Connected")
    page.close()


def test_reports_an_insecure_context_at_once(browser: Browser, start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--allowed-origins=http://speech.test")
    elsewhere = launch(browser.browser_type, "--host-resolver-rules=MAP speech.test 127.0.0.1")
    page = elsewhere.new_page()
    page.goto(server.url.replace("127.0.0.1", "speech.test"))
    page.wait_for_selector("#voice:enabled")
    assert "https or from this machine" in page.inner_text("#toast")
    assert page.is_disabled("#play")
    elsewhere.close()


@pytest.mark.slow
def test_shows_what_an_engine_announces(browser: Browser, start_server: Callable[..., Server]) -> None:
    server = start_server("--engine=dia", "--model=random:tiny", "--slots=1", "--max-workers=1")
    page = browser.new_page()
    page.goto(server.url)
    page.wait_for_selector("#play:enabled")
    assert "Dia produces noise" in page.inner_text("#engine-notice")
    page.close()


def test_without_javascript_it_says_so(browser: Browser, server: Server) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    assert "needs JavaScript" in page.inner_text("main")
    assert "Connecting" not in page.inner_text("body")
    context.close()


def test_works_behind_a_path_prefix(browser: Browser, server: Server) -> None:
    with prefix_proxy(server.port, "/tts/") as port:
        page = browser.new_page()
        missing: list[str] = []
        page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
        open_page(page, f"http://127.0.0.1:{port}/tts/")
        play(page, "Behind a proxy.")
        wait_for(page, "app.player.state === 'ended'")
        page.click("#voices-tab")
        page.wait_for_selector("#voice-list li")
        page.click("#server-tab")
        page.click("#server a")
        page.wait_for_url("**/tts/docs")
        assert page.evaluate("document.styleSheets[0].cssRules.length") > 0
        assert missing == []
        page.close()


def test_the_page_is_small_and_comes_from_this_server_alone(page: Page, server: Server) -> None:
    wait_for(page, "!document.querySelector('[aria-busy]')")
    page.click("#server-tab")
    sizes: dict[str, int] = page.evaluate(
        """Object.fromEntries([...performance.getEntriesByType("navigation"),
            ...performance.getEntriesByType("resource")].map((one) => [one.name, one.encodedBodySize]))"""
    )
    assert all(name.startswith(server.url) for name in sizes)
    assert len(sizes) > 100
    assert sum(size for name, size in sizes.items() if "/vendor/" not in name) < 150_000


def test_links_to_the_http_api(page: Page) -> None:
    page.click("#server-tab")
    page.click("#server a")
    page.wait_for_url("**/docs")
    assert "/audio_prompts/upload" in page.inner_text("body")


def test_works_where_the_browser_stores_nothing(
    browser: Browser, start_server: Callable[..., Server]
) -> None:
    locked = start_server("--max-workers=1", DIA_API_KEYS="the-key")
    page = browser.new_page()
    page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"])
            Object.defineProperty(window, name, { get() { throw new DOMException("denied"); } });"""
    )
    page.goto(locked.url)
    page.fill("#key", "the-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("#play:enabled")
    assert page.inner_text("#text")
    page.click("#voices-tab")
    page.wait_for_selector("#voice-list li")
    page.close()


def test_a_dialog_closes_when_a_click_begins_and_ends_beside_it(page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 800})
    for opener, dialog in (("#copy-code", "#code"), ("#options-button", "#options")):
        page.click(opener)
        box = page.locator(dialog).bounding_box()
        assert box is not None
        inside, outside = (box["x"] + 4, box["y"] + 4), (box["x"] + 4, box["y"] - 20)
        for begin, end in ((inside, inside), (inside, outside), (outside, inside)):
            page.mouse.move(*begin)
            page.mouse.down()
            page.mouse.move(*end)
            page.mouse.up()
            assert page.evaluate(f"document.querySelector('{dialog}').matches(':modal')")
        page.mouse.click(*outside)
        expect(page.locator(dialog)).to_be_hidden()


def test_a_message_that_was_read_hides_itself_later(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.clock.install()
    open_page(page, server.url)
    page.evaluate("app.toast.show('Something happened.')")
    page.hover("#toast")
    page.clock.fast_forward(60_000)
    expect(page.locator("#toast")).to_be_visible()
    page.mouse.move(1, 1)
    page.clock.fast_forward(60_000)
    expect(page.locator("#toast")).to_be_hidden()
    page.close()


@pytest.mark.parametrize(("width", "height"), [(320, 640), (360, 740), (640, 360), (768, 1024)])
def test_the_player_is_in_view_and_nothing_wider_than_the_screen(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    for tab in ("compare", "voices", "server", "speak"):
        page.click(f"#{tab}-tab")
        if tab == "voices":
            page.wait_for_selector("#voice-list li")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollHeight") <= height
    box = page.locator("#play").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= height
    assert page.locator("#text").bounding_box()["height"] > 100  # type: ignore[index]
    page.click("#options-button")
    expect(page.locator("#options")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#options-done")
    expect(page.locator("#options")).to_be_hidden()
    write(page, "...")
    page.click("#play")
    toast, dock = page.locator("#toast").bounding_box(), page.locator("#dock").bounding_box()
    assert toast is not None
    assert dock is not None
    assert 0 <= toast["y"] <= dock["y"] - toast["height"]


def test_the_first_look_offers_something_to_press(page: Page) -> None:
    assert page.evaluate("document.activeElement === document.body")
    assert page.inner_text("#text")
    write(page, "")
    examples = page.locator("#examples button")
    assert examples.count() == 4
    examples.first.click()
    wait_for(page, "app.player.state === 'playing'")
    assert page.inner_text("#text").startswith("Hello!")
    expect(examples.first).to_be_hidden()


BUSY_MS = 1500
"""Time for which the main thread is busy while the first sound is played."""


def test_the_first_sound_is_timed_where_it_is_played(page: Page) -> None:
    play(page, "Before.")  # the audio device has started
    wait_for(page, "app.player.state === 'ended'")
    write(page, LONG)
    page.evaluate(
        f"""() => {{
            let heard = false;
            app.speaker.on("change", () => {{
                if (heard || !app.player.take?.metrics.arrived) return;
                heard = true;
                const began = performance.now();
                while (performance.now() - began < {BUSY_MS}); // the report of the first sound waits
            }});
        }}"""
    )
    page.click("#play")
    wait_for(page, "app.player.take?.metrics.heard")
    arrived, heard = page.evaluate("(({ arrived, heard }) => [arrived, heard])(app.player.take.metrics)")
    assert arrived - 1 <= heard < arrived + 0.8 * BUSY_MS


def test_the_first_sound_is_not_told_before_it_arrived(page: Page) -> None:
    page.click("#play")
    wait_for(page, "app.player.take?.metrics.heard")
    clicked, arrived, heard = page.evaluate(
        "(({ clicked, arrived, heard }) => [clicked, arrived, heard])(app.player.take.metrics)"
    )
    assert clicked <= arrived <= heard


REACHABLE = """(() => {
    const toast = document.getElementById("toast");
    const { x, y, width, height } = toast.getBoundingClientRect();
    const top = document.elementFromPoint(x + width / 2, y + height / 2);
    return y >= 0 && y + height <= innerHeight && toast.contains(top);
})()"""
"""True if the toast is in view, and no dialog makes it inert."""


def test_an_error_can_be_read_and_closed_whether_a_dialog_is_open(page: Page) -> None:
    page.click("#history-button")
    page.wait_for_selector("#history:modal")
    page.evaluate("app.toast.show('Something is wrong.', { kind: 'error' })")
    assert page.evaluate(REACHABLE)
    page.click("#history .close")
    page.wait_for_selector("body > #toast .toast-text", state="visible")
    assert page.evaluate(REACHABLE)
    page.click("#history-button")  # the message is older than the dialog now
    page.wait_for_selector("#history:modal")
    wait_for(page, REACHABLE)
    page.click(".toast-close")
    assert page.is_hidden("#toast")
    page.click("#history .close")
    assert page.evaluate("document.getElementById('toast').matches(':not(:popover-open)')")


def test_nothing_moves_when_speech_starts(page: Page) -> None:
    places = """() => [...document.querySelectorAll("#text, #options > *, #dock, #dock button, header")]
        .map((one) => { const { x, y, width, height } = one.getBoundingClientRect();
                        return [one.id, x, y, width, height].join(" "); })"""
    page.set_viewport_size({"width": 1280, "height": 900})
    before = page.evaluate(places)
    page.click("#play")
    wait_for(page, "app.player.state === 'playing' && app.player.take.complete")
    assert page.evaluate(places) == before


@pytest.mark.slow
def test_axe_finds_nothing_serious_on_any_tab_in_either_theme(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    play(page, LONG)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        for tab in ("speak", "compare", "voices", "server"):
            page.click(f"#{tab}-tab")
            assert serious_violations(page) == []
        page.click("#speak-tab")
        for opener, dialog in (
            ("#voice", "#picker"),
            ("#copy-code", "#code"),
            ("#history-button", "#history"),
        ):
            page.click(opener)
            assert serious_violations(page, dialog) == []
            page.keyboard.press("Escape")


def test_marks_differ_in_forced_colours_and_the_waveform_stays_without_motion(page: Page) -> None:
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    play(page, LONG)
    word, sentence = page.evaluate(
        """["word", "sentence"].map((name) => {
            const style = getComputedStyle(document.getElementById("text"), `::highlight(${name})`);
            return `${style.backgroundColor} ${style.color} ${style.textDecorationLine}`;
        })"""
    )
    assert word != sentence
    wait_for(page, "app.player.position > app.player.take.rate")
    drawn = """(() => {
        const canvas = document.getElementById("waveform-player");
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return pixels.filter((value, at) => at % 4 === 3 && value > 0).length;
    })()"""
    assert page.evaluate(drawn) > 1000


def test_controls_have_borders_that_can_be_seen(page: Page) -> None:
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        faint = page.evaluate(
            """() => {
                const channels = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
                    const share = value / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                });
                const luminance = (colour) => {
                    const [red, green, blue] = channels(colour);
                    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
                };
                const paper = luminance(getComputedStyle(document.body).backgroundColor);
                return ["text", "voice", "rate"].filter((id) => {
                    const line = luminance(getComputedStyle(document.getElementById(id)).borderTopColor);
                    return (Math.max(line, paper) + 0.05) / (Math.min(line, paper) + 0.05) < 3;
                });
            }"""
        )
        assert faint == []


def test_live_regions_change_with_the_state_only(page: Page) -> None:
    page.evaluate(
        """() => {
            window.changes = 0;
            const count = new MutationObserver((found) => { window.changes += found.length; });
            for (const region of document.querySelectorAll("[role=status], [role=alert], [aria-live]"))
                count.observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    play(page, LONG)
    wait_for(page, "app.player.position > 3 * app.player.take.rate")
    assert page.evaluate("changes") < 8
