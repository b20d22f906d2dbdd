"""Many measured values in a few."""

from __future__ import annotations

import statistics

import numpy as np

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def quantiles(values: list[float], unit: str = "") -> dict[str, float | None]:
    """Median, 95th and 99th percentile by name, with the unit behind it; None where nothing was measured."""
    return {
        name + unit: float(np.quantile(np.asarray(values), q)) if values else None
        for name, q in _QUANTILES.items()
    }


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
