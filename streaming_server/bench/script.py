"""What the simulated language model says, already cut into the messages it goes over the wire in."""

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
"""Plain sentences of three to five seconds, so that no segmenter has a reason to see other boundaries."""

_TOKEN = re.compile(r"\s*\S+|\s+$")


def tokens(text: str) -> list[str]:
    """Cut as a language model's tokenizer cuts: white space goes with the word behind it."""
    return _TOKEN.findall(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """One turn of speech.

    messages: an opening, one message per token and an end, as their wire words them.
    ends: characters of text that have been sent with each message, ascending.
    complete: the message with which the first sentence and the white space behind it have been sent.
    """

    text: str
    messages: tuple[bytes, ...]
    ends: tuple[int, ...]
    complete: int

    def message_completing(self, end: int) -> int:
        """The message with which the sentence that ends at character `end` was recognisably over.

        That takes the white space behind it, or `finish` at the end of the text.
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
    """Replies of two to four sentences, each of eight to fifteen seconds."""
    return [reply(tuple(rng.sample(SENTENCES, rng.randint(2, 4))), wire) for _ in range(count)]
