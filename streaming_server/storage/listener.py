"""Receives the changes that servers announce in a shared PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import psycopg
import structlog
from psycopg import AsyncConnection

from streaming_server.storage.bounded_connection import ANSWER_TIMEOUT_S
from streaming_server.storage.postgresql import (
    CHANNEL,
    VERSION_MARK,
    connection_options,
    postgres_url,
)

POLL_S = 5.0
"""Seconds between looks at the counters of changes, in case an announcement was lost."""

RETRY_S = 1.0
"""Seconds between attempts to connect."""

log = structlog.stdlib.get_logger(__name__)


class NotificationListener:
    """A connection that listens, on the event loop. Nothing here blocks.

    url: of the database. name: of this server.
    """

    def __init__(self, url: str, name: str) -> None:
        parsed = postgres_url(url)
        self._address = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        self._options: dict[str, Any] = connection_options(parsed, name)
        self._versions: dict[str, int] = {}
        """The last known version of each topic."""

    async def run(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the topic of each change, once, until cancelled. Changes announced while the
        database could not be reached are not missed."""
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._address, autocommit=True, **self._options
                ) as connection:
                    with anyio.fail_after(ANSWER_TIMEOUT_S):
                        await connection.execute(f"LISTEN {CHANNEL}".encode())
                    log.info("listening for changes of other servers")
                    await self._listen(connection, changed)
            except (psycopg.Error, OSError) as error:
                log.warning("cannot listen for changes of other servers", reason=type(error).__name__)
            await anyio.sleep(RETRY_S)

    async def _listen(self, connection: AsyncConnection[Any], changed: Callable[[str], None]) -> None:
        while True:
            for topic in await self._counted(connection):
                changed(topic)
            async for notification in connection.notifies(timeout=POLL_S):
                topic, _, version = notification.payload.partition(VERSION_MARK)
                if self._is_newer(topic, version):
                    changed(topic)

    async def _counted(self, connection: AsyncConnection[Any]) -> list[str]:
        """Return the topics that have changed since the last call; the first time, all that ever have."""
        with anyio.fail_after(ANSWER_TIMEOUT_S):
            cursor = await connection.execute("SELECT topic, version FROM changes")
            found = dict(await cursor.fetchall())
        before, self._versions = self._versions, found
        return [topic for topic, version in found.items() if before.get(topic) != version]

    def _is_newer(self, topic: str, announced: str) -> bool:
        """Return whether an announced version is new, and note it. True without a version."""
        try:
            version = int(announced)
        except ValueError:  # Not a counted one; or another program's, as anyone may announce anything.
            return True
        if version <= self._versions.get(topic, -1):
            return False
        self._versions[topic] = version
        return True
