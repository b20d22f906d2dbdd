"""Audio of running streams: chunks of frames through the codec, and the events they become."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from streaming_server.engines.dia.model.codec import UNKNOWN_LENGTH
from streaming_server.engines.dia.serving.runner import AudioChunk, Runner
from streaming_server.engines.dia.serving.schedule import URGENT_S, Schedule
from streaming_server.engines.dia.serving.stream import CHUNK_SIZES, LAST_CHUNK, Stream
from streaming_server.engines.dia.serving.streams import Streams
from streaming_server.types import Audio, Event, Words


class AudioOut:
    """Decodes complete chunks and turns them into Audio and Words events.

    out_of_memory: called with a stream that must fail, because the device's memory ran out.
    """

    def __init__(
        self, runner: Runner, streams: Streams, schedule: Schedule, out_of_memory: Callable[[Stream], None]
    ) -> None:
        self._runner = runner
        self._streams = streams
        self._schedule = schedule
        self._out_of_memory = out_of_memory
        self._hop = runner.codec.config.hop
        self._last_delay = runner.slots.model.config.last_delay
        self._decode_at = 0

    def decode_ready(self, wait: bool) -> None:
        """Decode complete chunks, batching chunks of one size.

        Without `wait`, those of listeners with audio to spare may wait a few steps for others.
        """
        self._hold_back(wait)
        while True:
            batches: dict[int, list[tuple[Stream, AudioChunk]]] = {}
            for stream in (self._streams.due | self._streams.ending).values():
                frames = self._next_chunk_frames(stream)
                if frames:
                    length = UNKNOWN_LENGTH if stream.end is None else stream.end - stream.first
                    chunk = AudioChunk(stream.slot, stream.fed, stream.first + stream.fed, length, stream)
                    batches.setdefault(frames, []).append((stream, chunk))
            if not batches:
                return
            size = self._runner.codec_batch
            for frames, batch in batches.items():
                for start in range(0, len(batch), size):
                    self._decode(batch[start : start + size], frames)

    def _hold_back(self, wait: bool) -> None:
        """Let chunks wait that can, until they fill a batch or one has waited long enough."""
        streams, step, now = self._streams, self._schedule.steps.count, time.monotonic()
        if self._runner.codec_patience and not wait:
            for stream in [one for one in streams.due.values() if self._can_wait(one, now)]:
                if not streams.patient:
                    self._decode_at = step + self._runner.codec_patience
                streams.patient[stream.slot] = streams.due.pop(stream.slot)
        if wait or step >= self._decode_at or len(streams.patient) >= self._runner.codec_batch:
            streams.due.update(streams.patient)
            streams.patient.clear()

    def _can_wait(self, stream: Stream, now: float) -> bool:
        """Return whether a stream's chunk is of the usual size, its listener has audio meanwhile, and it does
        not reach its last row.
        """
        usual = stream.chunk_frames == LAST_CHUNK and stream.end is None
        rows = stream.last_row(self._last_delay) - stream.row
        early = rows > self._runner.codec_patience
        return usual and early and self._schedule.underrun_at(stream) > now + URGENT_S

    def _decode(self, batch: list[tuple[Stream, AudioChunk]], frames: int) -> None:
        try:
            self._runner.decode([chunk for _, chunk in batch], frames)
        except torch.OutOfMemoryError:
            # Nothing of this batch was decoded; the other chunks are still complete and come again.
            self._out_of_memory(max((stream for stream, _ in batch), key=self._schedule.underrun_at))
            return
        for stream, _ in batch:
            stream.fed += frames
            stream.chunks += 1
            stream.decoding += 1
            stream.due = stream.row_completing(self._last_delay)
            self._streams.patient.pop(stream.slot, None)
            if stream.row < stream.due:
                self._streams.due.pop(stream.slot, None)
            self._streams.refresh(stream)
            if stream.runs:
                self._schedule.expect(stream)

    def _next_chunk_frames(self, stream: Stream) -> int:
        """Return the frames of the next chunk; 0 if it is not complete or none are left."""
        complete = stream.complete(self._last_delay)
        size = stream.chunk_frames
        if complete - stream.fed >= size:
            return size
        if stream.end is None or complete < stream.end - stream.first or complete == 0:
            return 0
        missing = complete + self._runner.codec.lag_frames - stream.fed
        if missing <= 0:
            return 0
        return next((size for size in CHUNK_SIZES if size >= missing), LAST_CHUNK)

    def collect(self, wait: bool) -> list[Event]:
        """Return the audio that has arrived, each chunk after the words in it; with `wait`, all of it."""
        events: list[Event] = []
        for chunk, pcm in self._runner.collect_audio(wait):
            stream = chunk.token
            assert isinstance(stream, Stream)
            if not stream.released:
                stream.decoding -= 1
                events += self._events(stream, chunk, pcm)
                self._streams.refresh_pause(stream)
                self._schedule.buffered(stream)
        return events

    def complete(self) -> list[Stream]:
        """Return the streams whose segment is generated and heard to its end."""
        return [stream for stream in self._streams.ending.values() if self._is_complete(stream)]

    def _events(self, stream: Stream, chunk: AudioChunk, pcm: NDArray[np.int16]) -> list[Event]:
        """Return the part of a chunk that is audio, after the words in it."""
        start = chunk.first * self._hop - self._runner.codec.lag
        known = stream.end - stream.first if stream.end is not None else self._known_frames(stream)
        stop = min(start + len(pcm), known * self._hop)
        pcm = pcm[max(0, -start) : max(0, stop - start)]
        if not len(pcm):
            return []
        stream.emitted = stream.origin + stop
        assert stream.clock is not None
        total = stream.origin + known * self._hop
        marks = stream.clock.marks(stream.emitted, total, final=stream.end is not None)
        audio = Audio(stream.utterance.id, pcm.astype("<i2", copy=False).tobytes())
        return [Words(stream.utterance.id, marks), audio] if marks else [audio]

    def _known_frames(self, stream: Stream) -> int:
        """Return the frames a stream has at least, if its end is unknown and may have come some steps ago."""
        return max(0, stream.row + 1 - stream.first - self._runner.delay)

    def _is_complete(self, stream: Stream) -> bool:
        assert stream.end is not None
        if not stream.spoken(self._last_delay) or stream.decoding:
            return False
        frames = stream.end - stream.first
        return frames == 0 or stream.fed >= frames + self._runner.codec.lag_frames
