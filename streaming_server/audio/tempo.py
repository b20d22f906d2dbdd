"""Change of tempo at the same pitch, as the audio streams."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from streaming_server.errors import BadValue
from streaming_server.types import RANGES

if TYPE_CHECKING:
    from streaming_server.audio.pyav import av

_BLOCK_S = 0.01
_TAIL_S = 0.25
"""Silence pushed after the end: more than the windows of FFmpeg's filter hold at any speed."""


class Tempo:
    """Changes the tempo of mono 16-bit little-endian PCM, in pieces of any number of bytes.

    n samples become round(n / speed), and the result depends only on the audio, not on the pieces. FFmpeg's
    `atempo` overlaps windows of 43 to 64 ms where they match; below its minimum of 0.5, two are chained.
    Speech is heard up to half a window early (some 20 ms; 60 ms at the slowest speed). Held back are up to
    80 ms at 24 kHz and 110 ms at 8 kHz, and at speeds above 2 up to 120 and 170 ms. At speed 1 the bytes pass
    through and PyAV is not imported.

    sample_rate: in Hz. speed: within `RANGES`; above 1 is faster. Raise BadValue for other speeds.
    """

    def __init__(self, sample_rate: int, speed: float) -> None:
        slowest, fastest = RANGES["speed"]
        if not slowest <= speed <= fastest:
            raise BadValue(f"The speed must be from {slowest:g} to {fastest:g}, not {speed:g}.")
        self._sample_rate = sample_rate
        self._speed = speed
        self._graph = _graph(sample_rate, speed) if speed != 1 else None
        # The filter gets whole blocks: the result of two in a chain depends a little on how audio is cut.
        self._block_bytes = 2 * round(sample_rate * _BLOCK_S)
        self._waiting = bytearray()
        self._made = bytearray()
        self._filtered = 0
        self._pushed_bytes = 0
        self._given = 0

    def push(self, pcm: bytes) -> bytes:
        """Return the output that this piece completes, which is often nothing."""
        if self._graph is None:
            return pcm
        self._pushed_bytes += len(pcm)
        self._filter(self._graph, pcm)
        return self._take()

    def finish(self) -> bytes:
        """Return the rest of the output. Nothing may be pushed afterwards."""
        if self._graph is None:
            return b""
        graph, self._graph = self._graph, None
        if len(self._waiting) % 2:
            del self._waiting[-1]
        tail = bytes(2 * round(self._sample_rate * _TAIL_S))
        self._filter(graph, tail)
        rest = self._take()
        return rest + bytes(2 * (self._due - self._given))

    @property
    def _due(self) -> int:
        """Number of samples of the whole output if the audio ended here."""
        return round(self._pushed_bytes // 2 / self._speed)

    def _filter(self, graph: av.filter.Graph, pcm: bytes) -> None:
        from streaming_server.audio.pyav import av

        self._waiting += pcm
        while len(self._waiting) >= self._block_bytes:
            frame = av.AudioFrame(format="s16", layout="mono", samples=self._block_bytes // 2)
            frame.planes[0].update(bytes(self._waiting[: self._block_bytes]))
            del self._waiting[: self._block_bytes]
            frame.sample_rate = self._sample_rate
            frame.pts, frame.time_base = self._filtered, Fraction(1, self._sample_rate)
            self._filtered += frame.samples
            graph.push(frame)
            try:
                while True:
                    made = graph.pull()
                    assert isinstance(made, av.AudioFrame)
                    self._made += memoryview(made.planes[0])[: 2 * made.samples]
            except (BlockingIOError, EOFError):
                continue

    def _take(self) -> bytes:
        """Take the output up to what is due, as the filter's windows may run a little ahead."""
        taken = bytes(self._made[: 2 * (self._due - self._given)])
        del self._made[: len(taken)]
        self._given += len(taken) // 2
        return taken


def _graph(sample_rate: int, speed: float) -> av.filter.Graph:
    from streaming_server.audio.pyav import av

    graph = av.filter.Graph()
    node = graph.add_abuffer(
        format="s16", sample_rate=sample_rate, layout="mono", time_base=Fraction(1, sample_rate)
    )
    stages = 1 if speed >= 0.5 else 2
    for _ in range(stages):
        stage = graph.add("atempo", repr(speed ** (1 / stages)))
        node.link_to(stage)
        node = stage
    sink = graph.add("abuffersink")
    node.link_to(sink)
    graph.configure()
    return graph
