"""Levels of memory pressure."""

import pytest

from streaming_server.pool.memory import Level, PressureGauge
from streaming_server.types import MemoryReport


def levels(*pressures: float) -> list[Level]:
    gauge = PressureGauge()
    seen = []
    for pressure in pressures:
        gauge.read(MemoryReport(round(pressure * 10_000), 10_000))
        seen.append(gauge.level)
    return seen


def test_a_device_without_a_reading_is_normal() -> None:
    assert PressureGauge().level == "normal"
    assert PressureGauge().pressure == 0.0


@pytest.mark.parametrize(
    ("pressure", "level"),
    [
        (0.0, "normal"),
        (0.85, "normal"),
        (0.8501, "high"),
        (0.95, "high"),
        (0.9501, "critical"),
        (1.0, "critical"),
    ],
)
def test_a_level_begins_above_its_threshold(pressure: float, level: Level) -> None:
    assert levels(pressure) == [level]


def test_high_ends_below_its_lower_threshold() -> None:
    assert levels(0.86, 0.84, 0.80, 0.7999, 0.84) == ["high", "high", "high", "normal", "normal"]


def test_critical_ends_below_its_lower_threshold() -> None:
    assert levels(0.96, 0.94, 0.90, 0.8999, 0.94, 0.7) == [
        "critical",
        "critical",
        "critical",
        "high",
        "high",
        "normal",
    ]


def test_critical_may_end_in_normal() -> None:
    assert levels(0.99, 0.2) == ["critical", "normal"]


def test_read_returns_whether_the_level_changed() -> None:
    gauge = PressureGauge()
    assert not gauge.read(MemoryReport(50, 100))
    assert gauge.read(MemoryReport(90, 100))
    assert not gauge.read(MemoryReport(91, 100))
    assert gauge.read(MemoryReport(10, 100))
