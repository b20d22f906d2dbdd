"""One client of the soak: turn after turn, some of them cancelled, some ended by a disconnect."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import orjson

from streaming_server.bench.client import Address
from streaming_server.bench.session import LoadSession, LoadTurn, Workload
from streaming_server.bench.soak_ledger import Fate, SoakLedger
from streaming_server.bench.wires import CONTEXT

CUT_SHORT = 0.1
"""Share of the turns that are cut short, half of them by a cancel and half by a disconnect."""
CUT_WITHIN_S = 4.0
"""Seconds from the start of a turn within which it is cut short."""
TURN_S = 60.0
"""Seconds a turn may take; replies last fifteen at most."""
ANSWER_S = 10.0
"""Seconds the server may take to greet a client, and to confirm a cancel."""
CANCEL = orjson.dumps({"type": "cancel", "context": CONTEXT})


class SoakSession(LoadSession):
    """A session that cuts some turns short, and connects again whenever its connection closes."""

    def __init__(self, workload: Workload, rng: random.Random, ledger: SoakLedger) -> None:
        super().__init__(workload, rng)
        self._ledger = ledger
        self._fate: Fate = "whole"
        self._deadline: asyncio.TimerHandle | None = None

    async def connect(self, to: Address) -> None:
        self._set_deadline(ANSWER_S)
        await super().connect(to)

    def end(self) -> None:
        self._stop_deadline()
        super().end()

    def on_message(self, message: dict[str, Any], now: float) -> None:
        match message["type"]:
            case "ready":
                self._stop_deadline()
            case "error":
                self._ledger.error(message["code"])
            case "cancelled":
                self._turn_over(now, failed=False)
        super().on_message(message, now)

    def on_close(self, reason: str | None) -> None:
        self._stop_deadline()
        if reason is not None:
            self._ledger.error(reason)
        super().on_close(reason)

    def _reconnects(self, reason: str | None) -> bool:
        if not self._open:
            return False
        self._turn_over(time.perf_counter(), failed=False)
        self._connect_after(self._rng.uniform(0, 2 * self._workload.think_s))
        return True

    def _begin(self) -> None:
        super()._begin()
        if self._turn is None:
            return
        if self._rng.random() < CUT_SHORT:
            self._deadline = self._loop.call_later(self._rng.uniform(0, CUT_WITHIN_S), self._cut)
        else:
            self._set_deadline(TURN_S)

    def _cut(self) -> None:
        """Cancel the turn, or leave in the middle of it."""
        assert self._client is not None
        if self._timer is not None:
            self._timer.cancel()  # Text after a cancel would open the context again.
        if self._rng.random() < 0.5:
            self._fate = "cancelled"
            self._client.write(CANCEL)
            self._set_deadline(ANSWER_S)
        else:
            self._leave()

    def _lose(self) -> None:
        """Give up a turn, or a connection, that the server does not answer."""
        self._ledger.error("no answer")
        self._leave()

    def _leave(self) -> None:
        self._fate = "disconnected"
        if self._client is not None:
            self._client.abort()

    def _turn_over(self, now: float, *, failed: bool) -> None:
        if (turn := self._turn) is not None:
            self._stop_deadline()
            self._ledger.turn(self._fate, turn.playout.first_at - turn.complete_at)
        super()._turn_over(now, failed=failed)
        self._fate = "whole"

    def _rest_s(self, turn: LoadTurn, now: float) -> float:
        return super()._rest_s(turn, now) if self._fate == "whole" else 0.0

    def _set_deadline(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = self._loop.call_later(seconds, self._lose)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
