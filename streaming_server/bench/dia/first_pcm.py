"""Time from submitting a text to its first audio, while nothing else is being generated."""

from __future__ import annotations

import statistics
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np

from streaming_server.bench.dia.engine_under_test import EngineUnderTest
from streaming_server.bench.dia.plan import FIRST_PCM_STEPS, TEXT, Plan
from streaming_server.bench.dia.quantiles import quantiles
from streaming_server.bench.dia.sides import Sides
from streaming_server.bench.dia.speaking import Run, arrive, cancel_all, speak, step
from streaming_server.types import DEFAULT_VOICE, Audio, Voice, VoiceSample

_STEPPING_S = 0.5
"""Time for which steps are timed beside each run."""

_BYTES = range(12, 241, 12)
"""Lengths of the texts of many lengths."""

_PROMPT_S = {"cpu": 2.0, "cuda": 8.0}
_CLONED_RUNS = {"cpu": 3, "cuda": 10}
_PATIENCE_S = 60.0


def first_pcm(sides: Sides) -> dict[str, Any]:
    """Measure first audio and its parts.

    prefill_ms, codec_ms, step_ms: the prefill, the first codec call and a step by themselves. steps: made
    until the first audio. in_steps: the whole time in steps; then without the prefill, and without the
    codec as well.
    """
    ours = sides.ours
    times: list[float] = []
    made: list[float] = []
    prefill: list[float] = []
    codec: list[float] = []
    steps: list[float] = []
    for _ in range(sides.plan.first_pcm_runs):
        prefill.append(ours.prefill_ms())
        steps.append(ours.median_step_ms(1, _STEPPING_S))
        codec.append(ours.codec_ms())
        run = speak(ours, {0: 1}, FIRST_PCM_STEPS + 4)
        times.extend(run.first_pcm_ms)
        made.extend(run.first_pcm_steps)
    whole_ms, prefill_ms, codec_ms, step_ms = map(statistics.median, (times, prefill, codec, steps))
    sides.note(f"{whole_ms:.1f} ms, {prefill_ms:.1f} ms of it prefill")
    return {
        **quantiles(times, "_ms"),
        "prefill_ms": prefill_ms,
        "codec_ms": codec_ms,
        "step_ms": step_ms,
        "steps": statistics.median(made),
        "in_steps": whole_ms / step_ms,
        "without_prefill_in_steps": (whole_ms - prefill_ms) / step_ms,
        "without_prefill_and_codec_in_steps": (whole_ms - prefill_ms - codec_ms) / step_ms,
    }


def varied_first_pcm(plan: Plan, ours: EngineUnderTest) -> dict[str, Any]:
    """Measure first audio for texts of many lengths."""
    text = TEXT * 2
    times = [_first_pcm_ms(ours, number, text[:size]) for number, size in enumerate(_BYTES, start=1)]
    return quantiles(times, "_ms") | {"each_ms": times}


def cloned_first_pcm(plan: Plan, ours: EngineUnderTest) -> dict[str, Any]:
    """Measure first audio of a cloned voice, whose sample was encoded before.

    encode_ms: what encoding the sample takes, on the CPU. Each run feeds the prompt to the model again.
    """
    with tempfile.TemporaryDirectory() as folder:
        seconds = _PROMPT_S[plan.device.type]
        voice_sample = _hum(Path(folder) / "sample.wav", seconds, plan.codec.sample_rate)
        voice = Voice("bench", "Bench", "plain", "S1", voice_sample)
        started = time.perf_counter()
        ours.voice_prompts.get(voice_sample, voice.primary_speaker).result(_PATIENCE_S)
        encode_ms = (time.perf_counter() - started) * 1e3
        runs = _CLONED_RUNS[plan.device.type]
        times = [_first_pcm_ms(ours, 1000 + number, TEXT, voice) for number in range(runs)]
    return {"prompt_s": seconds, "encode_ms": encode_ms, **quantiles(times, "_ms")}


def _first_pcm_ms(ours: EngineUnderTest, number: int, text: str, voice: Voice = DEFAULT_VOICE) -> float:
    run = Run()
    arrive(ours, run, number, FIRST_PCM_STEPS + 4, text, voice)
    while not any(isinstance(event, Audio) for event in step(ours, run)):
        if time.perf_counter() - run.listeners[number].came > _PATIENCE_S:
            raise TimeoutError(f"no audio within {_PATIENCE_S:.0f} s")
    took = time.perf_counter() - run.listeners[number].came
    cancel_all(ours, run)
    return took * 1e3


def _hum(path: Path, seconds: float, sample_rate: int) -> VoiceSample:
    """Write a hum with noise and return it as a voice sample."""
    count = round(seconds * sample_rate)
    noise = np.random.default_rng(0).normal(0, 2000, count) + 8000 * np.sin(np.arange(count) / 30)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(noise.astype("<i2").tobytes())
    return VoiceSample(str(path), "A hum, with noise in it.")
