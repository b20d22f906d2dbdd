"""PostgreSQL's failures are reported, and its connections replaced."""

from __future__ import annotations

from contextlib import closing

import pytest
from helpers.postgres import Postgres
from helpers.servers import until

from streaming_server.errors import StoreUnavailable
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
