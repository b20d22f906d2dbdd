"""One context's channel through the pool: utterances in, events out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from streaming_server.errors import SpeechError
from streaming_server.ipc.messages import Cancel, Release, Submit, Taken
from streaming_server.pool.supervisor import Supervisor
from streaming_server.types import Audio, Event, Failed, Finished, Utterance

MAX_DEATHS = 2
"""Workers that may die while speaking the same utterance."""

STALLED_TICKS = 10
"""Ticks of the pool, one second, after which an utterance without sound leaves a silent worker. Counted in
ticks, not seconds, so that a pause of the server's own process does not count."""

REPORTS = 8
"""`Taken` messages to a worker for each window of bytes taken from a long utterance."""


def _ignore_wake() -> None:
    """No-op wake-up callback of a closed channel."""


class Dispatcher(Protocol):
    """The pool, as its channels see it."""

    def place(self, channel: Channel) -> None: ...
    def remove(self, channel: Channel) -> None: ...


class Channel:
    """Carries one utterance at a time and stays on the worker it started on while that worker lives.

    An utterance whose sound has not reached the listener survives the death of its worker: it is spoken again
    from the start, by another worker if necessary. One without any sound also leaves a worker that no longer
    answers. `wake` is called whenever an event can be taken or the channel's state has changed.

    restarts: how often the current utterance has started again; sound taken before a restart must be
    dropped.
    lost: its worker died and it cannot be spoken again; the only event left is the failure.
    """

    __slots__ = (
        "_deaths",
        "_dispatched",
        "_dispatched_tick",
        "_events",
        "_heard",
        "_moved",
        "_pool",
        "_received",
        "_reported",
        "_taken",
        "_wake",
        "context",
        "expires_at",
        "lost",
        "restarts",
        "utterance",
        "worker",
    )

    def __init__(self, context: int, wake: Callable[[], None], pool: Dispatcher) -> None:
        self.context = context
        self.utterance: Utterance | None = None
        self.worker: Supervisor | None = None
        self.expires_at = 0.0
        self.restarts = 0
        self.lost = False
        self._events: deque[Event] = deque()
        self._heard = False
        self._received = self._taken = self._reported = 0
        self._dispatched = False
        self._dispatched_tick = 0
        self._deaths = 0
        self._moved = False
        self._wake = wake
        self._pool = pool

    @property
    def busy(self) -> bool:
        """True from `submit` until the end of the utterance has been taken."""
        return self.utterance is not None or bool(self._events)

    @property
    def buffered(self) -> int:
        """Bytes of PCM received and not yet taken."""
        return self._received - self._taken

    def submit(self, utterance: Utterance) -> None:
        """Send an utterance of the channel's context to a worker. The channel must not be busy."""
        assert not self.busy
        self._heard = self.lost = False
        self._deaths = self.restarts = 0
        self._moved = False
        self._discard_events()
        self.utterance = utterance
        self._pool.place(self)

    def take(self) -> Event | None:
        """Return the next event, or None if there is none yet."""
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Audio):
            self._taken += len(event.pcm)
            self._report_taken()
        return event

    def mark_heard(self) -> None:
        """Note that sound of the current utterance went out to the listener: it cannot start again."""
        self._heard = True

    def cancel(self) -> None:
        """Stop the current utterance and discard its events. Idempotent."""
        self._discard_events()
        if self.utterance is not None:
            if self._dispatched and self.worker is not None:
                self.worker.send(Cancel(self.utterance.id))
            self._end()

    def close(self) -> None:
        """Cancel, release the context on its worker and stop calling `wake`. Idempotent."""
        self.cancel()
        self._release_home()
        self._wake = _ignore_wake  # The context holds the channel: without this they would be a cycle.

    # For the pool.

    @property
    def home(self) -> Supervisor | None:
        """The worker the context started on, or None if it has died since."""
        alive = self.worker is not None and self.context in self.worker.contexts
        return self.worker if alive else None

    @property
    def dispatched(self) -> bool:
        """True if a worker has the utterance; False while it waits for one."""
        return self._dispatched

    @property
    def expired(self) -> bool:
        """True if the utterance has waited for a worker for longer than it may."""
        return time.monotonic() >= self.expires_at

    def dispatch(self, worker: Supervisor, tick: int) -> None:
        """Give the utterance to a worker. tick: the pool's current one."""
        assert self.utterance is not None
        if worker is not self.home:
            self._release_home()
        self.worker = worker
        worker.contexts.add(self.context)
        self._dispatched = True
        self._dispatched_tick = tick
        worker.load += 1
        worker.send(Submit(self.utterance))

    def deliver(self, event: Event) -> None:
        """Queue an event of the current utterance."""
        if isinstance(event, Audio):
            self._received += len(event.pcm)
        elif isinstance(event, Finished | Failed):
            self._end()
        self._events.append(event)
        self._wake()

    def fail(self, error: type[SpeechError], message: str) -> None:
        """End the current utterance, if any, with an error."""
        if self.utterance is not None:
            failure = Failed(self.utterance.id, error.code, message, error.retryable)
            self._end()
            self._events.append(failure)
            self._wake()

    def stalled(self, tick: int) -> bool:
        """Return whether the worker has made no sound for STALLED_TICKS and another may be tried, once."""
        waited = tick - self._dispatched_tick
        made_no_sound = self._dispatched and self._received == 0 and waited >= STALLED_TICKS
        return made_no_sound and not self._moved

    def withdraw(self, utterance_id: int) -> None:
        """Take the utterance back from a silent worker, so that it can be dispatched to another.

        utterance_id: its new id. Events that the old worker may still send carry the old one and are dropped.
        """
        assert self.utterance is not None
        assert self.worker is not None
        self.worker.send(Cancel(self.utterance.id))
        self.worker.load -= 1
        self._dispatched = False
        self._moved = True
        self._discard_events()
        self.utterance = replace(self.utterance, id=utterance_id)
        self.restarts += 1
        self._wake()

    def lose_worker(self) -> bool:
        """Detach from a dead worker; return whether the utterance may be spoken again from its start.

        An utterance that has seen MAX_DEATHS workers die may be what they died of.
        """
        self.worker = None
        self._dispatched = False
        self._deaths += 1
        self._discard_events()
        self.lost = self._heard or self._deaths >= MAX_DEATHS
        self.restarts += not self.lost
        self._wake()
        return not self.lost

    def _discard_events(self) -> None:
        self._events.clear()
        self._received = self._taken = self._reported = 0

    def _report_taken(self) -> None:
        """Tell the worker how much was taken, before it has to pause."""
        if self.utterance is None or self.worker is None:
            return
        window = self.utterance.window
        if self._received >= window and self._taken - self._reported >= window // REPORTS:
            self._reported = self._taken
            self.worker.send(Taken(self.utterance.id, self._taken))

    def _release_home(self) -> None:
        if (home := self.home) is not None:
            home.contexts.discard(self.context)
            home.send(Release(self.context))
        self.worker = None

    def _end(self) -> None:
        self._pool.remove(self)
        self.utterance = None
        if self._dispatched and self.worker is not None:
            self.worker.load -= 1
        self._dispatched = False
