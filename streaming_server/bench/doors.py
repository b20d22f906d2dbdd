"""Comparison of other protocols with the native websocket, over alternating measurement windows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from rich.table import Table

from streaming_server.bench.row import Row
from streaming_server.bench.wires import DoorName

NATIVE = "native"
"""The native websocket at the sample rate requested of the other protocols."""
PLAIN = "native, own rate"
"""The native websocket at the engine's sample rate, for protocols that support no other."""


def reference_of(door: DoorName) -> str:
    """Return the name of the native run that a protocol is compared with."""
    return PLAIN if door == "wyoming" else NATIVE


def in_turn(doors: Sequence[DoorName], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield the windows to measure as (round, name): each protocol and its reference once a round.

    Each round starts one name later, so that no protocol always follows the same other one.
    """
    references = dict.fromkeys(reference_of(door) for door in doors)
    names = [*references, *(door for door in doors if door != NATIVE)]
    for round_ in range(rounds):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            yield round_, name


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
    """A protocol compared with the native websocket at one number of sessions, over several rounds.

    turns: total of all windows. troubled: sessions that were refused, lost or received an error.
    first_audio_ms: of each window's median; p95 likewise. later_ms: difference to the native websocket's
    median in the same round. cpu_times: CPU per second of audio, divided by the native websocket's.
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
        """Compare a protocol's windows with the native websocket's; one pair per round."""
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
    """Return a comparison for each measured name (native ones included) and number of sessions.

    rows: in the order in which they were measured.
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
    """Return a table of medians over the windows, each with the least and greatest value."""
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
            _cell(one.first_audio_ms),
            _cell(one.later_ms if apart else None),
            _cell(one.first_audio_p95_ms),
            _cell(one.cpu_ms_per_audio_s),
            _cell(one.cpu_times if apart else None),
        )
    return drawn


def _cell(spread: Spread | None) -> str:
    return "–" if spread is None else str(spread)


def _p50(row: Row) -> float | None:
    return row.first_audio_ms.p50 if row.first_audio_ms else None


def _cpu(row: Row) -> float | None:
    return row.cpu_ms_per_audio_s


def _known(value: Callable[[Row], float | None], rows: Iterable[Row]) -> Iterator[float]:
    for row in rows:
        if (known := value(row)) is not None:
            yield known
