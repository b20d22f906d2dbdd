"""Percentiles, interpolated linearly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.percentiles import Percentiles, percentile, percentiles


def test_the_median_of_two_values_lies_between_them() -> None:
    assert percentile([100, 1], 0.5) == 50.5


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_agrees_with_numpy(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


def test_returns_p50_p95_and_p99() -> None:
    assert percentiles(float(value) for value in range(101)) == Percentiles(50.0, 95.0, 99.0)
    assert percentiles([7.0]) == Percentiles(7.0, 7.0, 7.0)


def test_no_values_have_no_percentiles() -> None:
    assert percentiles([]) is None
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
