"""Decoding in child processes, and their failures."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import anyio
import numpy as np
import psutil
import pytest
import soundfile
from helpers.unreapable import unreapable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming_server.errors import (
    BadAudio,
    BadValue,
    Full,
    SpeechError,
    StorageFailure,
    TooLarge,
    Unavailable,
)
from streaming_server.ipc.child import REAP_S
from streaming_server.voice_samples.decoder import SampleDecoder, decode_in_child
from streaming_server.voice_samples.voice_sample import DecodedVoiceSample, VoiceSampleLimits

pytestmark = pytest.mark.anyio


def children() -> list[psutil.Process]:
    module = "streaming_server.voice_samples.decoder_child"
    return [child for child in psutil.Process().children() if module in child.cmdline()]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.005)


def work_of_children_s() -> float:
    """Return the CPU seconds of exited children."""
    used = os.times()
    return used.children_user + used.children_system


def noisy(seconds: float, rate: int, channels: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    time_s = np.arange(int(seconds * rate))[:, None] / rate
    noise = np.random.default_rng(0).normal(0.0, 0.02, (len(time_s), channels))
    return (0.3 * np.sin(2 * np.pi * 220 * time_s) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a WAV file of six seconds."""
    path = tmp_path_factory.mktemp("recordings") / "six.wav"
    soundfile.write(path, noisy(6.0, 44_100, 1), 44_100)
    return path


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """Return a file that blocks the child: a pipe without a writer."""
    path = tmp_path / "stuck"
    os.mkfifo(path)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


async def test_a_recording_becomes_a_voice_sample(recording: Path, target: Path) -> None:
    sample = await decode_in_child(recording, target, filename="six.wav")

    assert sample == DecodedVoiceSample(
        duration_s=6.0,
        original_format="wav",
        original_sample_rate=44_100,
        channels=1,
        peak=sample.peak,
        warnings=(),
        frames=264_600,
        waveform=sample.waveform,
    )
    assert len(sample.waveform) == 400
    with wave.open(str(target)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
        assert file.getnframes() == 264_600
    assert children() == []


@pytest.mark.parametrize(
    ("data", "error", "status"),
    [(b"", BadAudio, 415), (b"<html>", BadAudio, 415), (b"fLaC" + bytes(60), BadAudio, 415)],
)
async def test_refuses_files_that_are_not_recordings(
    data: bytes, error: type[SpeechError], status: int, tmp_path: Path, target: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    with pytest.raises(error) as caught:
        await decode_in_child(source, target, filename="speech.wav")
    assert caught.value.http_status == status
    assert str(tmp_path) not in caught.value.message


async def test_refuses_recordings_outside_the_limits(recording: Path, target: Path) -> None:
    with pytest.raises(BadValue, match=r"at least 7 s"):
        await decode_in_child(recording, target, limits=VoiceSampleLimits(shortest_s=7.0))
    with pytest.raises(TooLarge, match=r"longer than 5 s"):
        await decode_in_child(recording, target, limits=VoiceSampleLimits(longest_s=5.0))


@pytest.mark.parametrize(
    ("filename", "surprising"),
    [
        ("six.mp3", True),
        ("SIX.FLAC", True),
        ("six.wav", False),
        ("SIX.WAV", False),
        ("six", False),
        ("six.bin", False),
        (None, False),
        ("../../etc/passwd\0.webm", True),
    ],
)
async def test_the_content_decides_the_format(
    filename: str | None, surprising: bool, recording: Path, target: Path
) -> None:
    sample = await decode_in_child(recording, target, filename=filename)
    assert sample.original_format == "wav"
    assert any("but is wav" in warning for warning in sample.warnings) is surprising


def content(path: Path) -> bytes:
    return path.read_bytes()


# Bounds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_", "rate"), [("WAV", 48_000), ("FLAC", 48_000), ("MP3", 48_000), ("WAV", 192_000)]
)
async def test_a_minute_takes_less_than_a_second(
    format_: str, rate: int, tmp_path: Path, target: Path
) -> None:
    source = tmp_path / "minute"
    soundfile.write(source, noisy(60.0, rate, 2), rate, format=format_)
    times = []
    for _ in range(3):
        started = work_of_children_s()
        sample = await decode_in_child(source, target)
        times.append(work_of_children_s() - started)
    assert sample.duration_s == 60.0
    assert min(times) < 1.0


def wav_claiming(rate: int = 44_100, channels: int = 1, size: int = 2000) -> bytes:
    """Return a WAV header with given claims and 2000 bytes of audio."""
    align = 2 * channels
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, 16)
    return (
        b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size) + b"\1\2" * 1000
    )


@pytest.fixture(scope="module")
def hour_of_silence(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return an hour of silence, a quarter of a megabyte of FLAC."""
    path = tmp_path_factory.mktemp("bombs") / "hour.flac"
    soundfile.write(path, np.zeros(3600 * 22_050, np.int16), 22_050)
    data = path.read_bytes()
    assert len(data) < 300_000
    return data


@pytest.mark.parametrize(
    "bomb", ["flac", "flac of unknown length", "2^31-1 Hz", "1 Hz", "4 GB", "65535 channels", "0 channels"]
)
async def test_refuses_bombs_within_a_second_and_50_mb(
    bomb: str, hour_of_silence: bytes, tmp_path: Path, target: Path
) -> None:
    source = tmp_path / "bomb"
    source.write_bytes(
        {
            "flac": hour_of_silence,
            "flac of unknown length": hour_of_silence[:21]
            + bytes([hour_of_silence[21] & 0xF0, 0, 0, 0, 0])
            + hour_of_silence[26:],
            "2^31-1 Hz": wav_claiming(rate=2**31 - 1),
            "1 Hz": wav_claiming(rate=1),
            "4 GB": wav_claiming(size=0xFFFFFFFF),
            "65535 channels": wav_claiming(channels=65_535),
            "0 channels": wav_claiming(channels=0),
        }[bomb]
    )
    before = psutil.Process().memory_info().rss
    times = []
    for _ in range(3):
        started = work_of_children_s()
        with pytest.raises((BadValue, TooLarge)):
            await decode_in_child(source, target)
        times.append(work_of_children_s() - started)
    assert min(times) < 1.0
    assert psutil.Process().memory_info().rss - before < 50e6
    assert os.listdir(tmp_path) == ["bomb"]


async def test_survives_a_child_without_enough_memory(recording: Path, target: Path) -> None:
    for mebibytes in (16, 64, 96):
        with pytest.raises(Unavailable, match=r"16-bit WAV"):
            await decode_in_child(recording, target, limits=VoiceSampleLimits(memory_bytes=mebibytes * 2**20))
    assert children() == []


async def test_survives_a_child_that_works_too_long(recording: Path, target: Path) -> None:
    with pytest.raises(Unavailable, match=r"within the limits"):
        await decode_in_child(recording, target, limits=VoiceSampleLimits(cpu_s=0))
    assert children() == []


async def test_a_hanging_child_is_killed_and_the_server_is_reported_busy(stuck: Path, target: Path) -> None:
    with pytest.raises(Full, match=r"Try again"):
        await decode_in_child(stuck, target, limits=VoiceSampleLimits(patience_s=0.5, timeout_s=0.5))
    assert children() == []


async def test_a_second_child_gets_a_share_of_a_busy_processor(
    recording: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside two busy processes on two cores, an idle child would never run."""
    starved = tmp_path / "starved"
    starved.write_text(
        f"#!/bin/sh\n[ -e {tmp_path}/first ] && ps -o class= -p $$ > {tmp_path}/second &&"
        f' exec {sys.executable} "$@"\ntouch {tmp_path}/first; exec sleep 60\n'
    )
    starved.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(starved))
    sample = await decode_in_child(recording, target, limits=VoiceSampleLimits(patience_s=0.5, timeout_s=60))
    assert sample.duration_s == 6.0
    assert (tmp_path / "second").read_text().split() == ["TS"]


async def test_a_child_that_closes_its_output_is_killed(
    recording: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexec sleep 60 >&-\n")
    mute.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mute))
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"could not be decoded"):
        await decode_in_child(recording, target)
    assert time.monotonic() - started < 30
    assert not [child for child in psutil.Process().children() if "60" in child.cmdline()]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
async def test_reports_a_child_that_dies(how: signal.Signals, stuck: Path, target: Path) -> None:
    async with anyio.create_task_group() as group:
        outcome: list[str] = []

        async def take() -> None:
            with pytest.raises(Unavailable) as caught:
                await decode_in_child(stuck, target)
            outcome.append(caught.value.message)

        group.start_soon(take)
        await until(lambda: len(children()) == 1)
        children()[0].send_signal(how)
    assert "could not be decoded" in outcome[0]
    assert children() == []


async def test_reports_a_child_that_cannot_be_started(
    recording: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(recording.parent / "no-python"))
    with pytest.raises(Unavailable, match=r"no process could be started"):
        await decode_in_child(recording, target)


async def test_reports_a_full_disk(recording: Path) -> None:
    with pytest.raises(StorageFailure):
        await decode_in_child(recording, Path("/dev/full"))


async def test_the_child_has_low_priority_from_the_start(stuck: Path, target: Path) -> None:
    """Half of its cost is the start of the interpreter."""
    async with anyio.create_task_group() as group:
        group.start_soon(decode_in_child, stuck, target)
        await until(lambda: bool(children()))
        [child] = children()
        assert child.nice() >= 10
        if sys.platform == "linux":
            assert os.sched_getscheduler(child.pid) == os.SCHED_IDLE
        group.cancel_scope.cancel()


async def test_cancelling_kills_the_child(stuck: Path, target: Path) -> None:
    before = psutil.Process().num_fds()
    async with anyio.create_task_group() as group:
        group.start_soon(decode_in_child, stuck, target)
        await until(lambda: len(children()) == 1)
        group.cancel_scope.cancel()
    assert children() == []
    assert psutil.Process().num_fds() <= before + 1  # The loop's own, for the first child it ever had.


async def test_the_child_does_not_inherit_secrets(
    stuck: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIA_API_KEY", "secret")
    async with anyio.create_task_group() as group:
        group.start_soon(decode_in_child, stuck, target)
        await until(lambda: len(children()) == 1)
        await until(lambda: bool(children()[0].environ()))
        assert "secret" not in children()[0].environ().values()
        group.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's end")
def test_the_child_ends_with_the_server(stuck: Path, target: Path) -> None:
    program = (
        "import anyio, sys; from pathlib import Path;"
        "from streaming_server.voice_samples.decoder import decode_in_child;"
        "anyio.run(decode_in_child, Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(stuck), str(target)]) as server:
        deadline = time.monotonic() + 20
        while not (found := psutil.Process(server.pid).children()):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        server.kill()
        assert psutil.wait_procs(found, timeout=20)[1] == []


# A few at a time


async def test_two_are_decoded_at_a_time(stuck: Path, recording: Path, target: Path, tmp_path: Path) -> None:
    decoder = SampleDecoder()
    scopes = [anyio.CancelScope(), anyio.CancelScope()]
    taken: list[DecodedVoiceSample] = []

    async def wait_without_end(scope: anyio.CancelScope) -> None:
        with scope:
            await decoder.decode(stuck, tmp_path / "other")

    async def take() -> None:
        taken.append(await decoder.decode(recording, target))

    async with anyio.create_task_group() as group:
        for scope in scopes:
            group.start_soon(wait_without_end, scope)
        await until(lambda: len(children()) == 2)
        group.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        assert len(children()) == 2
        scopes[0].cancel()
        await until(lambda: len(taken) == 1)
        scopes[1].cancel()
    assert children() == []


async def test_refuses_more_than_it_can_decode_soon(stuck: Path, recording: Path, target: Path) -> None:
    decoder = SampleDecoder(at_once=1, most_waiting=1, longest_wait_s=0.2)
    refusals: list[str] = []

    async def turned_away() -> None:
        with pytest.raises(Full) as caught:
            await decoder.decode(recording, target)
        refusals.append(caught.value.message)

    async with anyio.create_task_group() as group:
        group.start_soon(decoder.decode, stuck, target)
        await until(lambda: len(children()) == 1)
        group.start_soon(turned_away)
        await anyio.wait_all_tasks_blocked()
        await turned_away()
        assert len(refusals) == 1, "the queue is full: told at once"
        await until(lambda: len(refusals) == 2)
        group.cancel_scope.cancel()
    sample = await decoder.decode(recording, target)
    assert sample.frames == 264_600


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(place=st.integers(0, 200), put=st.binary(min_size=1, max_size=64), cut=st.floats(0, 1))
async def test_every_file_gets_a_result(
    place: int, put: bytes, cut: float, recording: Path, tmp_path: Path, target: Path
) -> None:
    data = content(recording)
    data = data[:place] + put + data[place + len(put) :]
    source = tmp_path / "source"
    source.write_bytes(data[: int(cut * len(data))])
    try:
        sample = await decode_in_child(source, target)
    except (BadAudio, BadValue, TooLarge) as refusal:
        assert refusal.message.endswith(".")  # noqa: PT017
        return
    assert len(content(target)) == 44 + 2 * sample.frames


async def test_a_decoder_that_cannot_be_reaped_does_not_hold_up_the_upload(
    recording: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    with unreapable(monkeypatch):
        sample = await decode_in_child(recording, target)
        assert time.monotonic() - started < REAP_S + 20
    assert sample.frames == 264_600
