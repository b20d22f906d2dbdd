"""Sentences of a text, and the pieces of it that are spoken in one go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    """A slice of the text, with the white space around it.

    Consecutive sentences touch, except where text without sound was skipped. start: in code points.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def spoken(self) -> str:
        """The text without surrounding white space; never empty."""
        return self.text.strip()

    @property
    def spoken_start(self) -> int:
        return self.end - len(self.text.lstrip())

    @property
    def spoken_end(self) -> int:
        return self.start + len(self.text.rstrip())


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one utterance: one or more whole sentences, each with something to speak.

    text: the text from `start` to `end`, in code points, without surrounding white space.
    """

    sentences: tuple[Sentence, ...]
    text: str

    @property
    def start(self) -> int:
        return self.sentences[0].spoken_start

    @property
    def end(self) -> int:
        return self.sentences[-1].spoken_end


def piece_of(sentences: tuple[Sentence, ...]) -> Piece:
    return Piece(sentences, "".join(sentence.text for sentence in sentences).strip())
