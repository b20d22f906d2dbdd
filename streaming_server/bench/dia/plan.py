"""Plan of the measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA, CodecConfig, DiaConfig
from streaming_server.engines.dia.model.linear import Kernel
from streaming_server.engines.dia.serving.slots import SamplingParams

TEXT = (
    "This is a sentence of about one hundred and fifty bytes, which is what a person says in one breath, "
    "and it goes on for a little while until it ends."
)
FRAME_MS = 1000 * 512 / 44100
WARM_STEPS = 32
"""Steps at the beginning of a run that are not counted."""

FIRST_PCM_STEPS = 25
"""Steps before the first audio: ten frames, the last of them delayed by 15 steps in its last channel."""

LEAST_SLOTS = 4
"""The number of staggered requests."""

SAMPLING = SamplingParams(temperature=1.2, top_p=0.95, top_k=45, cfg_scale=3.0, cfg_filter_top_k=45)

STREAMS = {"cpu": (1, 4), "cuda": (1, 8, 32, 64, 96, 128, 160, 192, 216, 256)}
FRAMES_AT_SCALE = {"cpu": 96, "cuda": 860}
"""Frames of each of many streams; 860 last ten seconds."""

SECONDS_AT_SCALE = {"cpu": 10.0, "cuda": 30.0}
"""Time limit of a run with many streams; what is left is cancelled."""

MINUTES: dict[str, float | None] = {"cpu": None, "cuda": 8.0}
"""Begin no stage after this time; the running one takes less than two minutes more."""

STAGE_LIMITS_S: dict[str, float | None] = {"cpu": None, "cuda": 300.0}
"""Time after which a stage is ended, whatever it does. The first one compiles every kernel."""


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: timed, per run. rounds: runs per side. limit_s: when to begin nothing more.

    staged: measure everything, one stage after another, transformers last.
    fused_codec: as for `load.assemble`.
    """

    size: str
    device: torch.device
    dtype: torch.dtype
    steps: int
    rounds: int
    streams: tuple[int, ...]
    matmul: Kernel | None
    use_triton: bool
    reference: bool
    limit_s: float | None
    staged: bool = False
    fused_codec: bool = True

    @property
    def config(self) -> DiaConfig:
        return TINY_DIA if self.size == "tiny" else DiaConfig()

    @property
    def codec(self) -> CodecConfig:
        return TINY_CODEC if self.size == "tiny" else CodecConfig()

    @property
    def slots(self) -> int:
        return max(LEAST_SLOTS, *self.streams)

    @property
    def computes_on_host(self) -> bool:
        """True if the model runs on the host; host time then includes the model's."""
        return self.device.type == "cpu"

    @property
    def first_pcm_runs(self) -> int:
        return self.rounds if self.computes_on_host else 4 * self.rounds

    def described(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "dtype": str(self.dtype).removeprefix("torch."),
            "kernel": self.matmul or "best",
            "steps": self.steps,
            "rounds": self.rounds,
            "streams": list(self.streams),
            "slots": self.slots,
            "text_bytes": len(TEXT.encode()),
        }
