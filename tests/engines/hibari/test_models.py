"""Voices that are not in the wheel: fetched in the background, checked, and no hindrance to others."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from helpers.servers import until
from helpers.spoken import drain, pcm

from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.engines.hibari.models import Speaker, VoiceModels
from streaming_server.engines.hibari.phonemes import ASSETS
from streaming_server.errors import EngineFailure, NotReady
from streaming_server.types import DEFAULT_VOICE, Event, Failed, Generation, Utterance, Voice

MODEL = (ASSETS / "hibari.onnx").read_bytes()
EMMA = {
    "file": "bf_emma.int8.onnx",
    "bytes": len(MODEL),
    "sha256": hashlib.sha256(MODEL).hexdigest(),
    "british": True,
}


@dataclass
class FileServer:
    """Stands in for the place that models come from. It sends one half, and the other when told."""

    url: str
    requests: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)


@contextmanager
def file_server(content: bytes) -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            files.go_on.wait(20)
            self.wfile.write(content[len(content) // 2 :])

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        files = FileServer(f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield files
        finally:
            files.go_on.set()
            server.shutdown()
            thread.join()


def reason(models: VoiceModels) -> str:
    try:
        models.find("emma")
    except (NotReady, EngineFailure) as error:
        return error.message
    return ""


def found(models: VoiceModels) -> Speaker | None:
    try:
        return models.find("emma")
    except NotReady:
        return None


def utterance(number: int, voice: Voice) -> Utterance:
    return Utterance(number, number, "Hello there.", voice, Generation(), 0.0)


def test_a_voice_is_fetched_once_with_progress_and_then_speaks(tmp_path: Path) -> None:
    with file_server(MODEL) as files:
        models = VoiceModels({"emma": EMMA}, files.url, tmp_path)
        engine = HibariEngine(models)
        emma = Voice("emma", "Emma", "neutral")
        engine.prepare(emma)
        until(lambda: "49 %" in reason(models))
        (event,) = drain(engine, [utterance(1, emma)])
        assert isinstance(event, Failed)
        assert (event.code, event.retryable) == ("not_ready", True)
        assert "being fetched" in event.message
        assert pcm(drain(engine, [utterance(2, DEFAULT_VOICE)]), 2)
        files.go_on.set()
        assert until(lambda: found(models), 20)
        british = pcm(drain(engine, [utterance(3, emma)]), 3)
        assert british
        assert british != pcm(drain(engine, [utterance(4, DEFAULT_VOICE)]), 4)
        assert files.requests == ["/bf_emma.int8.onnx"]
        assert [path.name for path in tmp_path.iterdir()] == ["bf_emma.int8.onnx"]
        again = VoiceModels({"emma": EMMA}, files.url, tmp_path)
        assert until(lambda: found(again), 20)
        assert len(files.requests) == 1
        engine.close()


def test_a_damaged_file_is_not_used(tmp_path: Path) -> None:
    with file_server(MODEL[:-1] + b"?") as files:
        files.go_on.set()
        models = VoiceModels({"emma": EMMA}, files.url, tmp_path)
        assert until(lambda: "damaged" in reason(models))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_broken_answer_is_a_failure_and_not_an_endless_fetch(answer: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=respond)
        thread.start()
        models = VoiceModels({"emma": EMMA}, f"http://127.0.0.1:{listener.getsockname()[1]}/", tmp_path)
        assert until(lambda: "cannot be fetched" in reason(models), 20)
        thread.join(20)
    assert list(tmp_path.iterdir()) == []


def test_no_more_than_the_model_is_stored(tmp_path: Path) -> None:
    with file_server(MODEL * 2) as files:
        files.go_on.set()
        models = VoiceModels({"emma": EMMA}, files.url, tmp_path)
        assert until(lambda: "damaged" in reason(models), 20)
        assert list(tmp_path.iterdir()) == []


def test_without_the_internet_a_voice_fails_and_the_others_speak(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/"  # Nothing listens there.
    engine = HibariEngine(VoiceModels(base_url=address, folder=tmp_path))
    kore = Voice("kore", "Kore", "neutral")

    def failure() -> list[Event]:
        events = drain(engine, [utterance(1, kore)])
        return [one for one in events if isinstance(one, Failed) and one.code == "engine_failure"]

    (event,) = until(failure, 40)
    assert event.message == f"Voice kore cannot be fetched: {urlsplit(address).netloc} cannot be reached."
    assert pcm(drain(engine, [utterance(2, DEFAULT_VOICE)]), 2)
    assert list(tmp_path.iterdir()) == []
    engine.close()


def test_the_packages_own_voices_are_known() -> None:
    models = VoiceModels()
    assert all(name in models for name in ("fenrir", "emma", "fable", "kore"))
    assert "heart" not in models
