"""Hibari's further voices behind a server: listed, fetched on first use, and no hindrance to others."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.file_server import file_server
from helpers.servers import Server
from helpers.talk import Talk, talking

pytestmark = pytest.mark.anyio

FURTHER = ["emma", "fenrir", "fable", "kore"]
TEXT = "Hello there."


def package_with_other_files(folder: Path) -> bytes:
    """Put a copy of the hibari package into a folder that names the wheel's own model as every voice's file.

    Return the model.
    """
    spec = find_spec("hibari")
    assert spec is not None
    assert spec.submodule_search_locations
    package, copy = Path(spec.submodule_search_locations[0]), folder / "hibari"
    (copy / "assets").mkdir(parents=True)
    for path in (*package.iterdir(), *(package / "assets").iterdir()):
        target = copy / path.relative_to(package)
        if path.name not in ("assets", "voices.json", "__pycache__"):
            target.symlink_to(path)
    model = (package / "assets" / "hibari.onnx").read_bytes()
    voices = json.loads((package / "assets" / "voices.json").read_text())
    for voice in voices.values():
        voice |= {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
    (copy / "assets" / "voices.json").write_text(json.dumps(voices))
    return model


def unreachable() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


async def voice_of(server: Server, voice_id: str) -> Any:
    async with httpx.AsyncClient() as client:
        voices = (await client.get(f"{server.url}/voices")).json()["voices"]
    return next(voice for voice in voices if voice["id"] == voice_id)


async def test_a_voice_is_listed_fetched_and_spoken(
    tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    model = package_with_other_files(tmp_path / "packages")
    path = os.pathsep.join(filter(None, [str(tmp_path / "packages"), os.environ.get("PYTHONPATH")]))
    with file_server(model) as files:
        server = start_server(
            "--engine=auto",
            f"--voices-url={files.url}",
            f"--voices-dir={tmp_path / 'kept'}",
            "--max-workers=1",
            PYTHONPATH=path,
        )
        async with talking(server.ws_url) as talk:
            assert [voice["id"] for voice in talk.ready["voices"]][-4:] == FURTHER
            emma = await voice_of(server, "emma")
            assert (emma["builtin"], emma["language"]) == (True, "en-GB")
            assert emma["download"] == {
                "state": "absent",
                "received": 0,
                "size": len(model),
                "error": None,
            }
            await talk.send("speak", context="emma", voice="emma", text=TEXT)
            await talk.until("started", context="emma")
            assert (await talk.speak(TEXT, "aria"))["type"] == "done"
            progress = (await voice_of(server, "emma"))["download"]
            assert progress["state"] == "fetching"
            assert 0 < progress["received"] < len(model)
            assert server.get("/queue/stats")[1]["voices"]["emma"] == progress
            files.resume.set()
            assert (await talk.end("emma"))["type"] == "done"
            assert (await voice_of(server, "emma"))["download"]["state"] == "present"
            assert sound(talk, "emma") not in (b"", sound(talk, "aria"))
            assert files.requests == ["/bf_emma.int8.onnx"]
        server.until_logged("voice fetched")


async def test_without_a_network_a_further_voice_fails_and_nothing_else(
    tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    options = (f"--voices-url={unreachable()}", f"--voices-dir={tmp_path / 'kept'}", "--max-workers=1")
    server = start_server("--engine=auto", *options)
    async with talking(server.ws_url) as talk:
        for voice in FURTHER:
            end = await talk.speak(TEXT, voice, voice=voice)
            assert (end["type"], end["code"], end["retryable"]) == ("error", "voice_unavailable", True)
            assert f"Voice {voice} cannot be fetched" in end["message"]
        assert (await talk.speak(TEXT, "aria"))["type"] == "done"
        dialogue = await talk.speak("Hi. [S2] Hello.", "two", voices={"S2": "kore"})
        assert dialogue["code"] == "voice_unavailable"
    assert (await voice_of(server, "kore"))["download"]["state"] == "failed"
    async with httpx.AsyncClient(base_url=server.url) as client:
        body = {"model": "tts-1", "input": TEXT, "response_format": "pcm"}
        spoken = {
            voice: (await client.post("/v1/audio/speech", json={**body, "voice": voice}))
            for voice in ("fable", "kai", "emma")
        }
        assert spoken["fable"].content == spoken["kai"].content != b""
        assert spoken["emma"].status_code == 503
        assert spoken["emma"].json()["error"]["code"] == "voice_unavailable"
        for path in ("/v1/audio/voices", "/v1/voices", "/api/tts/speakers", "/voice_mappings"):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert all(voice in answer.text for voice in FURTHER), path


def sound(talk: Talk, context: str) -> bytes:
    handle = talk.started(context)["handle"]
    return b"".join(frame.data for frame in talk.frames if frame.handle == handle)
