"""What an engine makes of utterances, without a server around it."""

from __future__ import annotations

from collections.abc import Iterable

from streaming_server.engines.base import Engine
from streaming_server.types import Audio, Event, Utterance


def drain(engine: Engine, utterances: Iterable[Utterance] = ()) -> list[Event]:
    """All that comes out until these utterances, and those taken in before, have been spoken."""
    for utterance in utterances:
        engine.submit(utterance)
    events: list[Event] = []
    while engine.active:
        events.extend(engine.step())
    return events


def pcm(events: Iterable[Event], number: int) -> bytes:
    """The sound of one utterance."""
    return b"".join(event.pcm for event in events if isinstance(event, Audio) and event.utterance == number)
