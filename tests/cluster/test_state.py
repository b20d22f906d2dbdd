"""Two servers, one PostgreSQL and one object store: what one stores counts on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from helpers.cluster import IN_FORCE_S, Cluster
from helpers.object_store import ObjectStore
from helpers.postgres import Postgres
from helpers.rest import JOB_TEXT, heard, job_of, recording, say, status_of, to, upload
from helpers.servers import Server, running_server, until

pytestmark = pytest.mark.slow

LONG_TEXT = "This is a sentence of its own. " * 20_000


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, object_store: ObjectStore
) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Start servers A and B; return a client of each."""
    with ExitStack() as stack:

        def start(*options: str, **environment: str) -> Server:
            log = tmp_path_factory.mktemp("node") / "log"
            return stack.enter_context(running_server(log, "--log-format=json", *options, **environment))

        one = Cluster.of(start, postgres, object_store)
        options = ("--max-context-characters=1000000", "--debug")
        servers = [one.start(name, *options) for name in ("a", "b")]
        a, b = (stack.enter_context(to(server)) for server in servers)
        yield a, b


Two = tuple[httpx.Client, httpx.Client]


def test_a_voice_with_a_sample_speaks_on_the_other_server(cluster: Two) -> None:
    a, b = cluster
    sound = recording()
    assert upload(a, "ann", sound, transcript="Good morning.").status_code == 200
    voice = {"voice_id": "reader", "style": "warm", "primary_speaker": "S1", "audio_prompt": "ann"}
    made = a.post("/voice_mappings", json=voice)
    assert made.status_code in (200, 201), made.text
    until(lambda: say(b, voice_id="reader").status_code == 200, IN_FORCE_S)
    same = b.get("/audio_prompts/ann/audio")
    assert same.status_code == 200
    assert same.content == a.get("/audio_prompts/ann/audio").content
    listed = next(voice for voice in b.get("/voices").json()["voices"] if voice["id"] == "reader")
    assert listed["has_audio_prompt"]
    assert listed["warnings"] == next(
        voice["warnings"] for voice in a.get("/voices").json()["voices"] if voice["id"] == "reader"
    )
    assert a.delete("/voice_mappings/reader").status_code == 200
    until(lambda: say(b, voice_id="reader").status_code == 404, IN_FORCE_S)


def test_pronunciations_apply_on_the_other_server(cluster: Two) -> None:
    a, b = cluster
    before = say(b, "GIF.").content
    words = {"pronunciations": [{"word": "GIF", "language": "en", "respelling": "jif jif jif"}]}
    assert a.put("/pronunciations", json=words).status_code == 200
    until(lambda: b.get("/pronunciations").json()["pronunciations"], IN_FORCE_S)
    assert len(say(b, "GIF.").content) > len(before)
    assert b.put("/pronunciations", json={"pronunciations": []}).status_code == 200
    until(lambda: not a.get("/pronunciations").json()["pronunciations"], IN_FORCE_S)


def test_the_configuration_applies_on_the_other_server(cluster: Two) -> None:
    a, b = cluster
    config = {"debug_mode": True, "output_retention_hours": 48}
    assert a.put("/config", json=config).status_code == 200
    until(lambda: b.get("/config").json()["output_retention_hours"] == 48, IN_FORCE_S)
    assert b.get("/config").json()["sources"]["output_retention_hours"] == "put"
    assert b.put("/config", json={"debug_mode": True}).status_code == 200
    until(lambda: a.get("/config").json()["output_retention_hours"] == 24, IN_FORCE_S)


def test_every_server_serves_the_result_of_a_job(cluster: Two) -> None:
    a, b = cluster
    jobs = [job_of(client, "Hello there.") for client in (a, b) for _ in range(3)]
    for job in jobs:
        until(lambda job=job: status_of(b, job) == "completed", 60)
        sound, rate = heard(a.get(f"/jobs/{job}/result"))
        assert len(sound) > rate / 4
        assert a.get(f"/jobs/{job}/result").content == b.get(f"/jobs/{job}/result").content
    assert a.delete("/jobs").json()["removed"] >= 6
    assert b.get(f"/jobs/{jobs[0]}/result").status_code == 404


def test_a_job_is_cancelled_on_another_server_than_speaks_it(cluster: Two) -> None:
    a, b = cluster
    jobs = [job_of(a, LONG_TEXT) for _ in range(4)]
    speaking = ("processing", "processing", "processing", "processing")
    until(lambda: tuple(status_of(a, job) for job in jobs) == speaking, 30)
    for job in jobs:
        assert b.delete(f"/jobs/{job}").status_code == 200
    # Both servers have room for other jobs at once, long before a lease expires.
    others = [job_of(a, "Hello there.") for _ in range(4)]
    until(lambda: all(status_of(b, job) == "completed" for job in others), 10)


def test_the_journal_is_shared_and_copies_are_not(cluster: Two) -> None:
    a, b = cluster
    assert say(a, "Said on the first server.").status_code == 200
    entry = until(
        lambda: next((e for e in b.get("/logs").json()["logs"] if e["text"].startswith("Said on")), None)
    )
    assert entry["file_path"] is None
    assert b.get(f"/logs/{entry['id']}/download").status_code == 404
    assert a.get(f"/logs/{entry['id']}/download").status_code == 200


def test_a_server_that_stops_leaves_its_jobs_to_the_other(
    start_server: Callable[..., Server], postgres: Postgres, object_store: ObjectStore
) -> None:
    cluster = Cluster.of(start_server, postgres, object_store)
    first = cluster.start("first")
    with to(first) as client:
        jobs = [job_of(client, JOB_TEXT) for _ in range(3)]
        until(lambda: status_of(client, jobs[0]) == "processing", 30)
        second = cluster.start("second")
        first.process.terminate()
        first.process.wait(20)
    with to(second) as client:
        until(lambda: all(status_of(client, job) == "completed" for job in jobs), 40)


@pytest.mark.timeout(180)
def test_a_cloned_voice_sounds_the_same_on_the_other_server(
    start_server: Callable[..., Server], postgres: Postgres, object_store: ObjectStore
) -> None:
    """The engine of the other server is given the recording, not only its name."""
    cluster = Cluster.of(start_server, postgres, object_store)
    pytest.importorskip("torch")
    dia = ("--engine=dia", "--model=random:tiny", "--codec=random:tiny", "--slots=2")
    servers = [cluster.start(name, *dia) for name in ("a", "b")]
    with to(servers[0]) as a, to(servers[1]) as b:

        def spoken(client: httpx.Client, voice_id: str) -> bytes:
            answer = say(client, "Hello there.", voice_id=voice_id, seed=7, max_tokens=900)
            assert answer.status_code == 200, answer.text
            return answer.content

        plain = spoken(b, "aria")
        assert upload(a, "ann", transcript="Good morning.").status_code == 200
        voice = {"voice_id": "reader", "style": "neutral", "primary_speaker": "S1", "audio_prompt": "ann"}
        assert a.post("/voice_mappings", json=voice).status_code == 200
        until(lambda: say(b, voice_id="reader", max_tokens=100).status_code == 200, IN_FORCE_S)
        sound = spoken(b, "reader")
        assert sound == spoken(a, "reader")
        assert sound != plain
