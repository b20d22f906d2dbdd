"""The server's Prometheus metrics."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from streaming_server.percentiles import percentiles

RECENT = 2048
"""The number of first-audio times that percentiles are computed from."""


@dataclass(frozen=True, slots=True)
class FirstAudioPercentiles:
    """Percentiles of recent first-audio times, in milliseconds; None before there was any."""

    p50: float | None
    p95: float | None
    p99: float | None


class Metrics:
    """The metrics, in a registry of their own. node: the server's name among others."""

    def __init__(self, node: str) -> None:
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.connections = gauge("dia_connections", "Open websockets.")
        self.watchers = gauge("dia_watchers", "Open status channels.")
        self.buffered = gauge("dia_buffered_bytes", "PCM that waits for listeners.")
        self.contexts = gauge("dia_contexts", "Open contexts.", ["node"]).labels(node)
        slots = "Utterances that all workers together keep in real time."
        self._slots = gauge("dia_slots", slots, ["node"]).labels(node)
        self.contexts_ended = counter("dia_contexts_ended", "Contexts that ended, by how.", ["end"])
        self.refused = counter("dia_refused", "Connections refused, by error code.", ["code"])
        self.audio = counter("dia_audio_seconds", "Seconds of audio sent.")
        self.loop_lag = histogram(
            "dia_event_loop_lag_seconds",
            "How late the event loop runs a timer.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
        )
        self._first_audio = histogram(
            "dia_first_audio_seconds",
            "From a context's first complete sentence to its first audio.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
        )
        self._step = histogram(
            "dia_step_seconds",
            "Duration of engine steps that produced events.",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
        )
        self._pressure = gauge("dia_memory_pressure", "Used share of a device's memory.", ["device"])
        self._restarts = gauge("dia_worker_restarts", "Restarts of a device's worker.", ["device"])
        self._tasks = gauge("dia_tasks", "Tasks of the event loop.")
        self._threads = gauge("dia_threads", "Threads of the server's process.")
        ProcessCollector(registry=self.registry)  # Its memory, CPU time and open files; on Linux only.
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._heard = 0

    def observe_step(self, seconds: float) -> None:
        self._step.observe(seconds)

    def observe_first_audio(self, seconds: float) -> None:
        """Record a context's time to first audio."""
        self._first_audio.observe(seconds)
        self._recent.append(seconds)
        self._heard += 1

    def heard_since(self, count: int) -> tuple[int, list[float]]:
        """Return how many contexts were heard, and the times to first audio of those after the first `count`.

        The times are in seconds, at most RECENT of them.
        """
        new = min(self._heard - count, len(self._recent))
        return self._heard, list(islice(reversed(self._recent), new))

    @property
    def first_audio_ms(self) -> FirstAudioPercentiles:
        found = percentiles(1000 * seconds for seconds in self._recent)
        if found is None:
            return FirstAudioPercentiles(None, None, None)
        return FirstAudioPercentiles(round(found.p50, 2), round(found.p95, 2), round(found.p99, 2))

    def exposition(self, slots: int, devices: Iterable[tuple[str, float, int]]) -> bytes:
        """Return the metrics in Prometheus' text format. Call it on the event loop.

        slots: of all workers. devices: id, memory pressure, restarts.
        """
        self._slots.set(slots)
        self._tasks.set(len(asyncio.all_tasks()))
        self._threads.set(threading.active_count())
        for device, pressure, restarts in devices:
            self._pressure.labels(device).set(pressure)
            self._restarts.labels(device).set(restarts)
        return generate_latest(self.registry)
