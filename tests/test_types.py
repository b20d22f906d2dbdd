"""Options of synthesis: a request's over a voice's. Built-in voices that stand for others."""

from __future__ import annotations

from streaming_server.types import Generation, Voice, nearest_builtin


def test_a_requests_options_take_precedence():
    voice = Generation(temperature=0.5, speed=1.5, preset="clone")
    assert Generation(speed=2.0).over(voice) == Generation(temperature=0.5, speed=2.0, preset="clone")


def test_a_requests_preset_replaces_the_voices_sampling():
    voice = Generation(temperature=0.5, top_p=0.8, seed=3, speed=1.5, preset="clone")
    merged = Generation(top_p=0.9, preset="example").over(voice)
    assert merged == Generation(top_p=0.9, seed=3, speed=1.5, preset="example")


def test_a_custom_voice_is_nearest_to_the_builtin_one_of_its_style():
    assert nearest_builtin(Voice("luna", "Luna", "friendly")) == "luna"
    assert nearest_builtin(Voice("somebody", "Somebody", "friendly")) == "kai"
    assert nearest_builtin(Voice("somebody", "Somebody", "unheard-of")) == "aria"
