"""Cuts text that is still arriving into utterance-sized pieces.

A delta may be cut anywhere. The pieces depend on the text and on where it was flushed, never on how it was
cut into deltas: a decision reads the sentence so far and what follows, one character at a time, until that
prefix decides.

* `sentencex` decides whether a run of terminators ends a sentence (boundary.py). It is queried with two
  continuations as soon as one character follows; if they agree, that is the answer, so most sentences are
  complete with the first white space after them. Otherwise (abbreviations, quotations) the next word decides.
* A newline ends a sentence.
* A sentence is never longer than `ChunkPolicy.max_chars`, white space included (cut.py).
* Closing quotes and brackets belong to the terminator before them, white space to the sentence after it.
* Text without a letter or a digit has no sound of its own. It joins the sentence after it, or is skipped if
  none follows before a flush, the end or a cut at `max_chars`. A speaker tag, "[S1]", has no sound.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from streaming_server.text.boundary import EVENT, NEWLINES, Boundaries
from streaming_server.text.cut import cut
from streaming_server.text.sentence import Sentence
from streaming_server.text.speakable import first_sound
from streaming_server.types import ChunkPolicy

_TAG = re.compile(r"\[S\d\]")


@dataclass(frozen=True, slots=True)
class _Complete:
    """A sentence waiting to be taken. flushes: number of flushes before it."""

    sentence: Sentence
    flushes: int


class Segmenter:
    """Cuts text into sentences and packs them into utterances.

    policy: lengths in code points. language: a BCP 47 tag; only its primary language counts, and an unknown
    one is left to `sentencex`.
    """

    def __init__(self, policy: ChunkPolicy, language: str = "en") -> None:
        self._policy = policy
        self._boundaries = Boundaries(language.partition("-")[0].lower())
        self._flushes = 0
        self._waiting = False
        self._complete: deque[_Complete] = deque()
        # The sentence being read is text[head:]; text[0] is code point `offset` of the whole text.
        self._text = ""
        self._offset = 0
        self._head = 0
        # Everything before `seen` is decided. Everything from `head` to `silent` has no sound.
        self._seen = 0
        self._silent = 0

    @property
    def received(self) -> int:
        """Code points appended so far."""
        return self._offset + len(self._text)

    @property
    def taken(self) -> int:
        """Code points that are done with: the text before them has been taken or has no sound."""
        return self._complete[0].sentence.start if self._complete else self._offset + self._head

    @property
    def waiting(self) -> bool:
        """True if the last `take` returned None because the complete text is shorter than `min_chars`."""
        return self._waiting

    def append(self, delta: str) -> None:
        """Add text, in whole code points."""
        if delta:
            self._text += delta
            self._read(final=False)

    def flush(self) -> None:
        """Complete all text so far. No piece spans a flush."""
        self._read(final=True)
        self._flushes += 1

    def take(self, *, first: bool, impatient: bool = False) -> tuple[Sentence, ...] | None:
        """Return the sentences of the next utterance, or None if none is ready.

        first: the context's first utterance is as short as `min_chars` allows; later ones are as long as
        `best_chars` allows. impatient: do not wait for `min_chars`.
        """
        self._waiting = False
        if not self._complete:
            return None
        count, length = self._pack(first)
        flushed = self._complete[0].flushes < self._flushes
        full = count < len(self._complete)
        if first and length < self._policy.min_chars and not (impatient or flushed or full):
            self._waiting = True
            return None
        return tuple(self._complete.popleft().sentence for _ in range(count))

    def _pack(self, first: bool) -> tuple[int, int]:
        """Return how many sentences the next utterance holds, and their length."""
        head = self._complete[0]
        start, end = head.sentence.spoken_start, head.sentence.spoken_end
        enough = self._policy.min_chars if first else self._policy.max_chars
        most = self._policy.max_chars if first else min(self._policy.best_chars, self._policy.max_chars)
        count, raw_end = 0, head.sentence.start
        for item in self._complete:
            longer = item.sentence.spoken_end - start
            if count and (end - start >= enough or longer > most or item.flushes != head.flushes):
                break
            # Skipped text is in no sentence, so it ends the piece.
            if count and item.sentence.start != raw_end:
                break
            count, end, raw_end = count + 1, item.sentence.spoken_end, item.sentence.end
        return count, end - start

    def _read(self, final: bool) -> None:
        """Decide everything that can be decided. final: no more text belongs to this sentence."""
        while self._step(final):
            pass
        if final:
            self._end_sentence(len(self._text))
        self._offset += self._head
        self._text = self._text[self._head :]
        self._seen -= self._head
        self._silent -= self._head
        self._head = 0

    def _step(self, final: bool) -> bool:
        """Decide about the next newline, run of terminators or cut. Return False if more text is needed."""
        text, limit = self._text, self._head + self._policy.max_chars
        event = EVENT.search(text, self._seen, limit + 1)
        if event is None or event.end() > limit:
            if len(text) > limit:
                self._end_sentence(cut(text, self._head, limit))
                return True
            self._seen = event.start() if event else len(text)
            return False
        start, end = event.span()
        verdict = self._verdict(start, end, final)
        if verdict is None:
            self._seen = start
            return False
        self._seen = end
        if verdict and self._has_sound(end):
            self._end_sentence(end)
        return True

    def _verdict(self, start: int, end: int, final: bool) -> bool | None:
        """Return whether text[start:end] ends the sentence; None if more text must decide."""
        if self._text[start] in NEWLINES:
            return True
        if end == len(self._text):
            return None
        if not self._has_sound(end):
            return False
        return self._boundaries.ends_sentence(self._text, self._head, start, end, final=final)

    def _has_sound(self, end: int) -> bool:
        while (sound := first_sound(self._text, self._silent, end)) < end:
            tag = _TAG.match(self._text, sound - 1, end) if sound else None
            if tag is None:
                break
            self._silent = tag.end()
        self._silent = sound
        return sound < end

    def _end_sentence(self, end: int) -> None:
        """End the sentence being read at `end`; skip it if it has no sound."""
        if self._has_sound(end):
            sentence = Sentence(self._text[self._head : end], self._offset + self._head)
            self._complete.append(_Complete(sentence, self._flushes))
        self._head = self._seen = self._silent = end
        self._boundaries.reset()
