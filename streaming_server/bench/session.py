"""One simulated conversation: replies streamed by a language model, each played to its end."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streaming_server.backoff import jittered_delays
from streaming_server.bench.client import Address, Client
from streaming_server.bench.door_clients import client_for
from streaming_server.bench.playout import Playout
from streaming_server.bench.script import Reply
from streaming_server.bench.wires import Native, Wire

BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True)
class Workload:
    """Behaviour of sessions. think_s: mean pause between turns; each is 0.5 to 1.5 times that, at random."""

    replies: list[Reply]
    tokens_per_second: float
    think_s: float
    wire: type[Wire] = Native


@dataclass(slots=True)
class LoadTurn:
    """One turn and its results. Times are of time.perf_counter.

    complete_at: when the first sentence was complete on the wire; NaN until then.
    ended_at: when its `done` or error arrived; infinite until then.
    text_at: when the text of the audio that plays was complete on the wire; infinite until that is known.
    Only the native protocol names sentences; elsewhere it is when all text was sent.
    samples: audio received.
    """

    reply: Reply
    began_at: float
    complete_at: float = math.nan
    ended_at: float = math.inf
    text_at: float = math.inf
    failed: bool = False
    samples: int = 0
    sent_at: list[float] = field(default_factory=list)
    playout: Playout = field(default_factory=Playout)

    def text_complete_at(self, end: int) -> float:
        """Return when the server could know that the sentence ending at `end` was over."""
        message = self.reply.message_completing(end)
        return self.sent_at[message] if message < len(self.sent_at) else self.sent_at[-1]


class LoadSession:
    """Drives a client through turns, using timers only, and records the results.

    A session whose server restarts connects again and goes on.

    stopped_by: why the session stopped: `refused`, `lost` or `restarting`; None while it runs.
    errors: number of error messages, and of audio messages that did not continue the ones before.
    lags: delay of each message behind its schedule in seconds, caused by the load generator.
    """

    def __init__(self, workload: Workload, rng: random.Random) -> None:
        self.turns: list[LoadTurn] = []
        self.stopped_by: str | None = None
        self.errors = 0
        self.lags: list[float] = []
        self.audio_s = 0.0
        self._workload = workload
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._client: Client | None = None
        self._address: Address | None = None
        self._delays: Iterator[float] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rate = 0
        self._turn: LoadTurn | None = None
        self._open = True

    async def connect(self, to: Address) -> None:
        """Connect. The first turn starts when the server is ready."""
        self._address = to
        self._client = client = client_for(self, to, self._workload.wire)
        try:
            await self._loop.create_connection(lambda: client, to.host, to.port, ssl=to.secure or None)
        except OSError:
            self.on_close("refused")

    @property
    def speaking(self) -> bool:
        return self._turn is not None

    def stop_after_turn(self) -> None:
        """Start no more turns."""
        self._open = False

    def end(self) -> None:
        """Close the connection."""
        self.stop_after_turn()
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._client is not None:
            self._client.end()

    # Listener.

    def on_message(self, message: dict[str, Any], now: float) -> None:
        turn = self._turn
        kind = message["type"]
        if kind == "sentence" and turn is not None:
            turn.text_at = turn.text_complete_at(int(message["end"]))
        elif kind == "done":
            self._turn_over(now, failed=False)
        elif kind == "started":
            self._rate = int(message["sample_rate"])
        elif kind == "ready":
            self._rate = int(message["sample_rate"])
            self._delays = None
            self._begin()
        elif kind == "error":
            self.errors += 1
            if "context" in message:
                self._turn_over(now, failed=True)

    def on_audio(self, first_sample: int, size: int, now: float) -> None:
        turn = self._turn
        if turn is None:
            self.errors += 1
            return
        if first_sample != turn.samples:
            self.errors += 1
        samples = size // BYTES_PER_SAMPLE
        turn.samples = first_sample + samples
        duration = samples / self._rate
        self.audio_s += duration
        turn.playout.push(now, duration, turn.text_at)

    def on_close(self, reason: str | None) -> None:
        self._client = None
        if self._timer is not None:
            self._timer.cancel()
        if self._reconnects(reason):
            return
        self._open = False
        if self._turn is not None and reason is not None:
            self._turn_over(time.perf_counter(), failed=True)
        self.stopped_by = reason

    def _reconnects(self, reason: str | None) -> bool:
        """Connect again after a while if the server restarts, or refuses to do so soon after."""
        if reason == "restarting" and self._delays is None:
            self._delays = jittered_delays(self._rng)
        if not self._open or self._delays is None or reason is None:
            return False
        if (delay_s := next(self._delays, None)) is None:
            return False
        if self._turn is not None:
            self.errors += 1  # The end of its context was not heard: the server gave it too little time.
            self._turn = None
        self._connect_after(delay_s)
        return True

    def _connect_after(self, delay_s: float) -> None:
        self._connecting = self._loop.create_task(self._connect_later(delay_s))

    async def _connect_later(self, delay_s: float) -> None:
        assert self._address is not None
        await asyncio.sleep(delay_s)
        await self.connect(self._address)

    # Turns.

    def _begin(self) -> None:
        if not self._open or self._client is None:
            return
        now = time.perf_counter()
        self._turn = turn = LoadTurn(self._rng.choice(self._workload.replies), now)
        self.turns.append(turn)
        turn.sent_at.append(now)
        self._client.write(turn.reply.messages[0])
        self._send_token()

    def _send_token(self) -> None:
        """Send the message that is due; send `finish` together with the last token."""
        turn, client = self._turn, self._client
        if turn is None or client is None:
            return
        messages, number = turn.reply.messages, len(turn.sent_at)
        now = time.perf_counter()
        interval_s = 1 / self._workload.tokens_per_second
        self.lags.append(now - turn.began_at - (number - 1) * interval_s)
        turn.sent_at.append(now)
        client.write(messages[number])
        if number == turn.reply.complete:
            turn.complete_at = now
        if number + 2 < len(messages):
            due = turn.began_at + number * interval_s
            self._timer = self._loop.call_later(max(0.0, due - time.perf_counter()), self._send_token)
        else:
            turn.sent_at.append(now)
            if math.isinf(turn.text_at):
                turn.text_at = now
            client.write(messages[-1], last=True)

    def _turn_over(self, now: float, *, failed: bool) -> None:
        """Schedule the next turn, after the rest of the audio has been played and a pause."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        turn.ended_at, turn.failed = now, failed
        if self._timer is not None:
            self._timer.cancel()
        if self._open and self._client is not None:
            pause_s = self._rng.uniform(0.5, 1.5) * self._workload.think_s
            self._timer = self._loop.call_later(self._rest_s(turn, now) + pause_s, self._begin)

    def _rest_s(self, turn: LoadTurn, now: float) -> float:
        """Return how long the audio that has arrived still plays."""
        return max(0.0, turn.playout.dry_at - now) if turn.playout.started else 0.0
