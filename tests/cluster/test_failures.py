"""Servers on a shared store go on when the database, the object store or one of them fails."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import psycopg
import pytest
from helpers.cluster import IN_FORCE_S, Cluster
from helpers.object_store import ObjectStore, running_object_store
from helpers.postgres import Postgres, running_postgres
from helpers.rest import JOB_TEXT, job_of, recording, say, status_of, to, upload
from helpers.servers import Server, free_port, until

pytestmark = pytest.mark.slow

WORDS = {"pronunciations": [{"word": "GIF", "language": "en", "respelling": "jif"}]}

GIVEN_UP_S = 30.0
"""Seconds after which the jobs of a server that was killed are another's."""

REFUSED_WITHIN_S = 5.0
"""Seconds that a request may take to be refused while the store is away."""

DECODED_WITHIN_S = 30.0
"""Seconds that an upload may take, which is decoded before it is refused."""


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL that the test may stop."""
    with running_postgres() as one:
        yield one


@pytest.fixture
def own_object_store(tmp_path: Path) -> Iterator[ObjectStore]:
    with running_object_store(tmp_path / "objects-log") as one:
        yield one


class Listeners:
    """Clients that have speech made without a pause, and count what comes of it."""

    def __init__(self, server: Server, count: int = 2) -> None:
        self._server = server
        self._over = Event()
        self._pool = ThreadPoolExecutor(count)
        self._done = [self._pool.submit(self._listen) for _ in range(count)]

    def _listen(self) -> Counter[int]:
        answers: Counter[int] = Counter()
        with to(self._server) as client:
            while not self._over.is_set():
                answers[say(client, "Speech goes on.").status_code] += 1
        return answers

    def stop(self) -> Counter[int]:
        """Return how many answers there were by status."""
        self._over.set()
        return sum((done.result(30) for done in self._done), Counter())


def refused(answer: httpx.Response, within_s: float = REFUSED_WITHIN_S) -> None:
    """Check that a request was refused for the time being, and soon."""
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "store_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.elapsed.total_seconds() < within_s


@pytest.mark.timeout(180)
def test_postgresql_may_restart_under_load(
    start_server: Callable[..., Server], own_postgres: Postgres, object_store: ObjectStore
) -> None:
    cluster = Cluster.of(start_server, own_postgres, object_store)
    servers = [cluster.start(name) for name in ("a", "b")]
    with to(servers[0]) as a, to(servers[1]) as b:
        # Jobs are slow while somebody listens, so that these are still being spoken during the restart.
        listeners = [Listeners(server) for server in servers]
        running = [job_of(a, "This is a sentence of its own. " * 100) for _ in range(4)]
        until(lambda: status_of(a, running[0]) == "processing", 30)
        own_postgres.stop()
        deadline = time.monotonic() + 6
        with ThreadPoolExecutor(60) as pool:
            while time.monotonic() < deadline:
                asked = [pool.submit(b.get, f"/jobs/{running[0]}") for _ in range(60)]
                refused(a.put("/pronunciations", json=WORDS))
                refused(upload(a, "ann", transcript="Hello."), DECODED_WITHIN_S)
                refused(a.put("/config", json={}))
                refused(a.post("/generate?async_mode=true", json={"text": "Hi.", "voice_id": "aria"}))
                for each in asked:
                    refused(each.result())
                assert a.get("/readyz").status_code == 200
        own_postgres.start()
        until(lambda: a.put("/pronunciations", json=WORDS).status_code == 200, 5)
        until(lambda: b.get("/pronunciations").json()["pronunciations"], IN_FORCE_S + 1)
        assert b.put("/pronunciations", json={"pronunciations": []}).status_code == 200
        until(lambda: not a.get("/pronunciations").json()["pronunciations"], IN_FORCE_S)
        until(lambda: all(status_of(b, job) == "completed" for job in running), 90)
        for each in listeners:
            answers = each.stop()
            assert answers[200] > 3
            assert set(answers) == {200}
    assert all("Traceback" not in server.logged() for server in servers)


def test_an_unreachable_object_store_is_tolerated(
    start_server: Callable[..., Server], postgres: Postgres, own_object_store: ObjectStore
) -> None:
    cluster = Cluster.of(start_server, postgres, own_object_store)
    server = cluster.start("a")
    with to(server) as client:
        assert upload(client, "ann", transcript="Good morning.").status_code == 200
        own_object_store.stop()
        refused(upload(client, "bob", transcript="Good morning."), DECODED_WITHIN_S)
        assert client.get("/audio_prompts/ann/audio").status_code == 200
        assert say(client).status_code == 200
        job = job_of(client, "Hello there.")
        own_object_store.start()
        own_object_store.new_bucket(cluster.objects.split("/")[2])
        assert upload(client, "bob", transcript="Good morning.").status_code == 200
        until(lambda: status_of(client, job) == "completed", 60)
        assert client.get(f"/jobs/{job}/result").status_code == 200


@pytest.mark.timeout(240)
def test_a_hanging_object_store_delays_only_its_users(
    start_server: Callable[..., Server], postgres: Postgres, own_object_store: ObjectStore
) -> None:
    """No server waits for the upload of another one."""
    cluster = Cluster.of(start_server, postgres, own_object_store)
    a, b = (cluster.start(name) for name in ("a", "b"))
    sound = recording(hertz=330)
    with to(a) as first, to(b) as second, ThreadPoolExecutor(1) as pool:
        assert upload(first, "ann", transcript="Good morning.").status_code == 200
        with own_object_store.hanging():
            waiting = pool.submit(upload, first, "bob", sound, transcript="Good morning.")
            until(lambda: _rows(cluster, "SELECT 1 FROM leases WHERE name LIKE 'upload %'"), 30)
            for count in range(5):
                changed = second.put("/pronunciations", json=WORDS)
                assert changed.status_code == 200
                assert changed.elapsed.total_seconds() < REFUSED_WITHIN_S
                assert say(second, f"Speech goes on, {count}.").status_code == 200
                assert not waiting.done()
            refused(waiting.result(60), 60)
        assert upload(first, "bob", sound, transcript="Good morning.").status_code == 200
        until(lambda: second.get("/audio_prompts/bob/audio").status_code == 200, 10)


@pytest.mark.timeout(240)
def test_a_server_that_was_stopped_for_a_while_keeps_no_result_of_a_lost_job(
    start_server: Callable[..., Server], postgres: Postgres, object_store: ObjectStore
) -> None:
    """Both servers have the same name, by mistake: only leases tell whose a job is."""
    cluster = Cluster.of(start_server, postgres, object_store)
    a, b = (cluster.start("same") for _ in range(2))
    with to(a) as first, to(b) as second:
        # Jobs are slow while somebody listens; b is full with its own, so a has these.
        listeners = [Listeners(server, 1) for server in (a, b)]
        jobs = [job_of(first, "This is a sentence of its own. " * 60) for _ in range(4)]
        until(lambda: [status_of(second, job) for job in jobs] == 4 * ["processing"], 30)
        a.process.send_signal(signal.SIGSTOP)
        try:
            until(lambda: len(_rows(cluster, "SELECT id FROM jobs WHERE lost > 0")) == 2, 40)
            lost = _rows(cluster, "SELECT id FROM jobs WHERE lost > 0")
            until(lambda: any(status_of(second, str(job)) != "pending" for job, *_ in lost), 60)
        finally:
            a.process.send_signal(signal.SIGCONT)
        for each in listeners:
            each.stop()
        until(lambda: all(status_of(second, job) == "completed" for job in jobs), 90)
        for job in jobs:
            sounds = {client.get(f"/jobs/{job}/result").content for client in (first, second)}
            assert len(sounds) == 1
    ends = _rows(cluster, "SELECT id, attempt, file FROM jobs")
    assert len({job for job, *_ in ends}) == 4
    for job, attempt, file in ends:
        assert file == (f"{job}.wav" if attempt == 1 else f"{job}-{attempt}.wav")
    assert sum(attempt == 2 for _, attempt, _ in ends) == 2


def test_an_unreachable_database_is_reported(tmp_path: Path) -> None:
    database = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    started = time.monotonic()
    end = subprocess.run(
        [sys.executable, "run.py", "--engine=espeak", f"--data-dir={tmp_path}", f"--database={database}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert end.returncode == 2
    assert "The database of --database cannot be used" in end.stderr
    assert "Connection refused" in end.stderr
    assert time.monotonic() - started < 45


@pytest.mark.timeout(400)
def test_a_thousand_jobs_survive_the_death_of_a_server(
    start_server: Callable[..., Server], postgres: Postgres, object_store: ObjectStore
) -> None:
    """None is lost, and only what the dead server was speaking is spoken again."""
    cluster = Cluster.of(start_server, postgres, object_store)
    a, b = (cluster.start(name) for name in ("a", "b"))
    with to(a) as first, to(b) as second:
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(lambda n: job_of((first, second)[n % 2], f"Job {n}."), range(998)))
        jobs += [job_of(second, JOB_TEXT) for _ in range(2)]

        def completed() -> int:
            return int(second.get("/queue/stats").json()["completed_jobs"])

        until(lambda: completed() > 300, 120)
        a.process.kill()
        a.process.wait()
        killed = time.monotonic()
        held = _rows(cluster, "SELECT id FROM jobs WHERE node = 'a' AND status = 'processing'")
        until(lambda: not _rows(cluster, "SELECT 1 FROM jobs WHERE node = 'a' AND status = 'processing'"), 35)
        assert time.monotonic() - killed < GIVEN_UP_S
        until(lambda: completed() == 1000, 200)
        for job in (*jobs[:3], *jobs[-2:], *(job for (job,) in held)):
            assert second.get(f"/jobs/{job}/result").status_code == 200
    twice = _rows(cluster, "SELECT id FROM jobs WHERE attempt > 1")
    assert {job for (job,) in twice} <= {job for (job,) in held}
    nodes = dict(_rows(cluster, "SELECT node, count(*) FROM jobs GROUP BY node"))
    assert min(nodes["a"], nodes["b"]) > 50


def _rows(cluster: Cluster, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(cluster.database) as connection:
        return connection.execute(statement.encode()).fetchall()
