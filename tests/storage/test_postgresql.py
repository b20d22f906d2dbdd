"""PostgreSQL's failures are reported, and its connections replaced."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from helpers.postgres import Postgres, running_postgres
from helpers.servers import free_port, until
from structlog.testing import capture_logs

from streaming_server.errors import EngineFailure, StoreUnavailable
from streaming_server.storage.database import Database
from streaming_server.storage.postgresql import PostgresDatabase


def test_a_transaction_that_the_database_ended_is_reported_and_the_next_one_works(postgres: Postgres) -> None:
    with closing(PostgresDatabase(postgres.schema_url(), "test")) as database:

        def is_gone(process: int) -> bool:
            with database.reading() as other:
                return not other.rows("SELECT 1 FROM pg_stat_activity WHERE pid = :pid", pid=process)

        with pytest.raises(StoreUnavailable), database.transaction() as transaction:
            transaction.row("SELECT set_config('idle_in_transaction_session_timeout', '100', true)")
            row = transaction.row("SELECT pg_backend_pid() AS pid")
            assert row is not None
            until(lambda: is_gone(row["pid"]))
            transaction.row("SELECT 1")
        with database.reading() as again:
            assert again.rows("SELECT 1 AS one")


@pytest.mark.slow
def test_a_frozen_database_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps its connections open, acknowledges what it is sent, and observes no time limit of its own."""
    monkeypatch.setattr("streaming_server.storage.bounded_connection.ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("streaming_server.storage.postgresql.CONNECT_TIMEOUT_S", 1)
    with running_postgres() as postgres, closing(PostgresDatabase(postgres.schema_url(), "test")) as database:
        with ExitStack() as stack:
            with pytest.raises(StoreUnavailable), database.transaction() as transaction:
                assert transaction.row("SELECT 1") is not None
                stack.enter_context(postgres.frozen())
                began = time.monotonic()
                transaction.row("SELECT 1")
            assert time.monotonic() - began < 3
            for _ in range(2):  # An idle connection does not answer either, nor can a new one be made.
                began = time.monotonic()
                with pytest.raises(StoreUnavailable), database.reading():
                    pass
                assert time.monotonic() - began < 6
        until(lambda: _answers(database))


def _answers(database: Database) -> bool:
    try:
        with database.reading() as transaction:
            return transaction.row("SELECT 1") is not None
    except StoreUnavailable:
        return False


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:passw0rd@127.0.0.1:{port}/name",
        "postgresql://user:passw0rd@127.0.0.1:port/name",
        "postgresql://user:p@passw0rd@127.0.0.1:{port}/name",
        "postgresql://user:passw0rd@127.0.0.1:{port}/name?no_such_option=1",
        "postgresql://user@127.0.0.1:{port}/name?password=passw0rd",
    ],
)
def test_no_password_of_the_database_is_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming_server.storage.postgresql.START_WAIT_S", 0.0)
    with capture_logs() as logged, pytest.raises(EngineFailure, match="--database") as failed:
        PostgresDatabase(url.replace("{port}", str(free_port())), "test")
    assert "passw0rd" not in failed.value.message
    assert "passw0rd" not in repr(logged)


def test_a_database_in_which_no_table_can_be_created_is_reported(postgres: Postgres) -> None:
    """PostgreSQL 15 and later refuse tables in `public` to roles that do not own the database."""
    own = postgres.schema_url()
    url = own.partition("?")[0] + "?options=-csearch_path%3Dno_such_schema"
    with pytest.raises(EngineFailure, match="--database cannot be used: no schema has been selected"):
        PostgresDatabase(url, "test")


def test_servers_that_start_at_once_migrate_the_database_once(postgres: Postgres) -> None:
    url = postgres.schema_url()
    with ThreadPoolExecutor(6) as pool:
        databases = list(pool.map(lambda n: PostgresDatabase(url, f"server {n}"), range(6)))
    for database in databases:
        with database.reading() as transaction:
            assert transaction.rows("SELECT count(*) AS versions FROM schema_version") == [{"versions": 1}]
        database.close()
