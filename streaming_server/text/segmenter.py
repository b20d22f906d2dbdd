"""Text deltas become utterance-sized pieces.

A delta may be cut anywhere. What comes out depends on the text and on where it was flushed, never on how it
was cut into deltas. A decision about a place in the text reads the sentence so far and what follows, one
character at a time, until that prefix decides it; so the same prefix decides it however it arrived.

* `sentencex` says whether a run of terminators ends a sentence. As soon as one character follows the run it
  is asked with two continuations; if they agree, that is the answer, so most sentences are complete with the
  first white space after them. Otherwise (abbreviations, quotations) the next word decides.
* A newline ends a sentence.
* A sentence is never longer than `ChunkPolicy.max_chars`, white space included. It is cut at white space
  where there is some, and before a short parenthesis such as "(laughs)" rather than inside it.
* Closing quotes and brackets belong to the terminator before them, white space to the sentence after it.
* Text without a letter or a digit has no sound of its own. It joins the sentence after it; where there is
  none before a flush, the end or a cut at `max_chars`, it is passed over. A speaker tag, "[S1]", counts as
  having no sound.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from dataclasses import dataclass

import sentencex

from streaming_server.errors import BadValue, InternalError
from streaming_server.text.speakable import first_sound
from streaming_server.types import ChunkPolicy

LIKELY_GOES_ON = "the"
"""What ends a sentence although a small letter (or a digit, which counts the same) follows, always does."""

LIKELY_NEW = "The"
"""What ends no sentence before a word that so often begins one, never does. Even "Dr. The" is cut."""

LOOK_AHEAD = 12
"""Characters after a terminator that decide about it at the latest, if the next word has not ended before."""

CONTEXT = 200
"""Characters before a terminator that `sentencex` sees."""

QUESTIONS = 64
"""How often `sentencex` is asked within one sentence. Later terminators in it end nothing: only text that is
nearly all abbreviations comes so far."""

ASIDE = 30
"""Longest parenthesis, in characters, that is kept whole."""

# Unicode's Sentence_Break=STerm and ATerm, and U+3002 and U+FF61: what `sentencex` takes for a terminator.
_TERMINATORS = (
    r"!.?\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a"
    r"\u104b\u1362\u1367\u1368\u166e\u1735\u1736\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b"
    r"\u1b5e\u1b5f\u1b7d\u1b7e\u1c3b\u1c3c\u1c7e\u1c7f\u2024\u203c\u203d\u2047-\u2049\u2e2e\u2e3c"
    r"\u2e53\u2e54\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9"
    r"\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61\U00010a56"
    r"\U00010a57\U00010f55-\U00010f59\U00010f86-\U00010f89\U00011047\U00011048"
    r"\U000110be-\U000110c1\U00011141-\U00011143\U000111c5\U000111c6\U000111cd\U000111de\U000111df"
    r"\U00011238\U00011239\U0001123b\U0001123c\U000112a9\U0001144b\U0001144c\U000115c2\U000115c3"
    r"\U000115c9-\U000115d7\U00011641\U00011642\U0001173c-\U0001173e\U00011944\U00011946\U00011a42"
    r"\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42\U00011ef7\U00011ef8\U00011f43\U00011f44"
    r"\U00016a6e\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44\U00016e98\U0001bc9f\U0001da88"
)
_CLOSERS = r"""\"'”’»›)\]}」』）】》〉*_`~"""
_NEWLINES = r"\n\r\x85\u2028\u2029"

_EVENT = re.compile(f"[{_NEWLINES}]|[{_TERMINATORS}][{_TERMINATORS}{_CLOSERS}]*")
_NEXT_WORD = re.compile(rf"[^\S{_NEWLINES}]*[{_NEWLINES}]|[\W_]*+[^\W_]\w*+\W")
_MARKS = re.compile(r"[\W_]*")
_TAG = re.compile(r"\[S\d\]")
_LAST_SPACE = re.compile(r".*(?=\s)", re.DOTALL)
_OPEN_ASIDE = re.compile(r"[(\[](?:\w[^()\[\]]*)?\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A slice of the client's text, with the white space around it.

    Consecutive sentences touch, but for text that has no sound. start: code points into the client's text.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def spoken(self) -> str:
        """The text without the white space around it; never empty."""
        return self.text.strip()

    @property
    def spoken_start(self) -> int:
        return self.end - len(self.text.lstrip())

    @property
    def spoken_end(self) -> int:
        return self.start + len(self.text.rstrip())


@dataclass(frozen=True, slots=True)
class Piece:
    """What one utterance speaks: one or more whole sentences, each with something to speak.

    text: exactly the client's text from `start` to `end`, in code points; no white space around it.
    """

    sentences: tuple[Sentence, ...]
    text: str

    @property
    def start(self) -> int:
        return self.sentences[0].spoken_start

    @property
    def end(self) -> int:
        return self.sentences[-1].spoken_end


@dataclass(frozen=True, slots=True)
class _Complete:
    """A sentence waiting to be taken. flushes: how many flushes came before it."""

    sentence: Sentence
    flushes: int


class Segmenter:
    """Cuts text that is still arriving into sentences, and packs these into utterances.

    policy: lengths in code points. language: a BCP 47 tag; only its language decides, an unknown one is
    treated as `sentencex` does.
    """

    def __init__(self, policy: ChunkPolicy, language: str = "en") -> None:
        self._policy = policy
        self._language = language.partition("-")[0].lower()
        self._half = ""
        self._finished = False
        self._flushes = 0
        self._waiting = False
        self._complete: deque[_Complete] = deque()
        # The sentence being read: text[head:], at code point `offset + head` of the client's text.
        self._text = ""
        self._offset = 0
        self._head = 0
        # Everything before `seen` has been decided. `asked`: the run there was probed, and only the word
        # after it can decide. Everything from head to `silent` has no sound.
        self._seen = 0
        self._asked = False
        self._silent = 0
        self._questions = 0

    @property
    def received(self) -> int:
        """Code points appended so far; half of a surrogate pair is not counted."""
        return self._offset + len(self._text)

    @property
    def taken(self) -> int:
        """Code points that are done with: the text before them has been taken or has no sound."""
        return self._complete[0].sentence.start if self._complete else self._offset + self._head

    @property
    def buffered(self) -> int:
        """Code points received and not yet taken."""
        return self.received - self.taken

    @property
    def waiting(self) -> bool:
        """Whether the last `take` gave nothing only because what is complete is shorter than `min_chars`."""
        return self._waiting

    def append(self, delta: str) -> None:
        """More text. One half of a surrogate pair at its end waits for the other half.

        Raises BadValue for a surrogate without its other half and for NUL; the delta is not taken then.
        """
        if self._finished:
            raise InternalError("Text was appended after its end.")
        if "\0" in delta:
            raise BadValue("The text contains a NUL character.")
        text, self._half = _join_pairs(self._half + delta)
        if text:
            self._text += text
            self._read(final=False)

    def flush(self) -> None:
        """All text so far is complete. No piece holds text from both sides of a flush.

        Raises BadValue if the text ends with half of a surrogate pair.
        """
        if self._half:
            raise BadValue("The text ends with half of a surrogate pair.")
        self._read(final=True)
        self._flushes += 1

    def finish(self) -> None:
        """The text ends here. Idempotent. Raises BadValue as `flush` does."""
        if not self._finished:
            self.flush()
            self._finished = True

    def take(self, *, first: bool, impatient: bool = False) -> Piece | None:
        """The next utterance, or None if none is ready.

        first: it is the context's first, which is as short as `min_chars` allows; a later one is as long as
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
        sentences = tuple(self._complete.popleft().sentence for _ in range(count))
        return Piece(sentences, _spoken(sentences))

    def _pack(self, first: bool) -> tuple[int, int]:
        """How many sentences the next utterance holds, and their length."""
        head = self._complete[0]
        start, end = head.sentence.spoken_start, head.sentence.spoken_end
        enough = self._policy.min_chars if first else self._policy.max_chars
        most = self._policy.max_chars if first else min(self._policy.best_chars, self._policy.max_chars)
        count, raw_end = 0, head.sentence.start
        for item in self._complete:
            longer = item.sentence.spoken_end - start
            if count and (end - start >= enough or longer > most or item.flushes != head.flushes):
                break
            # Text without sound that was passed over is not in any sentence, so it ends the piece.
            if count and item.sentence.start != raw_end:
                break
            count, end, raw_end = count + 1, item.sentence.spoken_end, item.sentence.end
        return count, end - start

    def _read(self, final: bool) -> None:
        """Decide all that can be decided. final: no more text belongs to this sentence."""
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
        """Decide about the next newline, run of terminators or cut; False if more text is needed."""
        text, limit = self._text, self._head + self._policy.max_chars
        event = _EVENT.search(text, self._seen, limit + 1)
        if event is None or event.end() > limit:
            if len(text) > limit:
                self._end_sentence(_cut(text, self._head, limit))
                return True
            self._seen = event.start() if event else len(text)
            return False
        start, end = event.span()
        if text[start] in "\n\r\x85\u2028\u2029":
            verdict: bool | None = True
        elif end == len(text):
            self._seen = start
            return False
        else:
            verdict = self._ends_sentence(start, end, final)
        if verdict is None:
            self._seen = start
            return False
        self._seen, self._asked = end, False
        if verdict and self._has_sound(end):
            self._end_sentence(end)
        return True

    def _has_sound(self, end: int) -> bool:
        while (sound := first_sound(self._text, self._silent, end)) < end:
            tag = _TAG.match(self._text, sound - 1, end) if sound else None
            if tag is None:
                break
            self._silent = tag.end()
        self._silent = sound
        return sound < end

    def _end_sentence(self, end: int) -> None:
        """The sentence being read ends at `end`; it is passed over if it has no sound."""
        if self._has_sound(end):
            sentence = Sentence(self._text[self._head : end], self._offset + self._head)
            self._complete.append(_Complete(sentence, self._flushes))
        self._head = self._seen = self._silent = end
        self._asked = False
        self._questions = 0

    def _ends_sentence(self, start: int, end: int, final: bool) -> bool | None:
        """Whether the run from `start` to `end`, which more text follows, ends a sentence; None: unknown.

        One character decides if it can, else the whole look-ahead; never what happens to be there by now.
        """
        text = self._text
        if not self._has_sound(end) or _inside_aside(text, max(self._head, start - ASIDE), start, end):
            return False
        ahead = text[end : end + LOOK_AHEAD]
        continues = text[start] == "." and (ahead[0].islower() or ahead[0].isdecimal())
        if continues or self._questions >= QUESTIONS:
            return False
        context = text[max(self._head, end - CONTEXT) : end]
        if not self._asked:
            self._asked = True
            verdict = self._certain(context, start - end, ahead[0])
            if verdict is not None:
                return verdict
        word = _NEXT_WORD.match(ahead)
        if word:
            ahead = word.group()
        elif len(ahead) < LOOK_AHEAD and not final:
            return None
        return self._is_boundary(context, start - end, ahead)

    def _certain(self, context: str, run: int, ahead: str) -> bool | None:
        """What the least and the most likely beginning of a sentence agree on, if they do."""
        if self._is_boundary(context, run, ahead + LIKELY_GOES_ON):
            return True
        return None if self._is_boundary(context, run, ahead + LIKELY_NEW) else False

    def _is_boundary(self, context: str, run: int, ahead: str) -> bool:
        """Whether `sentencex` cuts after the terminators at context[run:] (run is negative).

        It may cut before or after quotes, brackets and white space that stand before the next word.
        """
        self._questions += 1
        first = len(context) + run
        last = len(context) + len(_leading_marks(ahead))
        at = 0
        for sentence in sentencex.segment(self._language, context + ahead):
            at += len(sentence)
            if at > first:
                return at <= last
        return False


def _spoken(sentences: tuple[Sentence, ...]) -> str:
    return "".join(sentence.text for sentence in sentences).strip()


def _leading_marks(text: str) -> str:
    """All before the first letter or digit."""
    match = _MARKS.match(text)
    return match.group() if match else ""


def _join_pairs(text: str) -> tuple[str, str]:
    """The text with halves of surrogate pairs joined, and a high half at its end that waits for its other.

    Raises BadValue for any other half.
    """
    if not _SURROGATE.search(text):
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    whole = text[:-1] if half else text
    try:
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le"), half
    except UnicodeDecodeError:
        raise BadValue("The text contains half of a surrogate pair.") from None


def _inside_aside(text: str, begin: int, start: int, end: int) -> bool:
    """Whether a terminator at `start` stands in a parenthesis that began at or after `begin` and is open."""
    return bool(_OPEN_ASIDE.search(text[begin:start])) and not any(c in ")]" for c in text[start:end])


def _cut(text: str, head: int, limit: int) -> int:
    """Where to cut text without a boundary: at most at `limit`, after `head`.

    Reads nothing after text[limit].
    """
    begin = limit - len(text[head:limit].lstrip())
    space = _LAST_SPACE.match(text, begin, limit + 1)
    mark = limit
    while mark - 1 > max(begin, limit - ASIDE) and _continues_character(text, mark):
        mark -= 1
    for cut in (space.end() if space else begin, mark):
        kept = _before_aside(text, begin, cut)
        if kept > begin:
            return kept
    return limit


def _before_aside(text: str, begin: int, cut: int) -> int:
    """The cut, moved before a parenthesis that would be cut in two; not before `begin`."""
    start = max(begin, cut - ASIDE)
    aside = _OPEN_ASIDE.search(text[start:cut])
    return start + aside.start() if aside else cut


def _continues_character(text: str, at: int) -> bool:
    """Whether a cut there would take a combining mark or a joined emoji apart."""
    return _JOINER in text[at - 1 : at + 1] or unicodedata.category(text[at])[0] == "M"
