"""Text without what must not be read aloud."""

from __future__ import annotations

import re

from streaming_server.text.nonverbals import NONVERBALS
from streaming_server.text.speakable import first_sound

_UNSPOKEN = re.compile(
    r"\[S[0-9]\]"  # Dia's speakers
    rf"|\((?:{'|'.join(sorted(NONVERBALS))})\)"  # and its sounds
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # \x01 starts a command to the library
    r"|[\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff]",  # halves of pairs; private use
    re.IGNORECASE,
)


def spoken_form(text: str) -> str:
    """Return the text with everything that must not be read aloud blanked. The length stays the same."""
    return _UNSPOKEN.sub(lambda match: " " * len(match[0]), text)


def is_speakable(spoken: str) -> bool:
    """Return whether a spoken form contains more than punctuation."""
    return first_sound(spoken, 0, len(spoken)) < len(spoken)
