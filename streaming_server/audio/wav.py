"""The header of a WAV file."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType

from streaming_server.types import SAMPLE_BYTES, Encoding

UNKNOWN_BYTES = 0xFFFFFFFF
"""Size of a stream whose length is not known yet; players read on to its end."""

_PCM = 1
_TAGS: Mapping[Encoding, int] = MappingProxyType({"pcm_s16le": _PCM, "pcm_f32le": 3, "mulaw": 7, "alaw": 6})
"""Format tags (RFC 2361)."""


def wav_header(sample_rate: int, samples: int | None = None, encoding: Encoding = "pcm_s16le") -> bytes:
    """Return what precedes mono audio in a WAV file: 44 bytes for 16-bit PCM, 58 for the other encodings.

    sample_rate: in Hz. samples: None for a stream of unknown length; more than the format can express is
    treated alike. Encodings other than integer PCM need a longer format chunk and a fact chunk.
    """
    tag, width = _TAGS[encoding], SAMPLE_BYTES[encoding]
    format_chunk = struct.pack("<HHIIHH", tag, 1, sample_rate, width * sample_rate, width, 8 * width)
    if tag != _PCM:
        format_chunk += bytes(2)
    data_bytes = UNKNOWN_BYTES if samples is None else width * samples
    fact = UNKNOWN_BYTES if samples is None else min(samples, UNKNOWN_BYTES)
    fact_chunk = b"" if tag == _PCM else b"fact" + struct.pack("<II", 4, fact)
    riff_bytes = 4 + 8 + len(format_chunk) + len(fact_chunk) + 8 + data_bytes
    if riff_bytes > UNKNOWN_BYTES:
        data_bytes = riff_bytes = UNKNOWN_BYTES
    return b"".join(
        [
            *(b"RIFF", struct.pack("<I", riff_bytes), b"WAVE"),
            *(b"fmt ", struct.pack("<I", len(format_chunk)), format_chunk),
            fact_chunk,
            *(b"data", struct.pack("<I", data_bytes)),
        ]
    )
