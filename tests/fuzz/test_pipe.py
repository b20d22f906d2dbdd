"""The pipe between the server and its workers, against random messages in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.packages import install
from helpers.servers import free_port, running_server

from fuzz.pipe import fuzz_worker
from fuzz.run import fuzz
from fuzz.target import Target
from fuzz.test_doors import DOORS, WARM_UP_S
from fuzz.watch import check_log, check_settled, state_of

PYPROJECT = """
[project]
name = "odd_engine"
version = "1.0"

[project.entry-points."streaming_server.engines"]
odd = "odd_engine:ODD"
"""

SPEAKING = ("native", "openai", "cartesia", "deepgram", "elevenlabs", "kyutai", "wyoming")

pytestmark = pytest.mark.timeout(0)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["espeak", "hibari"])
def test_a_worker_outlives_random_requests(engine: str, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    assert fuzz_worker(engine, option("--fuzz-seed"), option("--fuzz-seconds") / 2) > 10


@pytest.mark.slow
def test_doors_make_sense_of_an_engine_without_any(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Its events are well formed; their order, times and lengths are random."""
    seed, seconds = request.config.getoption("--fuzz-seed"), request.config.getoption("--fuzz-seconds")
    source = Path(__file__).with_name("odd_engine.py").read_text()
    path = install(tmp_path, {"odd_engine.py": source}, PYPROJECT)
    wyoming_port = free_port()
    options = ("--log-format=json", "--engine=odd", f"--seed={seed}", f"--wyoming-port={wyoming_port}")
    with running_server(
        tmp_path / "log", *options, "--max-workers=1", "--debug", PYTHONPATH=str(path)
    ) as server:
        doors, target = [door for door in DOORS if door.name in SPEAKING], Target(server.port, wyoming_port)
        fuzz(doors, target, seed, WARM_UP_S)
        before = state_of(server)
        fuzz(doors, target, seed, seconds)
        check_settled(server, before)
        check_log(server.logged())
