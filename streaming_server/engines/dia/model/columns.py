"""Columns of the tensors that hold each slot's state and sampling parameters on the device."""

from __future__ import annotations

POSITION, END, LIMIT, TEXT, FILTER_K, TOP_K, SEED = range(7)
"""Integers: the last row generated, the end-of-audio row, the last row there may be, bytes of text, …"""

INTEGERS = 7

GUIDANCE, TEMPERATURE, TOP_P = range(3)
"""Floats."""

FLOATS = 3
