"""Marks of words that are not spoken as they are written, through the native websocket."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.servers import Server
from helpers.talk import talking

pytestmark = pytest.mark.anyio

LINES = {
    "It costs $3.50 for two.": ("$3.50", "for"),
    "I saw 2024's best film.": ("2024's", "best"),
    "About 1,234,567 people came.": ("1,234,567", "people"),
    "He left on 12/25/2024 with her.": ("12/25/2024", "with"),
    "A 3.5-star hotel it was.": ("3.5-star", "hotel"),
    "Use v2.0.0-rc.1 for now.": ("v2.0.0-rc.1", "for"),
    "The parcel that I left in the hall weighs 12 kg without its 1,250,000 stamps.": ("1,250,000", "stamps"),
    "We married on March 3, 1998 in the end.": ("March 3, 1998", "in"),
}

PAUSE_MS = 350
"""Most between the end of a word and the start of the next, where no punctuation stands."""


@pytest.mark.parametrize("engine", ["hibari", "espeak"])
async def test_a_rewritten_word_lasts_until_the_next_one(
    start_server: Callable[..., Server], engine: str
) -> None:
    server = start_server(f"--engine={engine}", "--max-workers=1")
    async with talking(server.ws_url) as talk:
        for number, (line, (written, following)) in enumerate(LINES.items()):
            context = f"line {number}"
            end = await talk.speak(line, context, words=True, max_lead_ms=60_000)
            marks = [m for message in talk.of("words", context) for m in message["words"]]
            assert " ".join(mark["text"] for mark in marks) == line.rstrip(".")
            [at] = [i for i, mark in enumerate(marks) if mark["text"] == written]
            assert marks[at + 1]["text"] == following
            assert 0 <= marks[at + 1]["start_ms"] - marks[at]["end_ms"] < PAUSE_MS, (line, marks)
            assert marks[-1]["end_ms"] <= end["metrics"]["audio_ms"] + 0.1
