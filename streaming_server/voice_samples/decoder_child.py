"""The decoder: a child process that reads one recording and ends.

Started by the server as `python -m streaming_server.voice_samples.decoder_child` with the arguments
SOURCE TARGET LIMITS PARENT, LIMITS being
the fields of `SampleLimits` as JSON and PARENT the server's process id, with which it ends. It confines
itself before it looks at anything, writes TARGET and says one line:

    {"sample": fields of sample.Sample}          TARGET is whole
    {"refused": {"code", "message"}}             the sender is told why
    {"failed": {"message"}}                      a fault of ours, for the log
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from streaming_server.errors import BadAudio, BadValue, SpeechError, StorageFailure, TooLarge, Unavailable
from streaming_server.voice_samples.ingest import (
    BEST_S,
    SAMPLE_RATE,
    WAVEFORM_PAIRS,
    DecodedVoiceSample,
    VoiceSampleFormat,
    VoiceSampleLimits,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

PEAK = 0.95
"""Where the highest peak of what is written lies; 1.0 is full scale."""

SILENT_PEAK = 1e-3
"""−60 dB: speech that does not reach it is below the noise of any microphone."""
SILENT_RMS = 3e-4
"""−70 dB, of what is left without a constant offset."""
QUIET_PEAK = 3e-2
"""−30 dB: raised to full scale, the noise of 16 bits and of the room is heard."""

AT_FULL_SCALE = 0.99
CLIPPED_SHARE, CLIPPED_THROUGH_SHARE = 5e-3, 0.5
"""Of all samples, those at full scale. Loud, well-mastered speech stays under 0.001."""

_PR_SET_PDEATHSIG = 1
_BLOCK = 65_536
_MOST_CHUNKS = 1_000
_MOST_TAGS = 8

_KINDS = "wav, mp3, flac, ogg, opus, m4a, aac or webm"
_NO_AUDIO = f"This is not a recording that can be read here. Send {_KINDS}."
_DAMAGED = "The recording is damaged and cannot be read. Save or export it once more and send that."
_CUT_OFF = "The recording is cut off: its header tells of more than there is. Send the whole file."
_EMPTY = "The file holds no sound. Send a recording of 5 to 10 seconds of speech."
_CODING = "The recording is coded in a way that cannot be read here. Save it as a 16-bit WAV and send that."

_UNKNOWN = 0xFFFF_FFFF
"""The length of a WAV file that is sent while it is made."""
_WAV_CODINGS = {0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE}
"""PCM, floating point, A-law, µ-law, and the extension that says one of these elsewhere (RFC 2361)."""

_SUBTYPES: dict[VoiceSampleFormat, frozenset[str]] = {
    "wav": frozenset(
        {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"},
    ),
    "flac": frozenset({"PCM_S8", "PCM_16", "PCM_24"}),
    "mp3": frozenset({"MPEG_LAYER_III"}),
    "ogg": frozenset({"VORBIS", "PCM_S8", "PCM_16", "PCM_24"}),
    "opus": frozenset({"OPUS"}),
}
"""The codings that libsndfile is let decode."""

_DEMUXERS: dict[VoiceSampleFormat, str] = {"m4a": "mov", "aac": "aac", "webm": "matroska", "flac": "flac"}
_CODECS = ("aac", "alac", "flac", "mp3float", "mp3", "opus", "libopus", "vorbis", "pcm_s16le", "pcm_f32le")
"""What FFmpeg is let use."""


def main(arguments: list[str]) -> int:
    source, target, limits = (
        Path(arguments[0]),
        Path(arguments[1]),
        VoiceSampleLimits(**json.loads(arguments[2])),
    )
    confine(limits, parent=int(arguments[3]))
    answer: dict[str, Any]
    try:
        answer = {"sample": asdict(decode(source, target, limits))}
    except SpeechError as error:
        answer = {"refused": {"code": error.code, "message": error.message}}
    except MemoryError:
        sentence = "The recording needs too much memory. Save it as a 16-bit WAV and send that."
        answer = {"refused": {"code": Unavailable.code, "message": sentence}}
    except Exception as error:
        answer = {"failed": {"message": _where(error)}}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # What a hostile file left behind in a library is not tidied up.


def confine(limits: VoiceSampleLimits, parent: int) -> None:
    """Bound what this process may cost, and end it with its parent."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("The server is gone.")
    longest_file = int(limits.longest_s * SAMPLE_RATE) * 2 + 64 * 1024
    _at_most(resource.RLIMIT_CORE, 0)
    _at_most(resource.RLIMIT_CPU, limits.cpu_s)
    _at_most(resource.RLIMIT_FSIZE, longest_file)
    _at_most(resource.RLIMIT_NOFILE, 64)
    if sys.platform == "linux":
        _at_most(resource.RLIMIT_AS, limits.memory_bytes)


def _at_most(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (allowed, allowed))


def _where(error: BaseException) -> str:
    """An exception's kind and lines, without the words, which may be somebody else's."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        lines.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' '.join(lines)}"


def decode(source: Path, target: Path, limits: VoiceSampleLimits) -> DecodedVoiceSample:
    """Read a recording and write it as voice samples are stored. Raises as `ingest` does.

    Whatever a header says is checked before anything is decoded, and found out if it lies: no more is decoded
    than a block beyond the longest sample.
    """
    try:
        file = source.open("rb", buffering=0)
    except OSError as error:
        raise StorageFailure(f"The file of the recording cannot be opened: {error.strerror}.") from error
    try:
        with file:
            return _decoded(file, target, limits)
    except OSError as error:
        raise StorageFailure("The sample could not be stored: the disk is full or failing.") from error


def _decoded(file: BinaryIO, target: Path, limits: VoiceSampleLimits) -> DecodedVoiceSample:
    kind = sniff(file)
    if kind is None:
        raise BadAudio(_NO_AUDIO if os.fstat(file.fileno()).st_size else _EMPTY)
    with _opened(kind, file, limits) as recording:
        _check_header(recording, limits)
        listener = _Listener(recording, limits)
        for block in recording.blocks:
            listener.hear(block)
        return listener.write(target, _ends_whole(kind, file))


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recording that is open.

    sample_rate: in Hz. frames: as many as the header tells of, if it does; `exact`, unless it may be a guess.
    padding: how many an encoder may have added to them. full_scale_bounds: its samples cannot exceed 1.0.
    sound_at: where in a WAV file the sound begins that goes on to its end, as its header does not say so.
    blocks: what it holds, floats of shape (frames, channels); some codecs find out late that they have two.
    """

    kind: VoiceSampleFormat
    sample_rate: int
    channels: int
    frames: int | None
    blocks: Iterator[Floats]
    exact: bool = True
    padding: int = 0
    full_scale_bounds: bool = True
    sound_at: int | None = None


def sniff(file: BinaryIO) -> VoiceSampleFormat | None:
    """What a file is by its first bytes, ID3 tags passed over; None for what is none of the kinds."""
    start = 0
    for _ in range(_MOST_TAGS):
        file.seek(start)
        head = file.read(64)
        if head[:3] != b"ID3" or len(head) < 10:
            return _kind_of(head)
        size = 0
        for byte in head[6:10]:  # Seven bits each (ID3v2.4, 3.1), and a footer of ten bytes if bit 4 is set.
            size = size << 7 | byte & 0x7F
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    return None


def _kind_of(head: bytes) -> VoiceSampleFormat | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        if head[28:36] == b"OpusHead":
            return "opus"
        return "ogg" if head[28:35] == b"\x01vorbis" or head[28:33] == b"\x7fFLAC" else None
    if head[4:8] == b"ftyp":
        return "m4a"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if len(head) >= 4 and head[0] == 0xFF:
        return _mpeg_kind(head)
    return None


def _mpeg_kind(head: bytes) -> VoiceSampleFormat | None:
    """A frame of ADTS (ISO/IEC 13818-7, 6.2) or of layer III (ISO/IEC 11172-3, 2.4.1.3)."""
    if head[1] & 0xF6 == 0xF0:
        return "aac" if head[2] >> 2 & 0xF < 13 else None
    is_layer_iii = head[1] & 0xE6 == 0xE2 and head[1] >> 3 & 3 != 1
    return "mp3" if is_layer_iii and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3 else None


def _ends_whole(kind: VoiceSampleFormat, file: BinaryIO) -> bool:
    """Whether an Ogg stream ends with the page that says it is the last (RFC 3533, 6)."""
    if kind not in ("ogg", "opus"):
        return True
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - 65_536))
    tail = file.read(65_536)
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    return bool(tail[page + 5] & 4) and len(tail) >= page + 27 + len(segments) + sum(segments)


@contextmanager
def _opened(kind: VoiceSampleFormat, file: BinaryIO, limits: VoiceSampleLimits) -> Iterator[_Recording]:
    if kind in ("m4a", "aac", "webm") or (kind == "flac" and _is_endless_flac(file)):
        with _by_ffmpeg(kind, file) as recording:
            yield recording
        return
    told = _read_wav_header(file) if kind == "wav" else None
    if told is not None:  # So that the library never sees what it would refuse less politely.
        _check_header(told, limits)
    source: int | BinaryIO = file.fileno()
    if told is not None and told.sound_at is not None:
        source = _with_length(file, told.sound_at)
    else:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
    with _by_sndfile(kind, source, told) as recording:
        yield recording


def _is_endless_flac(file: BinaryIO) -> bool:
    """Whether it says that its length is not known (RFC 9639, 8.2), at the end of which libsndfile fails."""
    file.seek(0)
    head = file.read(26)
    return head[:4] == b"fLaC" and int.from_bytes(head[21:26], "big") & 0xF_FFFF_FFFF == 0


def _read_wav_header(file: BinaryIO) -> _Recording:
    """What a WAV file says of itself. Raises BadAudio for one that is damaged or of an unknown coding."""
    size = os.fstat(file.fileno()).st_size
    form: tuple[int, ...] | None = None
    at = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        at += 8
        if name == b"fmt ":
            form = struct.unpack("<HHIIHH", file.read(16).ljust(16, b"\0"))
        elif name == b"data":
            if form is None:
                raise BadAudio(_DAMAGED)
            if _is_endless_wav(file, length, size - at):
                return _wav_header(form, size - at, sound_at=at)
            return _wav_header(form, length)
        at += length + (length & 1)
        if at >= size:
            break
    raise BadAudio(_CUT_OFF)


def _is_endless_wav(file: BinaryIO, data_bytes: int, rest: int) -> bool:
    """Whether its length was not known when its header was written: it goes on to the end of the file.

    Streams say "4 GiB" or nothing at all of the whole too; a program that never came to write the length says
    that there is no sound, and is given away by a whole that is less than the file.
    """
    file.seek(4)
    whole = int.from_bytes(file.read(4), "little")
    if data_bytes == 0:
        return rest > 0 and whole + 8 != os.fstat(file.fileno()).st_size
    return data_bytes == _UNKNOWN and whole in (0, _UNKNOWN)


def _wav_header(form: tuple[int, ...], data_bytes: int, sound_at: int | None = None) -> _Recording:
    coding, channels, sample_rate, _, _, bits = form
    if coding not in _WAV_CODINGS or bits not in (8, 16, 24, 32, 64):
        raise BadAudio(_CODING)
    frames, piece = divmod(data_bytes, max(1, channels * bits // 8))
    if piece and sound_at is not None:
        raise BadAudio(_CUT_OFF)
    return _Recording("wav", sample_rate, channels, frames, iter(()), sound_at=sound_at)


def _with_length(file: BinaryIO, sound_at: int) -> BinaryIO:
    """The whole of a WAV file, its lengths put right. libsndfile guesses some of them, and not all."""
    file.seek(0)
    whole = bytearray(file.read())
    struct.pack_into("<I", whole, 4, len(whole) - 8)
    struct.pack_into("<I", whole, sound_at - 4, len(whole) - sound_at)
    return io.BytesIO(whole)


@contextmanager
def _by_sndfile(
    kind: VoiceSampleFormat, source: int | BinaryIO, told: _Recording | None
) -> Iterator[_Recording]:
    import soundfile

    try:
        opened = soundfile.SoundFile(source, closefd=False)
    except soundfile.SoundFileError:
        raise BadAudio(_DAMAGED) from None
    with opened:
        if opened.subtype not in _SUBTYPES[kind]:
            raise BadAudio(_CODING)
        if told is not None and (told.channels, told.sample_rate) != (opened.channels, opened.samplerate):
            raise BadAudio(_DAMAGED)
        exact = kind in ("wav", "flac")
        yield _Recording(
            kind,
            opened.samplerate,
            opened.channels,
            told.frames if told is not None else opened.frames,
            _sndfile_blocks(opened),
            exact=exact,
            padding=opened.samplerate // 4 if kind == "mp3" else 0,
            full_scale_bounds=opened.subtype not in ("FLOAT", "DOUBLE"),
        )


def _sndfile_blocks(opened: Any) -> Iterator[Floats]:
    import soundfile

    try:
        while len(block := opened.read(_BLOCK, dtype="float32", always_2d=True)):
            yield block
    except soundfile.SoundFileError:
        raise BadAudio(_DAMAGED) from None


@contextmanager
def _by_ffmpeg(kind: VoiceSampleFormat, file: BinaryIO) -> Iterator[_Recording]:
    try:
        import av
    except ImportError:
        raise BadAudio(
            f"This server cannot read {kind}, as the package `av` is not installed there."
            " Send wav, mp3, flac, ogg or opus."
        ) from None
    file.seek(0)
    options = {"codec_whitelist": ",".join(_CODECS), "protocol_whitelist": "none"}
    try:
        container = av.open(file, format=_DEMUXERS[kind], metadata_errors="ignore", options=options)
    except (av.FFmpegError, ValueError):
        raise BadAudio(_DAMAGED) from None
    with container:
        if not container.streams.audio:
            raise BadAudio(_EMPTY)
        stream = container.streams.audio[0]
        if stream.codec_context is None or stream.codec_context.name not in _CODECS:
            raise BadAudio(_CODING)
        stream.codec_context.thread_count = 1
        blocks = _ffmpeg_blocks(container, stream)
        first = next(blocks, None)
        if first is None:
            raise BadAudio(_EMPTY)
        rate = stream.codec_context.sample_rate
        told = stream.duration * stream.time_base if stream.duration and stream.time_base else None
        yield _Recording(
            kind,
            rate,
            first.shape[1],
            round(told * rate) if told is not None else None,
            chain([first], blocks),
            exact=kind == "m4a",
            padding=rate // 4,
        )


def _ffmpeg_blocks(container: Any, stream: Any) -> Iterator[Floats]:
    import av
    import numpy as np

    rate = None
    try:
        for frame in container.decode(stream):
            if rate not in (None, frame.sample_rate):
                raise BadAudio("The recording changes its sample rate on the way. Export it as a WAV.")
            rate = frame.sample_rate
            samples = frame.to_ndarray()
            if not frame.format.is_planar:
                samples = samples.reshape(-1, len(frame.layout.channels)).T
            if samples.dtype.kind != "f":
                zero, scale = (128, 128) if samples.dtype.kind == "u" else (0, -np.iinfo(samples.dtype).min)
                samples = (samples.astype(np.float32) - zero) / np.float32(scale)
            yield samples.T.astype(np.float32, copy=False)
    except (av.FFmpegError, ValueError):
        raise BadAudio(_DAMAGED) from None


def _check_header(recording: _Recording, limits: VoiceSampleLimits) -> None:
    if not 1 <= recording.channels <= limits.most_channels:
        raise BadValue(
            f"The recording has {recording.channels} channels, and at most {limits.most_channels} are read."
            " Mix it down to mono."
        )
    if not limits.lowest_rate <= recording.sample_rate <= limits.highest_rate:
        raise BadValue(
            f"The recording's sample rate is {recording.sample_rate} Hz; it must be from {limits.lowest_rate}"
            f" to {limits.highest_rate} Hz. Export it at 44100 Hz."
        )
    if recording.frames == 0 and recording.exact:
        raise BadValue(_EMPTY)
    if recording.exact and (recording.frames or 0) > _most_frames(recording, limits):
        seconds = (recording.frames or 0) / recording.sample_rate
        raise TooLarge(_too_long(f"lasts {seconds:.0f} s", limits))


def _most_frames(recording: _Recording, limits: VoiceSampleLimits) -> int:
    return int(limits.longest_s * recording.sample_rate) + recording.padding


def _too_long(how: str, limits: VoiceSampleLimits) -> str:
    return f"The recording {how}; {limits.longest_s:g} s are the most. Cut 5 to 10 s of clear speech from it."


@dataclass(slots=True)
class _Listener:
    """Takes a recording block by block, mixed to mono and resampled, and counts what it comes across."""

    recording: _Recording
    limits: VoiceSampleLimits
    frames: int = 0
    samples: int = 0
    at_full_scale: int = 0
    highest: float = 0.0
    stereo: bool = False
    pieces: list[Floats] = field(default_factory=list)
    resampler: Any = None

    def __post_init__(self) -> None:
        if self.recording.sample_rate != SAMPLE_RATE:
            import soxr

            self.resampler = soxr.ResampleStream(self.recording.sample_rate, SAMPLE_RATE, 1, dtype="float32")

    def hear(self, block: Floats) -> None:
        """Floats of shape (frames, channels). Raises TooLarge when it has heard enough, and BadAudio."""
        import numpy as np

        if block.shape[1] not in range(1, self.limits.most_channels + 1):
            raise BadAudio(_DAMAGED)
        self.frames += len(block)
        self.samples += block.size
        if self.frames > _most_frames(self.recording, self.limits):
            raise TooLarge(_too_long("is too long", self.limits))
        if not np.isfinite(block).all():
            raise BadAudio("The recording holds values that are not numbers. Save it as a 16-bit WAV.")
        heights = np.abs(block)
        self.at_full_scale += int(np.count_nonzero(heights >= AT_FULL_SCALE))
        self.highest = max(self.highest, float(heights.max(initial=0.0)))
        self.stereo = self.stereo or block.shape[1] > 1
        mono = block @ np.full(block.shape[1], 1 / block.shape[1], np.float32)
        self.pieces.append(mono if self.resampler is None else self.resampler.resample_chunk(mono))

    def write(self, target: Path, ends_whole: bool) -> DecodedVoiceSample:
        """The whole, judged, brought to its level and written. Raises what the sample is refused with."""
        self._check_length()
        audio = self._whole()
        peak = self._bring_to_one(audio)
        warnings = self._warnings(len(audio) / SAMPLE_RATE, peak, ends_whole)
        _write_wav(target, audio)
        return DecodedVoiceSample(
            duration_s=len(audio) / SAMPLE_RATE,
            original_format=self.recording.kind,
            original_sample_rate=self.recording.sample_rate,
            channels=2 if self.stereo else 1,
            peak=peak,
            warnings=tuple(warnings),
            frames=len(audio),
            waveform=_waveform(audio),
        )

    def _check_length(self) -> None:
        if self.recording.exact and self._falls_short():
            raise BadAudio(_CUT_OFF)
        if not self.frames:
            raise BadValue(_EMPTY)
        seconds = self.frames / self.recording.sample_rate
        if seconds < self.limits.shortest_s:
            raise BadValue(
                f"The recording lasts {seconds:.2f} s, and {self.limits.shortest_s:g} s are the least."
                " Send 5 to 10 s of speech."
            )

    def _falls_short(self) -> bool:
        told, exact = self.recording.frames or 0, self.recording.exact
        return self.frames < told - self.recording.padding - (0 if exact else told // 10)

    def _whole(self) -> Floats:
        import numpy as np

        if self.resampler is not None:
            self.pieces.append(self.resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        audio = np.concatenate(self.pieces)
        self.pieces.clear()
        return audio[: int(self.limits.longest_s * SAMPLE_RATE)]

    def _bring_to_one(self, audio: Floats) -> float:
        """Scale in place so that the highest peak is 1.0, and return what it was. Raises for what is no
        speech: silence, a constant, or full scale throughout."""
        import numpy as np

        peak = float(np.abs(audio).max())
        if not np.isfinite(peak):
            raise BadAudio("The recording's level is beyond measure. Save it as a 16-bit WAV.")
        if peak >= SILENT_PEAK:
            audio /= np.float32(peak)
        if peak < SILENT_PEAK or float(np.std(audio, dtype=np.float64)) * peak < SILENT_RMS:
            if self.stereo and self.highest >= QUIET_PEAK:
                raise BadValue("The two channels cancel each other out. Send one of them, as mono.")
            raise BadValue("The recording is silent. Check the microphone and record once more.")
        if self._clipped_share() >= CLIPPED_THROUGH_SHARE:
            raise BadValue(
                "The recording is clipped through: nearly all of it is at full scale."
                " Lower the microphone's level and record once more."
            )
        return peak

    def _clipped_share(self) -> float:
        if not self.recording.full_scale_bounds and self.highest > 1.0:
            return 0.0
        return self.at_full_scale / self.samples

    def _warnings(self, seconds: float, peak: float, ends_whole: bool) -> Iterator[str]:
        share = self._clipped_share()
        if share >= CLIPPED_SHARE:
            yield (
                f"The recording is clipped: {share:.1%} of it is at full scale, which is heard in the voice."
                " Lower the microphone's level and record once more."
            )
        if not BEST_S[0] <= seconds <= BEST_S[1]:
            yield (
                f"The recording lasts {seconds:.1f} s; a voice is cloned best from"
                f" {BEST_S[0]:g} to {BEST_S[1]:g} s."
            )
        if peak < QUIET_PEAK:
            yield "The recording is very quiet; its noise was raised with it. Go closer to the microphone."
        if self.stereo:
            yield "The recording was stereo and was mixed down to mono."
        if not ends_whole or self._falls_short():
            yield "The recording seems to be cut off. If there is more of it, send the whole file."


def _waveform(audio: Floats) -> tuple[int, ...]:
    import numpy as np

    starts = np.arange(WAVEFORM_PAIRS) * len(audio) // WAVEFORM_PAIRS
    pairs = np.stack([np.minimum.reduceat(audio, starts), np.maximum.reduceat(audio, starts)], axis=1)
    return tuple(np.clip(np.rint(50 + 50 * pairs), 0, 100).astype(int).ravel().tolist())


def _write_wav(target: Path, audio: Floats) -> None:
    """Mono, 16 bits; `audio` is scaled so that 1.0 comes to lie at PEAK."""
    import numpy as np

    pcm = np.rint(audio * np.float32(PEAK * 32767)).astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(pcm), b"WAVE"),
        *(b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16),
        *(b"data", len(pcm)),
    )
    with target.open("wb") as file:
        file.write(head)
        file.write(pcm)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
