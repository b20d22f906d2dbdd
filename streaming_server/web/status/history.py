"""The recent past of the server, in steps of a second for 15 minutes and of 10 seconds for an hour.

No I/O and no clock; the caller passes the time, in seconds since the server started. Memory is bounded: an
hour of a server with eight devices takes about 310 KiB.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan, nan
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from streaming_server.percentiles import percentiles

FINE_STEP_S, FINE_STEPS = 1, 900
COARSE_STEP_S, COARSE_STEPS = 10, 360
FINE_MINUTES = FINE_STEP_S * FINE_STEPS // 60
"""Longer spans are told in coarse steps."""
MOST_MINUTES = COARSE_STEP_S * COARSE_STEPS // 60
EVENTS = 256
"""Events kept."""
MOST_TIMES = 2048
"""First-audio times that the percentiles of a step are computed from, the latest of it."""

FIRST_AUDIO = ("p50", "p95", "p99")
LOAD = ("contexts", "queued", "connections")
MEMORY = ("pressure", "model", "slots")

Column = Sequence[float | None]
EventKind = Literal["server_started", "worker_lost", "worker_ready"]


class HistoryEvent(TypedDict):
    """at: seconds since the server started. device: of a worker."""

    at: float
    event: EventKind
    device: NotRequired[str]


class FirstAudioHistory(TypedDict):
    """Percentiles of the contexts first heard in a step, in milliseconds; null if there was none."""

    p50: Column
    p95: Column
    p99: Column


class DeviceHistory(TypedDict):
    """Shares of the device's memory, 0 to 1: in use by all programs, by the model, by the slots."""

    pressure: Column
    model: Column
    slots: Column


class History(TypedDict):
    """Columns of equal length, oldest first.

    at: the end of each step, in seconds since the server started. started_at: when that was, in seconds since
    1970. uptime_s: now. contexts, queued, connections and pressure are the highest of each step.
    """

    minutes: int
    step_s: int
    started_at: float
    uptime_s: float
    at: list[float]
    first_audio_ms: FirstAudioHistory
    contexts: Column
    queued: Column
    connections: Column
    devices: dict[str, DeviceHistory]
    events: list[HistoryEvent]


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Shares of a device's memory, 0 to 1; None if not known."""

    pressure: float | None
    model: float | None = None
    slots: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """The load of the server at one moment, and the contexts first heard since the last one.

    devices: memory by id. first_audio_ms: times to first audio of those contexts.
    """

    contexts: int
    queued: int
    connections: int
    devices: Mapping[str, DeviceMemory]
    first_audio_ms: Sequence[float] = ()


class StatusHistory:
    """started_at: seconds since 1970. devices: ids of all devices."""

    def __init__(self, started_at: float, devices: Sequence[str]) -> None:
        self._started_at = started_at
        self._devices = tuple(devices)
        self._fine = _Ring(FINE_STEP_S, FINE_STEPS, len(devices))
        self._coarse = _Ring(COARSE_STEP_S, COARSE_STEPS, len(devices))
        self._events: deque[HistoryEvent] = deque([{"at": 0.0, "event": "server_started"}], maxlen=EVENTS)

    def worker_changed(self, at: float, device: str, state: str) -> None:
        """Note that a worker was lost, or is ready again after that."""
        last = next((event for event in reversed(self._events) if event.get("device") == device), None)
        was_lost = last is not None and last["event"] == "worker_lost"
        if state in ("restarting", "broken") and not was_lost:
            self._events.append({"at": round(at, 2), "event": "worker_lost", "device": device})
        elif state == "ready" and was_lost:
            self._events.append({"at": round(at, 2), "event": "worker_ready", "device": device})

    def sample(self, at: float, load: Load) -> None:
        """Add the state at a time. Call it once per FINE_STEP_S; a missed call leaves a gap."""
        values = [
            float(load.contexts),
            float(load.queued),
            float(load.connections),
            *chain.from_iterable(_shares(load.devices[device]) for device in self._devices),
        ]
        self._fine.sample(at, values, load.first_audio_ms)
        self._coarse.sample(at, values, load.first_audio_ms)

    def since(self, minutes: int, since: float, now: float) -> History:
        """Return the steps and events after `since`; a negative time is before all of them.

        minutes: how far to go back, at most MOST_MINUTES. now: seconds since the server started.
        """
        ring = self._fine if minutes <= FINE_MINUTES else self._coarse
        at, columns = ring.since(max(since, now - 60 * minutes))
        p50, p95, p99, contexts, queued, connections, *memory = columns
        return {
            "minutes": minutes,
            "step_s": ring.step_s,
            "started_at": round(self._started_at, 2),
            "uptime_s": round(now, 2),
            "at": at,
            "first_audio_ms": {"p50": p50, "p95": p95, "p99": p99},
            "contexts": contexts,
            "queued": queued,
            "connections": connections,
            "devices": {
                device: {"pressure": memory[first], "model": memory[first + 1], "slots": memory[first + 2]}
                for device, first in zip(self._devices, range(0, len(memory), len(MEMORY)), strict=True)
            },
            "events": [event for event in self._events if event["at"] > since],
        }


class _Ring:
    """Rows of one resolution: the end of the step, percentiles, and the highest of each value.

    Columns are arrays, so that an answer is slices of them. Where there is no value they hold NaN, which is
    null in JSON.
    """

    def __init__(self, step_s: int, steps: int, devices: int) -> None:
        self.step_s = step_s
        columns = len(FIRST_AUDIO) + len(LOAD) + len(MEMORY) * devices
        self._at = array("d", [nan]) * steps
        self._columns = [array("d", [nan]) * steps for _ in range(columns)]
        self._next = 0
        self._due = 0.0
        self._times: deque[float] = deque(maxlen=MOST_TIMES)
        self._peaks: list[float] = []

    def sample(self, at: float, values: list[float], times: Sequence[float]) -> None:
        """Add a moment; write a row when the step is over."""
        self._times.extend(times)
        self._peaks = list(map(_higher, self._peaks, values)) if self._peaks else values
        if at >= self._due:
            self._write(at)
            self._due = at + self.step_s - FINE_STEP_S / 2

    def _write(self, at: float) -> None:
        found = percentiles(self._times)
        times = (nan, nan, nan) if found is None else (found.p50, found.p95, found.p99)
        self._at[self._next] = round(at, 2)
        for column, value in zip(self._columns, chain(times, self._peaks), strict=True):
            column[self._next] = round(value, 4)
        self._next = (self._next + 1) % len(self._at)
        self._times.clear()
        self._peaks = []

    def since(self, since: float) -> tuple[list[float], list[list[float]]]:
        """Return the ends of the steps after a time, and the columns, oldest first."""
        count = self._rows_after(since)
        return self._newest(self._at, count), [self._newest(column, count) for column in self._columns]

    def _rows_after(self, since: float) -> int:
        """Rows never written are NaN, which is not after any time."""
        steps = len(self._at)
        count = 0
        while count < steps and self._at[self._next - 1 - count] > since:
            count += 1
        return count

    def _newest(self, column: array[float], count: int) -> list[float]:
        first = self._next - count
        if first >= 0:
            return column[first : self._next].tolist()
        return column[first:].tolist() + column[: self._next].tolist()


def _shares(memory: DeviceMemory) -> Iterator[float]:
    for share in (memory.pressure, memory.model, memory.slots):
        yield nan if share is None else share


def _higher(one: float, other: float) -> float:
    """Return the higher of two values; NaN counts less than any other."""
    return other if isnan(one) or other > one else one
