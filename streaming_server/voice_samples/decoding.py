"""Decode a recording to mono floats, with FFmpeg restricted to an allow-list of containers and codecs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from streaming_server.audio.pyav import av
from streaming_server.errors import BadAudio, BadValue, TooLarge
from streaming_server.voice_samples.chunks import correct_sizes, is_chunked
from streaming_server.voice_samples.voice_sample import SAMPLE_RATE, VoiceSampleFormat, VoiceSampleLimits

Floats = NDArray[np.float32]

AT_FULL_SCALE = 0.99

_CONTAINERS: Mapping[str, VoiceSampleFormat] = MappingProxyType(
    {
        "wav": "wav",
        "w64": "w64",
        "aiff": "aiff",
        "caf": "caf",
        "mp3": "mp3",
        "flac": "flac",
        "ogg": "ogg",
        "mov": "m4a",
        "aac": "aac",
        "matroska": "webm",
        "amr": "amr",
        "asf": "wma",
    }
)
"""FFmpeg's demuxers that are allowed, and what each reads."""

_PCM_CODECS = frozenset(
    {"pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw"}
    | {f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")}
)
_LOSSLESS_CODECS = frozenset({"flac", "alac"})
_CODECS = (
    _PCM_CODECS
    | _LOSSLESS_CODECS
    | {"mp3", "mp3float", "aac", "opus", "libopus", "vorbis"}
    | {"amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb"}
    | {"wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice"}
)
"""FFmpeg's decoders that are allowed."""

_EXACT_FORMATS = ("flac", "m4a")
"""Formats whose header is written last and tells the length exactly: one that is shorter was cut off."""

_BLOCK = 65_536
"""Samples that are processed at once, at least."""

_KINDS = "wav, aiff, caf, mp3, flac, ogg, opus, m4a, aac, webm, amr or wma"
_EMPTY = "The file holds no sound. Send a recording of 5 to 10 seconds of speech."
_UNREADABLE = f"The file is damaged or not a recording. Export it again and send {_KINDS}."
_DAMAGED = "The recording is damaged and cannot be read. Export it again and send that."
_CUT_OFF = "The recording is cut off: its header announces more than there is. Send the whole file."
_CODING = "The recording uses a codec that is not supported. Save it as a 16-bit WAV and send that."


@dataclass(slots=True)
class Recording:
    """A recording, decoded, mixed down to mono and resampled to SAMPLE_RATE.

    sample_rate [Hz], frames, channels, highest_peak: before mixing and resampling. clipped_share: part of the
    samples at full scale, 0 to 1. incomplete: whether its end seems to be missing. audio: shape (frames,).
    """

    format: VoiceSampleFormat
    sample_rate: int
    channels: int = 1
    frames: int = 0
    highest_peak: float = 0.0
    clipped_share: float = 0.0
    incomplete: bool = False
    audio: Floats = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate


class UploadReader(io.BufferedReader):
    """A file to decode: without a name, from which FFmpeg would guess the format."""

    name = ""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            raise ValueError(f"{offset} is no offset in a file") from error


def decode(file: UploadReader, limits: VoiceSampleLimits) -> Recording:
    """Decode a recording within the limits.

    Only what is decoded counts, whatever a header claims; no more than one block beyond the longest recording
    is. Raise BadAudio for a file that cannot be read, is damaged or cut off, BadValue for one outside the
    limits and TooLarge for one that is too long.
    """
    source, incomplete = _with_true_sizes(file)
    with _opened(source) as (container, stream):
        _check_format(stream.codec_context.sample_rate, stream.codec_context.channels, limits)
        blocks = _blocks(container, stream)
        first = next(blocks, None)
        rate, codec = stream.codec_context.sample_rate, stream.codec_context.name
        exact = _format(container, codec) in _EXACT_FORMATS
        if first is None:
            raise BadAudio(_CUT_OFF) if exact and stream.duration else BadValue(_EMPTY)
        _check_format(rate, first.shape[1], limits)
        recording = Recording(_format(container, codec), rate, incomplete=incomplete)
        padding = 0 if codec in _PCM_CODECS | _LOSSLESS_CODECS else rate // 4
        mixer = _Mixer(recording, limits, padding)
        mixer.push(first)
        for block in blocks:
            mixer.push(block)
        claimed = round(stream.duration * stream.time_base * rate) if stream.duration else 0
        if exact and recording.frames < claimed - padding:
            raise BadAudio(_CUT_OFF)
        mixer.finish(bounded=not codec.startswith("pcm_f"))
    if recording.format in ("ogg", "opus"):
        recording.incomplete = not _ends_with_last_page(source)
    elif recording.format not in ("wav", "w64", "aiff", "caf"):  # Where it is often an estimate.
        recording.incomplete = recording.frames < claimed * 9 // 10 - padding
    return recording


def _with_true_sizes(file: BinaryIO) -> tuple[BinaryIO, bool]:
    """Return the file, in memory and with true sizes where it has chunks, and whether its end is missing."""
    head = file.read(12)
    if not head:
        raise BadAudio(_EMPTY)
    if not is_chunked(head):
        return file, False
    corrected = bytearray(head + file.read())
    incomplete = correct_sizes(corrected)
    return io.BytesIO(corrected), incomplete


@contextmanager
def _opened(file: BinaryIO) -> Iterator[tuple[Any, Any]]:
    """Yield FFmpeg's container and its first audio stream. Raise BadAudio."""
    options = {
        "format_whitelist": ",".join(_CONTAINERS),
        "codec_whitelist": ",".join(_CODECS),
        "protocol_whitelist": "none",
    }
    file.seek(0)
    try:
        container = av.open(file, metadata_errors="ignore", options=options)
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        raise BadAudio(_UNREADABLE) from None
    with container:
        if not container.streams.audio:
            raise BadAudio(_EMPTY)
        stream = container.streams.audio[0]
        if stream.codec_context is None or stream.codec_context.name not in _CODECS:
            raise BadAudio(_CODING)
        stream.codec_context.thread_count = 1
        yield container, stream


def _format(container: Any, codec: str) -> VoiceSampleFormat:
    if codec in ("opus", "libopus") and container.format.name == "ogg":
        return "opus"
    return _CONTAINERS[container.format.name.partition(",")[0]]


def _blocks(container: Any, stream: Any) -> Iterator[Floats]:
    """Yield the audio in blocks of shape (frames, channels). Some codecs turn stereo after a few frames."""
    rate = None
    waiting: list[Floats] = []
    try:
        for frame in container.decode(stream):
            if rate not in (None, frame.sample_rate):
                raise BadAudio("The recording changes its sample rate on the way. Export it as a WAV.")
            rate = frame.sample_rate
            samples = _floats(frame)
            if waiting and waiting[0].shape[1] != samples.shape[1]:
                yield np.concatenate(waiting)
                waiting = []
            waiting.append(samples)
            if sum(map(len, waiting)) >= _BLOCK:
                yield np.concatenate(waiting)
                waiting = []
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        raise BadAudio(_DAMAGED) from None
    if waiting:
        yield np.concatenate(waiting)


def _floats(frame: Any) -> Floats:
    samples: NDArray[Any] = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, len(frame.layout.channels))
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32, copy=False)
    zero, scale = (128, 128) if samples.dtype.kind == "u" else (0, -np.iinfo(samples.dtype).min)
    floats: Floats = (samples.astype(np.float32) - zero) / np.float32(scale)
    return floats


def _check_format(sample_rate: int, channels: int, limits: VoiceSampleLimits) -> None:
    if not 1 <= channels <= limits.most_channels:
        raise BadValue(
            f"The recording has {channels} channels; at most {limits.most_channels} are supported."
            " Mix it down to mono."
        )
    if not limits.lowest_rate <= sample_rate <= limits.highest_rate:
        raise BadValue(
            f"The recording's sample rate is {sample_rate} Hz; it must be from {limits.lowest_rate}"
            f" to {limits.highest_rate} Hz. Export it at 44100 Hz."
        )


class _Mixer:
    """Mixes blocks down to mono, resamples them and measures them on the way.

    padding: frames that an encoder may have added to a recording of the longest duration.
    """

    def __init__(self, recording: Recording, limits: VoiceSampleLimits, padding: int) -> None:
        self._recording = recording
        self._limits = limits
        self._most_frames = int(limits.longest_s * recording.sample_rate) + padding
        self._samples = self._at_full_scale = 0
        self._pieces: list[Floats] = []
        self._resampler = (
            soxr.ResampleStream(recording.sample_rate, SAMPLE_RATE, 1, dtype="float32")
            if recording.sample_rate != SAMPLE_RATE
            else None
        )

    def push(self, block: Floats) -> None:
        recording, channels = self._recording, block.shape[1]
        if not 1 <= channels <= self._limits.most_channels:
            raise BadAudio(_DAMAGED)
        recording.frames += len(block)
        if recording.frames > self._most_frames:
            raise TooLarge(
                f"The recording is longer than {self._limits.longest_s:g} s."
                " Cut 5 to 10 s of clear speech from it."
            )
        if not np.isfinite(block).all():
            raise BadAudio("The recording holds values that are not numbers. Save it as a 16-bit WAV.")
        levels = np.abs(block)
        self._samples += block.size
        self._at_full_scale += int(np.count_nonzero(levels >= AT_FULL_SCALE))
        recording.highest_peak = max(recording.highest_peak, float(levels.max(initial=0.0)))
        recording.channels = max(recording.channels, channels)
        mono = block @ np.full(channels, 1 / channels, np.float32)
        self._pieces.append(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def finish(self, *, bounded: bool) -> None:
        """Complete the recording. bounded: whether its codec cannot exceed full scale."""
        recording, limits = self._recording, self._limits
        if recording.duration_s < limits.shortest_s:
            raise BadValue(
                f"The recording lasts {recording.duration_s:.2f} s; at least {limits.shortest_s:g} s are"
                " needed. Send 5 to 10 s of speech."
            )
        if self._resampler is not None:
            self._pieces.append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        recording.audio = np.concatenate(self._pieces)[: int(limits.longest_s * SAMPLE_RATE)]
        if bounded or recording.highest_peak <= 1.0:
            recording.clipped_share = self._at_full_scale / self._samples


def _ends_with_last_page(file: BinaryIO) -> bool:
    """Return whether an Ogg file ends with a complete page marked as the last (RFC 3533, section 6)."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65_536))
    tail = file.read(65_536)
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    return bool(tail[page + 5] & 4) and len(tail) >= page + 27 + len(segments) + sum(segments)
