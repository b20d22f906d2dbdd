"""One context's way through the pool: utterances in, events out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streaming_server.errors import SpeechError
from streaming_server.ipc.messages import WINDOW, Cancel, Release, Submit, Taken
from streaming_server.pool.supervisor import Supervisor
from streaming_server.types import Audio, Event, Failed, Finished, Generation, Utterance, Voice

MOST_ATTEMPTS = 2
"""Workers an utterance may be given to, one after the death of the other."""

REPORT_EVERY = WINDOW // 8
"""Bytes taken of a long utterance between two reports to its worker."""


def _nobody() -> None:
    """Whom a closed lane wakes."""


class Dispatcher(Protocol):
    """The pool, as its lanes see it."""

    def next_id(self) -> int: ...
    def place(self, lane: Lane) -> None: ...
    def forget(self, lane: Lane) -> None: ...


class Lane:
    """Carries one utterance at a time. Stays on the worker it began on, while that lives.

    An utterance of which nobody has heard anything yet survives the death of its worker: it is spoken again
    from its start, elsewhere if need be. `wake` is called whenever there is something to take or to look at.

    restarts: how often the utterance on its way has begun again; what was taken of its sound before is void.
    lost: its worker died and it cannot go on; all there is to take is the failure.
    """

    __slots__ = (
        "_attempts",
        "_events",
        "_heard",
        "_pool",
        "_received",
        "_reported",
        "_seated",
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
        self._seated = False
        self._attempts = 0
        self._wake = wake
        self._pool = pool

    @property
    def busy(self) -> bool:
        """Whether an utterance is on its way: submitted, and its end not yet taken."""
        return self.utterance is not None or bool(self._events)

    @property
    def buffered(self) -> int:
        """Bytes of PCM that have come and not been taken."""
        return self._received - self._taken

    def submit(self, text: str, voice: Voice, generation: Generation, deadline: float) -> None:
        """Send an utterance off. The lane must not be busy."""
        assert not self.busy
        self._heard = self.lost = False
        self._attempts = self.restarts = 0
        self._empty()
        self.utterance = Utterance(self._pool.next_id(), self.context, text, voice, generation, deadline)
        self._pool.place(self)

    def take(self) -> Event | None:
        """The next event, if one has come."""
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Audio):
            self._taken += len(event.pcm)
            self._report()
        return event

    def heard(self) -> None:
        """Sound of the utterance on its way has gone out to the listener: it cannot begin again."""
        self._heard = True

    def cancel(self) -> None:
        """Stop the utterance on its way. Nothing of it can be taken afterwards. Idempotent."""
        self._empty()
        if self.utterance is not None:
            if self._seated and self.worker is not None:
                self.worker.send(Cancel(self.utterance.id))
            self._end()

    def close(self) -> None:
        """The context is over, and nobody is woken any more. Idempotent."""
        self.cancel()
        self._leave_home()
        self._wake = _nobody  # The context holds the lane: without this they would be a cycle.

    # What follows is for the pool.

    @property
    def home(self) -> Supervisor | None:
        """The worker it began on, unless that has died since."""
        alive = self.worker is not None and self.context in self.worker.contexts
        return self.worker if alive else None

    @property
    def seated(self) -> bool:
        """Whether a worker has its utterance, rather than that it waits for one."""
        return self._seated

    def seat(self, worker: Supervisor) -> None:
        """Begin, or begin again, on a worker."""
        assert self.utterance is not None
        if worker is not self.home:
            self._leave_home()
        self.worker = worker
        worker.contexts.add(self.context)
        self._seated = True
        self._attempts += 1
        worker.load += 1
        worker.send(Submit(self.utterance))

    def deliver(self, event: Event) -> None:
        if isinstance(event, Audio):
            self._received += len(event.pcm)
        elif isinstance(event, Finished | Failed):
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
        self._empty()
        self.lost = self._heard or self._attempts >= MOST_ATTEMPTS
        self.restarts += not self.lost
        self._wake()
        return not self.lost

    def _empty(self) -> None:
        self._events.clear()
        self._received = self._taken = self._reported = 0

    def _report(self) -> None:
        """Let a worker go on that has stopped, or will, because what it sent was not taken."""
        due = self._received >= WINDOW and self._taken - self._reported >= REPORT_EVERY
        if due and self.utterance is not None and self.worker is not None:
            self._reported = self._taken
            self.worker.send(Taken(self.utterance.id, self._taken))

    def _leave_home(self) -> None:
        if (home := self.home) is not None:
            home.contexts.discard(self.context)
            home.send(Release(self.context))
        self.worker = None

    def _end(self) -> None:
        self._pool.forget(self)
        self.utterance = None
        if self._seated and self.worker is not None:
            self.worker.load -= 1
        self._seated = False

    @property
    def waited_too_long(self) -> bool:
        return time.monotonic() >= self.expires_at
