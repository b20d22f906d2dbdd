"""Doors beside the native socket: window by window, in turn, and what the windows together say."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from rich.table import Table

from streaming_server.bench.row import Row
from streaming_server.bench.wires import DoorName

NATIVE = "native"
"""The native socket at the rate that doors are asked for."""
PLAIN = "native, own rate"
"""The same in the engine's rate, for doors that have no other."""


def reference_of(door: DoorName) -> str:
    """What a door is compared with."""
    return PLAIN if door == "wyoming" else NATIVE


def in_turn(doors: Sequence[DoorName], rounds: int) -> Iterator[tuple[int, str]]:
    """The windows to measure, as round and name: each door once a round, with what it is compared with.

    Each round begins one further on, so that no door always comes right after the same other.
    """
    references = dict.fromkeys(reference_of(door) for door in doors)
    names = [*references, *(door for door in doors if door != NATIVE)]
    for round_ in range(rounds):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            yield round_, name


@dataclass(frozen=True, slots=True)
class Spread:
    """What several windows said."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """None of none."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1]) if ordered else None

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.least:.2f}, {self.most:.2f}]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A door beside the native socket, with so many sessions, over some rounds of a window each.

    turns: of all windows. troubled: sessions of theirs that were refused, lost or told of an error.
    first_audio_ms: of the windows' medians, as is its p95. later_ms: than the native socket in the same
    round, of the medians. cpu_times: what a second of audio cost, over what it cost there.
    """

    door: str
    beside: str
    sessions: int
    rounds: int
    turns: int
    troubled: int
    first_audio_ms: Spread | None
    first_audio_p95_ms: Spread | None
    later_ms: Spread | None
    cpu_ms_per_audio_s: Spread | None
    cpu_times: Spread | None

    @classmethod
    def of(cls, beside: str, rows: Sequence[Row], references: Sequence[Row]) -> Self:
        """From a door's windows and those of the native socket, round by round."""
        pairs = list(zip(rows, references, strict=True))
        return cls(
            rows[0].server,
            beside,
            rows[0].sessions,
            len(rows),
            sum(row.turns for row in rows),
            sum(row.refused + row.errored for row in rows),
            Spread.of(_known(_p50, rows)),
            Spread.of(row.first_audio_ms.p95 for row in rows if row.first_audio_ms),
            Spread.of(
                row.first_audio_ms.p50 - reference.first_audio_ms.p50
                for row, reference in pairs
                if row.first_audio_ms and reference.first_audio_ms
            ),
            Spread.of(_known(_cpu, rows)),
            Spread.of(
                row.cpu_ms_per_audio_s / reference.cpu_ms_per_audio_s
                for row, reference in pairs
                if row.cpu_ms_per_audio_s and reference.cpu_ms_per_audio_s
            ),
        )


def compared(rows: Iterable[Row]) -> list[Comparison]:
    """Every name that was measured, the native sockets themselves among them, with each number of sessions.

    rows: in the order they were measured.
    """
    windows: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        windows.setdefault((row.sessions, row.server), []).append(row)
    found = []
    for (sessions, name), mine in windows.items():
        beside = PLAIN if name in (PLAIN, "wyoming") else NATIVE
        found.append(Comparison.of(beside, mine, windows[sessions, beside]))
    return sorted(found, key=lambda one: (one.sessions, one.door not in (NATIVE, PLAIN)))


def table(comparisons: Iterable[Comparison]) -> Table:
    """For people: of each number the median of the windows, the least and the most."""
    drawn = Table()
    for name in (
        "door\n",
        "sessions\n",
        "turns\n",
        "in trouble\n",
        "first audio, ms\np50",
        "later than\nnative",
        "\np95",
        "CPU ms /\naudio s",
        "times\nnative",
    ):
        drawn.add_column(name, justify="right" if len(drawn.columns) else "left", no_wrap=True)
    for one in comparisons:
        apart = one.door != one.beside
        drawn.add_row(
            one.door,
            str(one.sessions),
            str(one.turns),
            str(one.troubled),
            _told(one.first_audio_ms),
            _told(one.later_ms if apart else None),
            _told(one.first_audio_p95_ms),
            _told(one.cpu_ms_per_audio_s),
            _told(one.cpu_times if apart else None),
        )
    return drawn


def _told(spread: Spread | None) -> str:
    return "–" if spread is None else str(spread)


def _p50(row: Row) -> float | None:
    return row.first_audio_ms.p50 if row.first_audio_ms else None


def _cpu(row: Row) -> float | None:
    return row.cpu_ms_per_audio_s


def _known(value: Callable[[Row], float | None], rows: Iterable[Row]) -> Iterator[float]:
    for row in rows:
        if (known := value(row)) is not None:
            yield known
