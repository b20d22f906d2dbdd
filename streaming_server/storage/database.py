"""The interface of the databases, and the errors of storage."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from streaming_server.errors import BadValue, StorageFailure

Row = Mapping[str, Any]
"""A row, by the names of its columns."""


class Transaction(Protocol):
    """Statements of one transaction. They name their values, as in `id = :id`."""

    def execute(self, statement: str, **values: Any) -> int:
        """Return how many rows were changed."""

    def execute_many(self, statement: str, values: Sequence[Row]) -> None:
        """Execute a statement once for each mapping of values; none is no error."""

    def row(self, statement: str, **values: Any) -> Row | None:
        """Return the first row, or None."""

    def rows(self, statement: str, **values: Any) -> list[Row]: ...

    def announce(self, topic: str, *, counted: bool = True) -> None:
        """Tell all servers that this transaction changes something, once it is committed.

        counted: also count the change, so that a server that misses the announcement notices it later;
        transactions that count wait for each other.
        """


class Database(Protocol):
    """Tables in SQLite or PostgreSQL. Every call blocks; threads may share it.

    Raise StorageFailure if the disk is full, read-only or failing, or the database cannot be reached, and
    then nothing has changed; EngineFailure if the database is damaged; BadValue for text that cannot be
    stored.
    """

    @property
    def shared(self) -> bool:
        """True if other servers may use it at the same time."""

    @property
    def clock(self) -> str:
        """The SQL expression for the database's own time, in seconds since 1970."""

    @property
    def skip_locked(self) -> str:
        """The SQL clause by which a SELECT locks rows and passes over those that others have locked."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit what the block does or, if it raises, roll it back. Do not nest."""

    def exclusive(self) -> AbstractContextManager[Transaction]:
        """A transaction that begins when no other exclusive one, of any server, is open."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """Read a consistent snapshot. Works on a full or read-only disk."""

    def close(self) -> None: ...


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translate errors of files to StorageFailure and of encoding to BadValue."""
    try:
        yield
    except OSError as error:
        raise _of_system(error) from error
    except UnicodeEncodeError as error:
        raise BadValue("The text contains an unpaired surrogate.") from error


def _of_system(error: OSError) -> StorageFailure:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return StorageFailure("The disk is full; nothing was changed.")
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return StorageFailure("The data directory is not writable; nothing was changed.")
    reason = os.strerror(error.errno or errno.EIO)
    return StorageFailure(f"The data directory cannot be used ({reason}); nothing was changed.")
