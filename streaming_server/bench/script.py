"""The replies of the simulated language model, already encoded as messages of a protocol."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from streaming_server.bench.wires import Native, Wire

SENTENCES = (
    "The train to the coast leaves from platform nine in about twenty minutes.",
    "I looked at your calendar and there is room for a walk tomorrow afternoon.",
    "Fresh bread keeps longest in a paper bag inside a wooden box.",
    "Would you like me to read the second message as well?",
    "The museum opens early today, so we should be there before the crowd.",
    "Most of the rain will be gone by the time you leave the office.",
    "Turn left after the bridge and follow the river for two miles.",
    "Your sister called this morning and asked about the birthday dinner.",
    "A slow simmer brings out far more flavour than a rolling boil.",
    "There are three good restaurants within walking distance of the hotel.",
    "The battery is almost full and should last until late in the evening.",
    "I can set a reminder for that if you tell me a time.",
    "Nobody has answered the question about the garden fence so far.",
    "The last chapter explains why the lighthouse was moved inland.",
    "Please keep the receipt, because the shop only exchanges goods with one.",
    "That song was recorded in a barn on a very cold winter night!",
    "The meeting was shortened to half an hour and moved to Thursday.",
    "Your parcel has reached the depot and will be delivered before noon.",
    "Some people find it easier to learn the words by singing them.",
    "The path gets steep near the top, so take water and good shoes.",
    "Shall I turn the heating down before everybody goes to bed?",
    "The figures for the third quarter are better than anyone expected.",
    "Mix the flour and the salt first, then add the oil a little at a time.",
    "The lake freezes every winter, but hardly ever before the new year.",
)
"""Plain sentences of three to five seconds, which any segmenter splits at the same places."""

_TOKEN = re.compile(r"\s*\S+|\s+$")


def tokens(text: str) -> list[str]:
    """Split a text as a language model's tokenizer does: white space belongs to the word after it."""
    return _TOKEN.findall(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """One turn of speech.

    messages: an opening, one message per token, and an end, encoded for the protocol.
    ends: the number of characters sent up to and including each message, ascending.
    complete: index of the message that completes the first sentence and the white space after it.
    """

    text: str
    messages: tuple[bytes, ...]
    ends: tuple[int, ...]
    complete: int

    def message_completing(self, end: int) -> int:
        """Return the index of the message after which the sentence ending at `end` is known to be over.

        That message holds the white space after the sentence or, at the end of the text, is the `finish`.
        """
        return min(bisect_left(self.ends, end + 1), len(self.messages) - 1)


def reply(sentences: tuple[str, ...], wire: type[Wire] = Native) -> Reply:
    text = " ".join(sentences)
    parts = tuple(tokens(text))
    ends = (0, *(end + wire.white_space for end in accumulate(map(len, parts))), len(text))
    messages = wire.messages(parts)
    first = len(sentences[0]) + 1
    return Reply(text, messages, ends, min(bisect_left(ends, first), len(messages) - 1))


def replies(count: int, rng: random.Random, wire: type[Wire] = Native) -> list[Reply]:
    """Return random replies of two to four sentences, eight to fifteen seconds each."""
    return [reply(tuple(rng.sample(SENTENCES, rng.randint(2, 4))), wire) for _ in range(count)]
