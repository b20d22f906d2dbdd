"""The results, as a table or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

import orjson
from rich.console import Console
from rich.table import Table

from streaming_server.bench.comparison import Comparison, Spread
from streaming_server.bench.doors import DIRECT, NATIVE
from streaming_server.bench.engine_alone import EngineAlone
from streaming_server.bench.row import Row


@dataclass(frozen=True, slots=True)
class Limit:
    """The most sessions at which 99 % had no underrun over 100 ms. first_bad: None if not reached."""

    server: str
    sessions: int
    first_bad: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """ready_s: from process start. idle_mib: before any session. Both None for a server given by --url."""

    ready_s: float | None
    idle_mib: float | None
    rows: Sequence[Row]
    limits: Sequence[Limit] = field(default=())
    doors: Sequence[Comparison] = field(default=())
    engine: EngineAlone | None = None

    @property
    def of_ceiling(self) -> float | None:
        """The server's limit divided by the bare socket's."""
        if len(self.limits) < 2 or not self.limits[1].sessions:
            return None
        return self.limits[0].sessions / self.limits[1].sessions

    @property
    def held(self) -> int:
        """The most sessions that the first server served in real time; 0 if it never did."""
        server = self.rows[0].server
        return max((row.sessions for row in self.rows if row.server == server and row.sustained), default=0)

    @property
    def of_engine(self) -> float | None:
        """The sessions held, divided by those that the engine alone could serve."""
        return self.held / self.engine.sessions if self.engine is not None else None

    def json(self) -> str:
        ratios = {"of_ceiling": self.of_ceiling, "of_engine": self.of_engine}
        return orjson.dumps(asdict(self) | ratios, option=orjson.OPT_INDENT_2).decode()

    def show(self, console: Console) -> None:
        if self.ready_s is not None and self.idle_mib is not None:
            console.print(f"ready {self.ready_s:.2f} s after start, {self.idle_mib:.0f} MiB when idle")
        if self.doors:
            console.print(_comparison_table(self.doors))
            console.print(
                f"Median of {self.doors[0].rounds} windows [least, greatest].",
                style="dim",
                markup=False,
            )
        else:
            console.print(_table(self.rows))
        console.print(
            "First audio is measured from the moment the first sentence was complete on the wire. Clean "
            "sessions had no underrun over 100 ms.\nThe load generator used up to "
            f"{max(row.generator_cpu for row in self.rows):.2f} cores and sent its messages up to "
            f"{max(row.generator_lag_ms for row in self.rows):.1f} ms late (p99).",
            style="dim",
        )
        for limit in self.limits:
            beyond = "no limit found" if limit.first_bad is None else f"not {limit.first_bad}"
            console.print(f"{limit.server}: {limit.sessions} sessions in real time ({beyond})")
        if self.of_ceiling is not None:
            console.print(f"{self.of_ceiling:.2f} of the bare socket's sessions")
        if self.engine is not None:
            console.print(
                f"The engine alone makes {self.engine.audio_s_per_s:.0f} s of audio per second, enough for "
                f"{self.engine.sessions:.0f} sessions; the server held {self.held}: {self.of_engine:.2f}"
            )


def table_of(*names: str) -> Table:
    """Return an empty table. All columns but the first are of numbers."""
    drawn = Table()
    for name in names:
        drawn.add_column(name, justify="right" if drawn.columns else "left", no_wrap=True)
    return drawn


def _comparison_table(comparisons: Iterable[Comparison]) -> Table:
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
            _spread_cell(one.first_audio_ms),
            _spread_cell(one.later_ms if apart else None),
            _spread_cell(one.first_audio_p95_ms),
            _spread_cell(one.cpu_ms_per_audio_s),
            _spread_cell(one.cpu_times if apart else None),
        )
    return drawn


def _spread_cell(spread: Spread | None) -> str:
    return "–" if spread is None else str(spread)


def _table(rows: Sequence[Row]) -> Table:
    table = table_of(
        "server\n",
        "sessions\n",
        "turns\n",
        "first audio, ms\np50 / p95 / p99",
        "underrun, ms\nworst / total",
        "clean\n%",
        "refused /\nerrored",
        "audio\ns/s",
        "CPU ms /\naudio s",
        "peak\nMiB",
    )
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    first = row.first_audio_ms
    return (
        row.server,
        str(row.sessions),
        str(row.turns),
        f"{first.p50:.1f} / {first.p95:.1f} / {first.p99:.1f}" if first else "–",
        f"{row.underrun_worst_ms:.0f} / {row.underrun_total_ms:.0f}",
        _number(100 * row.clean, 1),
        f"{row.refused} / {row.errored}",
        _number(row.audio_s_per_s, 1),
        _number(row.cpu_ms_per_audio_s, 2),
        _number(row.memory_mib, 0),
    )


def _number(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:.{places}f}"
