"""The earlier server's speech routes and the outputs they store."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.foreign import LONG
from helpers.rest import heard, job_of, say, status_of, to
from helpers.servers import Server, running_server, until

from streaming_server.audio.encoder import AudioOptions
from streaming_server.types import Generation
from streaming_server.web.rest.generate_request import GenerateRequest


@pytest.fixture(scope="module")
def noting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with a journal that accepts long texts."""
    folder = tmp_path_factory.mktemp("noting")
    options = ("--debug", "--max-workers=1", "--max-context-characters=200000")
    with running_server(folder / "log", *options, DIA_DATA_DIR=str(folder / "data")) as server:
        yield server


@pytest.fixture
def client(noting: Server) -> Iterator[httpx.Client]:
    with to(noting) as one:
        yield one


@pytest.fixture
def outputs(noting: Server) -> Path:
    return noting.log.parent / "data" / "outputs"


def test_request_fields_become_speech_options() -> None:
    asked = GenerateRequest.model_validate(
        {
            "text": "Hi.",
            "voice_id": "zara",
            "response_format": "mp3",
            "speed": 0.5,
            "pitch": 1.2,
            "temperature": 1.5,
            "cfg_scale": 4,
            "cfg_filter_top_k": 35,
            "top_p": 0.9,
            "top_k": 50,
            "max_tokens": 500,
            "seed": 7,
            "role": "assistant",
            "use_torch_compile": True,
        }
    )
    options = asked.options
    assert (asked.text, options.voice) == ("Hi.", "zara")
    assert options.audio == AudioOptions(format="mp3")
    assert options.generation == Generation(
        speed=0.5,
        pitch=1.2,
        temperature=1.5,
        cfg_scale=4,
        cfg_filter_top_k=35,
        top_p=0.9,
        top_k=50,
        max_tokens=500,
        seed=7,
    )
    assert GenerateRequest(text="Hi.", voice_id="aria").options.generation == Generation()


def test_limits_of_the_old_ranges_are_mapped_to_the_engine_s() -> None:
    generation = GenerateRequest(text="Hi.", voice_id="aria", top_p=0.0, max_tokens=10_000).options.generation
    assert generation.top_p is not None
    assert 0 < generation.top_p < 1e-3
    assert generation.max_tokens == 3072


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("*Hello* **there**.", "Hello there."),
        ("  Hello there. ", "Hello there."),
        ("# Hello there.", "Hello there."),
    ],
)
def test_asterisks_and_layout_are_not_spoken(client: httpx.Client, written: str, spoken: str) -> None:
    assert say(client, written).content == say(client, spoken).content


def test_an_asterisk_between_figures_is_spoken(client: httpx.Client) -> None:
    assert say(client, "It is 2*3.").content != say(client, "It is 23.").content


@pytest.mark.parametrize("text", [" ", "***", "...", "\N{ZERO WIDTH SPACE}", "a\0b"])
def test_text_without_words_is_rejected_and_its_job_fails(client: httpx.Client, text: str) -> None:
    refused = say(client, text)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_value")
    job = job_of(client, text)
    until(lambda: status_of(client, job) == "failed")
    told = client.get(f"/jobs/{job}").json()
    assert told["error"] == refused.json()["error"]
    result = client.get(f"/jobs/{job}/result")
    assert (result.status_code, result.json()["error"]) == (422, told["error"])


SPEAKING_PATHS = ["/generate", "/api/tts/generate", "/generate?async_mode=true", "/v1/audio/speech"]


@pytest.mark.parametrize("path", SPEAKING_PATHS)
def test_rejects_a_text_longer_than_a_context(client: httpx.Client, path: str) -> None:
    text = "x" * 200_001
    answer = client.post(path, json={"text": text, "input": text, "voice_id": "aria"})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
    assert answer.json()["error"]["message"] == "text: at most 200000 characters."


@pytest.mark.parametrize("path", SPEAKING_PATHS)
def test_rejects_an_empty_text(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"text": "", "input": "", "voice_id": "aria"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["code"] == "bad_value"
    assert "must be a string of at least 1 character." in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/generate", "/v1/audio/speech"])
def test_a_long_text_starts_speaking_at_once(client: httpx.Client, path: str) -> None:
    text = "Speak. " * 1000
    with client.stream("POST", path, json={"text": text, "input": text, "voice_id": "aria"}) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_bytes())


@pytest.mark.parametrize("said", ["maybe", "", "2"])
def test_flags_accept_booleans_only(client: httpx.Client, said: str) -> None:
    answer = client.post(f"/generate?async_mode={said}", json={"text": "Hi.", "voice_id": "aria"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "async_mode: must be true or false."


@pytest.mark.parametrize("form", ["wav", "mp3", "flac", "pcm"])
def test_an_output_is_stored_and_logged(client: httpx.Client, outputs: Path, form: str) -> None:
    """The stored header holds the true length; the rest equals the response."""
    text = f"Kept as {form}."
    answer = say(client, text, response_format=form)

    def noted() -> Any:
        return [entry for entry in client.get("/logs").json()["logs"] if entry["text"] == text]

    [entry] = until(noted)
    assert entry["voice"] == "aria"
    assert entry["generation_time"] > 0
    copy = outputs / Path(entry["file_path"]).name
    data = copy.read_bytes()
    assert (copy.suffix, len(data)) == (f".{form}", entry["file_size"])
    head = {"wav": 44, "flac": 42}.get(form, 0)
    assert data[head:] == answer.content[head:]
    if form == "wav":
        assert int.from_bytes(data[4:8], "little") == len(data) - 8
        assert entry["audio_s"] == pytest.approx(len(data[44:]) / 2 / 22050, abs=0.01)
    kept = client.get(f"/logs/{entry['id']}/download")
    assert kept.content == data
    assert kept.headers["content-type"] == answer.headers["content-type"].partition(";")[0]


def test_an_aborted_response_is_not_stored(client: httpx.Client, outputs: Path) -> None:
    before = set(outputs.iterdir())
    entries = client.get("/logs").json()["total"]
    body = {"text": LONG[:4000], "voice_id": "aria"}
    with client.stream("POST", "/generate", json=body) as answer:
        sound = answer.iter_raw(1024)
        assert next(sound)
        assert len(set(outputs.iterdir()) - before) == 1
    until(lambda: client.get("/queue/stats").json()["contexts"] == 0)
    until(lambda: set(outputs.iterdir()) == before)
    assert client.get("/logs").json()["total"] == entries


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"X-Request-ID": "mine-1"}, r"mine-1"),
        ({}, r"[0-9a-f]{32}"),
        ({"X-Request-ID": "x" * 129}, r"[0-9a-f]{32}"),
        ({"X-Request-ID": ""}, r"[0-9a-f]{32}"),
    ],
)
def test_debug_mode_sends_a_generation_id(client: httpx.Client, given: dict[str, str], told: str) -> None:
    body = {"text": "Hi there.", "voice_id": "aria"}
    answer = client.post("/generate", json=body, headers=given)
    assert re.fullmatch(told, answer.headers["x-generation-id"])


def test_without_debug_mode_there_is_no_generation_id(server: Server) -> None:
    with to(server) as client:
        assert "x-generation-id" not in say(client).headers


def test_a_changed_voice_gets_a_new_preview(client: httpx.Client, noting: Server) -> None:
    client.post("/voice_mappings", json={"voice_id": "changing"})
    first = client.get("/preview/changing").content
    client.put("/voice_mappings/changing", json={"speed": 2.0})
    second = client.get("/preview/changing").content
    assert len(second) < 0.7 * len(first)
    client.put("/voice_mappings/changing", json={"speed": None})
    assert client.get("/preview/changing").content == first
    client.delete("/voice_mappings/changing")
    assert client.get("/preview/changing").status_code == 404


def test_a_preview_is_repeated_if_the_voice_changes_meanwhile(
    start_server: Callable[..., Server],
) -> None:
    """A preview of the old voice used to be stored under the new one."""
    server = start_server("--max-workers=1")
    with to(server) as client, to(server) as other, ThreadPoolExecutor(1) as threads:
        client.post("/voice_mappings", json={"voice_id": "changing"})
        (worker,) = server.workers()
        os.kill(worker["pid"], signal.SIGSTOP)
        asked = threads.submit(other.get, "/preview/changing")
        until(lambda: client.get("/queue/stats").json()["contexts"] == 1)
        client.put("/voice_mappings/changing", json={"speed": 2.0})
        os.kill(worker["pid"], signal.SIGCONT)
        answer = asked.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")
        assert other.get("/preview/changing").status_code == 200


def test_concurrent_requests_share_one_preview(start_server: Callable[..., Server]) -> None:
    with to(start_server("--max-workers=1")) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.get("/preview/kai"), range(8)))
        heard(answers[0])
        assert {answer.content for answer in answers} == {answers[0].content}
        ended = re.findall(
            r"^dia_contexts_ended_total\{.*\} ([\d.]+)$", client.get("/metrics").text, re.MULTILINE
        )
        assert sum(map(float, ended)) == 1


def test_the_model_list_names_the_engine(client: httpx.Client) -> None:
    [model] = client.get("/models").json()["models"]
    assert model["id"] == "dia"
    assert model["name"] == "espeak"
    assert "22050 Hz" in model["description"]
