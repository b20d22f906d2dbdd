"""Rows computed from sessions."""

from __future__ import annotations

import random

import pytest

from streaming_server.bench.row import Cost, Window, count_open_stalls, make_row
from streaming_server.bench.script import reply
from streaming_server.bench.session import LoadSession, LoadTurn, Workload

pytestmark = pytest.mark.anyio

WINDOW = Window(100.0, 120.0)
COST = Cost(audio_s=40.0, generator_cpu_s=2.0, server_cpu_s=0.1, memory_mib=70.0)
REPLY = reply(("Hello there.", "How are you?"))


async def test_first_audio_counts_from_the_complete_first_sentence() -> None:
    session = _session(_turn(complete_at=105.0, pieces=[(105.004, 1.0)]))
    row = make_row("server", [session], WINDOW, COST, now=122.0)
    assert row.turns == 1
    assert row.first_audio_ms is not None
    assert row.first_audio_ms.p50 == pytest.approx(4.0)


async def test_turns_of_the_ramp_are_not_counted() -> None:
    session = _session(
        _turn(complete_at=95.0, pieces=[(95.5, 2.0), (98.5, 1.0)], ended_at=99.0),
        _turn(complete_at=105.0, pieces=[(105.002, 1.0)]),
    )
    row = make_row("server", [session], WINDOW, COST, now=122.0)
    assert row.turns == 1
    assert row.underrun_worst_ms == 0.0
    assert row.clean == 1.0


async def test_a_turn_without_audio_has_waited_until_now() -> None:
    session = _session(_turn(complete_at=119.0, pieces=[]))
    row = make_row("server", [session], WINDOW, COST, now=122.0)
    assert row.first_audio_ms is not None
    assert row.first_audio_ms.p99 == pytest.approx(3000.0)
    assert row.clean == 0.0


async def test_a_stall_at_the_end_of_the_window_counts() -> None:
    session = _session(_turn(complete_at=105.0, pieces=[(105.1, 1.0)]))
    count_open_stalls([session], WINDOW)
    row = make_row("server", [session], WINDOW, COST, now=122.0)
    assert row.underrun_worst_ms == pytest.approx(13_900.0)
    assert row.clean == 0.0


async def test_a_session_is_clean_up_to_100_ms_per_stall() -> None:
    tolerable = _session(
        _turn(complete_at=105.0, pieces=[(105.0, 1.0), (106.09, 1.0), (107.18, 1.0)], ended_at=107.2)
    )
    not_so = _session(_turn(complete_at=105.0, pieces=[(105.0, 1.0), (106.11, 1.0)], ended_at=107.2))
    row = make_row("server", [tolerable, not_so], WINDOW, COST, now=122.0)
    assert row.clean == 0.5
    assert row.underrun_worst_ms == pytest.approx(110.0)
    assert row.underrun_total_ms == pytest.approx(290.0)


async def test_refused_lost_and_errored_sessions_are_counted_and_not_clean() -> None:
    refused, lost, failed = _session(), _session(), _session(_turn(complete_at=105.0, pieces=[(105.0, 1.0)]))
    refused.on_close("refused")
    lost.on_close("lost")
    failed.on_message({"type": "error", "code": "full"}, 106.0)
    row = make_row("server", [refused, lost, failed], WINDOW, COST, now=122.0)
    assert (row.refused, row.errored, row.clean) == (1, 2, 0.0)


async def test_a_session_that_a_restart_ended_is_counted_as_errored() -> None:
    ended = _session()
    ended.stop_after_turn()  # It does not connect again.
    ended.on_close("restarting")
    row = make_row("server", [ended], WINDOW, COST, now=122.0)
    assert (row.refused, row.errored, row.clean) == (0, 1, 0.0)


async def test_cost_is_per_second_of_audio() -> None:
    row = make_row("server", [_session()], WINDOW, COST, now=122.0)
    assert row.cpu_ms_per_audio_s == pytest.approx(2.5)
    assert row.audio_s_per_s == pytest.approx(2.0)
    assert row.generator_cpu == pytest.approx(0.1)


def _session(*turns: LoadTurn) -> LoadSession:
    session = LoadSession(Workload([REPLY], 50.0, 0.5), random.Random(0))
    session.turns.extend(turns)
    return session


def _turn(complete_at: float, pieces: list[tuple[float, float]], ended_at: float = float("inf")) -> LoadTurn:
    turn = LoadTurn(REPLY, began_at=complete_at - 0.1, complete_at=complete_at, ended_at=ended_at)
    turn.text_at = complete_at
    for arrived, duration in pieces:
        turn.playout.push(arrived, duration, turn.text_at)
    return turn
