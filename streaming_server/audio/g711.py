"""ITU-T G.711: 8-bit μ-law and A-law characters for 16-bit PCM samples."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]
    Characters = NDArray[np.uint8]


def mulaw(samples: Samples) -> Characters:
    """Encode samples as μ-law.

    The law is defined for 14 bits: the lowest two are dropped, as by SoX and Python's audioop.
    """
    import numpy as np

    return _mulaw_table()[samples.astype(np.uint16)]


def alaw(samples: Samples) -> Characters:
    """Encode samples as A-law. The law is defined for 13 bits: the lowest three are dropped."""
    import numpy as np

    return _alaw_table()[samples.astype(np.uint16)]


@cache
def _mulaw_table() -> Characters:
    """Return the character of every sample, indexed by the sample as an unsigned number."""
    import numpy as np

    linear = _every_sample() >> 2
    biased = np.minimum(np.abs(linear) + 33, 8191)
    segment = np.searchsorted([64 << i for i in range(7)], biased, side="right")
    character = segment << 4 | biased >> segment + 1 & 15
    table: Characters = (character ^ np.where(linear < 0, 0x7F, 0xFF)).astype(np.uint8)
    return table


@cache
def _alaw_table() -> Characters:
    """Return the character of every sample, indexed by the sample as an unsigned number."""
    import numpy as np

    linear = _every_sample() >> 3
    magnitude = np.where(linear < 0, ~linear, linear)
    segment = np.searchsorted([32 << i for i in range(7)], magnitude, side="right")
    character = segment << 4 | magnitude >> np.maximum(segment, 1) & 15
    table: Characters = (character ^ np.where(linear < 0, 0x55, 0xD5)).astype(np.uint8)
    return table


def _every_sample() -> NDArray[np.int64]:
    import numpy as np

    return np.arange(65536, dtype=np.uint16).astype(np.int16).astype(np.int64)
