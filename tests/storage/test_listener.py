"""Servers hear of changes in the database they share, also of those made while they could not listen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import anyio
import pytest
from anyio import to_thread
from helpers.postgres import Postgres, running_postgres

from streaming_server.storage.configuration import ConfigurationStore
from streaming_server.storage.database import Database
from streaming_server.storage.listener import NotificationListener
from streaming_server.storage.postgresql import PostgresDatabase

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[list[str]]:
    """Collect the topics that a listener hears of."""
    heard: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(NotificationListener(url, "test").run, heard.append)
        yield heard
        group.cancel_scope.cancel()


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    with anyio.fail_after(within_s):
        while not condition():
            await anyio.sleep(0.01)


def announce(database: Database, topic: str, *, counted: bool = True) -> None:
    with database.transaction() as transaction:
        transaction.announce(topic, counted=counted)


async def test_a_change_is_received_after_its_commit(postgres: Postgres) -> None:
    url = postgres.schema_url()
    with closing(PostgresDatabase(url, "test")) as database:
        store = ConfigurationStore(database)
        store.change(lambda _: {})
        async with listening(url) as heard:
            await until(lambda: heard == ["configuration"])
            heard.clear()
            await to_thread.run_sync(announce, database, "voices")
            await until(lambda: heard == ["voices"], 2)
            heard.clear()
            with pytest.raises(ZeroDivisionError), database.transaction() as transaction:
                transaction.announce("voices")
                raise ZeroDivisionError
            await to_thread.run_sync(lambda: announce(database, "jobs", counted=False))
            await until(lambda: heard == ["jobs"], 2)


async def test_a_change_is_received_once(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither again at the next look at the counters nor, if the look came first, by its announcement."""
    monkeypatch.setattr("streaming_server.storage.listener.POLL_S", 0.05)
    url = postgres.schema_url()
    with closing(PostgresDatabase(url, "test")) as database:
        async with listening(url) as heard:
            for _ in range(5):
                await to_thread.run_sync(announce, database, "voices")
                await anyio.sleep(0.03)
            await to_thread.run_sync(announce, database, "last")
            await until(lambda: "last" in heard)
            assert 1 <= heard.count("voices") <= 5
            heard.clear()
            await to_thread.run_sync(announce, database, "voices")
            await to_thread.run_sync(lambda: announce(database, "jobs", counted=False))
            await to_thread.run_sync(lambda: announce(database, "jobs", counted=False))
            await until(lambda: heard.count("jobs") == 2)
            await anyio.sleep(0.2)  # Three looks.
            assert heard == ["voices", "jobs", "jobs"]


@pytest.mark.parametrize("version", ["", "many", "1.5", "-", "9" * 5000], ids=len)
async def test_an_announcement_of_another_program_does_not_end_the_listener(
    postgres: Postgres, version: str
) -> None:
    """The channel is the database's: whoever may connect may announce anything."""
    url = postgres.schema_url()
    with closing(PostgresDatabase(url, "test")) as database:
        async with listening(url) as heard:
            await to_thread.run_sync(announce, database, "voices")
            await until(lambda: heard == ["voices"])
            await to_thread.run_sync(lambda: announce(database, f"voices\n{version}", counted=False))
            await to_thread.run_sync(announce, database, "last")
            await until(lambda: heard == ["voices", "voices", "last"])


async def test_a_change_made_while_disconnected_is_received_later() -> None:
    with running_postgres() as postgres:
        url = postgres.schema_url()
        with closing(PostgresDatabase(url, "test")) as database:
            async with listening(url) as heard:
                await to_thread.run_sync(announce, database, "voices")
                await until(lambda: "voices" in heard)
                await to_thread.run_sync(postgres.stop)
                await to_thread.run_sync(postgres.start)
                heard.clear()
                announced = to_thread.run_sync(announce, database, "pronunciations")
                with anyio.fail_after(10):
                    await announced
                await until(lambda: "pronunciations" in heard)
