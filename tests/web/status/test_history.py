"""The ring of the server's recent past."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest

from streaming_server.web.status.history import (
    EVENTS,
    MOST_TIMES,
    DeviceMemory,
    Load,
    StatusHistory,
)

STARTED_AT = 1_700_000_000.0


def load(contexts: int = 0, times: tuple[float, ...] = (), **devices: DeviceMemory) -> Load:
    return Load(contexts, 0, 0, devices or {"cpu_0": DeviceMemory(0.5)}, times)


def recorded(seconds: int, first: int = 1) -> tuple[StatusHistory, float]:
    """Return a history of so many seconds, whose contexts count the seconds, and its age."""
    history = StatusHistory(STARTED_AT, ["cpu_0"])
    for second in range(first, first + seconds):
        history.sample(float(second), load(contexts=second))
    return history, float(first + seconds - 1)


def told(history: StatusHistory, minutes: int, now: float, since: float = -1) -> dict[str, Any]:
    """Return the history as a client reads it."""
    told: dict[str, Any] = orjson.loads(orjson.dumps(history.since(minutes, since, now)))
    return told


def test_a_second_is_a_row_of_the_last_15_minutes() -> None:
    history, now = recorded(60)
    found = told(history, 15, now)
    assert (found["minutes"], found["step_s"], found["started_at"]) == (15, 1, STARTED_AT)
    assert found["at"] == found["contexts"] == [float(second) for second in range(1, 61)]
    assert found["devices"] == {
        "cpu_0": {"pressure": [0.5] * 60, "model": [None] * 60, "slots": [None] * 60},
    }


@pytest.mark.parametrize("seconds", [899, 900, 901, 1799, 5000])
def test_the_oldest_rows_are_overwritten(seconds: int) -> None:
    history, now = recorded(seconds)
    found = told(history, 15, now)
    assert found["at"] == [float(second) for second in range(max(1, seconds - 899), seconds + 1)]


def test_ten_seconds_are_a_row_of_the_last_hour_with_the_highest_of_each_value() -> None:
    history = StatusHistory(STARTED_AT, ["cpu_0"])
    for second in range(1, 7201):
        times = (float(second),) if 7181 < second <= 7191 else ()
        history.sample(second + 0.01 * (second % 3), load(second % 10, times))
    found = told(history, 60, 7200.0)
    assert found["step_s"] == 10
    assert len(found["at"]) == 360
    assert {round(later - earlier) for earlier, later in zip(found["at"], found["at"][1:], strict=False)} == {
        10
    }
    assert set(found["contexts"]) == {9.0}
    last = {name: values[-1] for name, values in found["first_audio_ms"].items()}
    assert last == pytest.approx({"p50": 7186.5, "p95": 7190.55, "p99": 7190.91})
    assert found["first_audio_ms"]["p99"][:-1] == [None] * 359


@pytest.mark.parametrize("minutes", [15, 60])
def test_only_rows_after_the_last_known_one_are_returned(minutes: int) -> None:
    history, now = recorded(1000)
    whole = told(history, minutes, now)
    known = whole["at"][-3]
    more = told(history, minutes, now, since=known)
    assert more["at"] == whole["at"][-2:]
    assert more["contexts"] == whole["contexts"][-2:]
    assert more["events"] == []
    assert told(history, minutes, now, since=now)["at"] == []


def test_rows_older_than_the_span_are_left_out() -> None:
    history, now = recorded(1000)
    assert len(told(history, 1, now)["at"]) == 60
    assert told(history, 15, now + 600)["at"][0] == now + 600 - 899
    assert len(told(history, 15, now + 600)["at"]) == 300


def test_a_pause_of_the_server_is_a_gap() -> None:
    history, _ = recorded(30)
    for second in range(500, 530):
        history.sample(float(second), load())
    for minutes in (15, 60):
        at = told(history, minutes, 530.0)["at"]
        assert max(later - earlier for earlier, later in pairwise(at)) > 400


def test_a_second_without_first_audio_has_no_percentiles() -> None:
    history = StatusHistory(STARTED_AT, ["cpu_0"])
    history.sample(1.0, load(times=(10.0, 20.0, 30.0)))
    history.sample(2.0, load())
    history.sample(3.0, load(times=(7.0,)))
    found = told(history, 15, 3.0)["first_audio_ms"]
    assert found["p50"] == [20.0, None, 7.0]
    assert found["p95"] == [29.0, None, 7.0]
    assert found["p99"] == [29.8, None, 7.0]


def test_model_and_slots_are_separate_where_known() -> None:
    history = StatusHistory(STARTED_AT, ["gpu_0", "gpu_1"])
    history.sample(1.0, load(gpu_0=DeviceMemory(0.7, 0.2, 0.4), gpu_1=DeviceMemory(None)))
    assert told(history, 15, 1.0)["devices"] == {
        "gpu_0": {"pressure": [0.7], "model": [0.2], "slots": [0.4]},
        "gpu_1": {"pressure": [None], "model": [None], "slots": [None]},
    }


def test_a_lost_worker_is_an_event_once_and_so_is_its_return() -> None:
    history = StatusHistory(STARTED_AT, ["cpu_0", "cpu_1"])
    for at, device, state in [
        (1.0, "cpu_0", "ready"),
        (5.0, "cpu_0", "restarting"),
        (5.5, "cpu_1", "restarting"),
        (5.6, "cpu_0", "broken"),
        (6.0, "cpu_0", "starting"),
        (6.25, "cpu_0", "restarting"),
        (7.0, "cpu_0", "ready"),
    ]:
        history.worker_changed(at, device, state)
    assert told(history, 15, 8.0)["events"] == [
        {"at": 0.0, "event": "server_started"},
        {"at": 5.0, "event": "worker_lost", "device": "cpu_0"},
        {"at": 5.5, "event": "worker_lost", "device": "cpu_1"},
        {"at": 7.0, "event": "worker_ready", "device": "cpu_0"},
    ]
    assert [event["at"] for event in told(history, 60, 8.0, since=5.5)["events"]] == [7.0]


def test_memory_is_bounded() -> None:
    """A busy day on eight devices takes no more than a few hundred KiB."""
    history = StatusHistory(STARTED_AT, [f"gpu_{index}" for index in range(8)])
    devices = {f"gpu_{index}": DeviceMemory(0.5, 0.2, 0.1) for index in range(8)}
    times = tuple(float(number) for number in range(200))
    for second in range(1, 10_000):
        history.sample(float(second), load(400, times, **devices))
        history.worker_changed(float(second), f"gpu_{second % 8}", "ready" if second % 3 else "broken")
    assert size_of(history) < 500 * 1024
    assert len(told(history, 60, 10_000.0)["events"]) == EVENTS


def size_of(value: Any) -> int:
    """Return the bytes that an object and everything within it take, each object once."""
    seen: set[int] = set()

    def objects(one: Any) -> Iterator[Any]:
        if id(one) in seen:
            return
        seen.add(id(one))
        yield one
        slots = [getattr(one, name) for name in getattr(type(one), "__slots__", ()) if hasattr(one, name)]
        inner = [*vars(one).values()] if hasattr(one, "__dict__") else slots
        if isinstance(one, dict):
            inner += [*one.keys(), *one.values()]
        elif not isinstance(one, str | array) and hasattr(one, "__iter__"):
            inner += list(one)
        for part in inner:
            yield from objects(part)

    return sum(sys.getsizeof(one) for one in objects(value))


def test_the_times_of_a_step_are_bounded() -> None:
    history = StatusHistory(STARTED_AT, ["cpu_0"])
    history.sample(0.5, load(times=tuple([1.0] * 10 * MOST_TIMES + [2.0] * MOST_TIMES)))
    assert history.since(15, -1, 1.0)["first_audio_ms"]["p50"] == [2.0]


@pytest.mark.parametrize("minutes", [1, 15, 16, 60])
def test_columns_have_the_same_length_at_any_time(minutes: int) -> None:
    history = StatusHistory(STARTED_AT, ["cpu_0"])
    for second in range(1, 4000):
        history.sample(float(second), load(second))
        if second % 97 == 0:
            found = history.since(minutes, second - 40.0, float(second))
            columns = [*found["first_audio_ms"].values(), *found["devices"]["cpu_0"].values()]
            columns += [found["contexts"], found["queued"], found["connections"]]
            assert {len(column) for column in columns} == {len(found["at"])}  # type: ignore[arg-type]
