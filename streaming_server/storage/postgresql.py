"""A PostgreSQL database that several servers share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from streaming_server.errors import BadValue, EngineFailure, SpeechError, StorageFailure, StoreUnavailable
from streaming_server.storage.database import storage_errors
from streaming_server.storage.migrations import MIGRATIONS, statements
from streaming_server.storage.transaction import ConnectionTransaction

CONNECTIONS = 8
"""Connections of one server, besides the one that listens for changes."""

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 5
"""Seconds for a statement, for a lock, and for data that the network does not acknowledge."""

IDLE_TRANSACTION_S = 60
"""Seconds after which the database ends an idle transaction."""

AWAY_S = 1.0
"""Seconds after a failed connection in which every call fails at once; waiting calls would take all threads
of the server."""

START_WAIT_S = 15.0
"""Seconds that a starting server waits for the database."""

START_RETRY_S = 0.5

SERIAL = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"

LOCK_KEY = 0x73706565
"""The advisory lock of exclusive transactions."""

CHANNEL = "streaming_server"
"""The channel of announcements. It is the database's own, so one database serves one cluster."""

VERSION_MARK = "\n"
"""Stands between the topic of an announcement and its version, which only counted ones have."""

_DISK_FULL = "53100"
_AWAY = frozenset({"25006", "25P03"})
"""Error codes: read-only, as while a standby takes over; and an abandoned transaction, which was ended."""

log = structlog.stdlib.get_logger(__name__)


class AnnouncingTransaction(ConnectionTransaction):
    """A transaction whose changes are announced to the servers that listen, see `Listener`."""

    def announce(self, topic: str, *, counted: bool = True) -> None:
        notice = topic
        if counted:
            row = self.row(
                "INSERT INTO changes (topic, version) VALUES (:topic, 1)"
                " ON CONFLICT (topic) DO UPDATE SET version = changes.version + 1 RETURNING version",
                topic=topic,
            )
            assert row is not None
            notice = f"{topic}{VERSION_MARK}{row['version']}"
        self.row("SELECT pg_notify(:channel, :notice)", channel=CHANNEL, notice=notice)


class PostgresDatabase:
    """A database by its URL, migrated when it is opened. See `Database`.

    Raise StoreUnavailable while it cannot be reached; the next call connects again.

    name: of this server, shown by `pg_stat_activity`. Raise EngineFailure if the URL is malformed, the driver
    is missing, the database is not there within START_WAIT_S, does not let the server create tables or was
    written by a newer version.
    """

    shared = True
    clock = "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
    skip_locked = "FOR UPDATE SKIP LOCKED"

    def __init__(self, url: str, name: str, migrations: Sequence[str] = MIGRATIONS) -> None:
        self._away_until = 0.0
        parsed = postgres_url(url)
        try:
            from streaming_server.storage.bounded_connection import BoundedConnection

            self._engine = create_engine(
                parsed,
                pool_size=CONNECTIONS,
                max_overflow=0,
                pool_timeout=CONNECT_TIMEOUT_S,
                pool_pre_ping=True,
                connect_args=connection_options(parsed, name),
            )
        except ModuleNotFoundError as error:
            raise EngineFailure(
                'PostgreSQL needs the extra "cluster": pip install "streaming-server[cluster]".'
            ) from error
        event.listen(
            self._engine,
            "do_connect",
            lambda dialect, record, arguments, options: BoundedConnection.connect(*arguments, **options),
        )
        try:
            self._wait_until_migrated(migrations)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[ConnectionTransaction]:
        with self._connected() as connection, connection.begin():
            yield AnnouncingTransaction(connection)

    @contextmanager
    def exclusive(self) -> Iterator[ConnectionTransaction]:
        with self.transaction() as transaction:
            transaction.row("SELECT pg_advisory_xact_lock(:key)", key=LOCK_KEY)
            yield transaction

    @contextmanager
    def reading(self) -> Iterator[ConnectionTransaction]:
        with self._connected() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield ConnectionTransaction(connection)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with storage_errors(), _errors(), self._connect() as connection:
            yield connection

    def _connect(self) -> Connection:
        if time.monotonic() < self._away_until:
            raise _unreachable()
        try:
            return self._engine.connect()
        except (DBAPIError, PoolTimeout) as error:
            self._away_until = time.monotonic() + AWAY_S
            raise _unreachable() from error

    def _wait_until_migrated(self, migrations: Sequence[str]) -> None:
        deadline = time.monotonic() + START_WAIT_S
        while True:
            try:
                self._migrate(migrations)
                return
            except StoreUnavailable as error:
                if time.monotonic() > deadline:
                    raise EngineFailure(
                        f"The database of --database cannot be used: {_cause(error)}"
                    ) from error
                log.warning("waiting for the database", reason=_cause(error))
            except DBAPIError as error:
                # No right to create tables, or no such schema: waiting does not help.
                raise EngineFailure(
                    f"The database of --database cannot be used: {_first_line(error.orig or error)}"
                ) from error
            time.sleep(START_RETRY_S)
            self._away_until = 0.0

    def _migrate(self, migrations: Sequence[str]) -> None:
        with self._connected() as connection, connection.begin():
            # Several servers may start at once.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
            found = _version(connection)
            if found > len(migrations):
                raise EngineFailure(
                    f"The database was written by a newer version of this server (schema {found}, this one "
                    f"supports {len(migrations)}); upgrade the server."
                )
            for script in migrations[found:]:
                for statement in statements(script.replace("$SERIAL", SERIAL)):
                    connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"UPDATE schema_version SET version = {len(migrations)}")


def postgres_url(url: str) -> URL:
    """Return the URL with its driver. Raise EngineFailure if it is malformed."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise EngineFailure("--database must be a URL: postgresql://USER:PASSWORD@HOST:PORT/NAME.") from None
    if "@" in (parsed.host or ""):  # It would be shown, with the end of the password, as the host's name.
        raise EngineFailure("The password in --database contains an @; write %40 instead.")
    return parsed.set(drivername="postgresql+psycopg")


def connection_options(url: URL, name: str) -> dict[str, str | int]:
    """Return what every connection is opened with: bounded waits, and the server's name."""
    milliseconds = 1000 * STATEMENT_TIMEOUT_S
    given = url.query.get("options", "")
    bounds = (
        f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
        f" -c idle_in_transaction_session_timeout={1000 * IDLE_TRANSACTION_S}"
    )
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": STATEMENT_TIMEOUT_S,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": name[:63],
        "options": f"{given} {bounds}" if isinstance(given, str) else bounds,
    }


@contextmanager
def _errors() -> Iterator[None]:
    """Translate errors of PostgreSQL to StoreUnavailable, StorageFailure or BadValue."""
    try:
        yield
    except DBAPIError as error:
        if (translated := _translated(error)) is None:
            raise
        raise translated from error


def _translated(error: DBAPIError) -> SpeechError | None:
    import psycopg  # An extra; without it, nothing raises what is caught here.

    code = getattr(error.orig, "sqlstate", None)
    if code == _DISK_FULL:
        return StorageFailure("The disk of the database is full; nothing was changed.")
    if code in _AWAY or isinstance(error.orig, psycopg.OperationalError | psycopg.InterfaceError):
        return _unreachable()
    if isinstance(error.orig, psycopg.DataError):
        return BadValue("The text contains a character that cannot be stored.")
    return None


def _unreachable() -> StoreUnavailable:
    return StoreUnavailable("The database cannot be reached; try again.")


def _cause(error: BaseException) -> str:
    """Return the driver's own words, which name the host and the database."""
    cause = error.__cause__
    reported = cause.orig if isinstance(cause, DBAPIError) else cause
    return _first_line(reported or error)


def _first_line(error: BaseException) -> str:
    words = str(error).strip()
    return words.splitlines()[0] if words else "no reason given"


def _version(connection: Connection) -> int:
    """Return how many migrations have been applied; the first call creates the table that says so."""
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    version: int | None = connection.exec_driver_sql("SELECT version FROM schema_version").scalar()
    if version is None:
        connection.exec_driver_sql("INSERT INTO schema_version VALUES (0)")
    return version or 0
