"""Speech markup in a text that streams: nobody wants to hear a tag read aloud.

Pure: no I/O.
"""

from __future__ import annotations

import re

LONGEST_TAG = 256
"""In characters; what is longer is no tag."""

_NAMES = "break|emphasis|lang|mark|p|phoneme|prosody|s|say-as|speak|sub|voice|w"
_TAG = re.compile(rf"</?({_NAMES})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_BEGUN = re.compile(rf"<(?:/?[a-z-]{{0,8}}/?|/?(?:{_NAMES})\s[^<>]{{0,{LONGEST_TAG}}}/?)\Z", re.IGNORECASE)


def without_tags(text: str) -> str:
    """A whole text without its SSML tags; a space where one was a break."""
    return _TAG.sub(lambda tag: " " if tag[1].lower() == "break" else "", text)


class TagFilter:
    """The same for a text in pieces: what may be the beginning of a tag is held back until it is known."""

    def __init__(self) -> None:
        self._held = ""

    def push(self, text: str) -> str:
        """What can be spoken of it now."""
        text = without_tags(self._held + text)
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return text[:end]

    def finish(self) -> str:
        """What was held back, now that nothing completes it."""
        held, self._held = self._held, ""
        return held
