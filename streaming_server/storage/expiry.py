"""Deletes results that have been kept long enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from anyio import sleep, to_thread

from streaming_server.errors import SpeechError

INTERVAL_S = 600.0

log = structlog.stdlib.get_logger(__name__)


class Expiring(Protocol):
    def expire(self, before: float) -> int:
        """Delete what is older than `before`, in seconds since 1970. Return how much. Raise SpeechError."""


@dataclass(slots=True)
class Expired:
    """The number of deleted results and the reason of a failure, by kind of result."""

    removed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Expiry:
    """stores: by kind. retention_hours: how long results are kept."""

    def __init__(self, stores: Mapping[str, Expiring], retention_hours: Callable[[], float]) -> None:
        self._stores = stores
        self._retention_hours = retention_hours

    async def run(self) -> None:
        """Delete expired results at regular intervals, until cancelled."""
        while True:
            expired = await to_thread.run_sync(self.expire)
            for kind, reason in expired.failed.items():
                log.warning("cannot delete expired results", kind=kind, reason=reason)
            await sleep(INTERVAL_S)

    def expire(self) -> Expired:
        """Delete expired results now. A failure of one kind does not affect the others. Blocks."""
        before = time.time() - 3600 * self._retention_hours()
        expired = Expired()
        for kind, store in self._stores.items():
            try:
                expired.removed[kind] = store.expire(before)
            except SpeechError as error:
                expired.failed[kind] = error.message
        return expired
