"""Time graphs on an idle device."""

from __future__ import annotations

import time
from typing import Any, Final

from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda

_REPLAYS: Final = 4
"""Replays that measure a graph's time once."""

_TRIALS: Final = 3
"""Measurements of which the least counts."""

_WARM_UP_S: Final = 0.3
"""Time for which the device is kept busy before it is timed."""


def raise_clocks(cuda: Cuda, graph: CapturedGraph, most: int) -> None:
    """Keep the device busy until its clocks are as high as under load; replay at most `most` times."""
    deadline = time.perf_counter() + _WARM_UP_S
    for _ in range(most):
        graph.replay()
        cuda.synchronize()
        if time.perf_counter() > deadline:
            return


def graph_seconds(cuda: Cuda, graph: CapturedGraph, stream: Any) -> float:
    """Return the seconds a graph takes on the idle device."""
    with cuda.use_stream(stream):
        graph.replay()
        return min(_once(cuda, graph, stream) for _ in range(_TRIALS))


def _once(cuda: Cuda, graph: CapturedGraph, stream: Any) -> float:
    start = cuda.record_event(stream, timing=True)
    for _ in range(_REPLAYS):
        graph.replay()
    end = cuda.record_event(stream, timing=True)
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / _REPLAYS
