"""ElevenLabs' `output_format`, by its name."""

from __future__ import annotations

from streaming_server.audio.encoder import AudioOptions
from streaming_server.errors import BadValue
from streaming_server.types import SAMPLE_RATES


def output_formats(*, files: bool) -> dict[str, AudioOptions]:
    """Return every `output_format` by its name. files: with those that only an HTTP response has, WAV."""
    formats = {f"wav_{rate}": AudioOptions(rate, format="wav") for rate in SAMPLE_RATES} if files else {}
    formats |= {f"pcm_{rate}": AudioOptions(rate) for rate in SAMPLE_RATES}
    formats["ulaw_8000"] = AudioOptions(8000, "mulaw")
    formats["alaw_8000"] = AudioOptions(8000, "alaw")
    mp3 = [(22050, 32), (24000, 48), *((44100, kbits) for kbits in (32, 64, 96, 128, 192))]
    for rate, kbits in mp3:
        formats[f"mp3_{rate}_{kbits}"] = AudioOptions(rate, format="mp3", bit_rate=1000 * kbits)
    for kbits in (32, 64, 96, 128, 192):
        formats[f"opus_48000_{kbits}"] = AudioOptions(48000, format="opus", bit_rate=1000 * kbits)
    return formats


def audio_options(name: str | None, *, files: bool) -> AudioOptions:
    """Return the format of a name; without one, mp3 as the vendor's own service has it.

    files: as for `output_formats`. Raise BadValue.
    """
    formats = output_formats(files=files)
    if (found := formats.get((name or "mp3_44100_128").strip().lower())) is None:
        raise BadValue("must be one of " + ", ".join(formats) + ".", field="output_format")
    return found
