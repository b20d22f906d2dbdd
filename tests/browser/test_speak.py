"""The Speak tab, in a real browser against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from helpers.page import LIT_WORD, click_word, ended, highlighted, open_page, play, wait_for, write
from helpers.servers import Server, until
from playwright.sync_api import Browser, Page, Route, expect

pytestmark = pytest.mark.browser

SHORT = "Hello there. This is heard."
LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 6
SENTENCES = "One is first. Two is second. Three is third. Four is fourth. Five is fifth. Six is sixth."

TRIES = 3
"""Attempts at real-time measurements; the best one counts, as the machine may be busy."""

SILENT = """() => new Promise((silent) => {
    const asked = performance.now();
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    const look = () =>
        app.player.state === "paused" ? silent(performance.now() - asked) : setTimeout(look, 1);
    look();
})"""
"""Press Escape and return the milliseconds until the worklet is silent."""


# Playing.


def test_plays_a_whole_text_and_tells_when_it_was_first_heard(page: Page) -> None:
    underruns = []
    for _ in range(TRIES):
        play(page, SHORT)
        assert page.get_attribute("#play", "aria-label") == "Pause"
        wait_for(page, "app.player.state === 'ended'")
        assert page.evaluate("app.player.output.running")
        seconds = page.evaluate("app.player.take.seconds")
        assert seconds > 1
        assert page.evaluate("app.player.position") == pytest.approx(
            page.evaluate("app.player.take.length"), rel=0.01
        )
        assert page.get_attribute("#play", "aria-label") == "Play"
        assert page.inner_text("#first-sound").endswith(" ms")
        stages = page.locator("#waterfall li").all_inner_texts()
        assert [stage.split("\n")[0] for stage in stages] == [
            "Audio device",
            "Network",
            "Queue",
            "Synthesis",
            "Buffer",
        ]
        underruns.append(page.evaluate("app.player.underruns"))
    assert min(underruns) == 0


def test_plays_in_real_time(page: Page) -> None:
    play(page, LONG)
    off_s = []
    for _ in range(TRIES):
        began, at = page.evaluate("[app.player.position / app.player.take.rate, performance.now()]")
        wait_for(page, f"app.player.position / app.player.take.rate > {began + 2}")
        later, now = page.evaluate("[app.player.position / app.player.take.rate, performance.now()]")
        off_s.append(abs((later - began) - (now - at) / 1000))
    assert min(off_s) < 0.25


@pytest.mark.slow
def test_escape_silences_within_100_ms_and_stops_the_server(page: Page, server: Server) -> None:
    cancelled = ended(server, "cancelled")
    page.check("#tokens")
    page.fill("#rate", "5")
    silent_ms = []
    for _ in range(TRIES):
        play(page, LONG)
        silent_ms.append(page.evaluate(SILENT))
    assert min(silent_ms) < 100
    until(lambda: ended(server, "cancelled") == cancelled + TRIES)


def test_pauses_and_goes_on_where_it_was(page: Page) -> None:
    play(page, LONG)
    wait_for(page, "app.player.position > app.player.take.rate")
    page.click("#play")
    wait_for(page, "app.player.state === 'paused'")
    assert page.inner_text("#player-state") == "Paused"
    at = page.evaluate("app.player.position")
    take = page.evaluate_handle("app.player.take")
    page.click("#play")
    wait_for(page, "app.player.state === 'playing'")
    assert page.evaluate("app.player.position") < at + page.evaluate("app.player.take.rate")
    assert page.evaluate("(take) => app.player.take === take", take)


def test_skips_sentences_seconds_and_words(page: Page) -> None:
    play(page, SENTENCES + " " + LONG)
    wait_for(page, "app.player.take.complete")
    page.click("#next")
    page.click("#next")
    wait_for(page, highlighted("sentence", "Three is third."))
    page.click("#previous")
    wait_for(page, highlighted("sentence", "Two is second."))
    page.click("#forward")
    wait_for(page, "app.player.position > 5 * app.player.take.rate")
    page.click("#back")
    page.click("#back")
    wait_for(page, "app.player.position < 2 * app.player.take.rate")
    page.focus("#scrubber")
    page.keyboard.press("End")
    wait_for(page, "app.player.state === 'ended'")
    page.keyboard.press("Home")
    page.click("#play")
    wait_for(page, "app.player.state === 'playing' && app.player.position < app.player.take.rate")
    page.focus("#text")
    page.keyboard.press("Space")
    wait_for(page, "app.player.state === 'paused'")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    wait_for(page, "app.player.state === 'playing'")


def test_a_click_on_a_word_is_heard_from_there(page: Page) -> None:
    play(page, "Grüße 🎉 to you all. The second sentence is here. " + SENTENCES)
    wait_for(page, "app.player.take.complete")
    click_word(page, "fourth")
    wait_for(page, highlighted("sentence", "Four is fourth."))
    wait_for(page, highlighted("word", "fourth"))
    click_word(page, "sentence")
    wait_for(page, highlighted("word", "sentence"))


def test_a_click_beyond_what_has_arrived_is_spoken_from_there(page: Page) -> None:
    page.check("#tokens")
    page.fill("#rate", "4")
    play(page, SENTENCES)
    click_word(page, "fifth")
    page.uncheck("#tokens")
    wait_for(page, highlighted("word", "fifth"), timeout_s=30)
    assert "Four" not in page.evaluate(
        "app.player.take.words.map(({ start, end }) => app.player.take.text.slice(start, end))"
    )


def test_another_speed_is_heard_from_the_next_sentence(page: Page) -> None:
    play(page, SENTENCES)
    wait_for(page, "app.player.take.complete")
    whole = page.evaluate("app.player.take.seconds")
    page.click("#speed-presets button:has-text('2×')")
    assert page.inner_text("#speed-value") == "2×"
    wait_for(page, f"app.player.take.complete && app.player.take.seconds < 0.9 * {whole}")
    first = page.evaluate("app.player.take.sentences[1].at / app.player.take.rate")
    assert first > 0.5  # what was being heard was left alone
    offsets = page.evaluate("app.player.take.sentences.map(({ start }) => start)")
    assert offsets == [found.start() for found in re.finditer(r"\w+ is", SENTENCES)]
    wait_for(page, "app.player.state === 'ended'", timeout_s=30)
    page.click("#play")  # the whole once more is all in the new speed
    wait_for(page, "app.player.take.complete && app.player.state === 'playing'")
    assert page.evaluate("app.player.take.seconds") < 0.6 * whole


def test_the_server_accepts_reports_of_what_is_played(page: Page) -> None:
    """With a costly engine, the sound comes only a minute ahead of what the page says was played."""
    exchanged: list[dict[str, Any]] = []

    def note_text(frame: str | bytes) -> None:
        if isinstance(frame, str):
            exchanged.append(json.loads(frame))

    with page.expect_websocket() as socket:
        page.evaluate("app.speakChannel.connect()")
    socket.value.on("framesent", note_text)
    socket.value.on("framereceived", note_text)
    wait_for(page, "app.speakChannel.open")
    page.evaluate("app.store.set({ ready: { ...app.store.state.ready, cost: 'high' } })")
    page.check("#tokens")
    page.fill("#rate", "8")
    play(page, SHORT)
    wait_for(page, "app.player.state === 'ended'")
    played = [message["samples"] for message in exchanged if message["type"] == "played"]
    assert max(played) > 0
    assert [message for message in exchanged if message["type"] == "error"] == []


def test_text_can_be_sent_as_tokens(page: Page) -> None:
    page.check("#tokens")
    page.fill("#rate", "8")
    page.evaluate("app.player.on('first', () => { window.early = app.player.take.length; })")
    play(page, "One two three four. Five six seven eight. Nine ten.")
    wait_for(page, "app.player.state === 'ended'", timeout_s=40)
    assert 0 < page.evaluate("early") < page.evaluate("app.player.take.length")


def test_what_arrives_during_a_pause_is_shown(page: Page) -> None:
    page.check("#tokens")
    page.fill("#rate", "4")
    play(page, SENTENCES)
    page.click("#play")
    wait_for(page, "app.player.state === 'paused'")
    enough = page.evaluate("app.player.take.length + app.player.take.rate")
    shown = """(enough) => {
        const { take } = app.player;
        const share = take.seconds / Math.max(take.seconds, take.expectedSeconds ?? 0);
        const { transform } = document.querySelector("#scrubber .arrived").style;
        const drawn = Number(transform.replace(/[^\\d.]/g, ""));
        return !take.complete && take.length > enough && Math.abs(drawn - share) < 0.01;
    }"""
    until(lambda: page.evaluate(shown, enough))


def test_loops(page: Page) -> None:
    page.click("#loop")
    play(page, "Once more.")
    wait_for(page, "app.player.take.complete && app.player.position > 0.5 * app.player.take.length")
    wait_for(page, "app.player.state === 'playing' && app.player.position < 0.4 * app.player.take.length")


# Reading.


def test_lights_the_word_and_sentence_that_are_heard(page: Page) -> None:
    text = "Grüße 🎉 to you all. The second sentence is here."
    play(page, text)
    wait_for(page, highlighted("sentence", "Grüße 🎉 to you all."))
    wait_for(page, highlighted("word", "you"))
    wait_for(page, highlighted("word", "second"))
    assert page.inner_text("#text") == text
    wait_for(page, "app.player.state === 'ended'")
    wait_for(page, LIT_WORD + " === ''")


def test_follows_the_speech_but_not_against_the_hand(page: Page) -> None:
    play(page, SENTENCES + "\n" + 40 * LONG + "\n")
    wait_for(page, "app.player.take.words.length > 300")
    page.evaluate("app.player.seek(app.player.take.words[250].at)")
    top = "document.getElementById('text').scrollTop"
    wait_for(page, f"{top} > 100")
    page.hover("#text")
    page.mouse.wheel(0, 2000)
    expect(page.locator("#follow")).to_be_visible()
    until(lambda: page.evaluate(top) > 1000)
    page.evaluate("app.player.seek(app.player.take.words[20].at)")
    wait_for(page, LIT_WORD + " !== ''")
    page.wait_for_timeout(500)
    assert page.evaluate(top) > 1000
    page.click("#follow")
    wait_for(page, f"{top} < 1000")
    expect(page.locator("#follow")).to_be_hidden()
    assert page.evaluate("innerHeight") == page.evaluate("document.documentElement.scrollHeight")


@pytest.mark.parametrize(
    ("word", "place"),
    [
        pytest.param(20, 600, id="first", marks=pytest.mark.slow),
        pytest.param(250, 600, id="amid", marks=pytest.mark.slow),
        pytest.param(-15, 0, id="last"),
    ],
)
def test_text_that_is_scrolled_by_any_means_stays_where_it_is(page: Page, word: int, place: int) -> None:
    """By a search in the page, for example; and a wheel's event may arrive later than its movement."""
    play(page, 8 * LONG + "\n")
    top = "document.getElementById('text').scrollTop"
    wait_for(page, "app.player.take.complete")
    page.evaluate(f"app.player.seek(app.player.take.words.at({word}).at)")
    wait_for(page, f"app.player.position > app.player.take.words.at({word + 5}).at")
    expect(page.locator("#follow")).to_be_hidden()
    followed = page.evaluate(top)
    page.evaluate(f"{top} = {place}")
    expect(page.locator("#follow")).to_be_visible()
    assert page.evaluate(top) == place != followed
    page.click("#follow")
    wait_for(page, f"Math.abs({top} - {followed}) < 100")
    expect(page.locator("#follow")).to_be_hidden()


def test_the_text_can_be_selected_while_it_is_spoken(page: Page) -> None:
    play(page, LONG)
    at = page.evaluate("app.player.position")
    page.evaluate("getSelection().selectAllChildren(document.getElementById('text'))")
    words = page.evaluate("app.player.take.words.length")
    wait_for(page, f"app.player.position > {at} + app.player.take.rate")
    assert words
    assert page.evaluate("getSelection().toString().trim()") == LONG.strip()


def test_typing_while_it_reads_edits_the_text(page: Page) -> None:
    play(page, SHORT)
    assert page.get_attribute("#text", "aria-readonly") == "true"
    page.click("#edit")
    assert page.get_attribute("#text", "contenteditable") == "plaintext-only"
    page.keyboard.press("Control+End")
    page.keyboard.type(" More.")
    assert page.evaluate("app.store.state.text") == SHORT + " More."
    wait_for(page, "app.player.state === 'playing'")  # what is heard is not interrupted


def test_lines_are_kept_as_they_are_typed(page: Page) -> None:
    write(page, "")
    page.focus("#text")
    page.keyboard.type("One.")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.keyboard.type("Two.")
    assert page.evaluate("app.store.state.text").rstrip("\n") == "One.\n\nTwo."
    page.click("#play")
    wait_for(page, highlighted("word", "Two"))


def test_right_to_left_text_stands_right_and_says_its_language(page: Page) -> None:
    write(page, "مرحبا بكم في هذا المكان.")
    assert page.evaluate("getComputedStyle(document.getElementById('text')).direction") == "rtl"
    page.click("#language")
    page.fill("#picker-search", "arab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.inner_text("#language-shown") == "Arabic"
    assert page.get_attribute("#text", "lang") == "ar"
    with page.expect_websocket() as socket:
        page.evaluate("app.speakChannel.connect()")
    sent: list[dict[str, Any]] = []
    socket.value.on("framesent", lambda frame: sent.append(json.loads(str(frame))))
    wait_for(page, "app.store.state.connection === 'online'")
    page.click("#play")
    until(lambda: page.evaluate("0") == 0 and any(message["type"] == "start" for message in sent))
    assert next(message for message in sent if message["type"] == "start")["language"] == "ar"
    page.click("#language")
    assert page.locator("#picker-list .group").first.inner_text() == "Recent"


# The text and the settings.


def test_a_reload_keeps_voice_speed_and_text(page: Page) -> None:
    write(page, "This stays here.")
    page.click("#voice")
    page.fill("#picker-search", "frien")
    page.click("#picker [data-id=kai]")
    page.click("#speed-presets button:has-text('1.25×')")
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector("#play:enabled")
    expect(page.locator("#text")).to_have_text("This stays here.")
    expect(page.locator("#voice-name-shown")).to_have_text("Kai, friendly")
    expect(page.locator("#speed-value")).to_have_text("1.25×")


def test_a_link_carries_text_and_settings_but_not_the_key(page: Page, browser: Browser) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("app.key.set('secret-key')")
    write(page, "Shared & read.\nNew line.")
    page.click("#speed-presets button:has-text('1.5×')")
    page.click("#share")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "secret-key" not in link
    page.evaluate("app.key.forget()")
    other = browser.new_page()
    open_page(other, link)
    assert other.evaluate("app.store.state.text") == "Shared & read.\nNew line."
    expect(other.locator("#speed-value")).to_have_text("1.5×")
    assert "#" not in other.url
    other.close()


def test_shows_the_request_as_code(page: Page) -> None:
    write(page, "Say it's so.")
    page.click("#copy-code")
    kinds = page.locator("#code-kinds button").all_inner_texts()
    assert kinds == ["curl", "Python", "JavaScript", "OpenAI SDK"]
    assert "Say it'\\''s so." in page.inner_text("#code-text")
    page.click("#code-kinds button:has-text('Python')")
    compile(page.inner_text("#code-text"), "snippet", "exec")
    page.keyboard.press("Escape")
    expect(page.locator("#code")).to_be_hidden()


def test_a_text_file_can_be_opened(page: Page) -> None:
    page.set_input_files("#text-file", {"name": "a.md", "mimeType": "", "buffer": b"# Heading\r\n\r\nText."})
    expect(page.locator("#text")).to_have_text("# Heading\n\nText.")
    page.set_input_files("#text-file", {"name": "a.png", "mimeType": "image/png", "buffer": b"x"})
    expect(page.locator("#toast")).to_contain_text("choose a .txt or .md file")


DROP = """([name, content, broken]) => {
    const file = new File([content], name);
    if (broken) file.text = () => Promise.reject(new Error("gone"));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(file);
    const drop = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
    if (broken) Object.defineProperty(drop, "dataTransfer", { value: { files: [file] } });
    document.getElementById("text").dispatchEvent(drop);
}"""
"""Drop a file onto the text; a broken one cannot be read, as when it was deleted meanwhile."""


def test_a_text_file_can_be_dropped(page: Page) -> None:
    page.evaluate(DROP, ["notes.txt", "\ufeffFrom a file.\r\nTwo lines.", False])
    expect(page.locator("#text")).to_have_text("From a file.\nTwo lines.")
    page.evaluate(DROP, ["notes.md", "# Heading 🎉", False])
    expect(page.locator("#text")).to_have_text("# Heading 🎉")
    expect(page.locator("#text-size")).to_have_text("11 characters")
    page.evaluate(DROP, ["picture.png", "", False])
    expect(page.locator("#toast")).to_contain_text("choose a .txt or .md file")
    page.evaluate(DROP, ["gone.txt", "", True])
    expect(page.locator("#toast")).to_contain_text("“gone.txt” could not be read")
    expect(page.locator("#text")).to_have_text("# Heading 🎉")


def test_downloads_sound_and_subtitles(page: Page) -> None:
    play(page, SHORT)
    wait_for(page, "app.player.take.complete")
    contents = {}
    for format_name in ("wav", "srt", "vtt", "mp3"):
        page.click("#download")
        with page.expect_download() as download:
            page.click(f"#download-menu [data-format={format_name}]")
        assert download.value.suggested_filename == f"hello-there.{format_name}"
        contents[format_name] = download.value.path().read_bytes()
    samples = page.evaluate("app.player.take.length")
    assert contents["wav"][:4] == b"RIFF"
    assert len(contents["wav"]) == 44 + 2 * samples
    assert contents["srt"].startswith(b"1\n00:00:00,000 --> 00:00:0")
    assert contents["vtt"].startswith(b"WEBVTT")
    assert contents["mp3"][:3] == b"ID3" or contents["mp3"][0] == 0xFF


def test_the_history_plays_a_take_again_without_the_server(page: Page, server: Server) -> None:
    play(page, "This is kept.")
    wait_for(page, "app.player.state === 'ended'")
    length = page.evaluate("app.player.take.length")
    done = ended(server, "done")
    open_page(page, server.url)
    write(page, "Something else.")
    page.click("#history-button")
    page.locator("#history-list button", has_text="Play").first.click()
    wait_for(page, "app.player.state === 'playing'")
    assert page.evaluate("app.player.take.length") == length
    wait_for(page, highlighted("word", "kept"))
    assert page.evaluate("app.store.state.text") == "This is kept."
    assert ended(server, "done") == done
    page.click("#history-button")
    page.evaluate(
        """() => {
            const remove = IDBObjectStore.prototype.delete;
            IDBObjectStore.prototype.delete = () => {
                IDBObjectStore.prototype.delete = remove;
                throw new Error("broken");
            };
        }"""
    )
    page.click("#history-list button:has-text('Delete')")
    expect(page.locator("#toast")).to_contain_text("could not be changed")
    assert page.locator("#history-list li").count() == 1
    page.click("#history-clear")
    expect(page.locator("#history-none")).to_be_visible()


def test_an_option_of_the_engine_shows_its_value_however_it_was_set(page: Page) -> None:
    page.evaluate(
        """() => {
            const { ready, settings } = app.store.state;
            app.store.set({ ready: { ...ready, options: [...ready.options, "top_k"] } });
            app.store.set({ settings: { ...settings, options: { top_k: 7 } } });
        }"""
    )
    page.click("#engine-options summary")
    expect(page.get_by_label("Guidance top k")).to_be_hidden()
    expect(page.get_by_label("Top k", exact=True)).to_have_value("7")
    page.get_by_label("Top k", exact=True).fill("0")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Top k", exact=True)).to_have_value("")
    assert page.evaluate("app.store.state.settings.options") == {}


def test_an_error_during_a_download_stays(page: Page) -> None:
    play(page, SHORT)
    wait_for(page, "app.player.take.complete")
    held: list[Route] = []
    page.route("**/generate", lambda route: held.append(route))
    page.click("#download")
    page.click("#download-menu [data-format=mp3]")
    expect(page.locator("#toast")).to_contain_text("is making the MP3 file")
    until(lambda: held or page.wait_for_timeout(10))
    page.evaluate("app.toast.show('Something is wrong.', { kind: 'error' })")
    with page.expect_download():
        held[0].continue_()
    expect(page.locator("#toast")).to_contain_text("Something is wrong.")


def test_a_voice_can_be_heard_before_it_is_chosen(page: Page) -> None:
    write(page, "My own text. And more.")
    page.click("#voice")
    with page.expect_request("**/generate") as request:
        page.click("#picker-list li:has-text('Kai') .preview")
    assert request.value.post_data_json["text"] == "My own text."
    expect(page.locator("#picker-list li:has-text('Kai') .preview")).to_contain_text("Stop")
    page.keyboard.press("Escape")


# Failures and limits.


@pytest.mark.parametrize("nothing", ["", "...\n"])
def test_an_empty_text_shows_an_error(page: Page, nothing: str) -> None:
    write(page, nothing)
    page.click("#play")
    assert "type some text" in page.inner_text("#toast")
    assert page.evaluate("document.activeElement.id") == "text"
    red = "rgb(179, 38, 30)"
    assert page.evaluate("getComputedStyle(document.getElementById('toast')).color") == red
    write(page, "Hello again.")
    expect(page.locator("#toast")).to_be_hidden()


def test_a_too_long_text_is_rejected_before_it_is_sent(page: Page) -> None:
    write(page, "Too long. " * 10_241)
    page.click("#play")
    assert "102,410 characters; at most 102,400" in page.inner_text("#toast")
    play(page, SHORT)
    assert page.is_hidden("#toast")


def test_a_suspended_audio_device_is_a_pause(page: Page) -> None:
    play(page, LONG)
    page.evaluate("app.player.output.suspend()")
    expect(page.locator("#toast")).to_contain_text("has paused the sound")
    assert page.get_attribute("#play", "aria-label") == "Play"
    page.click("#toast .toast-action")
    wait_for(page, "app.player.state === 'playing' && app.player.output.running")


def test_the_screen_stays_awake_while_it_speaks(page: Page, server: Server) -> None:
    page.context.grant_permissions(["screen-wake-lock"])
    page.add_init_script(
        """(() => {
            window.locks = [];
            const request = WakeLock.prototype.request;
            WakeLock.prototype.request = async function (type) {
                const lock = await request.call(this, type);
                locks.push(lock);
                return lock;
            };
        })()"""
    )
    open_page(page, server.url)
    held = "locks.filter(({ released }) => !released).length"
    play(page, LONG)
    wait_for(page, f"{held} === 1")
    page.keyboard.press("Escape")
    wait_for(page, f"{held} === 0")
    page.evaluate("app.speaker.play(); app.speaker.pause(); app.speaker.play()")
    wait_for(page, f"app.player.state === 'playing' && {held} === 1")
    page.keyboard.press("Escape")
    wait_for(page, f"{held} === 0")


def test_one_tab_speaks_at_a_time(page: Page, server: Server) -> None:
    play(page, LONG)
    other = open_page(page.context.new_page(), server.url)
    play(other, SHORT)
    wait_for(page, "app.player.state === 'paused'")
    assert other.evaluate("app.player.active")
    other.close()


def test_keys_of_input_methods_questions_and_other_fields_are_theirs(page: Page) -> None:
    play(page, LONG)
    page.evaluate(
        """() => {
            const type = (init) => document.getElementById("text").dispatchEvent(
                new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init }));
            type({ key: "Escape", isComposing: true });
        }"""
    )
    assert page.evaluate("app.player.active")
    for opener in ("#copy-code", "#download"):
        page.click(opener)
        page.keyboard.press("Escape")
        assert page.evaluate("app.player.active")
    take = page.evaluate_handle("app.player.take")
    page.click("#voices-tab")
    page.evaluate(
        """() => {
            const said = document.getElementById("said");
            said.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true }));
        }"""
    )
    assert page.evaluate("(take) => app.player.take === take", take)


def test_a_held_key_begins_one_take(page: Page, server: Server) -> None:
    write(page, LONG)
    page.focus("#text")
    page.evaluate("window.takes = 0; app.speaker.addEventListener('take', () => { window.takes += 1; })")
    page.keyboard.down("Control")
    for _ in range(10):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    page.keyboard.up("Control")
    wait_for(page, "app.player.state === 'playing'")
    assert page.evaluate("takes") == 1


def test_nothing_of_the_tests_is_in_the_page(page: Page) -> None:
    page.reload()
    page.wait_for_selector("#play:enabled")
    assert page.evaluate("window.__tts") is None
    assert page.evaluate("window.app") is None


def test_keeps_to_the_rate_of_messages(browser: Browser, start_server: Callable[..., Server]) -> None:
    strict = start_server("--max-workers=1", DIA_MESSAGES_PER_SECOND="3")
    page = open_page(browser.new_page(), strict.url)
    page.check("#tokens")
    page.fill("#rate", "200")
    play(page, SHORT)
    wait_for(page, "app.player.state === 'ended'")
    assert page.is_hidden("#toast")
    page.close()
