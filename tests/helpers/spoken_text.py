"""Output of `SpokenText` for text in pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streaming_server.text.items import Item, Pause, Said, SpeakerChange
from streaming_server.text.spoken import SpokenText
from streaming_server.text.style import SpeakingStyle


def items_of(deltas: Iterable[str], **options: Any) -> list[Item]:
    """All items of a text. Neighbouring literal ones are joined, as where they are cut means nothing."""
    text = SpokenText(SpeakingStyle(**options))
    items = [item for delta in deltas for item in text.push(delta)]
    return joined([*items, *text.flush()])


def joined(items: Iterable[Item]) -> list[Item]:
    result: list[Item] = []
    for item in items:
        last = result[-1] if result else None
        if isinstance(item, Said) and isinstance(last, Said) and continues(last, item):
            result[-1] = Said(last.text + item.text, last.start, item.end, settled=item.settled)
        elif not isinstance(item, Said) or item.text:
            result.append(item)
    return result


def continues(last: Said, item: Said) -> bool:
    return last.literal and item.literal and last.end == item.start and last.settled == item.settled


def said(text: str, **options: Any) -> str:
    """The text as spoken; pauses and speakers in angle brackets, IPA after its word in slashes."""
    return "".join(map(shown, items_of([text], **options)))


def shown(item: Item) -> str:
    if isinstance(item, Said):
        return f"{item.text}/{item.ipa}/" if item.ipa else item.text
    if isinstance(item, SpeakerChange):
        return f"<{item.speaker}>"
    return f"<{item.seconds:g}s>" if isinstance(item, Pause) else ""
