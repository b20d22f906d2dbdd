"""From a recording to the codes a voice goes on from. Needs transformers, for DAC's encoder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streaming_server.engines.dia.turn import MOST_FRAMES, VoicePrompt
from streaming_server.engines.dia.weights import DEFAULT_CODEC, locate
from streaming_server.errors import BadValue, EngineFailure


class PromptEncoder:
    """DAC's encoder on the CPU.

    codec: a directory in transformers' layout or a hub id. Raises EngineFailure where transformers is missing
    or the codec cannot be loaded.
    """

    def __init__(self, codec: str = DEFAULT_CODEC) -> None:
        source = locate(codec, "DIA_CODEC")
        if source.directory is None:
            raise EngineFailure("random weights have no encoder: voices cannot be cloned with them")
        try:
            from transformers import DacModel
        except ImportError as error:
            raise EngineFailure("voices are cloned with transformers, which is not installed") from error
        try:
            loaded: Any = DacModel.from_pretrained(source.directory)
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineFailure(f"{codec} cannot be loaded as a DAC codec ({error})") from error
        self._codec = loaded.eval()

    def encode(self, samples: NDArray[np.float32], transcript: str) -> VoicePrompt:
        """A voice from mono samples in -1 to 1 at the codec's rate, and what is said in them.

        Silence fills the last frame. 5 to 10 s hold a voice best. Raises BadValue for nothing, or over 20 s.
        """
        hop = int(self._codec.config.hop_length)
        frames = math.ceil(len(samples) / hop)
        if not 0 < frames <= MOST_FRAMES * 2:
            raise BadValue("a voice needs a recording of up to 20 s")
        padded = torch.zeros(1, 1, frames * hop)
        padded[0, 0, : len(samples)] = torch.from_numpy(samples)
        with torch.inference_mode():
            codes = self._codec.encode(padded).audio_codes[0]
        return VoicePrompt(transcript, codes.t().contiguous())
