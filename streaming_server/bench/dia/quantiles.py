"""Percentiles of measured values, by name."""

from __future__ import annotations

from dataclasses import asdict, fields

from streaming_server.percentiles import Percentiles, percentiles


def quantiles(values: list[float], unit: str = "") -> dict[str, float | None]:
    """Return the median, 95th and 99th percentile by name and unit; None where nothing was measured."""
    found = percentiles(values)
    named = {one.name: None for one in fields(Percentiles)} if found is None else asdict(found)
    return {name + unit: value for name, value in named.items()}
