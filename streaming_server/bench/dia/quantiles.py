"""Percentiles of measured values, by name."""

from __future__ import annotations

from streaming_server.percentiles import percentile


def quantiles(values: list[float], unit: str = "") -> dict[str, float | None]:
    """Return the median, 95th and 99th percentile by name and unit; None where nothing was measured."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name + unit: percentile(values, share) if values else None for name, share in shares.items()}
