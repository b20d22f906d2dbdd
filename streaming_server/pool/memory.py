"""Memory pressure: levels with hysteresis, from readings of a device's memory."""

from __future__ import annotations

from typing import Literal

from streaming_server.types import MemoryReport

Level = Literal["normal", "high", "critical"]

# Pressure at which a level begins, and below which it ends.
HIGH_OVER = 0.85
HIGH_UNTIL_UNDER = 0.80
CRITICAL_OVER = 0.95
CRITICAL_UNTIL_UNDER = 0.90


class PressureGauge:
    """The memory pressure of one device, used ÷ total of the whole device (0 to 1), and its level."""

    def __init__(self) -> None:
        self.report = MemoryReport(0, 0)
        self.level: Level = "normal"

    @property
    def pressure(self) -> float:
        return self.report.used / self.report.total if self.report.total else 0.0

    def read(self, report: MemoryReport) -> bool:
        """Take a reading; return whether the level has changed."""
        before = self.level
        self.report = report
        self.level = self._next_level()
        return self.level != before

    def _next_level(self) -> Level:
        pressure = self.pressure
        was_critical = self.level == "critical"
        if pressure > CRITICAL_OVER or (was_critical and pressure >= CRITICAL_UNTIL_UNDER):
            return "critical"
        was_high = self.level != "normal"
        if pressure > HIGH_OVER or (was_high and pressure >= HIGH_UNTIL_UNDER):
            return "high"
        return "normal"
