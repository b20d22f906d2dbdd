"""Percentiles of measured values, by name."""

from __future__ import annotations

from dataclasses import asdict

from streaming_server.percentiles import percentile, percentiles


def quantiles(values: list[float], unit: str = "") -> dict[str, float | None]:
    """Return the median, 95th and 99th percentile by name and unit; None where nothing was measured."""
    found = percentiles(values)
    named = asdict(found) if found else {"p50": None, "p95": None, "p99": None}
    return {name + unit: value for name, value in named.items()}


def median(values: list[float]) -> float | None:
    """Return the median; None for no values."""
    return percentile(values, 0.5) if values else None
