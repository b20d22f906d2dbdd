"""Uploads of voice samples: duration, memory, errors and atomic replacement."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable, Iterator
from statistics import median

import httpx
import numpy as np
import psutil
import pytest
import soundfile
from helpers.rest import heard, metadata_of, recording, say, to, upload, wav
from helpers.servers import Server, running_server

MEGABYTE = 1e6


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server without automatic transcription."""
    with running_server(tmp_path_factory.mktemp("deaf") / "log", "--max-workers=1") as server:
        with to(server) as client:
            client.put("/config", json=client.get("/config").json() | {"auto_transcribe": False})
            upload(client, "first", recording(1.0))  # What is imported once is imported now.
        yield server


@pytest.fixture
def client(deaf: Server) -> Iterator[httpx.Client]:
    with to(deaf) as one:
        yield one


def worked_s(server: Server) -> float:
    """Return the CPU seconds of the server and of its finished children."""
    used = psutil.Process(server.process.pid).cpu_times()
    return float(used.user + used.system + used.children_user + used.children_system)


def timed(server: Server, act: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
    """Measure an upload on an idle machine, as decoding has the lowest priority."""
    started = worked_s(server)
    answer = act()
    return worked_s(server) - started, answer


@pytest.mark.parametrize(
    ("form", "rate"), [("WAV", 48_000), ("FLAC", 44_100), pytest.param("MP3", 44_100, marks=pytest.mark.slow)]
)
def test_a_minute_is_stored_within_a_second(
    client: httpx.Client, deaf: Server, form: str, rate: int, record_property: Callable[[str, object], None]
) -> None:
    times = np.arange(60 * rate) / rate
    noise = np.random.default_rng(0).normal(0, 0.02, (len(times), 2))
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * 220 * times)[:, None] + noise, rate, format=form)
    data = file.getvalue()
    taken = []
    for _ in range(3):
        seconds, answer = timed(deaf, lambda: upload(client, "minute", data, f"minute.{form.lower()}"))
        assert answer.status_code == 200, answer.text
        taken.append(seconds)
    record_property("median_s", round(median(taken), 3))
    assert min(taken) < 1.0
    assert metadata_of(client, "minute")["duration"] == pytest.approx(60.0, abs=0.1)
    assert "5 to 10" in " ".join(answer.json()["warnings"])


def claiming(rate: int = 44_100, size: int = 2000) -> bytes:
    """Return a short WAV file whose header claims other properties."""
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2 & 0xFFFFFFFF, 2, 16)
    head = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size)
    return head + b"\1\2" * 1000


def hour_of_silence() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(3600 * 22_050, np.int16), 22_050, format="FLAC")
    assert len(file.getvalue()) < 300_000
    return file.getvalue()


def memory(server: Server) -> int:
    """Return the memory of the server and its children in bytes, shared pages counted once."""
    total = 0
    for process in (psutil.Process(server.process.pid), *server.children()):
        try:
            total += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total


@pytest.mark.parametrize(
    "bomb", [pytest.param("an hour in little", marks=pytest.mark.slow), "2^31-1 Hz", "4 GB"]
)
def test_a_decompression_bomb_is_rejected_within_a_second_and_50_mb(
    client: httpx.Client, deaf: Server, bomb: str
) -> None:
    data = {
        "an hour in little": hour_of_silence,
        "2^31-1 Hz": lambda: claiming(rate=2**31 - 1),
        "4 GB": lambda: claiming(size=0xFFFFFFFF),
    }[bomb]()
    server = psutil.Process(deaf.process.pid)
    before, everything_before = server.memory_info().rss, memory(deaf)
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            most[0] = max(most[0], memory(deaf))

    watching = threading.Thread(target=watch)
    watching.start()
    taken = []
    try:
        for _ in range(3):
            seconds, answer = timed(deaf, lambda: upload(client, "bomb", data))
            assert answer.status_code in (413, 422), answer.text
            taken.append(seconds)
    finally:
        done.set()
        watching.join()
    assert min(taken) < 1.0
    assert server.memory_info().rss - before < 50 * MEGABYTE
    # The decoder is a separate Python process.
    assert most[0] - everything_before < 120 * MEGABYTE
    assert "bomb" not in client.get("/audio_prompts").json()


def test_accepts_a_file_streamed_by_this_server(client: httpx.Client) -> None:
    """Its header does not hold its length."""
    spoken = say(client, "This was said by one voice, and another is to be made of it. It is long enough.")
    sent = upload(client, "streamed", spoken.content)
    assert sent.status_code == 200, sent.text
    sound, rate = heard(spoken)
    assert sent.json()["duration"] == pytest.approx(len(sound) / rate, abs=0.01)


def test_a_rejection_gives_advice_and_stores_nothing(client: httpx.Client) -> None:
    flat = wav(np.zeros(44_100 * 6), 44_100)
    answer = upload(client, "flat", flat)
    assert answer.status_code == 422
    assert len(answer.json()["detail"].split()) > 4
    assert client.get("/audio_prompts/metadata/flat").status_code == 404


def test_the_stored_sample_is_mono_at_44_1_khz_and_normalised(client: httpx.Client) -> None:
    times = np.arange(8000 * 6) / 8000
    stereo = np.stack([0.02 * np.sin(2 * np.pi * 220 * times)] * 2, axis=1)
    told = upload(client, "quiet", wav(stereo, 8000)).json()
    assert (told["original_sample_rate"], told["sample_rate"], told["channels"]) == (8000, 44_100, 2)
    data = client.get("/audio_prompts/quiet/audio")
    with soundfile.SoundFile(io.BytesIO(data.content)) as file:
        assert (file.channels, file.samplerate, file.subtype) == (1, 44_100, "PCM_16")
        assert np.abs(file.read()).max() == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
def test_a_replacement_is_atomic(client: httpx.Client) -> None:
    """Concurrent readers get either the old recording or the new one."""
    both = [recording(1.0, hertz=220), recording(1.0, hertz=330)]
    upload(client, "swapped", both[0])
    stored = {client.get("/audio_prompts/swapped/audio").content}
    upload(client, "swapped", both[1])
    stored.add(client.get("/audio_prompts/swapped/audio").content)
    assert len(stored) == 2
    done = threading.Event()
    seen: set[tuple[int, bool]] = set()

    def look() -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as mine:
            while not done.wait(0.002):
                answer = mine.get("/audio_prompts/swapped/audio")
                seen.add((answer.status_code, answer.content in stored))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(10):
            assert upload(client, "swapped", both[number % 2]).status_code == 200
    finally:
        done.set()
        looking.join()
    assert seen == {(200, True)}
