"""The routes of transcripts: precedence of sources, storage and failures."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest
from helpers import tiny_dia, whisper_checkpoint
from helpers.disks import full_disk
from helpers.rest import heard, metadata_of, recording, say, upload
from helpers.servers import Server, running_server, until

from streaming_server.settings import Settings
from streaming_server.transcription.client import MOST_WAITING, Transcription
from streaming_server.transcription.transcript import SENTENCES
from streaming_server.web import assembly
from streaming_server.web.app import create_app

SAID = "Guten Morgen, das ist eine Probe."
LOADING_S = 40.0
"""Timeout for a child process that must load PyTorch first, on a busy machine."""

needs_whisper = pytest.mark.skipif(
    importlib.util.find_spec("whisper") is None, reason="openai-whisper is not installed"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper checkpoint that transcribes everything as SAID, in German."""
    return whisper_checkpoint.make(tmp_path_factory.mktemp("whisper") / "pinned.pt", say=SAID, language="de")


@pytest.fixture(scope="module")
def listening(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with the checkpoint and an empty samples directory."""
    folder = tmp_path_factory.mktemp("listening")
    (folder / "samples").mkdir()
    options = ("--max-workers=1", f"--whisper-model={checkpoint}", f"--samples-dir={folder / 'samples'}")
    with running_server(folder / "log", *options) as server:
        yield server


@pytest.fixture
def samples(listening: Server) -> Path:
    return listening.log.parent / "samples"


@pytest.fixture
def client(listening: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=listening.url, timeout=LOADING_S) as one:
        yield one


def status(client: httpx.Client) -> dict[str, Any]:
    told: dict[str, Any] = client.get("/whisper/status").json()
    return told


def known(client: httpx.Client, voice_sample_id: str) -> dict[str, Any]:
    """Return the metadata of a sample once its transcription has ended."""

    def tried() -> dict[str, Any] | None:
        found = metadata_of(client, voice_sample_id)
        return found if found["transcript"] is not None or found["transcript_findings"] else None

    found: dict[str, Any] = until(tried, LOADING_S)
    return found


def child(server: Server) -> psutil.Process:
    """Return the transcription process."""
    [found] = [one for one in server.children() if "streaming_server.transcription.worker" in one.cmdline()]
    return found


@contextmanager
def held_up(server: Server, client: httpx.Client) -> Iterator[psutil.Process]:
    """Yield the loaded transcription process, stopped until the test continues it."""
    assert client.post("/whisper/load").status_code == 200
    listener = child(server)
    listener.suspend()
    try:
        yield listener
    finally:
        if listener.is_running():
            listener.resume()


@pytest.mark.slow
def test_an_uploaded_sample_is_transcribed(client: httpx.Client) -> None:
    sent = upload(client, "heard")
    assert sent.status_code == 200
    assert (sent.json()["transcript"], sent.json()["transcribing"]) == (None, True)
    found = known(client, "heard")
    assert (found["transcript"], found["transcript_source"]) == (SAID, "whisper")
    assert found["language"] == "de"
    assert 0.5 < found["language_probability"] < 0.9
    assert found["transcript_findings"] == found["warnings"] == []


def test_a_sample_with_a_transcript_is_not_transcribed(client: httpx.Client) -> None:
    assert upload(client, "given", transcript=" As it \n was\tsaid. ").json()["transcribing"] is False
    assert status(client)["waiting"] == 0
    found = metadata_of(client, "given")
    assert (found["transcript"], found["transcript_source"]) == ("As it was said.", "manual")


@pytest.mark.parametrize("nothing", ["...", "\N{ZERO WIDTH SPACE}", "?!"])
def test_rejects_a_transcript_without_words(client: httpx.Client, nothing: str) -> None:
    voice = {"voice_id": "wordless", "audio_prompt_transcript": nothing}
    for answer in (
        upload(client, "wordless", transcript=nothing),
        client.post("/voice_mappings", json=voice),
        client.put("/voice_mappings/aria", json=voice),
    ):
        assert answer.status_code == 422
        assert "transcript: must contain words" in answer.json()["detail"]
    assert "wordless" not in client.get("/audio_prompts").json()
    assert "wordless" not in client.get("/voice_mappings").json()


def test_a_requested_transcript_is_used_by_voices(client: httpx.Client) -> None:
    assert upload(client, "asked").status_code == 200
    assert known(client, "asked")["transcript"] == SAID
    client.post("/voice_mappings", json={"voice_id": "asked", "audio_prompt": "asked"})
    answer = client.post("/audio_prompts/asked/transcribe")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["prompt_id"], told["transcript"], told["language"]) == ("asked", SAID, "de")
    assert (told["heard"], told["replaced"], told["warnings"]) == (SAID, True, [])
    assert told["updated_voices"] == ["asked"]
    assert client.get(told["saved_to"]).json()["transcript_source"] == "whisper"
    assert client.post("/audio_prompts/nothing/transcribe").status_code == 404


def test_whisper_does_not_replace_a_written_transcript(
    client: httpx.Client,
) -> None:
    upload(client, "written", transcript="What is said.")
    client.post("/voice_mappings", json={"voice_id": "written", "audio_prompt": "written"})
    told = client.post("/audio_prompts/written/transcribe").json()
    assert (told["transcript"], told["transcript_source"]) == ("What is said.", "manual")
    assert (told["heard"], told["replaced"], told["updated_voices"]) == (SAID, False, [])
    assert "was kept because" in told["warnings"][0]
    assert metadata_of(client, "written")["transcript"] == "What is said."
    forced = client.post("/audio_prompts/written/transcribe?force=true").json()
    assert (forced["transcript"], forced["transcript_source"]) == (SAID, "whisper")
    assert (forced["replaced"], forced["updated_voices"]) == (True, ["written"])
    assert metadata_of(client, "written")["transcript"] == SAID
    assert client.post("/audio_prompts/written/transcribe?force=perhaps").status_code == 422


@pytest.mark.slow
def test_an_unreliable_transcript_does_not_replace_a_reliable_one(
    start_server: Callable[..., Server], checkpoint: Path, tmp_path: Path
) -> None:
    """It replaces neither a written transcript nor a better one by Whisper."""
    weights = shutil.copy(checkpoint, tmp_path / "weights.pt")
    server = start_server("--max-workers=1", f"--whisper-model={weights}")
    with httpx.Client(base_url=server.url, timeout=LOADING_S) as one:
        upload(one, "heard")
        assert known(one, "heard")["transcript"] == SAID
        upload(one, "written", recording(hertz=300), transcript="What is said.")
        shutil.copy(checkpoint.with_name("silence.pt"), weights)
        child(server).kill()
        until(lambda: status(one)["state"] == "failed")
        samples = (("heard", SAID), ("written", "What is said."))
        for (voice_sample_id, words), force in product(samples, (False, True)):
            told = one.post(f"/audio_prompts/{voice_sample_id}/transcribe?force={force}").json()
            assert (told["transcript"], told["replaced"]) == (words, False)
            assert "looks unreliable" in told["warnings"][0]
            assert len(told["warnings"]) == 2
            assert metadata_of(one, voice_sample_id)["transcript_findings"] == []


@pytest.mark.slow
def test_whisper_is_loaded_on_request_and_enabling_auto_transcription_starts_it(
    start_server: Callable[..., Server], checkpoint: Path
) -> None:
    server = start_server("--max-workers=1", f"--whisper-model={checkpoint}")
    with httpx.Client(base_url=server.url, timeout=LOADING_S) as client:
        before = status(client)
        assert (before["state"], before["model_loaded"], before["available"]) == ("off", False, True)
        assert (before["model_size"], before["auto_transcribe"]) == ("pinned", True)
        config = client.get("/config").json()
        client.put("/config", json=config | {"auto_transcribe": False})
        assert upload(client, "early").json()["transcribing"] is False
        loaded = client.post("/whisper/load")
        assert loaded.status_code == 200
        assert loaded.json()["model_loaded"] is True
        assert status(client)["state"] == "ready"
        assert child(server).is_running()
        client.put("/config", json=config)
        assert known(client, "early")["transcript"] == SAID


def test_sources_of_transcripts_have_an_order(client: httpx.Client, samples: Path) -> None:
    def found() -> tuple[str, str]:
        assert client.post("/audio_prompts/discover").status_code == 200
        now = known(client, "believed")
        return now["transcript"], now["transcript_source"]

    (samples / "believed.wav").write_bytes(recording(hertz=300))
    assert found() == (SAID, "whisper")
    (samples / "believed.txt").write_text("From the text.")
    assert found() == ("From the text.", "txt")
    (samples / "believed.reference.txt").write_text("From the reference.")
    assert found() == ("From the reference.", "reference")
    said = {"transcript": "From a person."}
    assert client.put("/audio_prompts/believed/transcript", json=said).status_code == 200
    (samples / "believed.reference.txt").write_text("From the other reference.")
    assert found() == ("From a person.", "manual")


def test_a_sample_replaced_within_a_second_is_discovered_again(client: httpx.Client, samples: Path) -> None:
    """So is one with an older time stamp, as a copy may have."""
    file = samples / "replaced.wav"
    (samples / "replaced.txt").write_text("What is said in all of them.")

    def discovered() -> tuple[list[str], float]:
        told = client.post("/audio_prompts/discover").json()
        return told["discovered"], metadata_of(client, "replaced")["duration"]

    file.write_bytes(recording(3.0))
    assert discovered() == (["replaced"], 3.0)
    assert discovered() == ([], 3.0)
    file.write_bytes(recording(4.0))
    assert discovered() == (["replaced"], 4.0)
    file.write_bytes(recording(5.0))
    os.utime(file, (1e9, 1e9))
    assert discovered() == (["replaced"], 5.0)
    # A transcript sent later is used until the file is newer.
    upload(client, "replaced", recording(6.0))
    assert discovered() == ([], 6.0)
    os.utime(file)
    assert discovered() == (["replaced"], 5.0)


def test_rediscovery_keeps_a_written_transcript(client: httpx.Client, samples: Path) -> None:
    file = samples / "touched.wav"
    (samples / "touched.txt").write_text("From the text.")
    file.write_bytes(recording(hertz=330))
    client.post("/audio_prompts/discover")
    client.put("/audio_prompts/touched/transcript", json={"transcript": "From a person."})
    os.utime(file, (1e9, 1e9))
    assert client.post("/audio_prompts/discover").json()["discovered"] == ["touched"]
    assert metadata_of(client, "touched")["transcript"] == "From a person."


def test_a_voice_s_own_transcript_is_dropped_with_the_recording(client: httpx.Client) -> None:
    """The new recording's transcript applies until the voice is given its own."""
    upload(client, "renewed", transcript="Of the first.")
    own = {"audio_prompt_transcript": "The voice's, of the first."}
    client.post("/voice_mappings", json={"voice_id": "renewed", "audio_prompt": "renewed", **own})

    def its_own() -> Any:
        return client.get("/voice_mappings").json()["renewed"]["audio_prompt_transcript"]

    assert its_own() == "The voice's, of the first."
    upload(client, "renewed", recording(hertz=260), transcript="Of the second.")
    assert its_own() is None
    told = client.put("/audio_prompts/renewed/transcript", json={"transcript": "Of the second, again."})
    assert told.json()["updated_voices"] == ["renewed"]
    own = {"audio_prompt_transcript": "The voice's, of the second."}
    client.put("/voice_mappings/renewed", json=own)
    told = client.put("/audio_prompts/renewed/transcript", json={"transcript": "Of the second, once more."})
    assert told.json()["updated_voices"] == []
    assert its_own() == "The voice's, of the second."


def test_warns_about_an_implausible_transcript_of_a_voice(
    client: httpx.Client,
) -> None:
    """A voice's own transcript is checked like that of a sample."""

    def warned() -> list[str]:
        [voice] = [one for one in client.get("/voices").json()["voices"] if one["id"] == "hasty"]
        return [warning for warning in voice["warnings"] if "does not clone" not in warning]

    upload(client, "hasty", transcript="What is said.")
    own = {"voice_id": "hasty", "audio_prompt": "hasty", "audio_prompt_transcript": "Well, " * 200}
    made = client.post("/voice_mappings", json=own).json()
    assert warned() == [SENTENCES["too_long"], SENTENCES["repeats"]]
    assert set(warned()) <= set(made["warnings"])
    own["audio_prompt_transcript"] = "What I say."
    assert not set(client.put("/voice_mappings/hasty", json=own).json()["warnings"]) & set(SENTENCES.values())
    assert warned() == []


def test_a_transcript_is_not_stored_for_a_replaced_recording(client: httpx.Client, listening: Server) -> None:
    with held_up(listening, client):
        upload(client, "overtaken")
        until(lambda: status(client)["busy"])
        upload(client, "overtaken", recording(hertz=280), transcript="Of the second.")
    upload(client, "next")
    known(client, "next")
    assert metadata_of(client, "overtaken")["transcript"] == "Of the second."


def test_a_transcript_written_during_transcription_is_kept(client: httpx.Client, listening: Server) -> None:
    with held_up(listening, client):
        upload(client, "hurried")
        until(lambda: status(client)["busy"])
        client.put("/audio_prompts/hurried/transcript", json={"transcript": "From a person."})
    upload(client, "after")
    known(client, "after")
    assert metadata_of(client, "hurried")["transcript"] == "From a person."


@pytest.mark.slow
def test_a_full_queue_is_not_stored_as_the_reason_for_a_missing_transcript(
    client: httpx.Client, listening: Server
) -> None:
    ask = "/audio_prompts/crowded/transcribe"
    with ThreadPoolExecutor(MOST_WAITING) as threads:
        with held_up(listening, client):
            upload(client, "crowded")
            until(lambda: status(client)["busy"])
            asked = [threads.submit(client.post, ask) for _ in range(MOST_WAITING)]
            until(lambda: status(client)["waiting"] == MOST_WAITING)
            assert client.post(ask).json()["error"]["code"] == "full"
            assert metadata_of(client, "crowded")["transcript_findings"] == []
        assert {each.result(LOADING_S).status_code for each in asked} == {200}
    assert known(client, "crowded")["transcript"] == SAID


@pytest.mark.slow
def test_a_killed_transcriber_fails_one_request(client: httpx.Client, listening: Server) -> None:
    """The server keeps speaking, and the next request succeeds."""
    upload(client, "killed", transcript="As it was.")
    with ThreadPoolExecutor(1) as threads, held_up(listening, client) as listener:
        asked = threads.submit(lambda: client.post("/audio_prompts/killed/transcribe"))
        until(lambda: status(client)["busy"])
        heard(say(client))
        listener.kill()
        answer = asked.result(LOADING_S)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"
    assert "SIGKILL" in answer.json()["detail"]
    assert "SIGKILL" in status(client)["reason"]
    assert metadata_of(client, "killed")["transcript"] == "As it was."
    assert client.post("/audio_prompts/killed/transcribe").json()["heard"] == SAID


def test_a_killed_transcriber_is_noted_with_the_sample(client: httpx.Client, listening: Server) -> None:
    with held_up(listening, client) as listener:
        upload(client, "unheard")
        until(lambda: status(client)["busy"])
        listener.send_signal(signal.SIGKILL)
        found = known(client, "unheard")
    assert found["transcript"] is None
    [reason] = found["transcript_findings"]
    assert "SIGKILL" in reason
    assert found["warnings"] == [reason]
    voice = {"voice_id": "unheard", "audio_prompt": "unheard"}
    assert reason in client.post("/voice_mappings", json=voice).json()["warnings"]


@needs_whisper
def test_without_weights_a_sample_reports_why_it_has_no_transcript(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server("--max-workers=1", f"--whisper-model={tmp_path / 'weights.pt'}")
    with httpx.Client(base_url=server.url, timeout=LOADING_S) as client:
        assert upload(client, "alone").json()["transcribing"] is True
        found = known(client, "alone")
        assert found["transcript"] is None
        assert found["exists"]
        [reason] = found["transcript_findings"]
        assert "DIA_WHISPER_MODEL" in reason
        assert status(client)["reason"] == reason
        voice = client.post("/voice_mappings", json={"voice_id": "alone", "audio_prompt": "alone"})
        assert reason in voice.json()["warnings"]
        heard(say(client, voice_id="alone"))

        assert client.post("/whisper/load").status_code == 503
        asked = client.post("/audio_prompts/alone/transcribe")
        assert (asked.status_code, asked.json()["detail"]) == (503, reason)

        client.put("/audio_prompts/alone/transcript", json={"transcript": "What is said."})
        assert client.post("/audio_prompts/alone/transcribe").status_code == 503
        now = metadata_of(client, "alone")
        assert (now["transcript"], now["transcript_findings"]) == ("What is said.", [])


@pytest.mark.slow
def test_pending_transcriptions_continue_after_a_killed_server_restarts(
    start_server: Callable[..., Server], checkpoint: Path, tmp_path: Path
) -> None:
    """The sample was uploaded while Whisper was stopped, and is not requested again."""
    options = ("--max-workers=1", f"--whisper-model={checkpoint}", f"--data-dir={tmp_path / 'kept'}")
    first = start_server(*options)
    with httpx.Client(base_url=first.url, timeout=LOADING_S) as client, held_up(first, client):
        for number in range(3):
            assert upload(client, f"promised-{number}", recording(2.0 + number)).json()["transcribing"]
        until(lambda: status(client)["busy"])
        first.process.kill()
        first.process.wait()
    second = start_server(*options)
    with httpx.Client(base_url=second.url, timeout=LOADING_S) as client:
        for number in range(3):
            assert known(client, f"promised-{number}")["transcript"] == SAID


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True], ids=["heard", "not heard"])
def test_a_transcript_is_stored_once_the_disk_has_room(
    client: httpx.Client, listening: Server, kill: bool
) -> None:
    voice_sample_id = f"full-{kill}"
    with held_up(listening, client) as listener:
        upload(client, voice_sample_id)
        until(lambda: status(client)["busy"])
        with full_disk(listening):
            if kill:
                listener.kill()
            else:
                listener.resume()
            until(lambda: not status(client)["busy"], LOADING_S)
            heard(say(client))  # By the end of which it was to be stored, in vain.
            assert metadata_of(client, voice_sample_id)["transcript"] is None
            assert metadata_of(client, voice_sample_id)["transcript_findings"] == []
    found = known(client, voice_sample_id)
    assert found["transcript"] == (None if kill else SAID)
    assert bool(found["transcript_findings"]) is kill


@pytest.mark.slow
def test_a_full_disk_is_reported_and_loses_no_transcript(client: httpx.Client, listening: Server) -> None:
    upload(client, "filled", transcript="What is said.")
    assert client.post("/whisper/load").status_code == 200
    with full_disk(listening):
        answer = client.post("/audio_prompts/filled/transcribe?force=true")
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_failure")
        sent = upload(client, "spilled")
        assert (sent.status_code, sent.json()["error"]["code"]) == (507, "storage_failure")
        assert sent.json()["detail"].endswith(".")
        said = client.put("/audio_prompts/filled/transcript", json={"transcript": "Something else."})
        assert said.status_code == 507
        heard(say(client))
    assert metadata_of(client, "filled")["transcript"] == "What is said."
    assert client.get("/audio_prompts/metadata/spilled").status_code == 404
    assert upload(client, "spilled").status_code == 200


@pytest.mark.parametrize("room", [4_096, 100_000, 300_000, 600_000])
def test_an_upload_to_a_full_disk_is_stored_whole_or_refused_with_507(
    client: httpx.Client, listening: Server, room: int
) -> None:
    """The disk fills up during reception, decoding or storing."""
    with full_disk(listening, room):
        answer = upload(client, f"room-{room}", recording(6.0), transcript="What is said.")
        assert answer.status_code in (200, 507), answer.text
    found = client.get(f"/audio_prompts/metadata/room-{room}")
    assert found.status_code == (200 if answer.status_code == 200 else 404)
    assert not list((listening.log.with_suffix(".data") / "tmp").iterdir())


@needs_whisper
def test_the_reason_of_a_failed_transcription_is_stored(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server("--max-workers=1", f"--whisper-model={tmp_path / 'weights.pt'}")
    with httpx.Client(base_url=server.url, timeout=LOADING_S) as client:
        client.put("/config", json=client.get("/config").json() | {"auto_transcribe": False})
        assert upload(client, "quiet").json()["transcribing"] is False
        assert metadata_of(client, "quiet")["transcript_findings"] == []
        asked = client.post("/audio_prompts/quiet/transcribe")
        assert asked.status_code == 503
        assert metadata_of(client, "quiet")["transcript_findings"] == [asked.json()["detail"]]


@pytest.mark.parametrize(
    ("weights", "findings"),
    [
        ("silence.pt", {"no_speech"}),
        pytest.param("random.pt", {"uncertain", "repeats", "too_long"}, marks=pytest.mark.slow),
    ],
)
def test_an_unreliable_transcript_has_warnings_everywhere(
    start_server: Callable[..., Server], checkpoint: Path, weights: str, findings: set[str]
) -> None:
    server = start_server("--max-workers=1", f"--whisper-model={checkpoint.with_name(weights)}")
    with httpx.Client(base_url=server.url, timeout=LOADING_S) as client:
        upload(client, "doubtful")
        found = known(client, "doubtful")
        assert found["transcript_source"] == "whisper"
        assert found["transcript_findings"]
        assert set(found["transcript_findings"]) <= findings
        assert all(warning.endswith(".") and " " in warning for warning in found["warnings"])
        voice = client.post("/voice_mappings", json={"voice_id": "doubtful", "audio_prompt": "doubtful"})
        assert found["warnings"][0] in voice.json()["warnings"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_only_a_trusted_transcript_conditions_a_voice(
    start_server: Callable[..., Server], checkpoint: Path, tmp_path: Path
) -> None:
    """Uses an engine that clones. Writing a doubtful transcript by hand makes it trusted."""
    options = tiny_dia.options_of(tmp_path)
    server = start_server(*options, f"--whisper-model={checkpoint.with_name('silence.pt')}")
    with httpx.Client(base_url=server.url, timeout=LOADING_S) as client:

        def is_heard() -> Any:
            [voice] = [one for one in client.get("/voices").json()["voices"] if one["id"] == "doubtful"]
            return voice["sample_heard"]

        upload(client, "doubtful")
        assert known(client, "doubtful")["transcript_findings"] == ["no_speech"]
        made = client.post("/voice_mappings", json={"voice_id": "doubtful", "audio_prompt": "doubtful"})
        assert made.json()["warnings"]
        assert is_heard() is False
        client.put("/audio_prompts/doubtful/transcript", json={"transcript": "Hello there."})
        assert is_heard() is True
        told = client.post("/audio_prompts/doubtful/transcribe").json()
        assert (told["transcript"], told["replaced"]) == ("Hello there.", False)
        assert is_heard() is True


@pytest.mark.anyio
async def test_the_transcriber_ends_when_idle(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs the whole application with a short idle time; any failure inside would end the process."""
    monkeypatch.setattr(assembly, "Transcription", partial(Transcription, idle_s=0.2))
    app = create_app(
        Settings(
            engine="espeak",
            data_dir=tmp_path / "data",
            max_workers=1,
            whisper_model=str(checkpoint),
            gpu_mode="cpu",
        )
    )
    states = []
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:7860") as client,
    ):
        await anyio.wait_all_tasks_blocked()
        loaded = await client.post("/whisper/load")
        pid = app.state.services.voices.whisper.pid
        with anyio.move_on_after(LOADING_S):
            while states[-1:] != ["off"]:
                states.append((await client.get("/whisper/status")).json()["state"])
                await anyio.sleep(0.01)
        outlived = pid is not None and psutil.pid_exists(pid)
    assert loaded.status_code == 200, loaded.text
    assert pid is not None
    assert states[-1] == "off"
    assert not outlived
