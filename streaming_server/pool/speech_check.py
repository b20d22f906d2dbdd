"""Checks that a worker process really speaks: answering pings is not enough."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio
import structlog

from streaming_server.types import DEFAULT_VOICE, Audio, Event, Failed, Finished, Generation, Utterance

CANARY_EVERY_S = 4.0
"""A worker that has been silent for this long is sent a canary utterance, and so on until it speaks."""
CANARY_FRESH_S = 10.0
"""A healthy worker has produced sound within this time."""
MUTE_BEATS = 60
"""Heartbeats, half a minute, after which a worker that should speak and does not is called mute. Counted in
heartbeats, not seconds, so that a pause of the server's own process does not count."""
MUTE_FACTOR = 4
"""It may also take this many times as long as its first canary: minutes for a large model on a CPU."""

log = structlog.stdlib.get_logger(__name__)


class SpeechCheck:
    """Follows the sound of one worker process, and has it speak a canary utterance when it has been silent.

    first_sound: set by its first sound. next_id: returns an id for an utterance. submit: sends one to the
    worker.
    """

    def __init__(self, device: str, next_id: Callable[[], int], submit: Callable[[Utterance], None]) -> None:
        self.first_sound = anyio.Event()
        self._device = device
        self._next_id = next_id
        self._submit = submit
        self._begun = False
        self._spoke_at = -math.inf
        self._canary: _Canary | None = None
        self._canary_at = -math.inf
        self._silent_beats = 0
        self._patience = MUTE_BEATS

    @property
    def fresh(self) -> bool:
        """True if it has produced sound within CANARY_FRESH_S."""
        return time.monotonic() - self._spoke_at <= CANARY_FRESH_S

    @property
    def mute(self) -> bool:
        """True if no utterance has had any sound for too many heartbeats, although a canary was sent."""
        return self._silent_beats >= self._patience

    def begin(self) -> None:
        """Send the first canary. Call it when the worker is ready for utterances."""
        self._begun = True
        self._send_canary_if_quiet()

    def beat(self, *, paused: bool = False) -> None:
        """Send a canary if the worker has been silent; does nothing before `begin`. Call it every heartbeat.

        paused: an utterance waits for its listener. The canary may be waiting for its slot, so the worker
        need not speak.
        """
        if self._begun:
            asked = self._canary is not None or self._canary_at > self._spoke_at
            self._silent_beats = self._silent_beats + 1 if asked and not paused else 0
            self._send_canary_if_quiet()

    def follow(self, events: Iterable[Event]) -> list[Event]:
        """Note the sound in a worker's events; return those of other utterances than the canary."""
        others = [event for event in events if not self._is_of_canary(event)]
        if any(isinstance(event, Audio) for event in others):
            self._note_sound()
        return others

    def _is_of_canary(self, event: Event) -> bool:
        """Follow the canary utterance; return whether the event belongs to it."""
        canary = self._canary
        if canary is None or event.utterance != canary.utterance:
            return False
        if isinstance(event, Audio):
            canary.sounded = True
            if self.first_sound.is_set():
                self._silent_beats = 0
        if isinstance(event, Finished | Failed):
            self._canary = None
        if isinstance(event, Finished) and canary.sounded:
            self._note_sound()
        elif isinstance(event, Failed):
            log.warning("canary failed", device=self._device, code=event.code, reason=event.message)
        return True

    def _note_sound(self) -> None:
        self._spoke_at = time.monotonic()
        if not self.first_sound.is_set():
            self._patience = max(MUTE_BEATS, MUTE_FACTOR * self._silent_beats)
            self.first_sound.set()
        self._silent_beats = 0

    def _send_canary_if_quiet(self) -> None:
        """Send a canary if there is none and CANARY_EVERY_S have passed since the last one or any sound."""
        now = time.monotonic()
        if self._canary is None and now - max(self._spoke_at, self._canary_at) >= CANARY_EVERY_S:
            canary = Utterance(
                self._next_id(), 0, "Ready.", DEFAULT_VOICE, Generation(max_tokens=100), deadline=now
            )
            self._canary = _Canary(canary.id)
            self._canary_at = now
            self._submit(canary)


@dataclass(slots=True)
class _Canary:
    """An utterance without a listener, spoken to show that the worker can."""

    utterance: int
    sounded: bool = False
