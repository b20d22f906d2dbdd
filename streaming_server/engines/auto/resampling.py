"""The events of an engine at another sample rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import soxr
from numpy.typing import NDArray

from streaming_server.types import Audio, Event, Failed, Finished, Words


class EventResampler:
    """Turns the events of one utterance at `source` Hz into events at `target` Hz.

    Audio is held back by some milliseconds, so that one event in may be none out, and the last may be two.
    """

    def __init__(self, source: int, target: int) -> None:
        # With 16-bit samples the library may add noise, seeded by the clock and by an address in memory.
        self._stream = soxr.ResampleStream(source, target, 1, dtype="float32")
        self._ratio = target / source

    def convert(self, event: Event) -> list[Event]:
        match event:
            case Audio(utterance, pcm):
                samples = np.frombuffer(pcm, "<i2").astype(np.float32)
                return self._audio(utterance, self._stream.resample_chunk(samples))
            case Words(_, marks):
                moved = (
                    replace(
                        mark,
                        start_sample=round(mark.start_sample * self._ratio),
                        end_sample=round(mark.end_sample * self._ratio),
                    )
                    for mark in marks
                )
                return [replace(event, marks=tuple(moved))]
            case Finished(utterance):
                rest = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
                return [*self._audio(utterance, rest), event]
            case Failed():
                return [event]

    def _audio(self, utterance: int, samples: NDArray[np.float32]) -> list[Event]:
        pcm = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
        return [Audio(utterance, pcm)] if pcm else []
