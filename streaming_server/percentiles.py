"""Percentiles of measured values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median, 95th and 99th percentile, in the unit of the values."""

    p50: float
    p95: float
    p99: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share (0 to 1) of the values lies, interpolated linearly.

    The definition of numpy's default: the share of [1, 100] at 0.5 is 50.5. Raise ValueError for no values.
    """
    return _interpolated(sorted(values), share)


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """Return the percentiles of the values; None for no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Percentiles(*(_interpolated(ordered, share) for share in (0.50, 0.95, 0.99)))


def _interpolated(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        raise ValueError("no values")
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
