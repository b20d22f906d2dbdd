"""The code that the page offers, run as it stands against a server."""

from __future__ import annotations

import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from helpers.servers import Server
from helpers.snippets import NODE, SETTINGS, snippet

TEXT = "It's 5 o'clock, \"Grüße\" 🎉 & more.\nA second line."
KEY = "YOUR_KEY"  # as in the code


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def samples_of(server: Server, key: str = "") -> int:
    """Return the length of the same request's audio, asked for without the page's code."""
    body = {
        "text": TEXT,
        "voice_id": SETTINGS["voice"],
        "speed": SETTINGS["speed"],
        "seed": 7,
        "language": "en",
    }
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.post(
        f"{server.url}/generate", json={**body, "response_format": "pcm"}, headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return len(answer.content) // 2


def test_curl_writes_an_mp3(server: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    run(["sh", "-ec", snippet("curl", server.url, TEXT)], tmp_path)
    begin = (tmp_path / "speech.mp3").read_bytes()[:3]
    assert begin == b"ID3" or begin[0] == 0xFF


def test_python_writes_the_request_as_wav(server: Server, tmp_path: Path) -> None:
    run([sys.executable, "-c", snippet("python", server.url, TEXT)], tmp_path)
    with wave.open(str(tmp_path / "speech.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getnframes() == samples_of(server)


def test_javascript_receives_the_request(server: Server, tmp_path: Path) -> None:
    code = snippet("javascript", server.url, TEXT)
    assert NODE is not None
    lines = run([NODE, "--no-warnings", "--experimental-websocket", "--eval", code], tmp_path).splitlines()
    rate, *parts = [int(line.split()[0]) for line in lines]
    assert rate > 8000
    assert sum(parts) == samples_of(server)


@pytest.mark.parametrize("kind", ["curl", "python", "javascript"])
def test_the_key_belongs_where_the_placeholder_is(
    kind: str, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    locked = start_server("--max-workers=1", DIA_API_KEYS="the-key")
    code = snippet(kind, locked.url, "Locked.", locked=True)
    assert code.count(KEY) == 1
    code = code.replace(KEY, "the-key")
    if kind == "curl":
        run(["sh", "-ec", code], tmp_path)
        assert (tmp_path / "speech.mp3").read_bytes()[:1] != b"{"
    elif kind == "python":
        run([sys.executable, "-c", code], tmp_path)
        assert (tmp_path / "speech.wav").stat().st_size > 1000
    else:
        assert NODE is not None
        said = run([NODE, "--no-warnings", "--experimental-websocket", "--eval", code], tmp_path)
        assert "samples" in said
