"""Output of an engine without a server."""

from __future__ import annotations

from collections.abc import Iterable

from streaming_server.engines.base import Engine
from streaming_server.types import Audio, Event, Utterance


def drain(engine: Engine, utterances: Iterable[Utterance] = ()) -> list[Event]:
    """Return all events until these and earlier utterances have ended."""
    for utterance in utterances:
        engine.submit(utterance)
    events: list[Event] = []
    while engine.active:
        events.extend(engine.step())
    return events


def pcm(events: Iterable[Event], number: int) -> bytes:
    """Return the audio of one utterance."""
    return b"".join(event.pcm for event in events if isinstance(event, Audio) and event.utterance == number)
