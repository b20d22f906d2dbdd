"""One context's way through the pool: utterances in, events out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streaming_server.errors import SpeechError
from streaming_server.pipe import Cancel, Release, Submit
from streaming_server.pool.supervisor import Supervisor
from streaming_server.types import Audio, Event, Failed, Finished, Generation, Utterance, Voice

MOST_ATTEMPTS = 2
"""Workers an utterance may be given to, one after the death of the other."""


class Dispatcher(Protocol):
    """The pool, as its lanes see it."""

    def next_id(self) -> int: ...
    def place(self, lane: Lane) -> None: ...
    def forget(self, lane: Lane) -> None: ...


class Lane:
    """Carries one utterance at a time. Stays on the worker it began on.

    An utterance of which nothing has been taken yet survives the death of its worker: it is spoken again
    elsewhere. `wake` is called whenever there is something to take.
    """

    __slots__ = (
        "_attempts",
        "_events",
        "_pool",
        "_seated",
        "_taken",
        "_wake",
        "context",
        "expires_at",
        "utterance",
        "worker",
    )

    def __init__(self, context: int, wake: Callable[[], None], pool: Dispatcher) -> None:
        self.context = context
        self.utterance: Utterance | None = None
        self.worker: Supervisor | None = None
        self.expires_at = 0.0
        self._events: deque[Event] = deque()
        self._taken = False
        self._seated = False
        self._attempts = 0
        self._wake = wake
        self._pool = pool

    @property
    def busy(self) -> bool:
        """Whether an utterance is on its way: submitted, and its end not yet taken."""
        return self.utterance is not None or bool(self._events)

    def submit(self, text: str, voice: Voice, generation: Generation, deadline: float) -> None:
        """Send an utterance off. The lane must not be busy."""
        assert not self.busy
        self._taken = False
        self._attempts = 0
        self.utterance = Utterance(self._pool.next_id(), self.context, text, voice, generation, deadline)
        self._pool.place(self)

    def take(self) -> Event | None:
        """The next event, if one has come."""
        if not self._events:
            return None
        event = self._events.popleft()
        self._taken |= isinstance(event, Audio)
        return event

    def cancel(self) -> None:
        """Stop the utterance on its way. Nothing of it can be taken afterwards. Idempotent."""
        self._events.clear()
        if self.utterance is not None:
            if self._seated and self.worker is not None:
                self.worker.send(Cancel(self.utterance.id))
            self._end()

    def close(self) -> None:
        """The context is over. Idempotent."""
        self.cancel()
        if self.worker is not None:
            self.worker.send(Release(self.context))
            self.worker = None

    # What follows is for the pool.

    def seat(self, worker: Supervisor) -> None:
        """Begin, or begin again, on a worker."""
        assert self.utterance is not None
        if self.worker is not None and self.worker is not worker:
            self.worker.send(Release(self.context))
        self.worker = worker
        self._seated = True
        self._attempts += 1
        worker.load += 1
        worker.send(Submit(self.utterance))

    def deliver(self, event: Event) -> None:
        if isinstance(event, Finished | Failed):
            self._end()
        self._events.append(event)
        self._wake()

    def fail(self, error: type[SpeechError], message: str) -> None:
        if self.utterance is not None:
            failure = Failed(self.utterance.id, error.code, message, error.retryable)
            self._end()
            self._events.append(failure)
            self._wake()

    def lose_worker(self) -> bool:
        """The worker is gone; True if the utterance on its way may be spoken again from its start.

        One that has seen two workers die may be what killed them.
        """
        self.worker = None
        self._seated = False
        if self.utterance is None or self._taken or self._attempts >= MOST_ATTEMPTS:
            return False
        self._events.clear()
        return True

    def _end(self) -> None:
        self._pool.forget(self)
        self.utterance = None
        if self._seated and self.worker is not None:
            self.worker.load -= 1
        self._seated = False

    @property
    def waited_too_long(self) -> bool:
        return time.monotonic() >= self.expires_at
