"""Comparison of other ways to the server with the usual one, over alternating measurement windows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from rich.table import Table

from streaming_server.bench.row import Row
from streaming_server.bench.wires import DoorName

NATIVE = "native"
"""The native websocket at the sample rate requested of the other protocols."""
PLAIN = "native, own rate"
"""The native websocket at the engine's sample rate, for protocols that support no other."""
DIRECT = "direct"
GATEWAY = "gateway"
"""The native websocket without and with a gateway before the server."""


def reference_of(name: str) -> str:
    """Return the name of the run that another is compared with; its own if it is compared with none."""
    if name in (DIRECT, GATEWAY):
        return DIRECT
    return PLAIN if name in (PLAIN, "wyoming") else NATIVE


def names_of(doors: Sequence[DoorName]) -> list[str]:
    """Return what to measure for these protocols: their references, and themselves."""
    references = dict.fromkeys(reference_of(door) for door in doors)
    return [*references, *(door for door in doors if door != NATIVE)]


def in_turn(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield the windows to measure as (round, name): each name once a round.

    Each round starts one name later, so that none always follows the same other one.
    """
    names = list(names)
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


def table_of(*names: str) -> Table:
    """Return an empty table. All columns but the first are of numbers."""
    drawn = Table()
    for name in names:
        drawn.add_column(name, justify="right" if drawn.columns else "left", no_wrap=True)
    return drawn


def table(comparisons: Iterable[Comparison]) -> Table:
    """Return a table of medians over the windows, each with the least and greatest value."""
    comparisons = list(comparisons)
    usual = DIRECT if any(one.beside == DIRECT for one in comparisons) else NATIVE
    drawn = table_of(
        "door\n" if usual == NATIVE else "way\n",
        "sessions\n",
        "turns\n",
        "in trouble\n",
        "clean\n%",
        "first audio, ms\np50",
        f"later than\n{usual}",
        "\np95",
        "CPU ms /\naudio s",
        f"times\n{usual}",
    )
    for one in comparisons:
        apart = one.door != one.beside
        drawn.add_row(
            one.door,
            str(one.sessions),
            str(one.turns),
            str(one.troubled),
            f"{100 * one.clean:.0f}",
            _cell(one.first_audio_ms),
            _cell(one.later_ms if apart else None),
            _cell(one.first_audio_p95_ms),
            _cell(one.cpu_ms_per_audio_s),
            _cell(one.cpu_times if apart else None),
        )
    return drawn


def _cell(spread: Spread | None) -> str:
    return "–" if spread is None else str(spread)
