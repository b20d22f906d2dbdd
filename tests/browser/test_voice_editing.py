"""The Voices tab where things go wrong or overlap, in a real browser against a real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BytesIO

import httpx
import numpy as np
import pytest
import soundfile
from helpers.axe import serious_violations
from helpers.chromium import launch
from helpers.page import note_complaints
from helpers.rest import wav
from helpers.servers import Server
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

KEEP_TRACKS = """
    const lend = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => window.lent = await lend(wanted);
"""
SWITCHED_OFF = "() => window.lent?.getTracks().every(({ readyState }) => readyState === 'ended')"


@pytest.fixture(scope="module")
def recording_browser(browser: Browser) -> Iterator[Browser]:
    """Launch a browser with a microphone that beeps."""
    one = launch(browser.browser_type, *MICROPHONE)
    yield one
    one.close()


@pytest.fixture
def context(recording_browser: Browser) -> Iterator[BrowserContext]:
    """Open a context. Console errors fail the test, except for responses the page handles."""
    context = recording_browser.new_context()
    complaints = note_complaints(context, "responded with a status of 4")
    yield context
    context.close()
    assert not complaints


@pytest.fixture
def opened(context: BrowserContext, studio: Server, client: httpx.Client) -> Callable[..., Page]:
    """Return a function that opens the Voices tab, after running a script."""

    def open_tab(script: str = "") -> Page:
        page = context.new_page()
        page.add_init_script(script)
        page.goto(studio.url)
        expect(page.locator("#connection")).to_have_attribute("data-state", "online")
        page.click("#voices-tab")
        page.wait_for_selector("#voice-list li")
        return page

    return open_tab


def recording(seconds: float = 6.0) -> bytes:
    """Return a WAV file whose pitch rises, so that its parts differ."""
    times = np.arange(int(44100 * seconds)) / 44100
    return wav(0.3 * np.sin(2 * np.pi * (200 + 50 * times) * times), 44100)


def choose(page: Page) -> None:
    page.set_input_files(
        "#sample-file", files={"name": "ann.wav", "mimeType": "audio/wav", "buffer": recording()}
    )
    expect(page.locator("#sample-facts")).to_contain_text("6.0 s")


def preview(page: Page, voice: str = "Nova") -> Page:
    """Start the preview of a voice."""
    page.locator(f"li[data-key={voice.lower()}] button").first.click()
    expect(page.locator(f"li[data-key={voice.lower()}] button").first).to_have_text(f"Stop {voice}")
    return page


def store(client: httpx.Client, *names: str) -> None:
    for name in names:
        files = {"audio_file": ("sample.wav", recording())}
        fields = {"prompt_id": name, "transcript": "This is what I say."}
        assert client.post("/audio_prompts/upload", data=fields, files=files).status_code == 200


KEEP_DEVICES = """
    window.devices = [];
    window.AudioContext = class extends AudioContext {
        constructor(options) { super(options); if (!options) devices.push(this); }
    };
"""
"""Keep the audio devices of previews; the player asks for a sample rate."""


def test_the_audio_device_is_given_back_after_a_preview(opened: Callable[..., Page]) -> None:
    page = opened(KEEP_DEVICES)
    page.get_by_role("button", name="Preview Nova").click()
    page.wait_for_function("() => devices.some(({ state }) => state === 'running')")
    page.get_by_role("button", name="Stop Nova").click()
    page.wait_for_function("() => devices.every(({ state }) => state !== 'running')")


# The microphone.


def test_a_preview_ends_a_recording_and_plays_on(opened: Callable[..., Page]) -> None:
    page = opened(KEEP_TRACKS)
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Stop recording")
    page.locator("li[data-key=nova] button").first.click()
    page.wait_for_function(SWITCHED_OFF)
    expect(page.locator("#record")).to_have_text("Record")
    expect(page.locator("#sample-name")).to_have_value("recording")  # What was recorded is not lost.
    expect(page.locator("li[data-key=nova] button").first).to_have_text("Stop Nova")


def test_recording_ends_a_preview(opened: Callable[..., Page]) -> None:
    page = preview(opened())
    page.click("#record")
    expect(page.locator("li[data-key=nova] button").first).to_have_text("Preview Nova")
    expect(page.locator("#record")).to_have_text("Stop recording")


@pytest.mark.parametrize(
    "fault",
    [
        "MediaRecorder.prototype.start = () => { throw new DOMException('none', 'NotSupportedError'); };",
        "window.MediaRecorder = class { static isTypeSupported() { return true; } "
        "constructor() { throw new TypeError('no such codec'); } };",
        "const begin = MediaRecorder.prototype.start; MediaRecorder.prototype.start = function () {"
        " begin.call(this); setTimeout(() => this.dispatchEvent(new Event('error')), 50); };",
    ],
    ids=["start", "construction", "later"],
)
def test_a_failed_recorder_switches_the_microphone_off(opened: Callable[..., Page], fault: str) -> None:
    page = opened(KEEP_TRACKS + fault)
    page.click("#record")
    page.wait_for_function(SWITCHED_OFF)
    expect(page.locator("#new-sample-notice")).to_contain_text("The recording failed")
    expect(page.locator("#new-sample-notice")).to_have_attribute("data-state", "bad")
    expect(page.locator("#record")).to_have_text("Record")
    assert page.is_enabled("#record")
    assert page.is_hidden("#recording")


def test_live_regions_are_quiet_while_recording(opened: Callable[..., Page]) -> None:
    page = opened()
    page.evaluate(
        """() => {
            window.told = 0;
            const watcher = new MutationObserver((changes) => { window.told += changes.length; });
            const live = document.querySelectorAll("[role=status], [role=alert], output, [aria-live]");
            for (const region of live)
                if (region.ariaLive !== "off") watcher.observe(region, { childList: true, subtree: true });
        }"""
    )
    page.click("#record")
    page.wait_for_function("() => parseFloat(document.getElementById('record-time').textContent) > 1.2")
    page.click("#record")
    expect(page.locator("#new-sample-notice")).to_contain_text("Recorded")
    assert page.evaluate("window.told") <= 6


# Trimming.


def test_a_part_of_a_file_is_kept(opened: Callable[..., Page], client: httpx.Client) -> None:
    page = opened()
    choose(page)
    page.focus("#trim-from")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.fill("#trim-to", "4")
    expect(page.locator("#trim-from-time")).to_have_text("1.0 s")
    expect(page.locator("#sample-facts")).to_contain_text("3.0 s of 6.0 s")
    page.click("#sample-play")
    expect(page.locator("#sample-play")).to_have_text("Stop")
    expect(page.locator("#sample-play")).to_have_text("Play", timeout=5_000)  # It plays only what is kept.
    page.click("#upload")
    page.wait_for_selector("#stored", state="visible")
    [stored] = client.get("/audio_prompts/metadata").json().values()
    assert stored["duration"] == pytest.approx(3.0, abs=0.1)
    kept, rate = soundfile.read(BytesIO(client.get("/audio_prompts/ann/audio").content))
    whole, _ = soundfile.read(BytesIO(recording()))
    assert rate == 44100
    assert np.corrcoef(kept[: 2 * rate], whole[rate : 3 * rate])[0, 1] > 0.9
    assert page.is_hidden("#trim")


def test_a_whole_file_is_sent_as_it_is(opened: Callable[..., Page], client: httpx.Client) -> None:
    page = opened()
    choose(page)
    page.click("#upload")
    page.wait_for_selector("#stored", state="visible")
    [stored] = client.get("/audio_prompts/metadata").json().values()
    assert stored["duration"] == pytest.approx(6.0, abs=0.01)


def test_the_ends_of_the_part_stay_apart(opened: Callable[..., Page]) -> None:
    page = opened()
    choose(page)
    page.focus("#trim-from")
    page.keyboard.press("End")
    expect(page.locator("#trim-from-time")).to_have_text("5.5 s")
    page.focus("#trim-to")
    page.keyboard.press("Home")
    expect(page.locator("#trim-from-time")).to_have_text("0.0 s")
    expect(page.locator("#trim-to-time")).to_have_text("0.5 s")


# Keys.


def test_escape_in_a_question_answers_only_the_question(
    opened: Callable[..., Page], client: httpx.Client
) -> None:
    store(client, "ann")
    page = preview(opened())
    page.get_by_role("button", name="Delete ann").click()
    page.keyboard.press("Escape")
    expect(page.locator(".asked")).to_have_count(0)
    expect(page.locator("li[data-key=nova] button").first).to_have_text("Stop Nova")
    assert page.evaluate("document.activeElement.textContent") == "Delete ann"
    page.keyboard.press("Escape")
    expect(page.locator("li[data-key=nova] button").first).to_have_text("Preview Nova")


def test_escape_in_an_input_method_does_not_stop_sound(opened: Callable[..., Page]) -> None:
    page = opened()
    choose(page)
    preview(page)
    page.evaluate(
        """() => document.getElementById("said").dispatchEvent(
            new KeyboardEvent("keydown", { key: "Escape", bubbles: true, isComposing: true }))"""
    )
    expect(page.locator("li[data-key=nova] button").first).to_have_text("Stop Nova")


def test_control_and_enter_in_the_transcript_speak_nothing(
    opened: Callable[..., Page], client: httpx.Client
) -> None:
    store(client, "ann")
    page = opened()
    page.get_by_role("button", name="Open ann").click()
    page.wait_for_selector("#stored", state="visible")
    page.focus("#said")
    for _ in range(10):
        page.keyboard.press("Control+Enter")
    page.keyboard.type(" Really.")
    page.click("#save-transcript")
    expect(page.locator("#sample-notice")).not_to_have_text("")
    assert client.get("/queue/stats").json()["contexts"] == 0
    assert page.evaluate("document.getElementById('dock').dataset.state") not in ("playing", "waiting")


# Errors.


def test_an_error_is_red_and_goes_when_it_is_mended(
    opened: Callable[..., Page], client: httpx.Client
) -> None:
    store(client, "ann", "bob")
    page = opened()
    client.delete("/audio_prompts/ann")
    page.get_by_role("button", name="Open ann").click()
    notice = page.locator("#sample-list-notice")
    expect(notice).to_have_attribute("data-state", "bad")
    critical = page.evaluate(
        """() => {
            const probe = document.body.appendChild(document.createElement("p"));
            probe.style.color = "var(--critical)";
            return getComputedStyle(probe).color;
        }"""
    )
    expect(notice).to_have_css("color", critical)
    page.get_by_role("button", name="Open bob").click()
    page.wait_for_selector("#stored", state="visible")
    expect(notice).to_have_text("")


def test_uses_a_voice(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("button", name="Use this voice Zara").click()
    expect(page.locator("#speak")).to_be_visible()
    expect(page.locator("#voices")).to_be_hidden()
    expect(page.locator("#voice-name-shown")).to_have_text(re.compile("Zara"))
    assert page.evaluate("document.activeElement.id") == "speak-tab"


# Pronunciations.


def test_words_are_added_heard_replaced_and_deleted(
    opened: Callable[..., Page], client: httpx.Client
) -> None:
    page = opened()
    expect(page.locator("#no-words")).to_be_visible()
    page.fill("#word", "nginx")
    page.fill("#respelling", "engine x")
    page.keyboard.press("Enter")
    expect(page.locator("#words li")).to_have_text(re.compile("nginx read as “engine x”, in every language"))
    assert page.evaluate("document.activeElement.id") == "word"
    page.fill("#word", "Nginx")
    page.fill("#respelling", "engine ex")
    page.fill("#word-language", "en")
    page.click("#add-word")
    expect(page.locator("#words li")).to_have_count(2)
    page.fill("#word", "NGINX")
    page.fill("#respelling", "engine eggs")
    page.click("#add-word")
    expect(page.locator("#words")).to_contain_text("engine eggs")
    expect(page.locator("#words li")).to_have_count(2)
    listed = client.get("/pronunciations").json()["pronunciations"]
    assert {(one["language"], one["respelling"]) for one in listed} == {
        (None, "engine eggs"),
        ("en", "engine ex"),
    }
    with page.expect_response("**/generate") as answer:
        page.get_by_role("button", name="Preview nginx").first.click()
    assert answer.value.status == 200
    page.get_by_role("button", name="Delete nginx").first.click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#words li")).to_have_count(1)
    expect(page.locator("#words-notice")).to_have_text("Pronunciation of “Nginx” deleted.")


def test_pronunciations_of_one_word_are_told_apart(opened: Callable[..., Page], client: httpx.Client) -> None:
    words = [
        {"word": "nginx", "respelling": "engine x"},
        {"word": "nginx", "respelling": "engine ex", "language": "en"},
    ]
    client.put("/pronunciations", json={"pronunciations": words})
    page = opened()
    expect(page.locator("#words li")).to_have_count(2)
    asked = page.locator("#words li", has_text="in English")
    asked.get_by_role("button", name="Delete nginx").click()
    page.click("#speak-tab")
    with page.expect_response("**/pronunciations"):
        page.click("#voices-tab")
    expect(page.locator("#words li", has_text="in every language")).to_have_count(1)
    expect(asked).to_have_count(1)
    asked.get_by_role("button", name="Delete", exact=True).click()
    expect(asked).to_have_count(0)
    assert [one["language"] for one in client.get("/pronunciations").json()["pronunciations"]] == [None]


def test_a_word_that_is_refused_says_why_until_it_is_changed(opened: Callable[..., Page]) -> None:
    page = opened()
    page.fill("#word", "???")
    page.fill("#respelling", "what")
    page.click("#add-word")
    expect(page.locator("#word-notice")).to_have_attribute("data-state", "bad")
    page.fill("#word", "what")
    expect(page.locator("#word-notice")).to_have_text("")


def test_axe_finds_nothing_serious(opened: Callable[..., Page], client: httpx.Client) -> None:
    store(client, "ann")
    client.put("/pronunciations", json={"pronunciations": [{"word": "nginx", "respelling": "engine x"}]})
    page = opened()
    page.get_by_role("button", name="Open ann").click()
    page.wait_for_selector("#stored", state="visible")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert serious_violations(page) == [], scheme
    choose(page)
    page.get_by_role("button", name="Delete ann").click()
    assert serious_violations(page) == []
