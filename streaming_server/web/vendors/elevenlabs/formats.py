"""ElevenLabs' `output_format`, by its name."""

from __future__ import annotations

from dataclasses import dataclass

from streaming_server.audio.formats import AudioFormat
from streaming_server.errors import BadValue
from streaming_server.types import Encoding


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """How the audio is sent. sample_rate in Hz, bit_rate in bits per second.

    encoding: of the samples, which are then the body itself where there is no container.
    """

    sample_rate: int
    encoding: Encoding = "pcm_s16le"
    container: AudioFormat | None = None
    bit_rate: int | None = None


def output_formats() -> dict[str, OutputFormat]:
    """Every `output_format`, by its name."""
    formats = {f"pcm_{rate}": OutputFormat(rate) for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)}
    formats["ulaw_8000"] = OutputFormat(8000, "mulaw")
    formats["alaw_8000"] = OutputFormat(8000, "alaw")
    mp3 = [(22050, 32), (24000, 48), *((44100, kbits) for kbits in (32, 64, 96, 128, 192))]
    for rate, kbits in mp3:
        formats[f"mp3_{rate}_{kbits}"] = OutputFormat(rate, container="mp3", bit_rate=1000 * kbits)
    for kbits in (32, 64, 96, 128, 192):
        formats[f"opus_48000_{kbits}"] = OutputFormat(48000, container="opus", bit_rate=1000 * kbits)
    return formats


def output_format(name: str | None) -> OutputFormat:
    """The format of that name; mp3 as the vendor's own service has it where none is said. Raises BadValue."""
    formats = output_formats()
    if (found := formats.get(name or "mp3_44100_128")) is None:
        raise BadValue("one of " + ", ".join(formats) + ".", field="output_format")
    return found
