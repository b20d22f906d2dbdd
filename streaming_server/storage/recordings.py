"""The recordings of voice samples, by their content."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streaming_server.errors import StorageFailure, StoreUnavailable
from streaming_server.storage.database import Database, Transaction
from streaming_server.storage.leases import Lease, Leases
from streaming_server.storage.objects import Objects

STORE_S = 60.0
"""Lease of a recording while it is stored or deleted: longer than an object store takes for either."""

DELETION_WAIT_S = 5.0
DELETION_POLL_S = 0.05
"""Seconds that an upload waits for the deletion of the same recording, and between its looks."""

_UPLOAD, _DELETION = "upload ", "deletion "
"""Names of leases, each followed by the SHA-256 of a recording."""

_NAME = re.compile(r"([0-9a-f]{64})\.wav")


class Recordings:
    """WAV files named by their SHA-256. A file belongs to the voice samples of that hash, and is deleted
    with the last of them.

    A lease of its hash protects a file while it is stored, before a row uses it. Every call blocks, and may
    raise StorageFailure.
    """

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self._leases = Leases(database)
        self._objects = objects

    def path(self, sha256: str) -> Path:
        """Return where the file lies on this machine once it has been put or fetched."""
        return self._objects.path(_name(sha256))

    def put(self, sha256: str, wav: Path) -> None:
        """Store a complete file, which is moved. Call it while the hash is `kept`."""
        self._objects.put(_name(sha256), wav)

    def fetch(self, sha256: str) -> None:
        """Fetch the file to its path. Raise FileNotFoundError if it is gone or damaged."""
        self._objects.fetch(_name(sha256), sha256)

    def forget(self, sha256: str) -> None:
        """Delete this machine's copy of a recording that another server may have deleted. It is fetched again
        if it is used again."""
        self._objects.forget(_name(sha256))

    @contextmanager
    def kept(self, sha256: str) -> Iterator[Lease]:
        """Hold a lease of a recording that no row uses yet, so that its file is not deleted.

        Wait until it is not being deleted. Raise StoreUnavailable if that takes too long.
        """
        deadline = time.monotonic() + DELETION_WAIT_S
        while True:
            with self._database.exclusive() as transaction:
                if not self._leases.taken(transaction, _DELETION + sha256):
                    lease = self._leases.take(transaction, _UPLOAD + sha256, STORE_S)
                    break
            if time.monotonic() > deadline:
                raise StoreUnavailable("The same recording is being deleted; try again.")
            time.sleep(DELETION_POLL_S)
        with self._released(lease):
            yield lease

    def check_kept(self, transaction: Transaction, lease: Lease) -> None:
        """Raise StoreUnavailable if the lease has ended and the file may be gone."""
        if not self._leases.renew(transaction, lease, STORE_S):
            raise StoreUnavailable("Storing the recording took too long; try again.")

    def discard(self, shas: Iterable[str]) -> int:
        """Delete the files that no row uses and no server is storing. Return how many.

        `sweep` deletes those that cannot be deleted now.
        """
        removed = 0
        for sha256 in shas:
            try:
                removed += self._delete_unused(sha256)
            except StoreUnavailable:  # The others would fail too, each after its timeout.
                break
            except StorageFailure:
                continue
        return removed

    def sweep(self) -> int:
        """Delete the files that no row uses, as a killed server leaves them. Return how many."""
        stored = {match[1] for name in self._objects.names() if (match := _NAME.fullmatch(name))}
        with self._database.reading() as transaction:
            used = {row["sha256"] for row in transaction.rows("SELECT sha256 FROM prompts")}
        return self.discard(stored - used)

    def _delete_unused(self, sha256: str) -> bool:
        with self._database.exclusive() as transaction:
            used = transaction.row("SELECT 1 FROM prompts WHERE sha256 = :sha256", sha256=sha256)
            if used is not None or self._leases.taken(transaction, _UPLOAD + sha256):
                return False
            lease = self._leases.take(transaction, _DELETION + sha256, STORE_S)
        with self._released(lease):
            self._objects.delete(_name(sha256))
        return True

    @contextmanager
    def _released(self, lease: Lease) -> Iterator[None]:
        """Release a lease on exit, if the database can be reached; otherwise it expires."""
        try:
            yield
        finally:
            with suppress(StorageFailure), self._database.transaction() as transaction:
                self._leases.release(transaction, lease)


def _name(sha256: str) -> str:
    return f"{sha256}.wav"
