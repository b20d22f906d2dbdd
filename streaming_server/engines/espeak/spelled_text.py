"""Text with insertions for the library: pronunciations and commands, and the way back to the written text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streaming_server.engines.espeak.voices import COMPRESSED_WPM, VoiceParameters
from streaming_server.types import Pronounced, ProsodySpan

_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Insertion:
    """Text that the library reads in place of a part, or in front of a word where the part is empty.

    start, end: code points into the text.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of spoken text and the written one it stands for. inserted: its length, if it is inserted."""

    spoken: int
    written: int
    length: int
    inserted: int = 0


class SpelledText:
    """A text as the library reads it. spoken: that text. phonemes: whether there are some in it.

    pronounced: the pronunciations in order, each in the library's notation. commands: in order.
    """

    def __init__(
        self,
        text: str,
        pronounced: Sequence[tuple[Pronounced, str]],
        commands: Sequence[Insertion] = (),
    ) -> None:
        self.phonemes = bool(pronounced)
        spelled = [Insertion(part.start, part.end, f"[[{spelling}]]") for part, spelling in pronounced]
        pieces: list[str] = []
        self._stretches: list[_Stretch] = []
        spoken = at = 0
        for one in sorted([*commands, *spelled], key=lambda one: (one.start, one.end)):
            if one.start < at and one.start < one.end:
                continue  # A pronunciation within another one. A command within one goes behind it.
            start, end = max(one.start, at), max(one.end, at)
            plain = self._plain(text[at:start])
            self._stretches.append(_Stretch(spoken, at, start - at))
            spoken += len(plain)
            self._stretches.append(_Stretch(spoken, start, end - start, len(one.text)))
            spoken += len(one.text)
            pieces += (plain, one.text)
            at = end
        self._stretches.append(_Stretch(spoken, at, len(text) - at))
        self.spoken = "".join([*pieces, self._plain(text[at:])])

    def written(self, position: int, length: int) -> tuple[int, int]:
        """Return position and length in the written text for those in the spoken one, counted from 1."""
        index = position - 1
        stretch = next(one for one in reversed(self._stretches) if one.spoken <= max(0, index))
        if not stretch.inserted:
            return stretch.written + index - stretch.spoken + 1, length
        if stretch.length:
            return stretch.written + 1, stretch.length
        return stretch.written + 1, max(0, length - (stretch.spoken + stretch.inserted - index))

    def _plain(self, text: str) -> str:
        """Return text of the same length that opens no phonemes, neither by itself nor with `[[` after it."""
        if not self.phonemes:
            return text
        opened = text.replace("[[", "[ ")
        return f"{opened[:-1]} " if opened.endswith("[") else opened


def prosody_commands(
    text: str, spans: Sequence[ProsodySpan], parameters: Sequence[VoiceParameters], own: VoiceParameters
) -> Iterator[Insertion]:
    """Yield the commands that change pace and pitch for each span, and change them back behind it.

    parameters: those of each span. own: those of the rest. A command stands right in front of a word, as the
    library takes it as part of that, and behind white space, as it would take it as part of the word before.
    """
    changes: dict[int, VoiceParameters] = {}
    for span, there in zip(spans, parameters, strict=True):
        changes[_word_from(text, span.start)] = there
        changes[_word_from(text, span.end)] = own
    for at, wanted in sorted(changes.items()):
        if at < len(text):
            rate = wanted.rate if own.compressed else min(wanted.rate, COMPRESSED_WPM - 1)
            gap = " " if at and not text[at - 1].isspace() else ""
            yield Insertion(at, at, f"{gap}\x01{rate}S\x01{wanted.pitch}P")


def _word_from(text: str, at: int) -> int:
    """Return the first place from `at` that is not white space."""
    space = _SPACE.match(text, at)
    return space.end() if space else at
