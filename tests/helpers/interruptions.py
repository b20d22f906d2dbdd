"""Measures how soon an interrupted turn ends on the server."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import TypeAlias

from helpers.servers import Server

TRIES = 5
"""Attempts per client; a single one may be slowed down by other load on the machine."""
WITHIN_MS = 100.0
PATIENCE_S = 10.0
LOOK_EVERY_S = 0.001

_STOPPED = re.compile(r'^dia_contexts_ended_total\{end="(?!done")\w+"\} (\S+)$', flags=re.M)

Asked: TypeAlias = http.client.HTTPConnection


class Interruptions:
    """Milliseconds from a client's action until the server reports that the turn has ended.

    Each includes the client's own part and the server's answer to the question, so that none is too short.
    """

    def __init__(self) -> None:
        self.ms: list[float] = []

    @asynccontextmanager
    async def timed(self, server: Server) -> AsyncIterator[None]:
        """Time an interruption of the only turn; exit when no context or utterance is left."""
        async with self._timed(server, lambda asked: in_hand(asked) == 0):
            yield

    @asynccontextmanager
    async def timed_with_the_next_turn(self, server: Server) -> AsyncIterator[None]:
        """Time an interruption and the next turn, for a client that reports the former only with the latter.

        Exit when one more context than before has ended incomplete.
        """
        with asking(server) as asked:
            before = stopped(asked)
        async with self._timed(server, lambda asked: stopped(asked) > before):
            yield

    @asynccontextmanager
    async def _timed(self, server: Server, gone: Callable[[Asked], bool]) -> AsyncIterator[None]:
        with asking(server) as asked:
            assert in_hand(asked) > 0, "nothing to interrupt"
        since = time.perf_counter()
        watching = asyncio.get_running_loop().run_in_executor(None, _gone_at, server, gone)
        yield
        self.ms.append(1000 * (await watching - since))

    def __str__(self) -> str:
        times = ", ".join(f"{ms:.0f}" for ms in sorted(self.ms))
        return f"gone {statistics.median(self.ms):.0f} ms after the interruption, by the median of {times}"

    def are_obeyed(self) -> bool:
        """Return whether there were this many attempts and most ended in time."""
        assert len(self.ms) == TRIES
        return statistics.median(self.ms) <= WITHIN_MS


def asking(server: Server) -> closing[Asked]:
    """A persistent connection, so that polling is fast."""
    return closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S))


def in_hand(asked: Asked) -> float:
    """Return the number of open contexts, and of their active and queued utterances."""
    stats = json.loads(_get(asked, "/queue/stats"))
    return float(stats["contexts"] + stats["active"] + stats["queued"])


def stopped(asked: Asked) -> float:
    """Return the number of contexts since the start that ended incomplete."""
    return sum(map(float, _STOPPED.findall(_get(asked, "/metrics"))))


def _gone_at(server: Server, gone: Callable[[Asked], bool]) -> float:
    deadline = time.perf_counter() + PATIENCE_S
    with asking(server) as asked:
        while not gone(asked):
            assert time.perf_counter() < deadline, f"not gone within {PATIENCE_S:g} s"
            time.sleep(LOOK_EVERY_S)
    return time.perf_counter()


def _get(asked: Asked, path: str) -> str:
    asked.request("GET", path)
    return asked.getresponse().read().decode()
