"""Speech made faster or slower at the same pitch, as it streams."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from streaming_server.errors import BadValue

if TYPE_CHECKING:
    from av.filter import Graph

SLOWEST, FASTEST = 0.25, 4.0
"""Speeds there are; 1 is the audio as it is."""

_BLOCK_S = 0.01
_TAIL_S = 0.25
"""Silence after the end, in seconds: more than FFmpeg's filter keeps for its windows at any speed."""


class Tempo:
    """Mono 16-bit little-endian PCM in pieces, any number of bytes each, to the same at another speed.

    By FFmpeg's `atempo`, which overlaps windows of 43 to 64 ms where they match; below its slowest, half, two
    in a row. n samples become round(n / speed), and the result depends only on the audio, not on the pieces.
    What is said is heard up to half a window early (some 20 ms, 60 ms at the slowest speed). Of what was
    pushed, it holds back up to 80 ms at 24 kHz and 110 ms at 8 kHz; at speeds above 2, up to 120 and 170 ms.
    At 1 the bytes pass as they are, and PyAV is not imported.

    sample_rate: in Hz. speed: 0.25 to 4, above 1 is faster. Raises BadValue for another.
    """

    def __init__(self, sample_rate: int, speed: float) -> None:
        if not SLOWEST <= speed <= FASTEST:
            raise BadValue(f"The speed must be from {SLOWEST:g} to {FASTEST:g}, not {speed:g}.")
        self._sample_rate = sample_rate
        self._speed = speed
        self._graph = _graph(sample_rate, speed) if speed != 1 else None
        # Always whole blocks to the filter: two in a row are not quite free of how the audio was cut.
        self._block_bytes = 2 * round(sample_rate * _BLOCK_S)
        self._waiting = bytearray()
        self._made = bytearray()
        self._filtered = 0
        self._pushed_bytes = 0
        self._given = 0

    def push(self, pcm: bytes) -> bytes:
        """The next of the audio; what of the result it completes, often nothing."""
        if self._graph is None:
            return pcm
        self._pushed_bytes += len(pcm)
        self._filter(self._graph, pcm)
        return self._take()

    def finish(self) -> bytes:
        """The rest of the result. Nothing may be pushed after it."""
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
        """Samples the result has, were this all."""
        return round(self._pushed_bytes // 2 / self._speed)

    def _filter(self, graph: Graph, pcm: bytes) -> None:
        from av import AudioFrame

        self._waiting += pcm
        while len(self._waiting) >= self._block_bytes:
            frame = AudioFrame(format="s16", layout="mono", samples=self._block_bytes // 2)
            frame.planes[0].update(bytes(self._waiting[: self._block_bytes]))
            del self._waiting[: self._block_bytes]
            frame.sample_rate = self._sample_rate
            frame.pts, frame.time_base = self._filtered, Fraction(1, self._sample_rate)
            self._filtered += frame.samples
            graph.push(frame)
            try:
                while True:
                    made = graph.pull()
                    assert isinstance(made, AudioFrame)
                    self._made += memoryview(made.planes[0])[: 2 * made.samples]
            except (BlockingIOError, EOFError):
                continue

    def _take(self) -> bytes:
        """What is made, so far as it is due: the filter's windows may run a little ahead."""
        taken = bytes(self._made[: 2 * (self._due - self._given)])
        del self._made[: len(taken)]
        self._given += len(taken) // 2
        return taken


def _graph(sample_rate: int, speed: float) -> Graph:
    from av.filter import Graph

    graph = Graph()
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
