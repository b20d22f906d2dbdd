"""The REST routes, against a real server."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import soundfile
from helpers.disks import full_disk
from helpers.foreign import LONG
from helpers.rest import job_of, recording, status_of, to, upload
from helpers.servers import Server, until
from websockets.asyncio.client import connect


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with to(server) as one:
        yield one


# Voices.


def test_built_in_voices_are_listed_and_cannot_be_deleted(client: httpx.Client) -> None:
    voices = {voice["id"]: voice for voice in client.get("/voices").json()["voices"]}
    assert {"aria", "atlas", "luna", "kai", "zara", "nova"} <= voices.keys()
    assert voices["zara"]["primary_speaker"] == "S2"
    assert "aria" in client.get("/api/tts/speakers").json()
    assert client.delete("/voice_mappings/aria").status_code == 403


def test_a_changed_built_in_voice_can_be_restored(client: httpx.Client) -> None:
    came = {voice["id"]: voice for voice in client.get("/voices").json()["voices"]}["nova"]
    changed = client.put("/voice_mappings/nova", json={"speed": 2.0}).json()
    assert "replaces the built-in voice" in changed["message"]
    assert client.delete("/voice_mappings/nova").status_code == 200
    assert {voice["id"]: voice for voice in client.get("/voices").json()["voices"]}["nova"] == came
    other = client.post("/voice_mappings", json={"voice_id": "somebody"}).json()
    assert "stands in" not in other["message"]
    client.delete("/voice_mappings/somebody")


def test_a_voice_can_be_created_changed_cleared_spoken_and_deleted(client: httpx.Client) -> None:
    made = client.post("/voice_mappings", json={"voice_id": "mine", "style": "friendly", "speed": 2.0})
    assert made.status_code == 200
    fast = client.post("/generate", json={"text": "Hello there.", "voice_id": "mine"}).content
    changed = client.put("/voice_mappings/mine", json={"speed": None})
    assert changed.json()["voice_config"]["speed"] is None
    assert changed.json()["voice_config"]["style"] == "friendly"
    slow = client.post("/generate", json={"text": "Hello there.", "voice_id": "mine"}).content
    assert len(slow) > 1.5 * len(fast)
    assert client.delete("/voice_mappings/mine").status_code == 200
    gone = client.post("/generate", json={"text": "Hello there.", "voice_id": "mine"})
    assert gone.status_code == 404
    assert gone.json()["error"]["code"] == "unknown_voice"
    assert gone.json()["detail"] == gone.json()["error"]["message"]


def test_a_voice_needs_an_existing_sample(client: httpx.Client) -> None:
    answer = client.post("/voice_mappings", json={"voice_id": "mine", "audio_prompt": "nothing"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_prompt")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\0b", "%2e%2e", "x" * 300, "\N{ONE DOT LEADER}\N{ONE DOT LEADER}", ".x", ""]
)
def test_names_are_not_used_as_paths(client: httpx.Client, name: str) -> None:
    before = client.get("/audio_prompts").json(), client.get("/voice_mappings").json()
    assert 400 <= upload(client, name).status_code < 500
    assert 400 <= client.post("/voice_mappings", json={"voice_id": name}).status_code < 500
    assert (client.get("/audio_prompts").json(), client.get("/voice_mappings").json()) == before


def test_a_preview_is_sent_even_if_it_cannot_be_stored(client: httpx.Client, server: Server) -> None:
    with full_disk(server):
        answer = client.get("/preview/zara")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav"), answer.text
    assert answer.content.startswith(b"RIFF")
    assert "zara_preview.wav" in answer.headers["content-disposition"]


def test_a_preview_is_synthesised_once(client: httpx.Client) -> None:
    first, again = (client.get("/preview/nova") for _ in range(2))
    assert first.headers["content-type"] == "audio/wav"
    assert first.content == again.content
    assert client.get("/preview/nobody").status_code == 404


# Samples.


def test_a_voice_warns_if_the_engine_does_not_clone(client: httpx.Client) -> None:
    stored = upload(client, "sample-1", transcript="This is what I say.")
    assert stored.status_code == 200
    told = stored.json()
    assert told["duration"] == pytest.approx(6.0, abs=0.01)
    assert (told["sample_rate"], told["original_format"], told["channels"]) == (44100, "wav", 1)
    assert told["waveform"]
    made = client.post("/voice_mappings", json={"voice_id": "cloned", "audio_prompt": "sample-1"})
    assert "does not clone" in made.json()["warnings"][0]
    [voice] = [voice for voice in client.get("/voices").json()["voices"] if voice["id"] == "cloned"]
    assert voice["has_audio_prompt"]
    assert not voice["sample_heard"]
    metadata = client.get("/audio_prompts/metadata/sample-1").json()
    assert metadata["transcript"] == "This is what I say."
    assert metadata["transcript_source"] == "manual"
    corrected = client.put("/audio_prompts/sample-1/transcript", json={"transcript": "Another text."})
    assert corrected.json()["updated_voices"] == ["cloned"]
    in_use = client.delete("/audio_prompts/sample-1")
    assert in_use.status_code == 409
    assert "cloned" in in_use.json()["detail"]
    assert client.delete("/audio_prompts/sample-1?force=true").status_code == 200
    assert client.get("/audio_prompts/metadata/sample-1").status_code == 404
    client.delete("/voice_mappings/cloned")


def test_a_short_sample_is_stored_with_a_warning(client: httpx.Client) -> None:
    assert upload(client, "short", recording(2.0), transcript="Hi.").json()["warnings"]
    client.delete("/audio_prompts/short")


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 415), (b"This is no sound.", 415), (recording(0.2), 422), (recording(61), 413)],
)
def test_rejects_files_that_are_not_audio(client: httpx.Client, data: bytes, status: int) -> None:
    answer = upload(client, "refused", data)
    assert answer.status_code == status, answer.text
    assert "refused" not in client.get("/audio_prompts").json()


def test_a_too_large_upload_is_aborted(start_server: Callable[..., Server]) -> None:
    small = start_server("--max-workers=1", "--max-upload-bytes=100000")
    with httpx.Client(base_url=small.url, timeout=60) as client:
        assert upload(client, "large").status_code == 413


def test_discovery_reads_transcripts_beside_samples(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    for name in ("ann", "bob"):
        (samples / f"{name}.wav").write_bytes(recording())
    (samples / "ann.txt").write_text("The plain one.")
    (samples / "ann.reference.txt").write_text("The reference.")
    (samples / "broken.mp3").write_bytes(b"nothing")
    server = start_server("--max-workers=1", f"--samples-dir={samples}")
    with httpx.Client(base_url=server.url, timeout=60) as client:
        found = client.post("/audio_prompts/discover").json()  # It may have begun by itself.
        assert found["total_prompts"] == 2
        assert list(found["refused"]) == ["broken.mp3"]
        assert sorted(client.get("/audio_prompts").json()) == ["ann", "bob"]
        (samples / "cat.wav").write_bytes(recording())
        assert client.post("/audio_prompts/discover").json()["discovered"] == ["cat"]
        ann = client.get("/audio_prompts/metadata/ann").json()
        assert (ann["transcript"], ann["transcript_source"]) == ("The reference.", "reference")
        assert client.post("/audio_prompts/discover").json()["discovered"] == []


# Generation and jobs.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("speed", 9),
        ("speed", 0.1),
        ("temperature", 0.01),
        ("cfg_scale", 11),
        ("top_p", 2),
        ("max_tokens", 10),
        ("response_format", "nonsense"),
        ("text", ""),
    ],
)
def test_rejects_a_value_out_of_range_with_its_field(client: httpx.Client, field: str, value: Any) -> None:
    answer = client.post("/generate", json={"text": "Hi.", "voice_id": "aria", field: value})
    assert answer.status_code == 422
    assert field in answer.json()["error"]["message"]


def test_rejects_a_text_without_words(client: httpx.Client) -> None:
    assert client.post("/generate", json={"text": "...", "voice_id": "aria"}).status_code == 422


def test_the_plain_route_returns_audio_and_no_job(client: httpx.Client) -> None:
    answer = client.post("/api/tts/generate", json={"text": "Hello there.", "voice_id": "aria"})
    assert answer.headers["content-type"] == "audio/wav"
    assert (
        answer.content == client.post("/generate", json={"text": "Hello there.", "voice_id": "aria"}).content
    )


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_a_job_s_result_has_a_content_length(client: httpx.Client, form: str) -> None:
    job = job_of(client, "Hello there. This is a job.", response_format=form)
    until(lambda: status_of(client, job) == "completed")
    told = client.get(f"/jobs/{job}").json()
    assert told["progress"]["utterances"] == 2
    result = client.get(f"/jobs/{job}/result")
    samples, rate = soundfile.read(BytesIO(result.content))
    assert len(samples) / rate == pytest.approx(told["progress"]["audio_s"], abs=0.15)
    assert int(result.headers["content-length"]) == len(result.content)


def test_jobs_survive_a_killed_server(start_server: Callable[..., Server], tmp_path: Path) -> None:
    data = tmp_path / "kept"
    first = start_server("--max-workers=1", f"--data-dir={data}", "--max-context-characters=10000000")
    with httpx.Client(base_url=first.url, timeout=60) as client:
        jobs = [job_of(client, LONG * 100) for _ in range(4)]
        until(lambda: status_of(client, jobs[0]) == "processing")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    second = start_server("--max-workers=1", f"--data-dir={data}", "--max-context-characters=10000000")
    with httpx.Client(base_url=second.url, timeout=60) as client:
        until(lambda: status_of(client, jobs[0]) == "interrupted")
        until(lambda: status_of(client, jobs[3]) in ("processing", "completed"), 30)
        assert client.post(f"/jobs/{jobs[0]}/retry").status_code == 202
        for job in jobs:
            client.delete(f"/jobs/{job}")


def test_a_running_job_does_not_delay_shutdown(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--max-context-characters=10000000")
    with httpx.Client(base_url=server.url, timeout=60) as client:
        job = job_of(client, LONG * 200)
        until(lambda: status_of(client, job) == "processing")
    server.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    server.process.wait(10)
    assert time.monotonic() - started < 8


# The operator's.


def test_the_configuration_is_validated_and_survives_a_restart(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    data = tmp_path / "kept"
    with httpx.Client(base_url=start_server("--max-workers=1", f"--data-dir={data}").url) as client:
        config = client.get("/config").json()
        assert client.put("/config", json=config | {"unknown": 1}).status_code == 422
        assert client.put("/config", json=config | {"output_retention_hours": -1}).status_code == 422
        assert client.get("/logs").status_code == 403
        assert client.put("/config", json=config | {"debug_mode": True}).status_code == 200
        client.post("/generate", json={"text": "Hello there.", "voice_id": "aria"})
        [entry] = client.get("/logs").json()["logs"]
        assert entry["text"] == "Hello there."
        assert client.get(f"/logs/{entry['id']}/download").content[:4] == b"RIFF"
        assert client.delete(f"/logs/{entry['id']}").status_code == 200
        assert client.get(f"/logs/{entry['id']}").status_code == 404
        assert client.post("/cleanup").status_code == 200


def test_a_data_directory_can_be_used_by_one_server_only(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    start_server("--max-workers=1", f"--data-dir={tmp_path / 'kept'}")
    with pytest.raises(AssertionError, match="Another server uses the data directory"):
        start_server("--max-workers=1", f"--data-dir={tmp_path / 'kept'}")


async def next_status(ws_url: str) -> dict[str, Any]:
    async with connect(f"{ws_url}/ws/status", proxy=None) as channel:
        while (message := json.loads(await channel.recv()))["type"] != "status":
            pass
    return dict(message)


@pytest.mark.anyio
async def test_a_device_has_the_same_id_everywhere(server: Server) -> None:
    """The id `gpu_0` used to be `gpu:0` on the status channel."""
    with anyio.fail_after(20):
        told = await next_status(server.ws_url)
    names = [device["id"] for device in told["devices"]]
    assert names == [f"cpu_{index}" for index in range(len(names))]
    with to(server) as client:
        devices = client.get("/gpu/status").json()["devices"]
        assert [device["id"] for device in devices] == names
        assert list(client.get("/queue/stats").json()["memory_pressure"]) == names
        labels = re.findall(
            r'^dia_memory_pressure\{device="(.*)"\}', client.get("/metrics").text, re.MULTILINE
        )
    assert labels == names
