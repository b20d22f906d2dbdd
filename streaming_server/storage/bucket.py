"""Files in an S3-compatible object store, each cached on this machine once it is used."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from streaming_server.errors import EngineFailure, StorageFailure, StoreUnavailable
from streaming_server.storage.database import storage_errors
from streaming_server.storage.files import (
    ABANDONED_S,
    ANY_NAME,
    discard,
    move_whole,
    regular_files,
    remove_older,
    sha256_of,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CONNECT_TIMEOUT_S = 3
REQUEST_TIMEOUT_S = 30
RETRIES = 2
RETRY_TIMEOUT_S = 10
"""Bounds of one request and of its repetitions after a failure."""

WHOLE_BYTES = 5 * 2**20
"""Larger files are uploaded in parts of this size, each within the bounds above. An object uploaded in
parts replaces one of the same name.
"""
PARTS_AT_ONCE = 2

_CREDENTIALS = re.compile(r"//[^/\s]*@")
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.fetching")


log = structlog.stdlib.get_logger(__name__)


class BucketObjects:
    """The objects under one prefix of a bucket. See `Objects`.

    kind: the end of that prefix, such as `prompts`. folder: the cache; it may be emptied while no server uses
    it.
    """

    def __init__(self, store: ObjectStore, kind: str, folder: Path) -> None:
        self._store = store
        self._kind = kind
        self.folder = folder.absolute()
        with storage_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            remove_older(self.folder, time.time() - ABANDONED_S, _UNFINISHED)

    def path(self, name: str) -> Path:
        return self.folder / name

    def put(self, name: str, file: Path) -> None:
        with storage_errors(), _errors():
            # An earlier request may have succeeded without its answer; or the object is damaged.
            if not self._create(name, file) and self._sha256(name) != sha256_of(file):
                log.warning("replacing a damaged object", key=self._key(name))
                self._replace(name, file)
        with storage_errors():
            move_whole(file, self.path(name))

    def fetch(self, name: str, sha256: str | None = None) -> Path:
        path = self.path(name)
        with storage_errors():
            if path.is_file():
                return path
        unfinished = self.folder / f".{secrets.token_hex(8)}.fetching"
        try:
            with _errors():
                found = self._store.get(self._key(name))
                digest = hashlib.sha256()
                with storage_errors(), unfinished.open("wb") as out:
                    for chunk in found.stream():
                        out.write(chunk)
                        digest.update(chunk)
            if sha256 not in (None, digest.hexdigest()):
                log.error("an object is damaged", key=self._key(name))
                raise FileNotFoundError(name)
            # A power failure must not leave a part of it under its name.
            with storage_errors():
                move_whole(unfinished, path)
        finally:
            discard(unfinished)
        return path

    def exists(self, name: str) -> bool:
        try:
            with _errors():
                self._store.head(self._key(name))
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        with _errors(), suppress(FileNotFoundError):
            self._store.delete(self._key(name))
        self.forget(name)

    def forget(self, name: str) -> None:
        with storage_errors():
            self.path(name).unlink(missing_ok=True)

    def names(self) -> set[str]:
        with _errors():
            stored = {
                each["path"].rpartition("/")[2] for page in self._store.list(self._kind) for each in page
            }
        with storage_errors():
            return stored | {file.name for file, _ in regular_files(self.folder, ANY_NAME)}

    def remove(self, names: Iterable[str]) -> int:
        removed = 0
        for name in names:
            try:
                self.delete(name)
                removed += 1
            except StoreUnavailable:  # The others would fail too, each after its timeout.
                break
            except StorageFailure:
                continue
        return removed

    def _create(self, name: str, file: Path) -> bool:
        """Upload a new object. Return False if there is one of this name."""
        if file.stat().st_size > WHOLE_BYTES:
            if self.exists(name):
                return False
            self._replace(name, file)
            return True
        try:
            with _bucket_exists(file):
                self._store.put(self._key(name), file, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def _replace(self, name: str, file: Path) -> None:
        """Upload an object, in parts if it is large, whether or not there is one of this name."""
        with _bucket_exists(file):
            self._store.put(self._key(name), file, max_concurrency=PARTS_AT_ONCE)

    def _sha256(self, name: str) -> str:
        """Return the SHA-256 of an object. Raise FileNotFoundError."""
        digest = hashlib.sha256()
        for chunk in self._store.get(self._key(name)).stream():
            digest.update(chunk)
        return digest.hexdigest()

    def _key(self, name: str) -> str:
        return f"{self._kind}/{name}"


def open_bucket(url: str) -> ObjectStore:
    """Return the store of a URL like `s3://BUCKET/PREFIX`; `AWS_*` variables hold its address and key.

    `AWS_ENDPOINT` names a store that is not Amazon's. Raise EngineFailure if it cannot be reached with them.
    """
    try:
        store = from_url(
            url,
            client_options={
                # A store on the same network may have no certificate.
                "allow_http": os.environ.get("AWS_ENDPOINT", "").startswith("http://"),
                "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
                "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=RETRY_TIMEOUT_S),
            },
        )
        next(iter(store.list()), None)  # Fail now for a wrong bucket or key, not at the first upload.
    except (BaseError, OSError) as error:
        raise EngineFailure(f"--objects cannot be used: {_first_line(error)}.") from error
    return store


@contextmanager
def _bucket_exists(file: Path) -> Iterator[None]:
    """Translate the error of a bucket that is not there. file: what is uploaded."""
    try:
        yield
    except FileNotFoundError as error:
        if not file.exists():
            raise
        raise StoreUnavailable("The bucket of --objects cannot be found; try again.") from error


@contextmanager
def _errors() -> Iterator[None]:
    """Translate the failure of a request to StoreUnavailable."""
    try:
        yield
    except BaseError as error:
        raise StoreUnavailable("The object store cannot be reached; try again.") from error


def _first_line(error: BaseException) -> str:
    """Return the first line of the library's message, without the credentials of URLs in it."""
    line = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    return _CREDENTIALS.sub("//", line)
