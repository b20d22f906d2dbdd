"""Compatibility with the earlier server: its routes and documented commands work, its faults are fixed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil
import pytest
from helpers import tiny_dia
from helpers.foreign import LONG
from helpers.rest import heard, job_of, metadata_of, recording, say, status_of, to, upload, wav
from helpers.servers import Server, running_server, until

from streaming_server.pool.devices import choose_devices


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with two workers and the journal, the sample `kept` and its voice `cloned`."""
    folder = tmp_path_factory.mktemp("furnished")
    options = ("--debug", "--log-format=json", "--max-workers=2", "--max-context-characters=1000000")
    with running_server(folder / "log", *options) as server, to(server) as client:
        assert upload(client, "kept", transcript="What is said in it.").status_code == 200
        voice = {"voice_id": "cloned", "audio_prompt": "kept"}
        assert client.post("/voice_mappings", json=voice).status_code == 200
        yield server


@pytest.fixture
def client(furnished: Server) -> Iterator[httpx.Client]:
    with to(furnished) as one:
        yield one


@pytest.fixture(scope="module")
def places(furnished: Server) -> dict[str, str]:
    """Return the ids of a completed job and of a journal entry with a file."""
    with to(furnished) as client:
        assert say(client).status_code == 200
        job = job_of(client, "Hello there.")
        until(lambda: status_of(client, job) == "completed")
        entry = until(lambda: client.get("/logs").json()["logs"])[0]["id"]
    return {"job": job, "entry": entry}


# The routes.

CONFIG = {
    "debug_mode": True,
    "save_outputs": True,
    "show_prompts": False,
    "output_retention_hours": 24,
    "auto_discover_prompts": True,
    "auto_transcribe": False,
    "whisper_model_size": "base",
}

JSON_ROUTES: list[tuple[str, str, Any, set[str]]] = [
    ("GET", "/", None, {"message", "status"}),
    ("GET", "/health", None, {"status", "model_loaded", "timestamp"}),
    ("GET", "/models", None, {"models"}),
    ("GET", "/voices", None, {"voices"}),
    ("POST", "/generate?async_mode=true", {"text": "Hi there.", "voice_id": "aria"}, {"job_id", "status"}),
    ("GET", "/voice_mappings", None, {"aria", "cloned"}),
    ("POST", "/voice_mappings", {"voice_id": "made"}, {"message", "voice_config"}),
    ("PUT", "/voice_mappings/cloned", {"voice_id": "cloned", "style": "calm"}, {"message", "voice_config"}),
    ("GET", "/audio_prompts", None, {"kept"}),
    ("POST", "/audio_prompts/discover", {"force_retranscribe": False}, {"total_prompts", "discovered"}),
    ("POST", "/audio_prompts/discover", None, {"message", "total_prompts", "discovered"}),
    ("GET", "/audio_prompts/metadata", None, {"kept"}),
    (
        "GET",
        "/audio_prompts/metadata/kept",
        None,
        {
            "prompt_id",
            "file_path",
            "duration",
            "sample_rate",
            "transcript",
            "transcript_source",
            "hash",
            "discovered_at",
        },
    ),
    (
        "PUT",
        "/audio_prompts/kept/transcript",
        {"prompt_id": "kept", "transcript": "What is said."},
        {"message", "prompt_id", "updated_voices"},
    ),
    ("GET", "/whisper/status", None, {"available", "model_loaded", "model_size", "auto_transcribe"}),
    ("GET", "/config", None, set(CONFIG)),
    ("PUT", "/config", CONFIG, set(CONFIG)),
    ("GET", "/logs?limit=500&voice=aria", None, {"logs", "total", "filtered"}),
    (
        "GET",
        "/logs/{entry}",
        None,
        {"id", "timestamp", "text", "processed_text", "voice", "audio_prompt_used"}
        | {"generation_time", "file_path", "file_size"},
    ),
    ("GET", "/jobs?status=completed&limit=500", None, {"jobs"}),
    ("GET", "/jobs/{job}", None, {"id", "status", "created_at", "started_at", "completed_at"}),
    (
        "GET",
        "/queue/stats",
        None,
        {"pending_jobs", "processing_jobs", "completed_jobs", "failed_jobs"}
        | {"total_workers", "active_workers", "memory_pressure"},
    ),
    (
        "GET",
        "/gpu/status",
        None,
        {"gpu_mode", "gpu_count", "allowed_gpus", "use_multi_gpu", "models_loaded", "gpu_memory"},
    ),
    ("POST", "/cleanup", None, {"message"}),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "keys"), JSON_ROUTES, ids=[f"{row[0]} {row[1]}" for row in JSON_ROUTES]
)
def test_a_route_returns_the_same_fields(
    client: httpx.Client, places: dict[str, str], method: str, path: str, body: Any, keys: set[str]
) -> None:
    accept = {"accept": "application/json"}
    answer = client.request(method, path.format(**places), json=body, headers=accept)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert keys <= answer.json().keys()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/preview/aria", None),
        ("POST", "/generate", {"text": "Hello there.", "voice_id": "cloned"}),
        ("POST", "/generate?async_mode=false", {"text": "Hello there.", "voice_id": "aria"}),
        ("POST", "/api/tts/generate", {"text": "Hello there.", "voice_id": "aria"}),
        ("POST", "/v1/audio/speech?model=dia&input=Hello+there.&voice=aria&speed=1.0&seed=1", None),
        ("GET", "/logs/{entry}/download", None),
        ("GET", "/jobs/{job}/result", None),
    ],
)
def test_a_speech_route_returns_audio(
    client: httpx.Client, places: dict[str, str], method: str, path: str, body: Any
) -> None:
    answer = client.request(method, path.format(**places), json=body)
    sound, rate = heard(answer)
    assert answer.headers["content-type"] == "audio/wav"
    assert len(sound) > 0.4 * rate
    assert np.abs(sound).max() > 0.05


def test_the_ids_of_the_voices_are_a_list(client: httpx.Client) -> None:
    assert {"aria", "atlas", "luna", "kai", "zara", "nova", "cloned"} <= set(
        client.get("/api/tts/speakers").json()
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/generate", {"text": "", "voice_id": "aria"}, 422),
        ("POST", "/generate", {"text": "Hi."}, 422),
        ("POST", "/v1/audio/speech", {"model": "dia", "voice": "aria"}, 400),
        ("PUT", "/voice_mappings/nobody", {"style": "calm"}, 404),
        ("DELETE", "/voice_mappings/nobody", None, 404),
        ("DELETE", "/audio_prompts/nothing", None, 404),
        ("GET", "/audio_prompts/metadata/nothing", None, 404),
        ("PUT", "/audio_prompts/nothing/transcript", {"transcript": "What is said."}, 404),
        ("POST", "/audio_prompts/nothing/transcribe", None, 404),
        ("POST", "/audio_prompts/upload", {"prompt_id": "json"}, 400),
        ("GET", "/logs/nothing", None, 404),
        ("GET", "/logs/nothing/download", None, 404),
        ("DELETE", "/logs/nothing", None, 404),
        ("GET", "/logs?limit=501", None, 422),
        ("GET", "/jobs/nothing", None, 404),
        ("GET", "/jobs/nothing/result", None, 404),
        ("DELETE", "/jobs/nothing", None, 404),
        ("GET", "/jobs?limit=0", None, 422),
    ],
)
def test_errors_have_a_status_and_a_message(
    client: httpx.Client, method: str, path: str, body: Any, status: int
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["error"]["code"]
    assert told["error"]["message"].endswith(".")
    if not path.startswith("/v1/"):
        assert told["detail"] == told["error"]["message"]


def test_created_resources_can_be_deleted(start_server: Callable[..., Server]) -> None:
    with to(start_server("--debug", "--max-workers=1")) as client:
        assert upload(client, "spare").status_code == 200
        client.post("/voice_mappings", json={"voice_id": "spare"})
        job = job_of(client, "Hello there.")
        until(lambda: status_of(client, job) == "completed")
        for _ in range(2):
            say(client)
        first, _ = until(lambda: len(logs := client.get("/logs").json()["logs"]) == 2 and logs)
        for path in ("/audio_prompts/spare", "/voice_mappings/spare", f"/logs/{first['id']}"):
            assert client.delete(path).json()["message"]
            assert client.delete(path).status_code == 404
        assert client.delete("/logs").json()["message"]
        assert client.get("/logs").json() == {"logs": [], "total": 0, "filtered": 0}
        assert client.delete("/jobs").json()["message"]
        assert client.get(f"/jobs/{job}").status_code == 404
        assert client.get(f"/jobs/{job}/result").status_code == 404


def test_the_request_id_becomes_the_generation_id(client: httpx.Client, places: dict[str, str]) -> None:
    body = {"text": "Hello there.", "voice_id": "aria"}
    answer = client.post("/generate", json=body, headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-generation-id"] == "mine-1"
    assert answer.headers["content-disposition"] == 'attachment; filename="speech.wav"'


COMMANDS = [
    "curl http://localhost:7860/gpu/status",
    "curl http://localhost:7860/queue/stats",
    """\
curl -X POST "http://localhost:7860/audio_prompts/upload" \\
  -F "prompt_id=my_voice" \\
  -F "audio_file=@voice_sample.wav"
""",
    """\
curl -X POST "http://localhost:7860/voice_mappings" \\
  -H "Content-Type: application/json" \\
  -d '{
    "voice_id": "custom_voice",
    "style": "friendly",
    "primary_speaker": "S1",
    "audio_prompt": "my_voice"
  }'
""",
]
"""Commands from the earlier server's documentation."""


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_documented_commands_work(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--max-workers=1")
    (tmp_path / "voice_sample.wav").write_bytes(recording(7.0))
    told = []
    for command in COMMANDS:
        line = command.replace("http://localhost:7860", server.url)
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
    devices, queue, uploaded, made = told
    assert devices["models_loaded"] == 1
    assert queue["memory_pressure"]["cpu_0"]["status"] in ("normal", "high", "critical")
    assert uploaded["duration"] == pytest.approx(7.0, abs=0.01)
    assert made["voice_config"]["audio_prompt"] == "my_voice"
    with to(server) as client:
        [voice] = [voice for voice in client.get("/voices").json()["voices"] if voice["id"] == "custom_voice"]
        assert (voice["style"], voice["primary_speaker"]) == ("friendly", "S1")
        assert voice["has_audio_prompt"]
        heard(say(client, voice_id="custom_voice"))


# Its faults, each shown to be gone.


def test_accepts_openai_s_request_body(client: httpx.Client) -> None:
    """The earlier server read the text from the query only and rejected OpenAI's clients."""
    body = {"model": "tts-1", "input": "Hello there.", "voice": "alloy", "response_format": "wav"}
    spoken, _ = heard(client.post("/v1/audio/speech", json=body))
    asked, _ = heard(client.post("/v1/audio/speech?input=Hello+there.&voice=aria"))
    assert np.array_equal(spoken, asked)


def test_the_plain_route_never_creates_a_job(client: httpx.Client) -> None:
    answer = client.post("/api/tts/generate", json={"text": "Hello there.", "voice_id": "aria"})
    assert answer.content[:4] == b"RIFF"
    assert b"job_id" not in answer.content


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/generate", {"text": "Hi.", "voice_id": "nobody"}),
        ("POST", "/generate?async_mode=true", {"text": "Hi.", "voice_id": "nobody"}),
        ("POST", "/api/tts/generate", {"text": "Hi.", "voice_id": "nobody"}),
        ("POST", "/v1/audio/speech", {"input": "Hi.", "voice": "nobody"}),
        ("POST", "/v1/audio/speech?input=Hi.&voice=nobody", None),
        ("GET", "/preview/nobody", None),
    ],
)
def test_an_unknown_voice_is_a_404(client: httpx.Client, method: str, path: str, body: Any) -> None:
    """The earlier server raised an internal error."""
    answer = client.request(method, path, json=body)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_voice"


@pytest.mark.slow
def test_jobs_run_on_several_workers(client: httpx.Client) -> None:
    """On the earlier server, every job failed with more than one device."""

    def busy() -> int:
        devices = client.get("/gpu/status").json()["devices"]
        return sum(device["worker"]["active"] > 0 for device in devices)

    jobs = [job_of(client, LONG * 10) for _ in range(2)]
    until(lambda: busy() == 2)
    for job in jobs:
        until(lambda job=job: status_of(client, job) == "completed", 40)
        sound, rate = heard(client.get(f"/jobs/{job}/result"))
        assert len(sound) > 300 * rate


def test_a_cancelled_job_stays_cancelled(client: httpx.Client) -> None:
    """The earlier server ran it anyway and marked it completed."""
    job = job_of(client, LONG * 100)
    until(lambda: client.get(f"/jobs/{job}").json()["progress"]["utterances"] > 0)
    assert client.delete(f"/jobs/{job}").status_code == 200
    stopped = client.get(f"/jobs/{job}").json()
    assert stopped["status"] == "cancelled"
    assert stopped["progress"]["utterances"] > 0
    until(lambda: client.get("/queue/stats").json()["active"] == 0)
    assert client.get(f"/jobs/{job}").json() == stopped
    assert client.get(f"/jobs/{job}/result").status_code != 200


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("wav", b"RIFF"),
        ("mp3", b""),
        ("flac", b"fLaC"),
        ("opus", b"OggS"),
        ("aac", b"\xff"),
        ("pcm", b""),
    ],
)
def test_returns_the_requested_format(client: httpx.Client, form: str, begins: bytes) -> None:
    """The earlier server always sent WAV."""
    answer = say(client, response_format=form)
    assert answer.status_code == 200
    assert answer.content.startswith(begins)
    assert (answer.content[:4] == b"RIFF") is (form == "wav")
    assert (answer.headers["content-type"].partition(";")[0] == "audio/wav") is (form == "wav")
    if form != "pcm":
        sound, rate = heard(answer)
        assert len(sound) > 0.4 * rate


@pytest.mark.parametrize(
    ("path", "body", "field", "status"),
    [
        ("/generate", {"text": "Hi.", "voice_id": "aria", "response_format": "tape"}, "response_format", 422),
        ("/v1/audio/speech", {"input": "Hi.", "response_format": "tape"}, "response_format", 400),
        ("/v1/audio/speech", {"input": "Hi.", "speed": 9}, "speed", 400),
        ("/v1/audio/speech?input=Hi.&speed=9", None, "speed", 400),
        ("/voice_mappings", {"voice_id": "third", "primary_speaker": "S9"}, "primary_speaker", 422),
    ],
)
def test_invalid_values_are_rejected_by_field(
    client: httpx.Client, path: str, body: Any, field: str, status: int
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith(f"{field}: ")
    assert "third" not in client.get("/voice_mappings").json()


def test_names_cannot_escape_the_data_directory(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """The earlier server wrote a prompt named `../evil` outside the directory and failed on a voice `a/b`."""
    server = start_server("--max-workers=1")

    def files() -> set[Path]:
        return {file for file in tmp_path.rglob("*") if file.suffix in (".wav", ".txt", ".part")}

    with to(server) as client:
        before = files()
        for name in ("../evil", "/evil", "..\\evil", "a/b", "evil\0.wav"):
            assert upload(client, name, transcript="Evil.").status_code == 422
            assert client.post("/voice_mappings", json={"voice_id": name}).status_code == 422
        assert client.delete("/audio_prompts/..%2F..%2Flog").status_code == 404
        assert files() == before


def pitch(sound: np.ndarray[Any, Any], rate: int) -> float:
    """Return the median fundamental frequency in Hz over the voiced pieces of 40 ms."""
    size, least, most = rate // 25, rate // 400, rate // 60
    found = []
    for start in range(0, len(sound) - size, size):
        piece = sound[start : start + size]
        if np.sqrt(np.mean(piece**2)) < 0.05:
            continue
        near = np.correlate(piece, piece, "full")[size - 1 :]
        lag = least + int(np.argmax(near[least:most]))
        if near[lag] > 0.5 * near[0]:
            found.append(rate / lag)
    assert len(found) > 5
    return float(np.median(found))


def test_a_preview_matches_the_voice(client: httpx.Client) -> None:
    """The earlier server's previews were slower and lower."""
    preview, rate = heard(client.get("/preview/atlas"))
    spoken, _ = heard(say(client, "Hello! This is what I sound like. I hope you like it.", voice_id="atlas"))
    assert len(preview) / rate == pytest.approx(len(spoken) / rate, abs=0.05)
    assert pitch(preview, rate) == pytest.approx(pitch(spoken, rate), rel=0.01)


@pytest.mark.parametrize("speed", [0.6, 1.8])
def test_speed_keeps_the_pitch(client: httpx.Client, speed: float) -> None:
    text = "The quick brown fox jumps over the lazy dog near the river bank."
    plain, rate = heard(say(client, text))
    changed, _ = heard(say(client, text, speed=speed))
    assert len(plain) / len(changed) == pytest.approx(speed, rel=0.2)
    assert pitch(changed, rate) == pytest.approx(pitch(plain, rate), rel=0.1)


def test_resampling_a_voice_sample_does_not_alias(client: httpx.Client) -> None:
    """Without a low-pass filter, 30 kHz at 96 kHz would alias to 14.1 kHz."""
    times = np.arange(96_000 * 6) / 96_000
    sound = 0.3 * np.sin(2 * np.pi * 1000 * times) + 0.3 * np.sin(2 * np.pi * 30_000 * times)
    assert upload(client, "high", wav(sound, 96_000), transcript="High.").status_code == 200
    stored, rate = heard(client.get("/audio_prompts/high/audio"))
    assert rate == 44_100
    power = np.abs(np.fft.rfft(stored[:rate] * np.hanning(rate))) ** 2  # A value for each hertz.
    folded = power[14_000:14_200].max() / power[990:1010].max()
    assert 10 * np.log10(folded + 1e-20) < -80
    client.delete("/audio_prompts/high")


def test_metadata_is_available_as_soon_as_a_sample_is_stored(client: httpx.Client) -> None:
    """The earlier server needed a discovery first."""
    told = upload(client, "fresh", transcript="Just now.").json()
    known = metadata_of(client, "fresh")
    assert known["duration"] == told["duration"]
    assert (known["transcript"], known["transcript_source"]) == ("Just now.", "manual")
    assert client.get("/audio_prompts").json()["fresh"]["exists"]
    client.delete("/audio_prompts/fresh")


def test_concurrent_requests_do_not_block_or_mix(client: httpx.Client) -> None:
    """On the earlier server, one generation blocked all others, and concurrent ones corrupted each other."""
    text = LONG[:2000]
    alone = {voice: say(client, text, voice_id=voice).content for voice in ("aria", "zara")}
    assert alone["aria"] != alone["zara"]
    waits, done = [], threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as watcher:
            while not done.is_set():
                started = time.monotonic()
                assert watcher.get("/health").status_code == 200
                waits.append(time.monotonic() - started)

    def speak(voice: str) -> bool:
        with httpx.Client(base_url=client.base_url, timeout=60) as speaker:
            return say(speaker, text, voice_id=voice).content == alone[voice]

    with ThreadPoolExecutor(5) as threads:
        watching = threads.submit(watch)
        same = list(threads.map(speak, ["aria", "zara"] * 2))
        done.set()
        watching.result()
    assert all(same)
    assert len(waits) > 10
    assert np.median(waits) < 0.1


@pytest.fixture(scope="module")
def dia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("dia")
    with running_server(folder / "log", *tiny_dia.options_of(folder)) as server:
        yield server


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_job_keeps_its_seed(dia: Server) -> None:
    """The earlier server dropped the seed of a job."""

    def spoken(seed: int) -> np.ndarray[Any, Any]:
        job = job_of(client, "Hello there, fox.", seed=seed)
        until(lambda: status_of(client, job) == "completed", 60)
        return heard(client.get(f"/jobs/{job}/result"))[0]

    with httpx.Client(base_url=dia.url, timeout=60) as client:
        first = spoken(7)
        assert np.array_equal(spoken(7), first)
        assert not np.array_equal(spoken(8), first)
        assert np.array_equal(heard(say(client, "Hello there, fox.", seed=7))[0], first)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_max_tokens_is_capped_at_the_models_buffer(dia: Server) -> None:
    """The earlier server failed beyond the model's fixed buffer."""
    with httpx.Client(base_url=dia.url, timeout=60) as client:
        sound, rate = heard(say(client, "Hello there, fox.", max_tokens=10_000, seed=1))
        assert 0 < len(sound) <= tiny_dia.SECONDS * rate
        assert say(client, "Hello there.", max_tokens=10_001).status_code == 422


def test_memory_of_other_programs_counts(client: httpx.Client) -> None:
    """The earlier server counted its own memory only and loaded models that did not fit."""

    def used() -> int:
        memory: dict[str, int] = client.get("/gpu/status").json()["devices"][0]["memory"]
        assert memory["total"] <= psutil.virtual_memory().total
        return memory["used"]

    size = 2**30  # More than the server and its workers use, even if other programs free some.
    held = bytearray(b"\1") * size
    until(lambda: used() >= size)
    del held


def test_model_loaded_is_true_with_several_devices(client: httpx.Client) -> None:
    """The earlier server checked the first of two places only."""
    assert client.get("/queue/stats").json()["active_workers"] == 2
    assert client.get("/health").json()["model_loaded"] is True


@pytest.mark.parametrize(
    ("flag", "environment"), [("--no-save-outputs", {}), (None, {"DIA_SAVE_OUTPUTS": "0"})]
)
def test_saving_outputs_can_be_disabled(
    start_server: Callable[..., Server], flag: str | None, environment: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    flags = [flag] if flag else []
    with to(start_server("--max-workers=1", f"--data-dir={data}", *flags, **environment)) as client:
        assert client.get("/config").json()["save_outputs"] is False
        heard(say(client))
        assert list((data / "outputs").iterdir()) == []


def test_gpu_ids_are_physical_ids() -> None:
    """The earlier server hid the other GPUs, then used physical ids that no longer existed."""
    devices = choose_devices(mode="auto", wanted=[2, 3], gpus=[0, 1, 2, 3], max_workers=None, cpu_workers=1)
    assert [device.id for device in devices] == ["gpu_2", "gpu_3"]
    assert [device.environment["CUDA_VISIBLE_DEVICES"] for device in devices] == ["2", "3"]


@pytest.mark.slow
def test_lists_may_change_while_they_are_read(client: httpx.Client) -> None:
    """The earlier server failed when a collection changed during iteration."""
    data = recording(1.0)

    def change(number: int) -> list[int]:
        name = f"busy {number}"
        statuses = []
        with httpx.Client(base_url=client.base_url, timeout=60) as mine:
            for _ in range(5):
                statuses.append(upload(mine, name, data, transcript="Hi.").status_code)
                voice = {"voice_id": name, "audio_prompt": name}
                statuses.append(mine.post("/voice_mappings", json=voice).status_code)
                job = job_of(mine, "Hi there.", voice_id=name)
                statuses.append(mine.delete(f"/jobs/{job}").status_code)
                statuses.append(mine.delete(f"/voice_mappings/{name}").status_code)
                statuses.append(mine.delete(f"/audio_prompts/{name}").status_code)
        return statuses

    def look(_: int) -> list[int]:
        paths = ("/voices", "/voice_mappings", "/audio_prompts", "/jobs", "/audio_prompts/metadata", "/logs")
        with httpx.Client(base_url=client.base_url, timeout=60) as mine:
            return [mine.get(path).status_code for _ in range(10) for path in paths]

    with ThreadPoolExecutor(6) as threads:
        changing = [threads.submit(change, number) for number in range(3)]
        looking = [threads.submit(look, number) for number in range(3)]
        assert {status for future in looking for status in future.result()} == {200}
        # A job may be done before it is cancelled.
        assert {status for future in changing for status in future.result()} <= {200, 409}


def test_a_sample_outlives_a_voice_that_shared_it(client: httpx.Client) -> None:
    for voice in ("first", "second"):
        assert upload(client, "shared", transcript="Ours.").status_code == 200
        client.post("/voice_mappings", json={"voice_id": voice, "audio_prompt": "shared"})
    client.delete("/voice_mappings/first")
    assert metadata_of(client, "shared")["exists"]
    assert client.get("/voice_mappings").json()["second"]["audio_prompt"] == "shared"
    client.delete("/audio_prompts/shared?force=true")


def compressed(muxer: str, codec: str, seconds: float = 6.0) -> bytes:
    """Return a tone encoded by FFmpeg."""
    rate = 48_000
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)
    with tempfile.NamedTemporaryFile() as out, av.open(out.name, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray((tone * 32767).astype("<i2")[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
        container.close()
        return out.read()


@pytest.mark.parametrize(
    ("name", "muxer", "codec"),
    [("s.m4a", "mp4", "aac"), ("s.aac", "adts", "aac"), ("s.webm", "webm", "libopus")],
)
def test_every_accepted_format_is_decoded(client: httpx.Client, name: str, muxer: str, codec: str) -> None:
    """The earlier server accepted these formats but could not read them."""
    stored = upload(client, "packed", compressed(muxer, codec), name, transcript="Hum.")
    assert stored.status_code == 200, stored.text
    assert stored.json()["original_format"] == name.removeprefix("s.")
    sound, rate = heard(client.get("/audio_prompts/packed/audio"))
    assert pitch(sound, rate) == pytest.approx(220, rel=0.01)
    client.delete("/audio_prompts/packed")


def test_all_data_survives_a_restart(start_server: Callable[..., Server], tmp_path: Path) -> None:
    options = ("--debug", "--max-workers=1", f"--data-dir={tmp_path / 'kept'}")
    paths = ["/voice_mappings", "/audio_prompts/metadata", "/config", "/jobs", "/logs"]
    first = start_server(*options)
    with to(first) as client:
        upload(client, "kept", transcript="What is said in it.")
        client.post("/voice_mappings", json={"voice_id": "mine", "audio_prompt": "kept", "seed": 3})
        client.put("/config", json=client.get("/config").json() | {"output_retention_hours": 7})
        heard(say(client, voice_id="mine"))
        job = job_of(client, "Hello there.", voice_id="mine")
        until(lambda: status_of(client, job) == "completed")
        before = [client.get(path).json() for path in paths]
        result = client.get(f"/jobs/{job}/result").content
    first.process.send_signal(signal.SIGTERM)
    first.process.wait(10)
    with to(start_server(*options)) as client:
        assert [client.get(path).json() for path in paths] == before
        assert client.get(f"/jobs/{job}/result").content == result
        heard(say(client, voice_id="mine"))
