"""Options of synthesis: a request's over a voice's."""

from __future__ import annotations

from streaming_server.types import Generation


def test_a_requests_options_take_precedence():
    voice = Generation(temperature=0.5, speed=1.5, preset="clone")
    assert Generation(speed=2.0).over(voice) == Generation(temperature=0.5, speed=2.0, preset="clone")


def test_a_requests_preset_replaces_the_voices_sampling():
    voice = Generation(temperature=0.5, top_p=0.8, seed=3, speed=1.5, preset="clone")
    merged = Generation(top_p=0.9, preset="example").over(voice)
    assert merged == Generation(top_p=0.9, seed=3, speed=1.5, preset="example")
