"""The acoustic model: phoneme ids in, a spectrum and durations out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming_server.errors import EngineFailure

Floats = NDArray[np.float32]

BINS = 601
"""Frequencies of a frame, 0 to 12 kHz."""

FRAMES_PER_UNIT = 2
"""The model counts durations in units of 25 ms and gives a frame every 12.5 ms."""

_DURATIONS = "/CumSum_output_0"
"""The tensor that holds where each phoneme ends, in units from the start."""

# Field numbers of onnx.proto.
_MODEL_GRAPH, _GRAPH_OUTPUT, _VALUE_NAME = 7, 12, 1


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The model's output for a phrase. All but `f0` and `ends` are [BINS, frames].

    harmonic: log magnitude of the filter that pulses pass through. rotation: its phase, as the argument of a
    tanh, in units of pi. noise: log magnitude of noise. free, phase: log magnitude and phase in radians of
    what is neither.
    f0: fundamental frequency of each frame in Hz; below 40 the frame is unvoiced.
    ends: the frame at which each phoneme id ends.
    """

    harmonic: Floats
    rotation: Floats
    noise: Floats
    free: Floats
    phase: Floats
    f0: Floats
    ends: NDArray[np.int64]

    @property
    def frames(self) -> int:
        return len(self.f0)

    def part(self, start: int, end: int) -> Spectrum:
        """Return the frames from `start` to `end`."""
        here = slice(start, end)
        return Spectrum(
            self.harmonic[:, here],
            self.rotation[:, here],
            self.noise[:, here],
            self.free[:, here],
            self.phase[:, here],
            self.f0[here],
            self.ends - start,
        )


class Network:
    """An ONNX Runtime session on one thread."""

    def __init__(self, path: Path) -> None:
        """Raises EngineFailure if the file is missing or is not a model of this kind."""
        # From 1.31 on ONNX Runtime reports its use to Microsoft once it is imported, unless told not to.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session: Any = InferenceSession(
                expose_durations(path.read_bytes()), options, providers=["CPUExecutionProvider"]
            )
        # ONNX Runtime's errors have no base of their own.
        except Exception as error:
            raise EngineFailure(
                "The hibari voice model could not be loaded; reinstall hibari-tts 0.2."
            ) from error

    def run(self, ids: Sequence[int], speed: float) -> Spectrum:
        """Run the model. ids: with the zero at both ends. speed: 0.5 to 2, 1 is the model's own pace."""
        inputs = {"ids": np.array([ids], np.int64), "speed": np.array([speed], np.float32)}
        harmonic, rotation, noise, free, phase, f0, ends = self._session.run(None, inputs)
        return Spectrum(harmonic[0], rotation[0], noise[0], free[0], phase[0], f0[0], ends * FRAMES_PER_UNIT)


def expose_durations(model: bytes) -> bytes:
    """Return the serialized model with the durations as its last output.

    Protocol Buffers merge a message that occurs twice, so a graph that holds nothing but the new output, put
    behind the model, adds it. That needs neither the onnx package nor the model's layout. The type is left
    out; ONNX Runtime infers it.
    """
    value = _field(_VALUE_NAME, _DURATIONS.encode())
    return model + _field(_MODEL_GRAPH, _field(_GRAPH_OUTPUT, value))


def _field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content
