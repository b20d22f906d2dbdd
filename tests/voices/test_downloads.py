"""Files of voices: fetched once in the background, checked, with progress."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path

import anyio
import pytest
from helpers.file_server import file_server

from streaming_server.errors import NotReady, SpeechError, VoiceUnavailable
from streaming_server.types import EngineVoice, Voice, VoiceFile
from streaming_server.voices.downloads import DownloadProgress, VoiceFiles

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 800


def emma(url: str, folder: Path, content: bytes = CONTENT) -> list[EngineVoice]:
    file = VoiceFile(
        f"{url}emma.onnx", folder / "voices" / "emma.onnx", len(content), hashlib.sha256(content).hexdigest()
    )
    return [EngineVoice(Voice("emma", "Emma", "neutral"), "en-GB", file)]


async def ended(files: VoiceFiles) -> SpeechError | None:
    """Request the voice and return how that ends."""
    results: list[SpeechError | None] = []
    done = anyio.Event()

    def on_ready(error: SpeechError | None) -> None:
        results.append(error)
        done.set()

    assert files.request("emma", on_ready)
    with anyio.fail_after(20):
        await done.wait()
    return results[0]


async def state(files: VoiceFiles, *wanted: str) -> DownloadProgress:
    """Wait for a state."""
    with anyio.fail_after(20):
        while (progress := files.progress("emma")) is None or progress.state not in wanted:
            await anyio.sleep(0.01)
    return progress


def names(folder: Path) -> list[str]:
    return [path.name for path in (folder / "voices").iterdir()]


async def test_a_file_is_fetched_once_for_all_waiting_contexts(tmp_path: Path) -> None:
    with file_server(CONTENT) as source:
        files = VoiceFiles(emma(source.url, tmp_path))
        assert files.progress("emma") == DownloadProgress("absent", 0, len(CONTENT))
        results: list[SpeechError | None] = []
        assert files.request("emma", results.append)
        assert files.request("emma", results.append)
        with anyio.fail_after(20):
            while files.progress("emma") != DownloadProgress("fetching", len(CONTENT) // 2, len(CONTENT)):
                await anyio.sleep(0.01)
        assert [*files.unfinished()] == ["emma"]
        assert results == []
        source.resume.set()
        await state(files, "present")
        with anyio.fail_after(20):
            while len(results) < 2:
                await anyio.sleep(0.01)
        assert results == [None, None]
        assert files.unfinished() == {}
        assert not files.request("emma", results.append)
        assert source.requests == ["/emma.onnx"]
        assert names(tmp_path) == ["emma.onnx"]
        assert not VoiceFiles(emma(source.url, tmp_path)).request("emma", results.append)


async def test_a_file_that_is_cut_short_is_fetched_again(tmp_path: Path) -> None:
    with file_server(CONTENT) as source:
        source.resume.set()
        voices = emma(source.url, tmp_path)
        assert voices[0].file is not None
        path = voices[0].file.path
        path.parent.mkdir()
        path.write_bytes(CONTENT[:100])
        files = VoiceFiles(voices)
        assert files.progress("emma") == DownloadProgress("absent", 0, len(CONTENT))
        assert await ended(files) is None
        assert path.read_bytes() == CONTENT


async def test_a_voice_without_a_file_is_not_waited_for(tmp_path: Path) -> None:
    files = VoiceFiles(emma("http://127.0.0.1:1/", tmp_path))
    assert files.progress("aria") is None
    assert not files.request("aria", lambda error: None)


async def test_speech_waits_for_a_limited_time(tmp_path: Path) -> None:
    with file_server(CONTENT) as source:
        files = VoiceFiles(emma(source.url, tmp_path), wait_s=0.3)
        error = await ended(files)
        assert isinstance(error, NotReady)
        assert error.retryable
        assert error.message == "Voice emma is being fetched, 50 % so far; try again in a moment."
        source.resume.set()
        await state(files, "present")


async def test_a_slow_fetch_times_out(tmp_path: Path) -> None:
    with file_server(CONTENT) as source:
        files = VoiceFiles(emma(source.url, tmp_path), longest_s=0.0)
        error = await ended(files)
        source.resume.set()
    assert isinstance(error, VoiceUnavailable)
    assert error.message == "Voice emma cannot be fetched: it arrives too slowly."
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + b"?", CONTENT * 2, CONTENT[:-1]], ids=["wrong", "long", "short"]
)
async def test_a_damaged_file_is_not_used(content: bytes, tmp_path: Path) -> None:
    with file_server(content) as source:
        source.resume.set()
        files = VoiceFiles(emma(source.url, tmp_path))
        error = await ended(files)
    assert isinstance(error, VoiceUnavailable)
    assert error.message == "Voice emma arrived damaged and was dropped; try again."
    assert files.progress("emma") == DownloadProgress("failed", 0, len(CONTENT), error.message)
    assert names(tmp_path) == []


async def test_half_a_body_is_a_failure_that_may_be_tried_again(tmp_path: Path) -> None:
    with file_server(CONTENT[: len(CONTENT) // 2], announced=len(CONTENT)) as source:
        source.resume.set()
        files = VoiceFiles(emma(source.url, tmp_path))
        assert isinstance(await ended(files), VoiceUnavailable)
    assert names(tmp_path) == []
    with file_server(CONTENT) as source:
        source.resume.set()
        assert await ended(VoiceFiles(emma(source.url, tmp_path))) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf", "cannot be reached"),
        (b"not HTTP at all\r\n\r\n", "cannot be reached"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers with status 404"),
    ],
    ids=["no size", "broken off", "no http", "not found"],
)
async def test_a_broken_answer_is_a_failure(answer: bytes, reason: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=respond, args=(listener, answer))
        thread.start()
        files = VoiceFiles(emma(f"http://127.0.0.1:{listener.getsockname()[1]}/", tmp_path))
        error = await ended(files)
        thread.join(20)
    assert isinstance(error, VoiceUnavailable)
    assert reason in error.message
    assert names(tmp_path) == []


def respond(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)


async def test_without_a_network_the_error_names_the_host(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"  # Nothing listens there.
    error = await ended(VoiceFiles(emma(f"http://{host}/", tmp_path)))
    assert isinstance(error, VoiceUnavailable)
    assert (error.code, error.retryable, error.http_status) == ("voice_unavailable", True, 503)
    assert error.message == f"Voice emma cannot be fetched: {host} cannot be reached."


@pytest.mark.parametrize("folder", ["file", "file/below"])
async def test_a_folder_that_cannot_be_written_is_an_error(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with file_server(CONTENT) as source:
        source.resume.set()
        error = await ended(VoiceFiles(emma(source.url, tmp_path / folder)))
    assert isinstance(error, VoiceUnavailable)
    assert "could not be stored" in error.message
