"""A turn of ElevenLabs' websockets, with the character times of its audio."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from streaming_server.audio.frames import Frame
from streaming_server.render import Rendering
from streaming_server.web.vendors.elevenlabs.alignment import Alignment, Characters
from streaming_server.web.websocket.turn import Turn

MESSAGE_MS = 500
"""Longest audio of one message, in milliseconds, where it can be cut."""


class ElevenLabsTurn(Turn):
    """coded: whether the audio is in a container, and so cannot be cut. mid_turn: whether more sentences may
    come, the last having been flushed as it came."""

    mid_turn: bool = False

    def __init__(self, name: str, rendering: Rendering, *, coded: bool, **common: Any) -> None:
        super().__init__(name, rendering, **common)
        self.alignment = Alignment(rendering.sample_rate)
        self._coded = coded

    @property
    def speaking(self) -> bool:
        """True if audio is still due to the client, even if it sends nothing."""
        return bool(self.context.pending_flushes) or self.context.finished

    def messages(self, frames: list[Frame]) -> list[tuple[bytes, Characters | None]]:
        """Split audio into messages, each with the characters that begin in it."""
        first = frames[0].first_sample
        samples = sum(frame.samples for frame in frames)
        data = b"".join(frame.data for frame in frames)
        if self._coded:
            return [(data, self.alignment.take(first + samples))]
        width = len(data) // samples
        return [
            (data[(start - first) * width : (end - first) * width], self.alignment.take(end))
            for start, end in pairwise(self._cuts(first, first + samples))
        ]

    def _cuts(self, first: int, last: int) -> list[int]:
        """Cut between words, so that each message begins with the characters that it tells of."""
        most = self.sample_rate * MESSAGE_MS // 1000
        cuts = [first]
        for cut in [*self.alignment.cuts(first, last), last]:
            while cut - cuts[-1] > most:
                cuts.append(cuts[-1] + most)
            cuts.append(cut)
        return cuts
