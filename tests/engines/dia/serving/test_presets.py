"""Sampling presets, and the settings that choose one."""

from __future__ import annotations

import time
from typing import get_args, get_type_hints

import pytest

pytest.importorskip("torch")

from helpers.spoken import drain, pcm

from streaming_server.engines.dia.provider import DiaSettings, create
from streaming_server.engines.dia.serving.presets import PRESETS
from streaming_server.engines.dia.serving.slots import SamplingParams
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance


def test_every_preset_can_be_chosen():
    assert get_args(get_type_hints(DiaSettings)["preset"]) == tuple(PRESETS)
    assert PRESETS["default"] == SamplingParams()


def speak(usual, **generation):
    engine = create(DiaSettings(model="random:tiny", slots=1, preset=usual))
    given = Generation(max_tokens=120, seed=1, **generation)
    heard = pcm(drain(engine, [Utterance(1, 1, "Hello.", DEFAULT_VOICE, given, time.monotonic())]), 1)
    engine.close()
    return heard


def test_a_preset_is_the_default_of_what_a_request_leaves_open():
    params = PRESETS["clone"]
    given = {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "cfg_scale": params.cfg_scale,
    }
    assert speak("clone") == speak("default", **given) != speak("default")


def test_a_request_names_its_preset():
    assert speak("default", preset="clone") == speak("clone")
    assert speak("clone", preset="default", top_k=50) == speak("default", top_k=50)
    assert speak("default", preset="example", cfg_scale=4.0) == speak("clone")
