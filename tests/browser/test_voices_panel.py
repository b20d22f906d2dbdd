"""The voices panel, in a real browser against a real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from helpers import whisper_checkpoint
from helpers.chromium import launch
from helpers.page import note_complaints
from helpers.rest import recording
from helpers.servers import Server, until
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

pytestmark = pytest.mark.browser

REFUSED = "Failed to load resource: the server responded with a status of 4"
"""Console message of the browser about an error response that the page handles."""

INK = """(() => {
    const { width, height } = document.getElementById("waveform");
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(document.getElementById("waveform"), 0, 0);
    return copy.getImageData(0, 0, width, height).data.filter((value, at) => at % 4 === 3);
})()"""
"""The opacity of each pixel of the waveform's canvas."""

DRAWN = f"{INK}.filter((opacity) => opacity > 0).length / (800 * 96)"
"""The share of the waveform's canvas that is drawn on."""

FAINT = f"""(() => {{
    const end = {INK}.filter((opacity, at) => at % 800 > 750 && opacity > 0);
    return end.filter((opacity) => opacity < 128).length > end.length / 2;
}})()"""
"""True if the end of the waveform is faint, as it has not been played yet."""

UNHEARD = "does not clone voices"


@pytest.fixture
def panel(browser: Browser, studio: Server, client: httpx.Client) -> Iterator[Page]:
    """Open the page and the panel. Console errors fail the test, except for responses the page handles."""
    context = browser.new_context()
    complaints = note_complaints(context, REFUSED)
    page = context.new_page()
    page.goto(studio.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    yield page
    context.close()
    assert not complaints


@pytest.fixture
def recording_browser(browser: Browser) -> Iterator[Callable[..., Browser]]:
    """Return a function that starts browsers with given microphone flags."""
    started: list[Browser] = []

    def start(*flags: str, whole: bool = False) -> Browser:
        started.append(launch(browser.browser_type, *flags, whole=whole))
        return started[-1]

    yield start
    for one in started:
        one.close()


def open_panel(page: Page) -> None:
    page.click("#voices-tab")
    page.wait_for_selector("#voice-list li")


def choose(page: Page, name: str = "ann.wav", data: bytes | None = None) -> None:
    content = recording() if data is None else data
    file: FilePayload = {"name": name, "mimeType": "audio/wav", "buffer": content}
    page.set_input_files("#sample-file", files=file)
    page.wait_for_selector("#upload-form", state="visible")


def store(client: httpx.Client, voice_sample_id: str, *voices: str) -> None:
    """Store a sample and voices that use it."""
    files = {"audio_file": ("sample.wav", recording())}
    fields = {"prompt_id": voice_sample_id, "transcript": "This is what I say."}
    assert client.post("/audio_prompts/upload", data=fields, files=files).status_code == 200
    for voice in voices:
        made = client.post("/voice_mappings", json={"voice_id": voice, "audio_prompt": voice_sample_id})
        assert made.status_code == 200


def entry(name: str) -> str:
    """Return the selector of a list entry."""
    return f".entries li[data-key='{name}']"


def voices(client: httpx.Client) -> list[str]:
    return [voice["id"] for voice in client.get("/voices").json()["voices"]]


# From a file to a voice.


def test_creates_a_voice_from_a_file(panel: Page, client: httpx.Client) -> None:
    choose(panel, "Ann, at home.wav")
    assert panel.input_value("#sample-name") == "Ann at home"
    until(lambda: panel.evaluate(DRAWN) > 0.02)
    assert panel.inner_text("#sample-facts").startswith("6.0 s")
    panel.fill("#said", "This is what I say.")
    panel.click("#upload")
    panel.wait_for_selector("#stored", state="visible")
    assert client.get("/audio_prompts/metadata/Ann at home").json()["transcript"] == "This is what I say."
    assert panel.evaluate(DRAWN) > 0.02
    assert panel.is_hidden("#upload-form")
    panel.fill("#voice-name", "Ann")
    panel.fill("#voice-style", "warm")
    panel.click("#make-voice")
    expect(panel.locator("#voice-notice")).to_contain_text("is ready")
    assert UNHEARD in panel.inner_text("#voice-warnings")
    assert panel.is_hidden("#voice-name-hint")
    expect(panel.locator("#voice-name-shown")).to_have_text("Ann, warm")
    assert "from the sample “Ann at home”" in panel.inner_text(entry("ann"))
    panel.click("#speak-tab")
    panel.fill("#text", "Hello there.")
    panel.click("#play")
    panel.wait_for_selector("#dock[data-state=playing]")
    panel.wait_for_selector("#dock[data-state=ended]", timeout=15_000)
    assert panel.is_hidden("#toast")


def test_a_corrected_transcript_survives_a_reload(panel: Page, client: httpx.Client) -> None:
    store(client, "ann")
    panel.reload()
    open_panel(panel)
    panel.click(f"{entry('ann')} >> text=Open")
    expect(panel.locator("#said")).to_have_value("This is what I say.")
    panel.fill("#said", "What I say is this.")
    panel.click("#save-transcript")
    expect(panel.locator("#sample-notice")).to_contain_text("was changed")
    panel.reload()
    open_panel(panel)
    panel.click(f"{entry('ann')} >> text=Open")
    expect(panel.locator("#said")).to_have_value("What I say is this.")
    assert panel.evaluate(DRAWN) > 0.02


def test_creating_a_voice_saves_the_transcript(panel: Page, client: httpx.Client) -> None:
    choose(panel)
    panel.fill("#said", "This is what I say.")
    panel.click("#upload")
    panel.wait_for_selector("#stored", state="visible")
    panel.fill("#said", "What I say is this.")
    panel.click("#make-voice")
    expect(panel.locator("#voice-notice")).to_contain_text("is ready")
    assert client.get("/audio_prompts/metadata/ann").json()["transcript"] == "What I say is this."


def test_a_sample_can_be_played_before_and_after_its_upload(panel: Page) -> None:
    choose(panel)
    button = panel.locator("#sample-play")
    for stored in (False, True):
        if stored:
            panel.fill("#said", "This is what I say.")
            panel.click("#upload")
            panel.wait_for_selector("#stored", state="visible")
        button.click()
        expect(button).to_have_text("Stop")
        until(lambda: panel.evaluate(FAINT))  # what is not heard yet
        button.click()
        expect(button).to_have_text("Play")
        assert not panel.evaluate(FAINT)


def test_a_file_the_browser_cannot_decode_can_be_uploaded(panel: Page, client: httpx.Client) -> None:
    choose(panel, "noise.mp3", b"This is no sound.")
    expect(panel.locator("#sample-notice")).to_contain_text("cannot play")
    assert panel.is_disabled("#sample-play")
    panel.click("#upload")
    expect(panel.locator("#sample-notice")).to_contain_text("The file is damaged or not a recording.")
    assert panel.is_visible("#upload-form")
    assert panel.is_enabled("#upload")
    assert client.get("/audio_prompts").json() == {}


def test_a_short_sample_is_stored_with_its_warning(panel: Page) -> None:
    choose(panel, data=recording(2.0))
    panel.fill("#said", "Hi.")
    panel.click("#upload")
    panel.wait_for_selector("#stored", state="visible")
    assert "5 to 10 s" in panel.inner_text("#sample-warnings")


def test_an_upload_shows_progress_and_can_be_cancelled(panel: Page, client: httpx.Client) -> None:
    choose(panel, data=recording(20.0))
    panel.fill("#said", "Hi.")
    network = panel.context.new_cdp_session(panel)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400_000}
    network.send("Network.emulateNetworkConditions", slow)
    panel.click("#upload")
    panel.wait_for_function("() => sent.value > 0 && sent.value < 1")
    assert re.fullmatch(r"\d+ %, \d\.\d+ MB of 1\.8 MB", panel.inner_text("#sent-words"))
    panel.click("#cancel-upload")
    expect(panel.locator("#sample-notice")).to_have_text("The upload was cancelled.")
    assert panel.is_hidden("#upload-progress")
    network.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
    assert client.get("/audio_prompts").json() == {}
    panel.click("#upload")
    panel.wait_for_selector("#stored", state="visible")


def test_reports_a_too_large_file(browser: Browser, start_server: Callable[..., Server]) -> None:
    small = start_server("--max-workers=1", "--max-upload-bytes=100000")
    page = browser.new_page()
    page.goto(small.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    choose(page)
    page.click("#upload")
    expect(page.locator("#sample-notice")).to_contain_text(re.compile("longer than|larger than"))
    assert page.is_enabled("#upload")
    page.close()


def test_rejects_a_file_that_is_not_audio(panel: Page) -> None:
    panel.set_input_files(
        "#sample-file", files={"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Buy milk."}
    )
    expect(panel.locator("#new-sample-notice")).to_contain_text("“notes.txt” is not an audio file")
    assert panel.is_hidden("#sample")
    choose(panel)
    expect(panel.locator("#new-sample-notice")).to_have_text("")


def test_a_warning_of_several_voices_is_shown_once(panel: Page, client: httpx.Client) -> None:
    store(client, "mine", "first", "second")
    panel.reload()
    open_panel(panel)
    expect(panel.locator("#shared-warnings li")).to_have_count(1)
    expect(panel.locator("#shared-warnings")).to_contain_text(UNHEARD)
    expect(panel.locator("#voice-list")).not_to_contain_text(UNHEARD)
    client.delete("/voice_mappings/first")
    panel.reload()
    open_panel(panel)
    expect(panel.locator("#shared-warnings li")).to_have_count(0)
    expect(panel.locator(entry("second"))).to_contain_text(UNHEARD)


def test_warns_before_replacing_an_existing_name(panel: Page, client: httpx.Client) -> None:
    store(client, "ann", "bob")
    panel.reload()
    open_panel(panel)
    choose(panel)
    assert panel.input_value("#sample-name") == "ann-2"
    assert panel.is_hidden("#sample-name-hint")
    panel.fill("#sample-name", "ann")
    assert panel.is_visible("#sample-name-hint")
    assert panel.inner_text("#upload") == "Replace"
    panel.fill("#said", "Hi.")
    panel.click("#upload")
    panel.wait_for_selector("#stored", state="visible")
    panel.fill("#voice-name", "Bob")
    assert panel.is_visible("#voice-name-hint")
    assert panel.inner_text("#make-voice") == "Replace voice"
    panel.fill("#voice-name", "Bobby")
    assert panel.is_hidden("#voice-name-hint")


def test_accepts_a_dropped_file(panel: Page) -> None:
    panel.evaluate(
        """(samples) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(samples)], "dropped.wav"));
            document.getElementById("voice-list").dispatchEvent(
                new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        list(recording(1.0)),
    )
    expect(panel.locator("#sample-name")).to_have_value("dropped")
    until(lambda: panel.evaluate(DRAWN) > 0.02)


# Voices heard, voices deleted.


def test_a_preview_plays_and_can_be_stopped(panel: Page) -> None:
    preview = panel.locator(f"{entry('nova')} button").first
    with panel.expect_response("**/preview/nova") as answer:
        preview.click()
    assert answer.value.status == 200
    assert answer.value.headers["content-type"] == "audio/wav"
    expect(panel.locator("#voice-list-notice")).to_have_text("")
    expect(preview).to_have_text("Stop Nova")
    other = panel.locator(f"{entry('kai')} button").first
    other.click()
    expect(preview).to_have_text("Preview Nova")
    expect(other).to_have_text("Stop Kai")
    other.click()
    expect(other).to_have_text("Preview Kai")


def test_a_preview_ends_by_itself(panel: Page) -> None:
    preview = panel.locator(f"{entry('aria')} button").first
    preview.click()
    expect(preview).to_have_text("Stop Aria")
    expect(preview).to_have_text("Preview Aria", timeout=15_000)


def test_speech_and_previews_stop_each_other(panel: Page) -> None:
    preview = panel.locator(f"{entry('nova')} button").first
    preview.click()
    expect(preview).to_have_text("Stop Nova")
    panel.click("#speak-tab")
    panel.click("#play")
    panel.wait_for_selector("#dock[data-state=playing]")
    panel.click("#voices-tab")
    expect(preview).to_have_text("Preview Nova")
    preview.click()
    panel.wait_for_selector("#dock[data-state=paused]", state="attached")


def test_built_in_voices_are_marked_and_cannot_be_deleted(panel: Page) -> None:
    assert "built-in" in panel.inner_text(entry("aria"))
    assert panel.locator(f"{entry('aria')} button").all_text_contents() == [
        "Preview Aria",
        "Use this voice Aria",
    ]


def test_deleting_a_voice_needs_confirmation(panel: Page, client: httpx.Client) -> None:
    store(client, "ann", "bob")
    panel.reload()
    open_panel(panel)
    panel.click("#speak-tab")
    panel.click("#voice")
    panel.click("#picker [data-id=bob]")
    panel.click("#voices-tab")
    bob = panel.locator(entry("bob"))
    bob.get_by_role("button", name="Delete bob").click()
    assert panel.evaluate("document.activeElement.textContent") == "Keep"
    panel.keyboard.press("Escape")
    assert "bob" in voices(client)
    bob.get_by_role("button", name="Delete bob").click()
    bob.get_by_role("button", name="Delete", exact=True).click()
    expect(bob).to_have_count(0)
    assert "bob" not in voices(client)
    expect(panel.locator("#voice-name-shown")).to_have_text("Aria, neutral")
    assert panel.is_visible(entry("ann"))
    assert panel.evaluate("document.activeElement.id") == "voice-list-title"


def test_a_question_outlives_a_list_that_is_read_anew(panel: Page, client: httpx.Client) -> None:
    store(client, "ann", "bob")
    panel.reload()
    open_panel(panel)
    expect(panel.locator(entry("bob"))).to_have_count(1)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    panel.route("**/voices", hold)
    panel.click("#speak-tab")
    panel.click("#voices-tab")
    until(lambda: held or panel.wait_for_timeout(10))
    panel.locator(entry("bob")).get_by_role("button", name="Delete bob").click()
    old = panel.query_selector(entry("ann"))
    held[0].continue_()
    panel.wait_for_function("entry => !entry.isConnected", arg=old)
    assert panel.evaluate("document.activeElement.textContent") == "Keep"
    panel.keyboard.press("Escape")
    expect(panel.locator(entry("bob")).get_by_role("button", name="Delete bob")).to_be_visible()


def test_a_voice_can_be_deleted_with_its_sample(panel: Page, client: httpx.Client) -> None:
    store(client, "ann", "bob")
    panel.reload()
    open_panel(panel)
    panel.click(f"{entry('bob')} >> text=Delete")
    panel.click("text=Delete with its sample")
    expect(panel.locator(entry("ann"))).to_have_count(0)
    assert client.get("/audio_prompts").json() == {}
    assert panel.is_visible("#no-samples")


def test_a_sample_used_by_other_voices_is_kept(panel: Page, client: httpx.Client) -> None:
    store(client, "ann", "bob", "cat")
    panel.reload()
    open_panel(panel)
    panel.click(f"{entry('bob')} >> text=Delete")
    panel.click("text=Delete with its sample")
    expect(panel.locator("#voice-list-notice")).to_contain_text("Its sample was kept")
    assert list(client.get("/audio_prompts").json()) == ["ann"]
    assert "bob" not in voices(client)


def test_deleting_a_sample_in_use_needs_a_second_confirmation(panel: Page, client: httpx.Client) -> None:
    store(client, "ann", "bob")
    panel.reload()
    open_panel(panel)
    panel.click(f"{entry('ann')} >> text=Open")
    panel.wait_for_selector("#stored", state="visible")
    panel.click(f"{entry('ann')} >> text=Delete")
    panel.locator(entry("ann")).get_by_role("button", name="Delete", exact=True).click()
    question = panel.locator(f"{entry('ann')} .question")
    expect(question).to_contain_text("in use by “bob”")
    assert "ann" in client.get("/audio_prompts").json()
    panel.click("text=Delete anyway")
    expect(panel.locator(entry("ann"))).to_have_count(0)
    assert client.get("/audio_prompts").json() == {}
    assert panel.is_hidden("#sample")
    assert "your own" in panel.inner_text(entry("bob"))


# The microphone.


def test_a_recording_becomes_a_sample(
    recording_browser: Callable[..., Browser], studio: Server, client: httpx.Client
) -> None:
    page = recording_browser(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    ).new_page()
    page.goto(studio.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Stop recording")
    page.wait_for_function("() => document.getElementById('record-level').value > 0.01")
    page.wait_for_function("() => parseFloat(document.getElementById('record-time').textContent) > 1.5")
    page.click("#record")
    expect(page.locator("#new-sample-notice")).to_contain_text("Recorded")
    assert page.inner_text("#record") == "Record"
    assert page.is_hidden("#recording")
    until(lambda: page.evaluate(DRAWN) > 0.005)
    page.fill("#said", "Beep.")
    page.click("#upload")
    page.wait_for_selector("#stored", state="visible")
    [stored] = client.get("/audio_prompts/metadata").json().values()
    assert (stored["prompt_id"], stored["original_format"]) == ("recording", "webm")
    assert not [warning for warning in stored["warnings"] if "stereo" in warning]
    expect(page.locator("#new-sample-notice")).to_have_text("")
    assert stored["duration"] == pytest.approx(1.8, abs=0.5)


def test_recording_stops_at_the_maximum_length(
    recording_browser: Callable[..., Browser], studio: Server
) -> None:
    page = recording_browser(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    ).new_page()
    page.clock.install()
    page.goto(studio.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Stop recording")
    page.clock.fast_forward(59_500)
    expect(page.locator("#new-sample-notice")).to_contain_text("Recorded")
    assert page.inner_text("#record") == "Record"


def test_leaving_the_tab_releases_the_microphone(
    recording_browser: Callable[..., Browser], studio: Server
) -> None:
    page = recording_browser(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    ).new_page()
    page.goto(studio.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Stop recording")
    page.click("#speak-tab")
    expect(page.locator("#record")).to_have_text("Record")
    expect(page.locator("#voices")).to_be_hidden()
    open_panel(page)
    expect(page.locator("#sample-name")).to_have_value("recording")  # and what was recorded is not lost


def test_leaving_the_tab_before_access_is_granted_records_nothing(
    recording_browser: Callable[..., Browser], studio: Server
) -> None:
    page = recording_browser(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    ).new_page()
    page.add_init_script(
        """const lend = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            await new Promise((allow) => { window.allow = allow; });
            return window.lent = await lend(wanted);
        };"""
    )
    page.goto(studio.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    page.click("#record")
    page.wait_for_function("() => window.allow")
    page.click("#speak-tab")
    page.evaluate("allow()")
    page.wait_for_function("() => window.lent?.getTracks().every(({ readyState }) => readyState === 'ended')")
    open_panel(page)
    assert page.inner_text("#record") == "Record"
    assert page.is_hidden("#recording")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "No microphone was found"),
        (["--use-fake-device-for-media-stream", "--deny-permission-prompts"], "microphone was denied"),
    ],
)
def test_gives_advice_without_a_microphone(
    recording_browser: Callable[..., Browser], studio: Server, flags: list[str], sentence: str
) -> None:
    page = recording_browser(*flags, whole=True).new_page()
    page.goto(studio.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    page.click("#record")
    notice = page.locator("#new-sample-notice")
    expect(notice).to_contain_text(sentence)
    expect(notice).to_contain_text("choose a file")
    assert page.is_enabled("#record")


# Whisper.


@pytest.mark.slow
def test_a_sample_without_a_transcript_is_transcribed(
    browser: Browser, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    checkpoint = whisper_checkpoint.make(tmp_path / "pinned.pt", say="Guten Morgen.", language="de")
    server = start_server("--max-workers=1", DIA_WHISPER_MODEL=str(checkpoint))
    page = browser.new_page()
    page.goto(server.url)
    page.wait_for_selector("#play:enabled")
    open_panel(page)
    choose(page)
    page.click("#upload")
    expect(page.locator("#said")).to_have_value("Guten Morgen.", timeout=40_000)
    assert "German" in page.inner_text("#sample-facts")
    page.fill("#said", "Guten Abend.")
    page.click("#save-transcript")
    expect(page.locator("#sample-notice")).to_contain_text("was changed")
    page.click("#transcribe")
    expect(page.locator("#said")).to_have_value("Guten Morgen.", timeout=20_000)
    page.close()


def test_shows_why_transcription_failed(panel: Page) -> None:
    choose(panel)
    panel.click("#upload")
    panel.wait_for_selector("#stored", state="visible")
    reason = re.compile("whisper|checkpoint", re.IGNORECASE)
    expect(panel.locator("#sample-warnings li")).to_contain_text(reason, timeout=40_000)
    panel.fill("#said", "This is what I say.")
    panel.click("#save-transcript")
    expect(panel.locator("#sample-notice")).to_contain_text("was changed")


# For everyone.


@pytest.mark.parametrize("width", [320, 360])
def test_fits_the_width_of_a_phone(panel: Page, client: httpx.Client, width: int) -> None:
    store(client, "a-sample-with-" + 46 * "x", "a-voice-with-" + 46 * "x")
    panel.set_viewport_size({"width": width, "height": 740})
    panel.reload()
    open_panel(panel)
    panel.locator("#sample-list button").first.click()
    panel.wait_for_selector("#stored", state="visible")
    assert panel.evaluate("document.documentElement.scrollWidth") <= width
    panel.locator("#sample-list button", has_text="Delete").click()
    assert panel.evaluate("document.documentElement.scrollWidth") <= width
    choose(panel)
    panel.evaluate("document.getElementById('recording').hidden = false")
    panel.evaluate("document.getElementById('upload-progress').hidden = false")
    assert panel.evaluate("document.documentElement.scrollWidth") <= width


def reached(page: Page, start: str, count: int) -> list[str]:
    """Return the ids (or texts) of the controls that Tab reaches from `start` on."""
    page.focus(start)
    ids = []
    for _ in range(count):
        ids.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        page.keyboard.press("Tab")
    return ids


def test_tab_order_of_a_new_sample(panel: Page) -> None:
    choose(panel)
    expected = [
        "sample-file",
        "record",
        "trim-from",
        "trim-to",
        "sample-play",
        "said",
        "sample-name",
        "upload",
    ]
    assert reached(panel, "#sample-file", 8) == expected


def test_tab_order_of_a_stored_sample(panel: Page, client: httpx.Client) -> None:
    store(client, "ann", "bob")
    panel.reload()
    open_panel(panel)
    panel.click(f"{entry('ann')} >> text=Open")
    panel.wait_for_selector("#stored", state="visible")
    panel.evaluate("document.getElementById('transcribe').hidden = false")
    assert reached(panel, f"{entry('bob')} button", 5) == [
        "Preview bob",
        "Use this voice bob",
        "Delete bob",
        "Open ann",
        "Delete ann",
    ]
    expected = [
        "sample-play",
        "said",
        "save-transcript",
        "transcribe",
        "voice-name",
        "voice-style",
        "make-voice",
    ]
    assert reached(panel, "#sample-play", 7) == expected


def test_every_control_of_the_panel_has_a_name(panel: Page) -> None:
    unnamed = panel.evaluate(
        """() => [...document.querySelectorAll("#voices :is(input, textarea, button, meter, progress)")]
            .filter((one) => !one.labels?.length && !one.textContent.trim() && !one.ariaLabel)
            .map((one) => one.id)"""
    )
    assert unnamed == []


def test_works_with_a_key(browser: Browser, start_server: Callable[..., Server]) -> None:
    locked = start_server("--max-workers=1", DIA_API_KEYS="the-key")
    page = browser.new_page()
    page.goto(locked.url)
    page.click("#voices-tab")
    page.wait_for_selector("#key-form", state="visible")
    page.fill("#key", "the-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("#voice-list li")
    expect(page.locator("#voices-notice")).to_have_text("")
    choose(page)
    page.fill("#said", "This is what I say.")
    page.click("#upload")
    page.wait_for_selector("#stored", state="visible")
    page.click("#sample-play")
    expect(page.locator("#sample-play")).to_have_text("Stop")
    page.click("#make-voice")
    expect(page.locator("#voice-name-shown")).to_contain_text("ann")
    with page.expect_response("**/preview/ann") as answer:
        page.locator("#voice-list li[data-key=ann] button").first.click()
    assert answer.value.status == 200
    assert "the-key" not in answer.value.url
    page.close()
