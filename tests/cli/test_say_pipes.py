"""`run.py say` between other programs: text that is still being written, and readers of the audio."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import termios
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from helpers.servers import Server, until

from streaming_server.cli.speech_client import STILL_S

ROOT = Path(__file__).parents[2]
STORY = "This is a very long story that goes on and on. "
PLAYED_BYTES_PER_S = 44_100


def say(*arguments: str, server: Server) -> subprocess.Popen[bytes]:
    """Start `run.py say` between three pipes."""
    return subprocess.Popen(
        [sys.executable, "run.py", "say", *arguments, f"--url={server.url}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )


def seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


def unfinished_bytes(folder: Path) -> int:
    """Return the size of the temporary files in a folder."""
    return sum(part.stat().st_size for part in folder.glob(".say-*.part"))


def unread_bytes(pipe: IO[bytes]) -> int:
    """Return how much a pipe holds that its reader has not read."""
    size = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return int.from_bytes(size, sys.byteorder)


def test_speaks_while_the_text_arrives(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "live.wav"
    with say("-", f"--out={out}", server=server) as process:
        assert process.stdin is not None
        process.stdin.write(b"The first sentence is here. And ")
        process.stdin.flush()
        until(lambda: unfinished_bytes(tmp_path) > 20_000)
        _, told = process.communicate(b"this is the end.", timeout=20)
    assert process.returncode == 0, told
    assert b"first audio after" in told
    assert seconds(out) > 2


def test_stops_at_once_while_it_waits_for_text(server: Server, tmp_path: Path) -> None:
    with say("-", f"--out={tmp_path / 'out.wav'}", server=server) as process:
        assert process.stdin is not None
        process.stdin.write(b"The first sentence is here. And ")
        process.stdin.flush()
        until(lambda: unfinished_bytes(tmp_path) > 20_000)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
    assert list(tmp_path.iterdir()) == []


def test_stops_at_once_while_its_reader_pauses(server: Server) -> None:
    with say(100 * STORY, "--out=-", server=server) as process:
        assert process.stdout is not None
        until(lambda: unread_bytes(process.stdout) > 30_000)  # type: ignore[arg-type]
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 130


@pytest.mark.slow
def test_a_reader_that_plays_stays_connected(start_server: Callable[..., Server]) -> None:
    """Audio that waits for the reader does not hold up the answers to pings."""
    server = start_server("--max-workers=1", "--ping-s=8")
    with say(40 * STORY, "--out=-", server=server) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(44)[:4] == b"RIFF"
        heard, began = 0, time.monotonic()
        while data := process.stdout.read(4096):
            heard += len(data)
            while time.monotonic() < began + min(25, heard / PLAYED_BYTES_PER_S):
                time.sleep(0.01)
        assert process.wait(20) == 0, process.stderr.read()
    assert heard > 80 * PLAYED_BYTES_PER_S


def test_a_text_may_be_longer_than_a_context(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--max-workers=1", "--max-context-characters=300")
    for text, name in ((30 * STORY, "long"), (STORY, "one")):
        with say("-", f"--out={tmp_path / name}.wav", server=server) as process:
            _, told = process.communicate(text.encode(), timeout=20)
        assert process.returncode == 0, told
    assert seconds(tmp_path / "long.wav") == pytest.approx(30 * seconds(tmp_path / "one.wav"), rel=0.15)


def test_a_speaker_goes_on_in_the_next_context(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--max-workers=1", "--max-context-characters=300")
    ends = []
    for text in ("[S1] Hello. [S2] " + 10 * STORY, "[S2] " + STORY, "[S1] " + STORY):
        out = tmp_path / f"{len(ends)}.wav"
        with say(text, "--voices=S1=kai,S2=zara", f"--out={out}", server=server) as process:
            _, told = process.communicate(timeout=20)
        assert process.returncode == 0, told
        ends.append(out.read_bytes()[-2 * PLAYED_BYTES_PER_S :])
    assert ends[0] == ends[1] != ends[2]


def test_a_tag_may_fill_a_context(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--max-workers=1", "--max-context-characters=4")
    with say("[S1] Hello there.", f"--out={tmp_path / 'out.wav'}", server=server) as process:
        _, told = process.communicate(timeout=20)
    assert process.returncode == 2
    assert b"at most 4 characters" in told


@pytest.mark.slow
def test_a_reader_that_stands_still_for_too_long_is_told_so(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--ping-s=4")
    with say(100 * STORY, "--out=-", server=server) as process:
        assert process.stdout is not None
        process.stdout.read(44)
        time.sleep(STILL_S + 2)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 2
    assert told.splitlines()[-1] == b"run.py: The program reading the audio stopped reading for too long."


def test_an_input_that_cannot_be_read_is_reported(server: Server, tmp_path: Path) -> None:
    command = f"{sys.executable} run.py say - --out {tmp_path / 'out.wav'} --url {server.url} <&-"
    answer = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == "run.py: Standard input cannot be read: Bad file descriptor."
    assert list(tmp_path.iterdir()) == []
