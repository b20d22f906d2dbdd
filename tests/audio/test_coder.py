"""Encoding does not hold up other listeners."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from statistics import median
from threading import Event, Lock, Thread
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from helpers.foreign import LONG
from helpers.rest import PATIENCE_S, job_of, status_of, to
from helpers.servers import Server, until
from helpers.talk import talking

import streaming_server.audio.coder
from streaming_server.audio.body import open_body
from streaming_server.audio.coder import Coder
from streaming_server.audio.formats import AudioFormat

pytestmark = pytest.mark.anyio

NOTICEABLE_S = 0.02
"""What a listener may wait beyond the tenth that is promised, on a machine that others use: half of what a
piece of coding on the event loop made it. The bench measures the tenth."""
ROUNDS = 5


class StandInBody:
    """A body that runs `code` for every piece and notes when it is freed."""

    def __init__(self, code: Callable[[], bytes], freed: Event | None = None) -> None:
        self._code = code
        self._freed = freed or Event()

    def push(self, pcm: bytes) -> bytes:
        return self._code()

    def finish(self) -> bytes:
        return self._code()

    def final_head(self) -> bytes:
        return b""

    def close(self) -> None:
        self._freed.set()


def begun(client: httpx.Client, job: str) -> bool:
    return status_of(client, job) == "processing"


async def first_audio_s(server: Server, turns: int = 10) -> list[float]:
    waits = []
    async with talking(server.ws_url) as talk:
        for turn in range(turns):
            name, started = f"turn {turn}", time.perf_counter()
            await talk.send("speak", context=name, text="Hello there, how are you today?")
            await talk.first_frame()
            waits.append(time.perf_counter() - started)
            await talk.end(name)
    return waits


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mp3", "opus", "wav"])
async def test_listeners_do_not_notice_jobs(start_server: Callable[..., Server], form: str) -> None:
    """On the event loop, encoding two jobs as mp3 delayed the first audio from 5 to 54 ms or more."""
    server = start_server("--max-workers=2", "--max-context-characters=10000000")
    alone, beside = [], []
    with to(server) as client:
        for _ in range(ROUNDS):
            alone.append(median(await first_audio_s(server)))
            jobs = [job_of(client, LONG * 200, response_format=form) for _ in range(2)]
            for job in jobs:
                until(partial(begun, client, job))
            beside.append(median(await first_audio_s(server)))
            assert [status_of(client, job) for job in jobs] == ["processing"] * 2
            for job in jobs:
                client.delete(f"/jobs/{job}")
    assert min(beside) < 1.1 * min(alone) + NOTICEABLE_S


@pytest.mark.slow
async def test_mp3_requests_do_not_block_others(start_server: Callable[..., Server]) -> None:
    """On the event loop, each piece of three seconds blocked all clients for 20 ms."""
    server = start_server("--max-workers=2")

    def waits_s() -> float:
        waits = []
        with to(server) as client:
            for _ in range(60):
                started = time.perf_counter()
                assert client.get("/livez").status_code == 200
                waits.append(time.perf_counter() - started)
        return median(waits)

    enough = Event()

    def listen() -> None:
        body = {"text": LONG[:4000], "voice_id": "aria", "response_format": "mp3"}
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
            while not enough.is_set():
                assert client.post("/generate", json=body).status_code == 200

    alone = min(waits_s() for _ in range(ROUNDS))
    listeners = [Thread(target=listen) for _ in range(2)]
    for listener in listeners:
        listener.start()
    try:
        with to(server) as client:
            until(lambda: client.get("/queue/stats").json()["contexts"] == 2)
        beside = min(waits_s() for _ in range(ROUNDS))
    finally:
        enough.set()
        for listener in listeners:
            listener.join()
    assert beside < alone + NOTICEABLE_S


def test_a_job_alone_is_not_slowed_down(start_server: Callable[..., Server]) -> None:
    """Ten minutes of speech, which take over a minute beside a listener."""
    with to(start_server("--max-workers=1")) as client:
        job = job_of(client, LONG * 4)
        until(lambda: status_of(client, job) == "completed", 50)
        assert client.get(f"/jobs/{job}").json()["progress"]["audio_s"] > 500


@pytest.mark.slow
async def test_a_job_continues_beside_a_listener(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--max-context-characters=10000000")
    async with talking(server.ws_url) as talk, httpx.AsyncClient(base_url=server.url) as client:

        async def told() -> dict[str, Any]:
            return dict((await client.get(f"/jobs/{job}")).json())

        async def audio_s() -> float:
            return float((await told())["progress"]["audio_s"])

        await talk.send("speak", text=LONG)
        await talk.first_frame()
        body = {"text": LONG * 100, "voice_id": "aria"}
        job = (await client.post("/generate?async_mode=true", json=body)).json()["job_id"]
        with anyio.fail_after(PATIENCE_S):
            while not (before := await audio_s()):
                await anyio.sleep(0.01)
        since = time.monotonic()
        while (passed := time.monotonic() - since) < 2:
            await anyio.sleep(0.1)
        made = await audio_s() - before
        assert (await told())["status"] == "processing"
        assert 0 < made < 12 * passed + 6  # A piece of up to three seconds at either end.
        await client.delete(f"/jobs/{job}")


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac"])
async def test_the_event_loop_runs_while_encoding(form: AudioFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    served = Event()

    def code() -> bytes:
        assert served.wait(20)
        return b"coded"

    monkeypatch.setattr(streaming_server.audio.coder, "open_body", lambda *_: StandInBody(code))
    with closing(Coder(form, 24000, anyio.CapacityLimiter(1))) as coder:
        for work in (partial(coder.push, b"sound"), coder.finish):
            served.clear()
            async with anyio.create_task_group() as group:
                group.start_soon(work)
                await anyio.wait_all_tasks_blocked()
                served.set()


async def test_a_cancelled_encoder_is_freed_when_its_thread_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FFmpeg is not thread-safe, and asyncio cancels a task without waiting for its thread."""
    coding, go_on, freed = Event(), Event(), Event()

    def code() -> bytes:
        coding.set()
        assert go_on.wait(20)
        assert not freed.is_set()
        return b"coded"

    body = StandInBody(code, freed)
    monkeypatch.setattr(streaming_server.audio.coder, "open_body", lambda *_: body)

    async def listen() -> None:
        with closing(Coder("mp3", 24000, anyio.CapacityLimiter(1))) as coder:
            await coder.push(b"sound")

    task = asyncio.get_running_loop().create_task(listen())
    await anyio.to_thread.run_sync(coding.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not freed.is_set()
    go_on.set()
    assert await anyio.to_thread.run_sync(freed.wait, 20)


async def test_an_encoder_closed_as_its_thread_ends_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    freed = Event()

    class Working:
        """The coder's lock; the coder is closed just before it is released."""

        def __init__(self) -> None:
            self._lock = Lock()
            self.acquire = self._lock.acquire
            self.release = self._lock.release

        def __enter__(self) -> None:
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            coder.close()
            self._lock.release()

    monkeypatch.setattr(streaming_server.audio.coder, "Lock", Working)
    body = StandInBody(bytes, freed)
    monkeypatch.setattr(streaming_server.audio.coder, "open_body", lambda *_: body)
    coder = Coder("mp3", 24000, anyio.CapacityLimiter(1))
    await coder.push(b"sound")
    assert freed.is_set()


@pytest.mark.parametrize("form", ["wav", "pcm", "mp3", "opus", "aac", "flac"])
async def test_gives_the_bytes_of_the_body(form: AudioFormat) -> None:
    pieces = [bytes([number, number]) * 3000 for number in range(20)]
    body = open_body(form, 24000)
    expected = b"".join(body.push(piece) for piece in pieces) + body.finish()
    head = body.final_head()
    with closing(Coder(form, 24000, anyio.CapacityLimiter(1))) as coded:
        found = b"".join([await coded.push(piece) for piece in pieces]) + await coded.finish()
        assert coded.final_head() == head
    assert found == expected
