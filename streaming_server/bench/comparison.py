"""Comparison of other ways to the server with the usual one, over alternating measurement windows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from streaming_server.bench.doors import reference_of
from streaming_server.bench.row import Row


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest value of several windows."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Return None if there are no values."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1]) if ordered else None

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.least:.2f}, {self.most:.2f}]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A way to the server compared with the usual one at one number of sessions, over several rounds.

    turns: total of all windows. troubled: sessions that were refused, lost or received an error. clean: least
    share of sessions without an underrun over 100 ms, 0 to 1. first_audio_ms: of each window's median; p95
    likewise. later_ms: difference to the usual way's median in the same round. cpu_times: CPU per second of
    audio, divided by the usual way's.
    """

    door: str
    beside: str
    sessions: int
    rounds: int
    turns: int
    troubled: int
    clean: float
    first_audio_ms: Spread | None
    first_audio_p95_ms: Spread | None
    later_ms: Spread | None
    cpu_ms_per_audio_s: Spread | None
    cpu_times: Spread | None

    @classmethod
    def of(cls, beside: str, rows: Sequence[Row], references: Sequence[Row]) -> Self:
        """Compare the windows of one with those of another; one pair per round."""
        pairs = list(zip(rows, references, strict=True))
        return cls(
            rows[0].server,
            beside,
            rows[0].sessions,
            len(rows),
            sum(row.turns for row in rows),
            sum(row.refused + row.errored for row in rows),
            min(row.clean for row in rows),
            Spread.of(row.first_audio_ms.p50 for row in rows if row.first_audio_ms),
            Spread.of(row.first_audio_ms.p95 for row in rows if row.first_audio_ms),
            Spread.of(
                row.first_audio_ms.p50 - reference.first_audio_ms.p50
                for row, reference in pairs
                if row.first_audio_ms and reference.first_audio_ms
            ),
            Spread.of(row.cpu_ms_per_audio_s for row in rows if row.cpu_ms_per_audio_s is not None),
            Spread.of(
                row.cpu_ms_per_audio_s / reference.cpu_ms_per_audio_s
                for row, reference in pairs
                if row.cpu_ms_per_audio_s and reference.cpu_ms_per_audio_s
            ),
        )


def compared(rows: Iterable[Row]) -> list[Comparison]:
    """Return a comparison for each measured name (references included) and number of sessions.

    rows: in the order in which they were measured.
    """
    windows: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        windows.setdefault((row.sessions, row.server), []).append(row)
    found = []
    for (sessions, name), mine in windows.items():
        beside = reference_of(name)
        found.append(Comparison.of(beside, mine, windows[sessions, beside]))
    return sorted(found, key=lambda one: (one.sessions, one.door != one.beside))
