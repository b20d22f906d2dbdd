"""The routes of jobs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from helpers.disks import full_disk
from helpers.foreign import LONG
from helpers.rest import PATIENCE_S, heard, job_of, say, status_of, to
from helpers.servers import Server, running_server, until
from websockets.asyncio.client import connect

SENTENCES = 20_000
LONG_TEXT = "This is a sentence of its own. " * SENTENCES


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("long-winded") / "log"
    with running_server(log, "--max-workers=1", "--max-context-characters=1000000") as server:
        yield server


@pytest.fixture
def long_winded(shared: Server) -> Iterator[Server]:
    """A server that takes long texts; without jobs, before and after."""
    yield shared
    with to(shared) as client:
        for job in client.get("/jobs?limit=500").json()["jobs"]:
            client.delete(f"/jobs/{job['id']}")
        until(lambda: client.get("/queue/stats").json()["contexts"] == 0)
        assert client.delete("/jobs").status_code == 200


def progress(client: httpx.Client, job: str) -> tuple[int, float]:
    told = client.get(f"/jobs/{job}").json()["progress"]
    return told["utterances"], told["audio_s"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"language": "tlh"}, "language: the running engine does not speak it."),
        ({"voices": {"S2": "nobody"}}, "voices.S2: must be the id of a voice"),
        ({"voice_id": "nobody"}, "voice: must be the id of a voice"),
    ],
)
def test_a_job_that_could_not_be_spoken_is_refused(
    long_winded: Server, fields: dict[str, Any], message: str
) -> None:
    with to(long_winded) as client:
        body = {"text": "Hello.", "voice_id": "aria", **fields}
        refused = client.post("/generate?async_mode=true", json=body)
        assert refused.status_code in (404, 422)
        assert refused.json()["detail"].startswith(message)
        assert client.get("/jobs").json()["jobs"] == []


def test_a_running_job_reports_progress(long_winded: Server) -> None:
    with to(long_winded) as client:
        job = job_of(client, LONG_TEXT)
        seen = [until(lambda: (now := progress(client, job))[0] > 0 and now)]
        while len(seen) < 4:
            seen.append(until(lambda: (now := progress(client, job)) > seen[-1] and now))
        assert all(before[1] <= after[1] for before, after in pairwise(seen))
        assert seen[0][1] < seen[-1][1]
        assert client.delete(f"/jobs/{job}").status_code == 200
        assert seen[-1] <= progress(client, job) < (SENTENCES, 1e9)


def test_a_completed_job_reports_its_duration(long_winded: Server) -> None:
    with to(long_winded) as client:
        job = job_of(client, "This is a sentence of its own. And this is another one.")
        until(lambda: status_of(client, job) == "completed")
        utterances, audio_s = progress(client, job)
        sound, rate = heard(client.get(f"/jobs/{job}/result"))
    assert utterances == 2
    assert audio_s == pytest.approx(len(sound) / rate, abs=0.01)


@pytest.mark.anyio
async def test_the_status_channel_reports_the_progress_of_all_jobs(long_winded: Server) -> None:
    async with (
        httpx.AsyncClient(base_url=long_winded.url, timeout=PATIENCE_S) as client,
        connect(f"{long_winded.ws_url}/ws/status", proxy=None) as socket,
    ):

        async def jobs_when(wanted: Callable[[list[Any]], bool]) -> list[Any]:
            """Return the jobs of the first state that meets the condition."""
            with anyio.fail_after(PATIENCE_S):
                while True:
                    message = json.loads(await socket.recv())
                    if message["type"] == "status" and wanted(message["jobs"]):
                        return list(message["jobs"])

        assert await jobs_when(lambda jobs: True) == []
        body = {"text": LONG_TEXT, "voice_id": "aria"}
        made = await client.post("/generate?async_mode=true", json=body)
        job = made.json()["job_id"]
        [first] = await jobs_when(lambda jobs: bool(jobs and jobs[0]["utterances"]))
        assert first.keys() == {"id", "utterances", "audio_s"}
        assert first["id"] == job
        [second] = await jobs_when(lambda jobs: bool(jobs and jobs[0]["utterances"] > first["utterances"]))
        assert second["audio_s"] > first["audio_s"] > 0
        await client.delete(f"/jobs/{job}")
        assert await jobs_when(lambda jobs: not jobs) == []


def test_two_jobs_run_at_a_time(long_winded: Server) -> None:
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


def test_a_job_can_be_cancelled_in_any_state(long_winded: Server) -> None:
    with to(long_winded) as client:
        running = [job_of(client, LONG_TEXT) for _ in range(2)]
        waiting = job_of(client, LONG_TEXT)
        until(lambda: status_of(client, running[0]) == "processing")
        assert client.get(f"/jobs/{running[0]}/result").status_code == 425
        for job in (waiting, *running):
            assert client.delete(f"/jobs/{job}").status_code == 200
            assert status_of(client, job) == "cancelled"
        until(lambda: client.get("/queue/stats").json()["contexts"] == 0)
        assert client.delete(f"/jobs/{waiting}").status_code == 409
        assert client.get("/jobs?status=nonsense").status_code == 422
        assert client.get("/jobs/unknown").status_code == 404


def test_a_cancelled_job_can_be_retried(long_winded: Server) -> None:
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


def test_a_job_does_not_block_other_requests(long_winded: Server) -> None:
    with to(long_winded) as client:
        job = job_of(client, LONG_TEXT)
        until(lambda: status_of(client, job) == "processing")
        heard(say(client))
        assert status_of(client, job) == "processing"
        client.delete(f"/jobs/{job}")


def test_a_job_can_be_retried_as_soon_as_it_has_failed(start_server: Callable[..., Server]) -> None:
    """A retry used to collide with the cleanup of the previous run and end the server."""
    server = start_server("--max-workers=1")
    with to(server) as client:
        job = job_of(client, "*")
        for _ in range(100):
            until(lambda: client.get(f"/jobs/{job}").json()["status"] != "processing")
            client.post(f"/jobs/{job}/retry")
        assert client.get("/livez").status_code == 200


def test_a_job_without_a_result_reports_the_reason(long_winded: Server) -> None:
    """A failed job is a 500 that is not retryable, as on the earlier server."""

    def result(job: str) -> tuple[int, str]:
        answer = client.get(f"/jobs/{job}/result")
        told = answer.json()
        assert told["detail"] == told["error"]["message"]
        assert "retry-after" not in answer.headers
        return answer.status_code, told["error"]["code"]

    with to(long_winded) as client:
        running, cancelled = job_of(client, LONG_TEXT), job_of(client, LONG_TEXT)
        until(lambda: status_of(client, running) == "processing")
        assert result(running) == (425, "not_ready")
        client.delete(f"/jobs/{cancelled}")
        assert result(cancelled) == (409, "cancelled")
        client.delete(f"/jobs/{running}")
        failed = job_of(client, "*")
        until(lambda: status_of(client, failed) == "failed")
        assert result(failed) == (422, "bad_value")
        assert result("nothing") == (404, "unknown_job")


@pytest.mark.slow
def test_a_failure_is_stored_once_the_disk_has_room(long_winded: Server) -> None:
    """A full disk used to prevent storing the failure too, so the job ran again forever."""
    with to(long_winded) as client:
        job = job_of(client, LONG_TEXT)
        until(lambda: progress(client, job)[1] > 0)
        with full_disk(long_winded):
            until(lambda: client.get("/queue/stats").json()["contexts"] == 0)
            say(client)  # By the end of which it was to be noted, in vain.
            assert status_of(client, job) == "processing"
        until(lambda: status_of(client, job) == "failed")
        assert client.get(f"/jobs/{job}").json()["error"]["code"] == "storage_failure"
        after = job_of(client, "Hello there.")
        until(lambda: status_of(client, after) == "completed")


def test_an_interrupted_job_has_no_result(start_server: Callable[..., Server], tmp_path: Path) -> None:
    options = ("--max-workers=1", f"--data-dir={tmp_path / 'kept'}", "--max-context-characters=1000000")
    first = start_server(*options)
    with to(first) as client:
        job = job_of(client, LONG_TEXT)
        until(lambda: status_of(client, job) == "processing")
    first.process.kill()
    first.process.wait()
    with to(start_server(*options)) as client:
        until(lambda: status_of(client, job) == "interrupted")
        answer = client.get(f"/jobs/{job}/result")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "interrupted")
    assert "retry" in answer.json()["detail"]


def test_a_job_with_an_outdated_request_fails_alone(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Another version of the server may have stored it. It used to end the server, again at every retry."""
    options = ("--max-workers=1", f"--data-dir={tmp_path / 'kept'}")
    first = start_server(*options)
    with to(first) as client:
        job = job_of(client, "Hello there.")
        until(lambda: status_of(client, job) == "completed")
    first.process.terminate()
    first.process.wait(20)
    [file] = (tmp_path / "kept").glob("*.sqlite3")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE jobs SET status = 'pending', request = ?", (b'{"words": "Hello there."}',))
    with to(start_server(*options)) as client:
        until(lambda: status_of(client, job) == "failed")
        assert client.get(f"/jobs/{job}").json()["error"]["code"] == "bad_value"
        assert client.post(f"/jobs/{job}/retry").status_code == 202
        until(lambda: status_of(client, job) == "failed")
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "said",
    ["0", "501", "-1", "", "two", "1.5", "00000000199999999999999", "9" * 5000, "\N{ARABIC-INDIC DIGIT TWO}"],
)
def test_rejects_a_limit_out_of_range(server: Server, said: str) -> None:
    """Leading zeros used to let any number pass, which then overflowed in the database."""
    with to(server) as client:
        answer = client.get("/jobs", params={"limit": said})
        detail = "limit: must be a whole number from 1 to 500."
        assert (answer.status_code, answer.json()["detail"]) == (422, detail)


def test_lists_the_jobs_of_a_known_status_only(server: Server) -> None:
    with to(server) as client:
        assert client.get("/jobs?status=").json() == client.get("/jobs").json()
        assert client.get("/jobs?status=interrupted").json() == {"jobs": []}
        answer = client.get("/jobs?status=done")
        known = "pending, processing, completed, failed, cancelled, interrupted"
        assert answer.json()["detail"] == f"status: must be one of {known} or empty."


@pytest.mark.parametrize("said", ["1", "0050", "500"])
def test_accepts_a_limit_in_range(server: Server, said: str) -> None:
    with to(server) as client:
        assert client.get("/jobs", params={"limit": said}).status_code == 200
