"""The events of an engine at another sample rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streaming_server.audio.resampler import Resampler
from streaming_server.types import Audio, Event, Failed, Finished, Words


class EventResampler:
    """Turns the events of one utterance at `source` Hz into events at `target` Hz.

    soxr holds back some milliseconds: an event may yield none, and the last may yield two.
    """

    def __init__(self, source: int, target: int) -> None:
        self._resampler = Resampler(source, target)
        self._ratio = target / source

    def convert(self, event: Event) -> list[Event]:
        match event:
            case Audio(utterance, pcm):
                return _audio(utterance, self._resampler.push(np.frombuffer(pcm, "<i2")))
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
                return [*_audio(utterance, self._resampler.finish()), event]
            case Failed():
                return [event]


def _audio(utterance: int, samples: NDArray[np.int16]) -> list[Event]:
    return [Audio(utterance, samples.astype("<i2", copy=False).tobytes())] if len(samples) else []
