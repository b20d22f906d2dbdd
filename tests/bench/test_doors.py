"""Comparison of protocols: the order of the windows and the computed results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from helpers.gateway import need_haproxy
from pydantic import ValidationError
from pydantic_settings import CliApp

from streaming_server.bench import load
from streaming_server.bench.command import BenchCommand
from streaming_server.bench.comparison import Spread, compared
from streaming_server.bench.doors import in_turn, names_of
from streaming_server.bench.load import bench
from streaming_server.bench.row import Row
from streaming_server.errors import SpeechError
from streaming_server.percentiles import Percentiles

WINDOW = Row(
    server="native",
    sessions=50,
    turns=40,
    first_audio_ms=Percentiles(2.0, 4.0, 5.0),
    underrun_worst_ms=0.0,
    underrun_total_ms=0.0,
    clean=1.0,
    refused=0,
    errored=0,
    audio_s_per_s=45.0,
    cpu_ms_per_audio_s=2.0,
    memory_mib=100.0,
    generator_cpu=0.1,
    generator_lag_ms=1.0,
)


def window(name: str, p50: float, cpu: float, **others: Any) -> Row:
    return replace(
        WINDOW,
        server=name,
        first_audio_ms=Percentiles(p50, 2 * p50, 3 * p50),
        cpu_ms_per_audio_s=cpu,
        **others,
    )


def test_each_protocol_has_one_window_per_round_in_rotating_order() -> None:
    names = [name for _, name in in_turn(names_of(["openai", "cartesia"]), 3)]
    assert names[:3] == ["native", "openai", "cartesia"]
    assert names[3:6] == ["openai", "cartesia", "native"]
    assert names[6:] == ["cartesia", "native", "openai"]


def test_a_protocol_at_the_engines_rate_is_compared_with_native_at_that_rate() -> None:
    assert names_of(["wyoming"]) == ["native, own rate", "wyoming"]
    assert names_of(["native"]) == ["native"]


def test_the_gateway_is_compared_with_the_server_itself() -> None:
    rows = [window("direct", 2.0, 2.0), window("gateway", 2.5, 2.2, clean=0.98)]
    direct, gateway = compared(rows)
    assert (direct.beside, gateway.beside) == ("direct", "direct")
    assert gateway.later_ms == Spread(0.5, 0.5, 0.5)
    assert (direct.clean, gateway.clean) == (1.0, 0.98)


def test_a_protocol_is_compared_with_native_in_the_same_round() -> None:
    rows = [
        window("native", 2.0, 2.0),
        window("openai", 3.0, 3.0),
        window("openai", 10.5, 5.0, errored=1),
        window("native", 10.0, 4.0),
        window("native", 4.0, 1.0),
        window("openai", 3.0, 2.0),
    ]
    native, openai = compared(rows)
    assert (native.door, openai.door, openai.beside) == ("native", "openai", "native")
    assert (openai.rounds, openai.turns, openai.troubled) == (3, 120, 1)
    assert openai.first_audio_ms == Spread(3.0, 3.0, 10.5)
    assert openai.first_audio_p95_ms == Spread(6.0, 6.0, 21.0)
    assert openai.later_ms == Spread(0.5, -1.0, 1.0)
    assert openai.cpu_times == Spread(1.5, 1.25, 2.0)


def test_windows_without_audio_are_left_out() -> None:
    rows = [
        window("native", 2.0, 2.0),
        replace(WINDOW, server="openai", first_audio_ms=None, cpu_ms_per_audio_s=None),
    ]
    openai = compared(rows)[1]
    assert (openai.first_audio_ms, openai.later_ms, openai.cpu_times) == (None, None, None)


def test_door_option_is_a_list() -> None:
    assert CliApp.run(BenchCommand, cli_args=["--door=openai,kyutai"]).door == ("openai", "kyutai")
    with pytest.raises(ValidationError):
        CliApp.run(BenchCommand, cli_args=["--door=nobody"])


def test_rejects_wyoming_on_a_given_server() -> None:
    arguments = ["--door=wyoming", "--url=http://127.0.0.1:9", "--sessions=1"]
    with pytest.raises(SpeechError, match="--url"):
        bench(CliApp.run(BenchCommand, cli_args=arguments))


@pytest.mark.slow
def test_turns_are_spoken_over_every_protocol(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "REST_S", 0.0)
    doors = ["openai", "cartesia", "elevenlabs", "deepgram", "wyoming", "kyutai"]
    arguments = [
        f"--door={','.join(doors)}",
        "--sessions=5",
        "--rounds=1",
        "--seconds=1",
        "--ramp=0",
        "--json",
    ]
    assert bench(CliApp.run(BenchCommand, cli_args=[*arguments, "--tokens-per-second=150"])) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["door"] for one in report["doors"]] == ["native", "native, own rate", *doors]
    for one in report["doors"]:
        assert one["turns"] > 0
        assert one["troubled"] == 0
        assert 0 < one["first_audio_ms"]["median"] < 1000
        assert one["cpu_ms_per_audio_s"]["median"] > 0


@pytest.mark.slow
def test_turns_are_spoken_through_the_gateway(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_haproxy()
    monkeypatch.setattr(load, "REST_S", 0.0)
    arguments = ["--gateway", "--sessions=5", "--rounds=1", "--seconds=1", "--ramp=0", "--json"]
    assert bench(CliApp.run(BenchCommand, cli_args=[*arguments, "--tokens-per-second=150"])) == 0
    direct, gateway = json.loads(capsys.readouterr().out)["doors"]
    assert (direct["door"], gateway["door"]) == ("direct", "gateway")
    for one in (direct, gateway):
        assert one["turns"] > 0
        assert one["troubled"] == 0
        assert one["cpu_ms_per_audio_s"]["median"] > 0
