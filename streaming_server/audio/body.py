"""Bodies of audio: PCM is pushed into them as it streams, and the bytes of a format come out.

Pure: no I/O and no clock. PyAV, some 35 MB of FFmpeg, is imported by the first body that needs it; wav, pcm
and flac do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from streaming_server.audio.formats import AudioFormat
from streaming_server.audio.wav import wav_header
from streaming_server.errors import BadValue

_BitRateFormat = Literal["mp3", "opus", "aac"]

LOWEST_RATE, HIGHEST_RATE = 8000, 48000
"""Range of sample rates of any format, in Hz."""

CODED_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates of mp3 (ISO/IEC 11172-3, 13818-3 and the 2.5 extension) and aac, in Hz."""

OPUS_BIT_RATES = range(6000, 256_001)
"""Bit rates of one channel, in bits per second (RFC 6716, 2.1.1, up to libopus's own limit)."""

_MPEG_1_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG_2_KBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_25_KBITS = _MPEG_2_KBITS[:8]


class AudioBody(Protocol):
    """Takes mono 16-bit little-endian PCM in pieces of whole samples, and gives one body of a format.

    The results of every `push` and `finish` are the body, which depends only on the audio, not on the
    pieces. Bytes come out as soon as the codec gives them. `finish` or `close` frees the codec. Not for two
    threads at once.
    """

    def push(self, pcm: bytes) -> bytes:
        """Return what of the body this piece of audio completes, which is often nothing."""

    def finish(self) -> bytes:
        """Return the rest of the body. Nothing may be pushed afterwards."""

    def final_head(self) -> bytes:
        """Return the head with the true length, after `finish`, to overwrite it in a file."""

    def close(self) -> None:
        """Free the codec, whether or not the body is finished. Idempotent."""


def open_body(audio_format: AudioFormat, sample_rate: int, bit_rate: int | None = None) -> AudioBody:
    """Begin a body. Raise BadValue for rates that the format does not have.

    sample_rate: in Hz, 8000 to 48000; mp3 and aac take only `CODED_RATES`, opus resamples others.
    bit_rate: in bits per second, for mp3, opus and aac; ignored by the others. None suits speech.

    At most this much more audio must be pushed until the bytes of a sample are out, in milliseconds at
    8 / 24 / 48 kHz:

        wav, pcm       0
        flac         145 /  49 /  25
        opus          47 /  47 /  47, and up to 50 more where it resamples
        mp3          282 /  94 /  72
        aac          384 / 128 /  64

    wav, flac and pcm decode to the same samples at the same rate, opus to the same duration at 48 kHz. mp3
    begins 1105 samples late and aac 1024, their encoders' delay, and both end with up to two frames of
    silence, which a stream of them cannot mark as padding. The heads of wav and flac give an unknown length,
    which libsndfile does not accept in flac: see `AudioBody.final_head`. Without audio, opus has only its
    head, and mp3, aac and flac have no bytes.
    """
    _check_rate(audio_format, sample_rate)
    match audio_format:
        case "wav":
            return _PlainBody(sample_rate)
        case "pcm":
            return _PlainBody(None)
        case "flac":
            from streaming_server.audio.flac import FlacBody

            return FlacBody(sample_rate)
        case "opus":
            from streaming_server.audio.ogg import OpusBody

            return OpusBody(sample_rate, _bit_rate(audio_format, sample_rate, bit_rate))
        case "mp3" | "aac":
            from streaming_server.audio.packets import PacketBody

            return PacketBody(audio_format, sample_rate, _bit_rate(audio_format, sample_rate, bit_rate))


class _PlainBody:
    """Plain samples, after a WAV header or none."""

    def __init__(self, wav_rate: int | None) -> None:
        self._wav_rate = wav_rate
        self._samples = 0
        self._head = wav_header(wav_rate) if wav_rate is not None else b""

    def push(self, pcm: bytes) -> bytes:
        self._samples += len(pcm) // 2
        head, self._head = self._head, b""
        return head + pcm if head else pcm

    def finish(self) -> bytes:
        return self.push(b"")

    def final_head(self) -> bytes:
        return wav_header(self._wav_rate, self._samples) if self._wav_rate is not None else b""

    def close(self) -> None:
        pass


def _check_rate(audio_format: AudioFormat, sample_rate: int) -> None:
    if audio_format in ("mp3", "aac"):
        if sample_rate not in CODED_RATES:
            listed = ", ".join(map(str, CODED_RATES))
            raise BadValue(f"{audio_format} cannot be written at {sample_rate} Hz; it takes {listed}.")
    elif not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise BadValue(f"The sample rate must be from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {sample_rate}.")


def _bit_rate(audio_format: _BitRateFormat, sample_rate: int, asked: int | None) -> int:
    """Return the bit rate to set. Raise BadValue for one that the encoder would silently replace."""
    default, allowed = _bit_rates(audio_format, sample_rate)
    if asked is None:
        return default
    if asked not in allowed:
        bounds = f"{allowed[0]} to {allowed[-1]}"
        if audio_format == "mp3":
            bounds = ", ".join(map(str, allowed))
        raise BadValue(f"{audio_format} at {sample_rate} Hz takes {bounds} bit/s, not {asked}.")
    return asked


def _bit_rates(audio_format: _BitRateFormat, sample_rate: int) -> tuple[int, Sequence[int]]:
    """Return the default, for speech, and all that are allowed, ascending."""
    match audio_format:
        case "mp3" if sample_rate >= 32000:
            return 96000, [kbits * 1000 for kbits in _MPEG_1_KBITS]
        case "mp3" if sample_rate >= 16000:
            return 64000, [kbits * 1000 for kbits in _MPEG_2_KBITS]
        case "mp3":
            return 32000, [kbits * 1000 for kbits in _MPEG_25_KBITS]
        case "opus":
            return 48000, OPUS_BIT_RATES
        case "aac":
            # 6144 bits in a frame of 1024 samples (ISO/IEC 13818-7, 8.2.2.3).
            return min(64000, 4 * sample_rate), range(8000, 6 * sample_rate + 1)
