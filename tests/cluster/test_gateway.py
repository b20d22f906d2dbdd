"""Two servers behind the gateway."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from helpers.doors import EVERY_PROTOCOL, TEXT, VoiceDoor
from helpers.foreign import contexts
from helpers.gateway import Gateway, running_gateway, started_gateway
from helpers.name_server import name_server
from helpers.servers import Server, running_server, until
from helpers.stalled import stalled_client
from helpers.streams import Speech, ends_of, listen_to, open_sockets, probing
from helpers.talk import talking

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two servers, a and b, and their gateway."""

    a: Server
    b: Server
    gateway: Gateway


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a cluster that the tests of this module share."""
    folder = tmp_path_factory.mktemp("cluster")
    with (
        running_server(folder / "a", "--max-workers=1", "--log-format=json") as a,
        running_server(folder / "b", "--max-workers=1", "--log-format=json") as b,
        running_gateway(folder, a=a, b=b) as gateway,
    ):
        yield Cluster(a, b, gateway)


@pytest.fixture
def join(cluster: Cluster, start_server: Callable[..., Server]) -> Iterator[Callable[..., Server]]:
    """Return a function that starts one more server, with options, and adds it to the gateway."""
    names: list[str] = []

    def start(name: str, *options: str) -> Server:
        server = start_server("--max-workers=1", *options)
        names.append(name)
        cluster.gateway.add(name, server)
        return server

    yield start
    for name in names:
        cluster.gateway.remove(name)


def connections(server: Server) -> int:
    """Return the number of open websockets that speak."""
    count: int = server.get("/queue/stats")[1]["connections"]
    return count


@pytest.mark.parametrize("door", EVERY_PROTOCOL, ids=lambda door: door.__name__)
async def test_the_gateway_changes_no_sample(cluster: Cluster, door: VoiceDoor) -> None:
    direct = await door(cluster.a, TEXT, {}, "aria")
    assert len(direct) > 10_000
    assert await door(cluster.gateway, TEXT, {}, "aria") == direct


async def test_a_burst_is_spread_evenly(cluster: Cluster) -> None:
    async with AsyncExitStack() as sockets:
        await open_sockets(cluster.gateway, 100, sockets)
        on_a, on_b = connections(cluster.a), connections(cluster.b)
    assert on_a + on_b == 100
    assert abs(on_a - on_b) <= 2


async def test_clients_of_a_full_server_go_to_another(cluster: Cluster, join: Callable[..., Server]) -> None:
    small = join("small", "--max-connections=2")
    cluster.gateway.wait_for("small")
    async with AsyncExitStack() as sockets:
        await open_sockets(cluster.gateway, 14, sockets)
        assert connections(small) == 2
        assert connections(cluster.a) + connections(cluster.b) == 12


@pytest.mark.parametrize("sentences", [1, pytest.param(15, marks=pytest.mark.slow)])
async def test_a_server_that_stops_cuts_no_stream(
    cluster: Cluster, join: Callable[..., Server], sentences: int
) -> None:
    gateway = cluster.gateway
    leaving = join("leaving", "--drain-timeout-s=90")
    gateway.wait_for("leaving")
    async with AsyncExitStack() as sockets:
        speeches = [await Speech.begin(gateway, sockets, count) for count in 3 * [1] + 3 * [sentences]]
        idle = await open_sockets(gateway, 6, sockets)
        assert (contexts(leaving), connections(leaving)) == (2, 4)
        async with probing(gateway) as probes:
            await probes.at_least(20)
            asked = time.monotonic()
            leaving.process.terminate()
            closed = [end async for end in ends_of(idle, 2)]
            assert [code for code, _ in closed] == [1012, 1012]
            assert max(at for _, at in closed) - asked < 1
            await listen_to(speeches)
            await probes.at_least(100)
        assert not probes.refused
    assert [speech.end for speech in speeches] == 6 * ["done"]
    assert len({speech.audio for speech in speeches}) == len({1, sentences})
    assert leaving.process.wait(20) == 0


async def test_a_killed_server_takes_only_its_own_sockets(
    cluster: Cluster, join: Callable[..., Server]
) -> None:
    gateway = cluster.gateway
    victim = join("victim")
    gateway.wait_for("victim")
    async with AsyncExitStack() as sockets:
        speeches = [await Speech.begin(gateway, sockets, 1) for _ in range(6)]
        assert contexts(victim) == 2
        async with probing(gateway) as probes:
            await probes.at_least(20)
            victim.process.kill()
            await listen_to(speeches)
            await probes.at_least(100)
        assert not probes.refused
    assert Counter(speech.end for speech in speeches) == {"done": 4, "cut": 2}
    assert len({speech.audio for speech in speeches if speech.end == "done"}) == 1


async def test_a_new_server_is_used_within_two_seconds_and_cuts_no_socket(
    cluster: Cluster, join: Callable[..., Server]
) -> None:
    async with AsyncExitStack() as sockets:
        talks = await open_sockets(cluster.gateway, 8, sockets)
        new = join("new")
        added = time.monotonic()
        while not connections(new):
            talks += await open_sockets(cluster.gateway, 1, sockets)
            assert time.monotonic() - added < 2
        for talk in talks:
            assert (await talk.speak("Still here."))["type"] == "done"


@pytest.mark.slow
async def test_dns_adds_and_removes_servers(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """Servers of one name differ only by address, as in Kubernetes; here one server has two addresses."""
    server = start_server("--max-workers=1", "--host=0.0.0.0", "--no-auth")
    nodes = f"nodes.speech.example:{server.port}"
    with (
        name_server() as names,
        started_gateway(tmp_path, SPEECH_NODES=nodes, SPEECH_DNS=names.address) as gateway,
    ):
        assert gateway.get("/gateway/readyz")[0] == 503
        names.addresses = ["127.0.0.2"]
        until(lambda: gateway.servers_up() == 1)
        assert gateway.get("/gateway/readyz")[0] == 200
        async with talking(gateway.ws_url) as talk:
            names.addresses = ["127.0.0.2", "127.0.0.3"]
            until(lambda: gateway.servers_up() == 2)
            names.addresses = ["127.0.0.3"]
            until(lambda: gateway.servers_up() == 1)
            assert (await talk.speak("Still here."))["type"] == "done"


@pytest.mark.slow
async def test_a_client_that_stops_reading_is_noticed_through_the_gateway(cluster: Cluster) -> None:
    processes = [psutil.Process(each.process.pid) for each in (cluster.a, cluster.b, cluster.gateway)]
    before = sum(process.memory_info().rss for process in processes)
    client = stalled_client(cluster.gateway)
    began = time.monotonic()
    until(lambda: connections(cluster.a) + connections(cluster.b) == 1)
    until(lambda: connections(cluster.a) + connections(cluster.b) == 0)
    assert time.monotonic() - began < 8
    assert sum(process.memory_info().rss for process in processes) - before < 10 * 2**20
    client.close()
