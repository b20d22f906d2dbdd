"""Every door against random sessions: no traceback, no unexplained 5xx, no dead socket or worker, no leak.

Ten seconds for each group of doors, longer with `--fuzz-seconds=600 --fuzz-seed=7`. A finding names the door,
the seed and the session; `--fuzz-start` begins with that session.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.servers import Server, free_port, running_server
from helpers.whisper_checkpoint import make

from fuzz.http_doors import HTTP_DOORS
from fuzz.run import Door, fuzz
from fuzz.socket_doors import SOCKET_DOORS
from fuzz.target import Target
from fuzz.watch import check_log, check_settled, state_of
from fuzz.wyoming_door import Wyoming

DOORS: tuple[Door, ...] = (*SOCKET_DOORS, *HTTP_DOORS, Wyoming())
GROUPS: dict[str, tuple[str, ...]] = {
    "own": ("native", "status", "rest", "raw http", "frames"),
    "vendors": ("openai", "cartesia", "cartesia http", "kyutai", "wyoming"),
    "more vendors": ("deepgram", "deepgram http", "elevenlabs", "elevenlabs http"),
}
WARM_UP_S = 1.0
"""Seconds of fuzzing before the state is noted that must return: caches and thread pools fill."""


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Target]]:
    """A server that the tests may change in every way."""
    wyoming_port = free_port()
    folder = tmp_path_factory.mktemp("fuzzed")
    options = ("--log-format=json", "--engine=auto", f"--wyoming-port={wyoming_port}", "--max-workers=1")
    whisper = f"--whisper-model={make(folder / 'heard.pt', say=' Hello there.')}"  # Others are downloaded.
    with running_server(folder / "log", *options, whisper, PYTHONFAULTHANDLER="1") as server:
        yield server, Target(server.port, wyoming_port)
        assert server.process.poll() is None, f"the server exited: {server.process.returncode}"


def check(
    fuzzed: tuple[Server, Target], doors: tuple[Door, ...], seed: int, seconds: float, start: int
) -> None:
    server, target = fuzzed
    fuzz(doors, target, seed, min(WARM_UP_S, seconds), start)
    before, logged = state_of(server), len(server.logged())
    target.aborted.clear()
    done = fuzz(doors, target, seed, seconds, start)
    assert done.keys() == {door.name for door in doors}
    check_settled(server, before)
    check_log(server.logged()[logged:], target.aborted)
    assert server.ready()
    print(done)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("group", GROUPS)
def test_doors(fuzzed: tuple[Server, Target], group: str, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    doors = tuple(door for door in DOORS if door.name in GROUPS[group] and option("--fuzz-door") in door.name)
    if not doors:
        pytest.skip("not the door that was asked for")
    check(fuzzed, doors, option("--fuzz-seed"), option("--fuzz-seconds"), option("--fuzz-start"))


@pytest.mark.slow
def test_all_doors_for_a_second(fuzzed: tuple[Server, Target]) -> None:
    check(fuzzed, DOORS, seed=0, seconds=1.0, start=0)


def test_every_door_has_a_group() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(door.name for door in DOORS)
