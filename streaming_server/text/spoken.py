"""Turn written text into spoken text as it arrives.

Language models write Markdown, clients write SSML, people write figures. Here all of that turns into what a
person would say, while the text is still arriving, with a map back to where each part is written:

    deltas → CodePoints → MarkupReader → Pronouncer → EnglishReader → Said | Pause | SpeakerChange

Text may be cut anywhere; the result is the same. A construct is waited for over at most LOOK_AHEAD code
points (cursor.py), a code block over at most CLOSES_WITHIN (fences.py), and a figure over at most
WINDOW_WORDS words (english/reader.py); what is not complete by then, or by a flush, is spoken as written.
"""

from __future__ import annotations

from typing import Protocol

from streaming_server.text.code_points import CodePoints
from streaming_server.text.english.reader import EnglishReader
from streaming_server.text.items import Item, literal
from streaming_server.text.markup_reader import MarkupReader
from streaming_server.text.pronouncer import Pronouncer
from streaming_server.text.style import SpeakingStyle


class TextStage(Protocol):
    """Changes items on their way."""

    def push(self, items: list[Item]) -> list[Item]: ...

    def flush(self) -> list[Item]: ...


class SpokenText:
    """The text of one context, as it is to be spoken. Offsets count code points of the client's text."""

    def __init__(self, style: SpeakingStyle) -> None:
        self._code_points = CodePoints()
        self._markup = MarkupReader(style) if style.enabled else None
        self._stages = _stages(style) if style.enabled else []
        self._received = 0
        self._parts: list[str] = []

    @property
    def received(self) -> int:
        """Code points of the client's text so far; half of a surrogate pair is not counted."""
        return self._received

    @property
    def written(self) -> str:
        """The client's text so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def push(self, delta: str) -> list[Item]:
        """Add text. Return what can be spoken now.

        Raise BadValue for a surrogate without its other half and for NUL; the delta is not taken then.
        """
        text = self._code_points.push(delta)
        start = self._received
        self._received += len(text)
        self._parts.append(text)
        if self._markup is None:
            return [literal(text, start)] if text else []
        items = self._markup.push(text)
        for stage in self._stages:
            items = stage.push(items)
        return items

    def flush(self, *, close_blocks: bool = True) -> list[Item]:
        """Return the rest of the text so far. Raise BadValue if it ends with half of a surrogate pair.

        close_blocks: speak the text of a code block that has not closed; otherwise it stays open.
        """
        self._code_points.flush()
        items = self._markup.flush(close_blocks=close_blocks) if self._markup else []
        for stage in self._stages:
            items = [*stage.push(items), *stage.flush()]
        return items


def _stages(style: SpeakingStyle) -> list[TextStage]:
    stages: list[TextStage] = [Pronouncer(style)]
    if style.english:
        stages.append(EnglishReader())
    return stages
