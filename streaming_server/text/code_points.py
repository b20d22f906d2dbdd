"""Join surrogate pairs that a delta boundary has split."""

from __future__ import annotations

import re

from streaming_server.errors import BadValue

_SURROGATE = re.compile("[\ud800-\udfff]")


def join_surrogates(text: str) -> tuple[str, str]:
    """Return the text with surrogate pairs joined, and a high half at its end that waits for its other.

    Raise BadValue for any other half.
    """
    if not _SURROGATE.search(text):
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    whole = text[:-1] if half else text
    try:
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le"), half
    except UnicodeDecodeError:
        raise BadValue("The text contains half of a surrogate pair.") from None


def check_code_points(text: str) -> None:
    """Raise BadValue for a whole text with half of a surrogate pair or with NUL in it."""
    code_points = CodePoints()
    code_points.push(text)
    code_points.flush()


class CodePoints:
    """Joins surrogate pairs across deltas."""

    def __init__(self) -> None:
        self._half = ""

    def push(self, delta: str) -> str:
        """Return the delta's code points; half of a pair at its end waits for the other half.

        Raise BadValue for a surrogate without its other half and for NUL; the delta is not taken then.
        """
        if "\0" in delta:
            raise BadValue("a NUL character cannot be spoken.", field="text")
        text, self._half = join_surrogates(self._half + delta)
        return text

    def flush(self) -> None:
        """Raise BadValue if half of a pair is waiting."""
        if self._half:
            raise BadValue("The text ends with half of a surrogate pair.")
