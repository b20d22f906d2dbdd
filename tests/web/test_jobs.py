"""Jobs over HTTP tell how far they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import httpx
import pytest
from foreign import LONG
from rest import PATIENCE_S, heard, job_of, say, status_of, to
from servers import Server, until
from websockets.asyncio.client import connect

SENTENCES = 2000
LONG_TEXT = "This is a sentence of its own. " * SENTENCES


@pytest.fixture
def long_winded(start_server: Callable[..., Server]) -> Server:
    return start_server("--max-workers=1", "--max-context-characters=1000000")


def progress(client: httpx.Client, job: str) -> tuple[int, float]:
    told = client.get(f"/jobs/{job}").json()["progress"]
    return told["utterances"], told["audio_s"]


def test_a_long_job_tells_how_far_it_is(long_winded: Server) -> None:
    with to(long_winded) as client:
        job = job_of(client, LONG_TEXT)
        seen = [until(lambda: (now := progress(client, job))[0] > 0 and now)]
        while len(seen) < 4:
            seen.append(until(lambda: (now := progress(client, job)) > seen[-1] and now))
        assert all(before[1] <= after[1] for before, after in pairwise(seen))
        assert seen[0][1] < seen[-1][1]
        assert client.delete(f"/jobs/{job}").status_code == 200
        assert seen[-1] <= progress(client, job) < (SENTENCES, 1e9)


def test_a_job_that_is_done_tells_how_long_it_is(long_winded: Server) -> None:
    with to(long_winded) as client:
        job = job_of(client, "This is a sentence of its own. And this is another one.")
        until(lambda: status_of(client, job) == "completed")
        utterances, audio_s = progress(client, job)
        sound, rate = heard(client.get(f"/jobs/{job}/result"))
    assert utterances == 2
    assert audio_s == pytest.approx(len(sound) / rate, abs=0.01)


@pytest.mark.anyio
async def test_the_status_channel_tells_how_far_every_job_is(long_winded: Server) -> None:
    async with (
        httpx.AsyncClient(base_url=long_winded.url, timeout=PATIENCE_S) as client,
        connect(f"{long_winded.ws_url}/ws/status", proxy=None) as socket,
    ):

        async def jobs_when(wanted: Callable[[list[Any]], bool]) -> list[Any]:
            """The jobs of the first state of which that is so."""
            with anyio.fail_after(PATIENCE_S):
                while True:
                    message = json.loads(await socket.recv())
                    if message["type"] == "status" and wanted(message["jobs"]):
                        return list(message["jobs"])

        assert await jobs_when(lambda jobs: True) == []
        body = {"text": LONG_TEXT * 10, "voice_id": "aria"}
        made = await client.post("/generate?async_mode=true", json=body)
        job = made.json()["job_id"]
        [first] = await jobs_when(lambda jobs: bool(jobs and jobs[0]["utterances"]))
        assert first.keys() == {"id", "utterances", "audio_s"}
        assert first["id"] == job
        [second] = await jobs_when(lambda jobs: bool(jobs and jobs[0]["utterances"] > first["utterances"]))
        assert second["audio_s"] > first["audio_s"] > 0
        await client.delete(f"/jobs/{job}")
        assert await jobs_when(lambda jobs: not jobs) == []


def test_two_at_a_time_are_spoken_and_the_others_wait(long_winded: Server) -> None:
    with to(long_winded) as client:
        jobs = [job_of(client, LONG_TEXT) for _ in range(4)]
        until(lambda: [status_of(client, job) for job in jobs[:2]] == ["processing"] * 2)
        assert [status_of(client, job) for job in jobs[2:]] == ["pending"] * 2
        stats = client.get("/queue/stats").json()
        assert (stats["processing_jobs"], stats["pending_jobs"]) == (2, 2)
        client.delete(f"/jobs/{jobs[0]}")
        until(lambda: status_of(client, jobs[2]) == "processing")
        assert status_of(client, jobs[3]) == "pending"
        for job in jobs[1:]:
            client.delete(f"/jobs/{job}")
        listed = client.get("/jobs?status=cancelled").json()["jobs"]
        assert [job["id"] for job in listed] == jobs[::-1]


def test_a_cancelled_job_can_be_tried_again(long_winded: Server) -> None:
    with to(long_winded) as client:
        job = job_of(client, LONG)
        first, second = (job_of(client, LONG_TEXT) for _ in range(2))
        client.delete(f"/jobs/{second}")
        again = client.post(f"/jobs/{second}/retry")
        assert (again.status_code, again.json()["status"]) == (202, "pending")
        assert again.json()["progress"] == {"utterances": 0, "audio_s": 0.0}
        for one in (first, second):
            client.delete(f"/jobs/{one}")
        until(lambda: status_of(client, job) == "completed")
        assert client.post(f"/jobs/{job}/retry").status_code == 409


def test_a_job_does_not_keep_others_from_speaking(long_winded: Server) -> None:
    with to(long_winded) as client:
        job = job_of(client, LONG_TEXT)
        until(lambda: status_of(client, job) == "processing")
        heard(say(client))
        assert status_of(client, job) == "processing"
        client.delete(f"/jobs/{job}")


def test_a_job_may_be_tried_again_the_moment_it_has_failed(start_server: Callable[..., Server]) -> None:
    """Retries met the tidying up of the run before, and the server ended."""
    server = start_server("--max-workers=1")
    with to(server) as client:
        job = job_of(client, "*")
        for _ in range(300):
            until(lambda: client.get(f"/jobs/{job}").json()["status"] != "processing")
            client.post(f"/jobs/{job}/retry")
        assert client.get("/livez").status_code == 200
