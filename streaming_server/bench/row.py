"""One row of the results: a number of sessions measured over a window of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streaming_server.bench.session import LoadSession, LoadTurn
from streaming_server.percentiles import Percentiles, percentile, percentiles

TOLERANCE_S = 0.1
"""The longest stall of a clean session."""
GOOD_ENOUGH = 0.99
"""Least share of clean sessions at which a number of sessions counts as sustained."""


@dataclass(frozen=True, slots=True)
class Window:
    """The measured interval, in seconds of time.perf_counter."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a window. memory_mib: the peak. None if the server's processes are not visible."""

    audio_s: float
    generator_cpu_s: float
    server_cpu_s: float | None = None
    memory_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The results of a number of concurrent sessions.

    turns: turns whose first sentence was complete within the window; only these count for first audio.
    first_audio_ms: None if there was no such turn.
    underrun_worst_ms, underrun_total_ms: over all turns that played, or should have, within the window.
    clean: share of the sessions without an underrun over 100 ms, 0 to 1. A session that was refused or lost,
    received an error or received no audio is not clean.
    audio_s_per_s: seconds of audio received per second.
    cpu_ms_per_audio_s: of all the server's processes. generator_cpu: cores used by the load generator.
    generator_lag_ms: 99th percentile of the delay with which the load generator sent its messages.
    """

    server: str
    sessions: int
    turns: int
    first_audio_ms: Percentiles | None
    underrun_worst_ms: float
    underrun_total_ms: float
    clean: float
    refused: int
    errored: int
    audio_s_per_s: float
    cpu_ms_per_audio_s: float | None
    memory_mib: float | None
    generator_cpu: float
    generator_lag_ms: float

    @property
    def sustained(self) -> bool:
        """True if the server serves that number of sessions in real time."""
        return self.clean >= GOOD_ENOUGH


def first_audio_s(turns: Iterable[LoadTurn], window: Window, now: float) -> list[float]:
    """Return the time to first audio of each turn whose first sentence was complete within the window.

    A turn without audio counts as having waited until now: leaving it out would hide the slowest turns.
    """
    return [
        (turn.playout.first_at if turn.playout.started else now) - turn.complete_at
        for turn in turns
        if window.since <= turn.complete_at < window.until and not turn.failed
    ]


def count_open_stalls(sessions: Iterable[LoadSession], window: Window) -> None:
    """Count stalls that are still going on at the end of the window."""
    for session in sessions:
        for turn in session.turns:
            if turn.ended_at > window.until:
                turn.playout.cut(window.until, turn.text_at)


def make_row(server: str, sessions: Sequence[LoadSession], window: Window, cost: Cost, now: float) -> Row:
    """Compute the row, once all audio that belongs to the window has arrived."""
    sounding = [[turn for turn in session.turns if turn.ended_at > window.since] for session in sessions]
    playouts = [turn.playout for turns in sounding for turn in turns]
    clean = sum(is_clean(session, turns) for session, turns in zip(sessions, sounding, strict=True))
    waits = first_audio_s((turn for turns in sounding for turn in turns), window, now)
    lags = [lag for session in sessions for lag in session.lags]
    seconds = window.until - window.since
    cpu_s = cost.server_cpu_s
    return Row(
        server=server,
        sessions=len(sessions),
        turns=len(waits),
        first_audio_ms=percentiles([1000 * wait for wait in waits]),
        underrun_worst_ms=1000 * max((playout.worst for playout in playouts), default=0.0),
        underrun_total_ms=1000 * sum(playout.total for playout in playouts),
        clean=clean / len(sessions),
        refused=sum(session.stopped_by == "refused" for session in sessions),
        errored=sum(
            session.stopped_by in ("lost", "restarting") or session.errors > 0 for session in sessions
        ),
        audio_s_per_s=cost.audio_s / seconds,
        cpu_ms_per_audio_s=None if cpu_s is None or not cost.audio_s else 1000 * cpu_s / cost.audio_s,
        memory_mib=cost.memory_mib,
        generator_cpu=cost.generator_cpu_s / seconds,
        generator_lag_ms=1000 * percentile(lags, 0.99) if lags else 0.0,
    )


def is_clean(session: LoadSession, turns: Sequence[LoadTurn]) -> bool:
    """Return whether the session received audio without errors or long stalls."""
    if session.stopped_by is not None or session.errors:
        return False
    heard = any(turn.playout.started for turn in session.turns)
    return heard and all(turn.playout.worst <= TOLERANCE_S for turn in turns)
