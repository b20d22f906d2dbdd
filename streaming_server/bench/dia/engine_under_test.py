"""The engine under test and the parts that are timed."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from streaming_server.bench.dia.machine import wait
from streaming_server.bench.dia.plan import SAMPLING, TEXT, WARM_STEPS, Plan
from streaming_server.bench.dia.watched import Watched
from streaming_server.engines.dia.model.codec import UNKNOWN_LENGTH
from streaming_server.engines.dia.serving.engine import DiaEngine
from streaming_server.engines.dia.serving.graphs import GraphRunner
from streaming_server.engines.dia.serving.load import assemble
from streaming_server.engines.dia.serving.prefill import Beginning
from streaming_server.engines.dia.serving.runner import AudioChunk, Runner, StepShape
from streaming_server.engines.dia.serving.slots import SamplingParams
from streaming_server.engines.dia.serving.stream import CHUNK_RAMP
from streaming_server.engines.dia.voices.cache import VoicePromptCache
from streaming_server.engines.dia.voices.encoder import PromptEncoder
from streaming_server.engines.dia.weights.hub import locate
from streaming_server.engines.dia.weights.loader import read_codec, read_encoder

_LEAST_STEPS = 8
"""Steps timed at least, however long they take."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Times of the model's steps alone. wall_ms: elapsed. host_us: the host's part, without waits."""

    wall_ms: list[float]
    host_us: list[float]


class EngineUnderTest:
    """watched: the runner as the engine sees it. voice_prompts: the engine's cache of cloned voices."""

    def __init__(self, plan: Plan, tensors: dict[str, Tensor]) -> None:
        codec = read_codec(locate(f"random:{plan.size}", "DIA_CODEC"), plan.codec, plan.device, torch.float32)
        self._plan = plan
        self.runner = assemble(
            plan.config,
            dict(tensors),
            plan.codec,
            codec,
            plan.slots,
            plan.matmul,
            plan.use_triton,
            fused_codec=plan.fused_codec,
        )
        self.watched = Watched(self.runner, plan.computes_on_host)
        self.voice_prompts = VoicePromptCache(lambda: _encoder(plan))
        self.engine = DiaEngine(cast(Runner, self.watched), SAMPLING, self.voice_prompts)

    @property
    def described(self) -> str:
        """Name of the way steps are computed: plainly, or by graphs with or without Triton kernels."""
        if not isinstance(self.runner, GraphRunner):
            return "plain"
        return "graphs of Triton kernels" if self.runner.use_triton else "graphs with masks"

    def median_step_ms(self, streams: int, limit_s: float) -> float:
        return statistics.median(self.step_times(streams, limit_s).wall_ms)

    @torch.inference_mode()
    def step_times(self, streams: int, limit_s: float | None = None) -> StepTimes:
        """Time steps of this many streams; stop early after `limit_s`."""
        runner, slot_ids = self.runner, list(range(streams))
        times = StepTimes([], [])
        with runner.compute_scope():
            for slot in slot_ids:
                self._read_text(slot)
            shape = StepShape(
                WARM_STEPS + self._plan.steps + 2, len(TEXT.encode()), runner.slots.candidates(SAMPLING), True
            )
            wait(self._plan.device)
            began = time.perf_counter()
            for done in range(WARM_STEPS + self._plan.steps):
                if limit_s and done >= _LEAST_STEPS and time.perf_counter() - began > limit_s:
                    break
                start = time.perf_counter()
                runner.step(slot_ids, shape)
                launched = time.perf_counter()
                runner.throttle()
                resumed = time.perf_counter()
                runner.read_ends()
                end = time.perf_counter()
                times.wall_ms.append((end - start) * 1e3)
                times.host_us.append((end - resumed + launched - start) * 1e6)
            wait(self._plan.device)
            for slot in slot_ids:
                runner.release(slot)
        warm = min(WARM_STEPS, len(times.wall_ms) // 2)
        return StepTimes(times.wall_ms[warm:], times.host_us[warm:])

    @torch.inference_mode()
    def prefill_ms(self) -> float:
        """Time the encoding of the text, until the device is done."""
        with self.runner.compute_scope():
            wait(self._plan.device)
            start = time.perf_counter()
            self._read_text(0)
            wait(self._plan.device)
            self.runner.release(0)
        return (time.perf_counter() - start) * 1e3

    @torch.inference_mode()
    def codec_ms(self) -> float:
        """Time the first chunk of audio, from its codes until it is on the host."""
        chunk = AudioChunk(slot=0, first=0, row=1, length=UNKNOWN_LENGTH, token=None)
        with self.runner.compute_scope():
            self.runner.reset_codec(0)
            wait(self._plan.device)
            start = time.perf_counter()
            self.runner.decode([chunk], CHUNK_RAMP[0])
            self.runner.collect_audio(wait=True)
        return (time.perf_counter() - start) * 1e3

    def _read_text(self, slot: int) -> None:
        begin(self.runner, slot, SAMPLING, WARM_STEPS + self._plan.steps + 2)


def begin(runner: Runner, slot: int, params: SamplingParams, rows: int) -> None:
    """Prefill a slot with `TEXT`, and provide memory for `rows` rows."""
    ids = TEXT.encode()
    if not (runner.admit(slot, len(ids), rows) and runner.grow(slot, rows)):
        raise RuntimeError(f"no memory for slot {slot}")
    for _ in runner.prefill(slot, Beginning(ids, None, params)):
        pass


def _encoder(plan: Plan) -> PromptEncoder:
    location, cpu = locate(f"random:{plan.size}", "DIA_CODEC"), torch.device("cpu")
    return PromptEncoder(plan.codec, read_encoder(location, plan.codec, cpu, torch.float32))
