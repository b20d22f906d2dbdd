"""First audio for texts of many lengths, and for a cloned voice; nothing else is being generated."""

from __future__ import annotations

import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np

from streaming_server.bench.dia.ours import Ours
from streaming_server.bench.dia.plan import FIRST_PCM_STEPS, TEXT, Plan
from streaming_server.bench.dia.quantiles import quantiles
from streaming_server.bench.dia.speaking import Run, arrive, step
from streaming_server.types import DEFAULT_VOICE, Audio, Voice, VoiceSample

_BYTES = range(12, 241, 12)
"""Lengths of the texts."""

_PROMPT_S = {"cpu": 2.0, "cuda": 8.0}
_CLONED_RUNS = {"cpu": 3, "cuda": 10}
_PATIENCE_S = 60.0


def varied_first_pcm(plan: Plan, ours: Ours) -> dict[str, Any]:
    text = TEXT * 2
    times = [_first_pcm_ms(ours, number, text[:size]) for number, size in enumerate(_BYTES, start=1)]
    return quantiles(times, "_ms") | {"each_ms": times}


def cloned_first_pcm(plan: Plan, ours: Ours) -> dict[str, Any]:
    """The voice's sample is encoded before; each run feeds its prompt to the model again.

    encode_ms: what encoding the sample takes, on the CPU.
    """
    with tempfile.TemporaryDirectory() as folder:
        seconds = _PROMPT_S[plan.device.type]
        voice = _voice(Path(folder) / "sample.wav", seconds, plan.codec.sample_rate)
        started = time.perf_counter()
        assert ours.voice_prompts is not None
        assert voice.voice_sample is not None
        ours.voice_prompts.get(voice.voice_sample, voice.primary_speaker).result(_PATIENCE_S)
        encode_ms = (time.perf_counter() - started) * 1e3
        runs = _CLONED_RUNS[plan.device.type]
        times = [_first_pcm_ms(ours, 1000 + number, TEXT, voice) for number in range(runs)]
    return {"prompt_s": seconds, "encode_ms": encode_ms, **quantiles(times, "_ms")}


def _first_pcm_ms(ours: Ours, number: int, text: str, voice: Voice = DEFAULT_VOICE) -> float:
    run = Run()
    arrive(ours, run, number, FIRST_PCM_STEPS + 4, text, voice)
    while not any(isinstance(event, Audio) for event in step(ours, run)):
        if time.perf_counter() - run.listeners[number].came > _PATIENCE_S:
            raise TimeoutError(f"no audio within {_PATIENCE_S:.0f} s")
    took = time.perf_counter() - run.listeners[number].came
    ours.engine.cancel(number)
    ours.engine.release(number)
    while ours.engine.active:
        ours.engine.step()
    return took * 1e3


def _voice(path: Path, seconds: float, sample_rate: int) -> Voice:
    """A voice whose sample is a hum with noise."""
    count = round(seconds * sample_rate)
    noise = np.random.default_rng(0).normal(0, 2000, count) + 8000 * np.sin(np.arange(count) / 30)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(noise.astype("<i2").tobytes())
    return Voice("bench", "Bench", "plain", "S1", VoiceSample(str(path), "A hum, with noise in it."))
