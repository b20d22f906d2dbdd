"""Sentence boundaries after terminators, as decided by the library `sentencex`."""

from __future__ import annotations

import re

import sentencex

from streaming_server.text.cut import inside_aside

SELDOM_BEGINS = "the"
"""A word that seldom begins a sentence: a boundary in front of it is one in front of any word, digits
included."""

OFTEN_BEGINS = "The"
"""A word that often begins a sentence: no boundary in front of it means none in front of any word. Even
"Dr. The" is a boundary."""

LOOK_AHEAD = 12
"""Most characters after a terminator that are read to decide about it; the end of the next word suffices."""

CONTEXT = 200
"""Characters before a terminator that `sentencex` sees."""

MAX_QUERIES = 64
"""Queries to `sentencex` within one sentence. Later terminators end nothing: only text that is nearly all
abbreviations gets that far."""

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
NEWLINES = "\n\r\x85\u2028\u2029"
_CLOSERS = r"""\"'”’»›)\]}」』）】》〉*_`~"""

EVENT = re.compile(f"[{NEWLINES}]|[{_TERMINATORS}][{_TERMINATORS}{_CLOSERS}]*")
"""A newline, or a run of terminators with the quotes and brackets that close after it."""

_ENDING = re.compile(f"[{_TERMINATORS}…]")
"""What speech pauses after: also an ellipsis, after which a sentence may go on."""
_WHOLE = re.compile(rf"{_ENDING.pattern}[{_CLOSERS}]*\Z")

_GERMAN_ORDINAL = re.compile(
    r"\b(?:der|die|das|dem|den|des|am|im|zum|zur|vom|beim|bis|ab|seit)\s\d{1,3}\.\Z", re.I
)
"""A number that stands after an article or a preposition: "am 5. Nov", "der 3. Mann"."""

_NEXT_WORD = re.compile(rf"[^\S{NEWLINES}]*[{NEWLINES}]|[\W_]*+[^\W_]\w*+\W")
_MARKS = re.compile(r"[\W_]*")


class Boundaries:
    """Decides about the runs of terminators of one sentence, in order.

    A verdict depends on the text up to the character that decides it, never on what else has arrived.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._german = language == "de"
        self._queries = 0
        self._probed = False

    def reset(self) -> None:
        """A new sentence begins."""
        self._queries = 0
        self._probed = False

    def ends_sentence(self, text: str, head: int, start: int, end: int, *, final: bool) -> bool | None:
        """Return whether text[start:end] ends the sentence text[head:]; None if more text must decide.

        Text must follow `end`. final: no more text will.
        """
        verdict = self._verdict(text, head, start, end, final)
        if verdict is not None:
            self._probed = False
        return verdict

    def _verdict(self, text: str, head: int, start: int, end: int, final: bool) -> bool | None:
        ahead = text[end : end + LOOK_AHEAD]
        continues = text[start] == "." and (ahead[0].islower() or ahead[0].isdecimal())
        if continues or self._queries >= MAX_QUERIES or inside_aside(text, head, start, end):
            return False
        context = text[max(head, end - CONTEXT) : end]
        if self._german and _GERMAN_ORDINAL.search(context, max(0, len(context) - 12)):
            return False
        if not self._probed:
            self._probed = True
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
        """Return what the least and the most likely first word agree on, if they do."""
        if self._is_boundary(context, run, ahead + SELDOM_BEGINS):
            return True
        return None if self._is_boundary(context, run, ahead + OFTEN_BEGINS) else False

    def _is_boundary(self, context: str, run: int, ahead: str) -> bool:
        """Return whether `sentencex` cuts after the terminators at context[run:] (run is negative).

        It may cut before or after quotes, brackets and white space in front of the next word.
        """
        self._queries += 1
        first = len(context) + run
        last = len(context) + len(_leading_marks(ahead))
        at = 0
        for sentence in sentencex.segment(self._language, context + ahead):
            at += len(sentence)
            if at > first:
                return at <= last
        return False


def joined(last: str, text: str) -> int:
    """Return how many characters of a text belong to the word before it, which ends with `last`."""
    count = 0
    while count < len(text) and _continues(last, text[count]):
        last = text[count]
        count += 1
    return count


def ends_sentence(last: str) -> bool:
    """Return whether a sentence may end with this character."""
    return _ENDING.fullmatch(last) is not None


def is_whole(text: str) -> bool:
    """Return whether a text ends like a sentence: with a terminator, maybe in quotes, or with a line."""
    stripped = text.rstrip()
    return "\n" in text[len(stripped) :] or _WHOLE.search(stripped) is not None


def _leading_marks(text: str) -> str:
    """Everything before the first letter or digit."""
    match = _MARKS.match(text)
    return match.group() if match else ""


def _continues(last: str, character: str) -> bool:
    if not last or last.isspace():
        return False
    if character.isalnum():
        return (last.isalnum() or last in "-'’") and character < "\u2e80"
    return character in ".,;:!?…)]}»”’\"'%-"
