"""A context of ElevenLabs': a turn with its character times, in the form that was asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from anyio import CapacityLimiter

from streaming_server.audio.coder import Coder
from streaming_server.audio.frames import Frame
from streaming_server.web.vendors.elevenlabs.alignment import Alignment, Characters
from streaming_server.web.vendors.elevenlabs.formats import OutputFormat
from streaming_server.web.vendors.markup import TagFilter
from streaming_server.web.websocket.turn import Turn

MESSAGE_MS = 500
"""Longest audio of one message, in milliseconds, where it can be cut."""


class Context(Turn):
    """A turn with its character times, and its container where the format has one.

    coding: how many may code at once. amid: whether more sentences may come, the last having been flushed as
    it came.
    """

    amid: bool = False

    def __init__(self, *arguments: Any, audio: OutputFormat, coding: CapacityLimiter, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.alignment = Alignment(audio.sample_rate)
        self._coder: Coder | None = None
        self._tags = TagFilter()
        if audio.container is not None:
            self._coder = Coder(audio.container, audio.sample_rate, coding, bit_rate=audio.bit_rate)

    @property
    def speaking(self) -> bool:
        """Whether it owes the client something, whatever the client says."""
        return bool(self.flushes) or self.context.finished

    def append(self, text: str) -> None:
        super().append(self._tags.push(text))

    def flush(self) -> None:
        super().append(self._tags.finish())
        super().flush()

    def finish(self) -> None:
        """No more text. Raises as `append` and `SpeechContext.finish` do."""
        super().append(self._tags.finish())
        self.context.finish()

    async def coded(self, frames: list[Frame]) -> list[tuple[bytes, Characters | None]]:
        """What to send of some audio, none of it empty, and the characters that begin in each."""
        first = frames[0].first_sample
        samples = sum(frame.samples for frame in frames)
        data = b"".join(frame.data for frame in frames)
        if self._coder is not None:
            coded = await self._coder.push(data)
            return [(coded, self.alignment.take(first + samples))] if coded else []
        width = len(data) // samples
        return [
            (data[(start - first) * width : (end - first) * width], self.alignment.take(end))
            for start, end in pairwise(self._cuts(first, first + samples))
        ]

    def _cuts(self, first: int, last: int) -> list[int]:
        """Where to cut audio: between words, so that each message begins with the characters it tells of."""
        most = self.sample_rate * MESSAGE_MS // 1000
        cuts = [first]
        for cut in [*self.alignment.cuts(first, last), last]:
            while cut - cuts[-1] > most:
                cuts.append(cuts[-1] + most)
            cuts.append(cut)
        return cuts

    async def rest(self) -> tuple[bytes, Characters | None]:
        """What was held back of it, now that it was spoken to its end."""
        data = await self._coder.finish() if self._coder is not None else b""
        return data, self.alignment.take()

    def close(self) -> None:
        """Idempotent."""
        if self._coder is not None:
            self._coder.close()
