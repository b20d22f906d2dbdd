"""One client of the soak: turn after turn, some of them cancelled, some ended by a disconnect."""

from __future__ import annotations

import asyncio
import math
import random
import time
from typing import Any, Literal, Protocol

import orjson

from streaming_server.bench.client import Address, Client
from streaming_server.bench.script import Reply
from streaming_server.bench.session import BYTES_PER_SAMPLE, Manner
from streaming_server.bench.wires import CONTEXT

Fate = Literal["whole", "cancelled", "disconnected"]

CUT_SHORT = 0.1
"""Share of the turns that are cut short, half of them by a cancel and half by a disconnect."""
CUT_WITHIN_S = 4.0
"""Seconds from the start of a turn within which it is cut short."""
TURN_S = 60.0
"""Seconds a turn may take; replies last fifteen at most."""
ANSWER_S = 10.0
"""Seconds the server may take to greet a client, and to confirm a cancel."""
CANCEL = orjson.dumps({"type": "cancel", "context": CONTEXT})


class Ledger(Protocol):
    """Records the turns and errors of sessions."""

    def turn(self, fate: Fate, first_audio_s: float) -> None:
        """Record a turn that is over. first_audio_s: NaN if nothing was heard."""

    def error(self, code: str) -> None:
        """Record an error: the server's code, or `refused`, `lost`, `no answer`."""


class SoakSession:
    """Connects, speaks and connects again, until cancelled."""

    def __init__(self, address: Address, manner: Manner, ledger: Ledger, rng: random.Random) -> None:
        self._address = address
        self._manner = manner
        self._ledger = ledger
        self._rng = rng
        self._client: Client | None = None
        self._rate = 1
        self._greeted = asyncio.Event()
        self._ended = asyncio.Event()
        self._gone = False
        self._first_at = self._complete_at = math.nan
        self._audio_s = 0.0

    async def run(self) -> None:
        try:
            while True:
                await self._connect()
                while not self._gone:
                    await self._turn()
                await asyncio.sleep(self._rng.uniform(0, 2 * self._manner.think_s))
        finally:
            if self._client is not None:
                self._client.end()

    # Listener.

    def on_message(self, message: dict[str, Any], now: float) -> None:
        match message["type"]:
            case "ready":
                self._greeted.set()
            case "started":
                self._rate = int(message["sample_rate"])
            case "done" | "cancelled":
                self._ended.set()
            case "error":
                self._ledger.error(message["code"])
                if "context" in message:
                    self._ended.set()

    def on_audio(self, first_sample: int, size: int, now: float) -> None:
        if math.isnan(self._first_at):
            self._first_at = now
        self._audio_s += size / BYTES_PER_SAMPLE / self._rate

    def on_close(self, reason: str | None) -> None:
        if reason is not None:
            self._ledger.error(reason)
        self._gone = True
        self._greeted.set()
        self._ended.set()

    # Turns.

    async def _connect(self) -> None:
        self._gone = False
        self._greeted.clear()
        self._client = client = Client(self, self._address)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: client, self._address.host, self._address.port, ssl=self._address.secure or None
            )
        except OSError:
            self.on_close("refused")
        await self._expect(self._greeted)

    async def _turn(self) -> None:
        self._ended.clear()
        self._first_at = self._complete_at = math.nan
        self._audio_s = 0.0
        cut = self._rng.random() < CUT_SHORT
        speaking = asyncio.create_task(self._say(self._rng.choice(self._manner.replies)))
        try:
            async with asyncio.timeout(self._rng.uniform(0, CUT_WITHIN_S) if cut else TURN_S):
                await self._ended.wait()
            fate: Fate = "whole"
        except TimeoutError:
            speaking.cancel()  # Text after a cancel would open the context again.
            fate = await self._cut() if cut else self._lose()
        finally:
            speaking.cancel()
        self._ledger.turn(fate, self._first_at - self._complete_at)
        if fate == "whole" and not math.isnan(self._first_at):
            await asyncio.sleep(max(0.0, self._first_at + self._audio_s - time.perf_counter()))
        await asyncio.sleep(self._rng.uniform(0, 2 * self._manner.think_s))

    async def _say(self, reply: Reply) -> None:
        """Send the messages of a turn: the opening, then words at their rate, the end with the last."""
        assert self._client is not None
        began_at = time.perf_counter()
        opening, *words, end = reply.messages
        self._client.write(opening)
        for number, word in enumerate(words):
            due_at = began_at + number / self._manner.tokens_per_second
            await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
            self._client.write(word)
            if number + 1 == reply.complete:
                self._complete_at = time.perf_counter()
        self._client.write(end, last=True)
        if math.isnan(self._complete_at):
            self._complete_at = time.perf_counter()

    async def _cut(self) -> Fate:
        """Cancel the turn, or leave in the middle of it."""
        assert self._client is not None
        if self._rng.random() < 0.5:
            self._client.write(CANCEL)
            await self._expect(self._ended)
            return "cancelled"
        self._client.abort()
        self._gone = True
        return "disconnected"

    def _lose(self) -> Fate:
        """Give up a turn that does not end."""
        assert self._client is not None
        self._ledger.error("no answer")
        self._client.abort()
        self._gone = True
        return "disconnected"

    async def _expect(self, answer: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await answer.wait()
        except TimeoutError:
            self._lose()
