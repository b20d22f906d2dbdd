"""Changes of other servers are read once, and again if that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from streaming_server.errors import StoreUnavailable
from streaming_server.web.peer_changes import Follower

pytestmark = pytest.mark.anyio


class Reader:
    """Counts how often it reads; fails the first `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.count = 0
        self._failures = failures

    async def read(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.count += 1
        if self.count <= self._failures:
            raise StoreUnavailable("The database cannot be reached; try again.")


@asynccontextmanager
async def running(follower: Follower) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(follower.run)
        yield
        group.cancel_scope.cancel()


async def until(reader: Reader, count: int) -> None:
    with anyio.fail_after(10):
        while reader.count < count:
            await anyio.sleep(0.005)


async def test_changes_that_come_together_are_read_once() -> None:
    voices, words = Reader(), Reader()
    follower = Follower({"voices": voices.read, "pronunciations": words.read})
    for topic in ("voices", "pronunciations", "voices", "of a newer version"):
        follower.notify(topic)
    async with running(follower):
        await until(voices, 1)
        await until(words, 1)
        await anyio.wait_all_tasks_blocked()
        assert (voices.count, words.count) == (1, 1)
        follower.notify("voices")
        await until(voices, 2)
    assert words.count == 1


async def test_a_change_that_cannot_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming_server.web.peer_changes.RETRY_S", 0.01)
    voices, words = Reader(failures=3), Reader()
    follower = Follower({"voices": voices.read, "pronunciations": words.read})
    async with running(follower):
        follower.notify("voices")
        follower.notify("pronunciations")
        await until(voices, 4)
        await anyio.wait_all_tasks_blocked()
    assert (voices.count, words.count) == (4, 1)


async def test_a_change_that_takes_long_to_read_delays_no_other() -> None:
    words = Reader()
    follower = Follower({"voices": anyio.sleep_forever, "a": words.read, "z": words.read})
    async with running(follower):
        follower.notify("voices")
        await anyio.wait_all_tasks_blocked()
        follower.notify("a")
        follower.notify("z")
        await until(words, 2)
