"""The hibari engine: natural English, from the model in the `hibari-tts` wheel.

A step brings one utterance on: its next phrase is read, or the model runs for it, or a piece of it is
synthesized. Each takes less than 30 ms.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.base import Engine
from streaming_server.engines.hibari.inflection import inflected
from streaming_server.engines.hibari.marks import word_marks
from streaming_server.engines.hibari.models import VoiceModel, VoiceModels
from streaming_server.engines.hibari.network import Floats, Network, Spectrum
from streaming_server.engines.hibari.noise import NoiseStream, NoiseTable
from streaming_server.engines.hibari.phonemes import ASSETS, PhonemeReader, Phrase
from streaming_server.engines.hibari.synthesis import SAMPLE_RATE, Synthesis, Tables
from streaming_server.engines.hibari.voices import OWN, TIMBRES, Timbre, synthesis_of
from streaming_server.engines.memory import machine_memory
from streaming_server.engines.spoken_form import spoken_form
from streaming_server.errors import BadValue, SpeechError, UnsupportedLanguage
from streaming_server.types import (
    Audio,
    ChunkPolicy,
    EngineInfo,
    Event,
    Failed,
    Finished,
    MemoryReport,
    Utterance,
    Voice,
    WordMark,
    Words,
    nearest_builtin,
)

LANGUAGES = ("en", "en-US")

# Each sentence is an utterance of its own: how many wait together depends on timing, and sound must not.
CHUNKING = ChunkPolicy(min_chars=0, best_chars=1, max_chars=400, patience_s=0.0)

_KNEE, _ROOM = np.float32(0.85), np.float32(0.12)
"""Peaks above the knee are rounded off and stay below the sum of both, so that nothing is clipped."""

SLOWEST, FASTEST = 0.5, 1.0
"""Speeds that the model is asked for. It rounds durations to 25 ms, so that a speed of 1.2 is 1.09 in fact,
1.3 is 1.15 and 1.4 is 1.55, whereas slower speeds are at most 6 % off. Nor is it understood when it speaks
twice as fast: Whisper's tiny.en mishears 12 % of the words. Its audio is stretched instead."""

SLOTS = 150
"""Utterances kept in real time together: one second of audio takes five or six milliseconds."""

FIRST_PIECE, LARGEST_PIECE = 20, 160
"""Frames of 12.5 ms. Each piece of a phrase is twice the one before, up to the largest."""

LEAD_IN = 8
"""Frames kept before the first phoneme. The model opens with some 300 ms of silence."""

CLAUSE_PAUSE = 12
"""Frames kept after the last phoneme of a phrase that does not end its sentence."""

LOADING_POLL_S = 0.005
"""Seconds a step waits for a voice that is being loaded, if there is nothing else to speak."""


@dataclass(slots=True)
class _Stream:
    """An utterance that is being spoken.

    opening: whether it is the first of its context. newcomer: whether it is, and that had no audio before.
    pitch: factor on the pitch of each frame of `spectrum`, or of all. samples: given out so far. marks: of
    the phrase whose first piece is next.
    """

    utterance: Utterance
    opening: bool
    newcomer: bool
    text: str
    timbre: Timbre
    noise: NoiseStream
    network: Network | None = None
    phrases: Iterator[Phrase] = field(default_factory=lambda: iter(()))
    phrase: Phrase | None = None
    spectrum: Spectrum | None = None
    pitch: Floats | float = 1.0
    synthesis: Synthesis | None = None
    frames: int = FIRST_PIECE
    pieces: int = 0
    samples: int = 0
    marks: tuple[WordMark, ...] = ()
    busy_s: float = 0.0

    @property
    def urgency(self) -> tuple[bool, float]:
        """Sort key: newcomers that have played at most one piece first, then the earliest underrun."""
        dry_at = self.utterance.deadline + self.samples / SAMPLE_RATE
        return not (self.newcomer and self.pieces < 2), dry_at


class HibariEngine(Engine):
    """An `Engine` on one thread of the CPU. The same utterance is the same bytes every time."""

    def __init__(self, models: VoiceModels | None = None) -> None:
        """Load the wheel's model. models: of the other voices. Raises EngineFailure."""
        self._builtin = VoiceModel(Network(ASSETS / "hibari.onnx"), PhonemeReader())
        self._models = models or VoiceModels()
        self._tables = Tables()
        self._noise = NoiseTable()
        self._streams: dict[int, _Stream] = {}
        self._openings: dict[int, int] = {}
        self._heard: set[int] = set()
        self._info = EngineInfo(
            name="hibari",
            sample_rate=SAMPLE_RATE,
            slots=SLOTS,
            can_clone=False,
            languages=LANGUAGES,
            chunking=CHUNKING,
            uses=frozenset({"language", "speed", "pitch", "seed"}),
            speeds=(SLOWEST, FASTEST),
            ipa=True,
            prosody=True,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def active(self) -> int:
        return len(self._streams)

    @property
    def waiting(self) -> bool:
        """Whether `step` would only wait, as the voices of all utterances are being loaded."""
        return bool(self._streams) and all(map(self._is_loading, self._streams.values()))

    def prepare(self, voice: Voice) -> None:
        """Load the voice's own model, if it has one and its file is there."""
        if voice.id in self._models:
            self._models.prepare(voice.id)

    def submit(self, utterance: Utterance) -> None:
        self.prepare(utterance.voice)
        opening = self._openings.setdefault(utterance.context, utterance.id) == utterance.id
        text = spoken_form(utterance.text)
        self._streams[utterance.id] = _Stream(
            utterance,
            opening=opening,
            newcomer=opening and utterance.context not in self._heard,
            text=text,
            timbre=self._timbre(utterance.voice),
            noise=self._noise.stream(utterance.generation.seed or 0, text),
        )

    def cancel(self, utterance_id: int) -> None:
        self._streams.pop(utterance_id, None)

    def release(self, context: int) -> None:
        self._openings.pop(context, None)
        self._heard.discard(context)

    def step(self) -> list[Event]:
        """Speak a piece of the most urgent utterance whose voice is loaded."""
        loaded = [stream for stream in self._streams.values() if not self._is_loading(stream)]
        if not loaded:
            if self._streams:
                time.sleep(LOADING_POLL_S)
            return []
        stream = min(loaded, key=lambda one: one.urgency)
        began = time.perf_counter()
        try:
            events = self._advance(stream)
        except SpeechError as error:
            del self._streams[stream.utterance.id]
            return [Failed(stream.utterance.id, error.code, error.message, error.retryable)]
        stream.busy_s += time.perf_counter() - began
        if events is not None:
            return events
        del self._streams[stream.utterance.id]
        return [Finished(stream.utterance.id, stream.busy_s)]

    def memory(self) -> MemoryReport:
        return machine_memory()

    def close(self) -> None:
        self._streams.clear()
        self._openings.clear()
        self._heard.clear()

    def _timbre(self, voice: Voice) -> Timbre:
        """Return the built-in timbre of a voice's id, else of its style, else the default.

        A voice with a model of its own has that model's.
        """
        return OWN if voice.id in self._models else TIMBRES[nearest_builtin(voice)]

    def _is_loading(self, stream: _Stream) -> bool:
        return stream.network is None and self._models.is_loading(stream.utterance.voice.id)

    def _advance(self, stream: _Stream) -> list[Event] | None:
        """Return the next piece of an utterance; None after the last. Raises UnsupportedLanguage.

        All words of a phrase come with its first piece. The list is empty while the next piece is prepared.
        """
        if stream.synthesis is not None or stream.spectrum is not None:
            return self._piece(stream)
        if stream.phrase is not None:
            self._run_model(stream, stream.phrase)
            return []
        if stream.network is None:
            self._start(stream)
        stream.phrase = next(stream.phrases, None)
        if stream.phrase is not None:
            return []
        if not stream.samples and any(map(str.isalpha, stream.text)):
            raise UnsupportedLanguage("No word of this text can be spoken in English; set its language.")
        return None

    def _piece(self, stream: _Stream) -> list[Event]:
        if stream.spectrum is not None:
            pitch = stream.pitch * (stream.utterance.generation.pitch or 1.0)
            stream.synthesis = synthesis_of(stream.spectrum, stream.timbre, pitch, self._tables, stream.noise)
            stream.spectrum = None
        assert stream.synthesis is not None
        pcm = _pcm(stream.synthesis.read(stream.frames), stream.timbre.gain)
        if stream.synthesis.finished:
            stream.synthesis = None
        stream.frames = min(LARGEST_PIECE, 2 * stream.frames)
        stream.pieces += 1
        stream.samples += len(pcm) // 2
        self._heard.add(stream.utterance.context)
        events: list[Event] = [Words(stream.utterance.id, stream.marks)] if stream.marks else []
        stream.marks = ()
        return [*events, Audio(stream.utterance.id, pcm)]

    def _start(self, stream: _Stream) -> None:
        """Choose the model of an utterance and read its text."""
        _check_language(stream.utterance.generation.language)
        voice = stream.utterance.voice.id
        model = self._models.find(voice) if voice in self._models else self._builtin
        stream.network = model.network
        stream.phrases = model.reader.read(
            stream.text,
            opening=stream.opening,
            pronounced=stream.utterance.pronounced,
            units=stream.utterance.units,
        )

    def _run_model(self, stream: _Stream, phrase: Phrase) -> None:
        assert stream.network is not None
        stream.phrase = None
        speed = (stream.utterance.generation.speed or 1.0) * stream.timbre.pace
        stream.spectrum = _trimmed(stream.network.run(phrase.ids, speed), phrase)
        if stream.utterance.prosody:
            spans = stream.utterance.prosody
            stream.spectrum, stream.pitch = inflected(stream.spectrum, phrase, spans)
        stream.marks = tuple(word_marks(phrase, stream.spectrum, stream.samples))


def _check_language(tag: str | None) -> None:
    """Raises BadValue for a language that is not English."""
    if tag is not None and tag.lower().replace("_", "-").partition("-")[0] != "en":
        raise BadValue(f"This engine does not speak the language {tag!r:.40}.")


def _trimmed(spectrum: Spectrum, phrase: Phrase) -> Spectrum:
    """Return the spectrum without the silence before it, and with a short pause only inside a sentence."""
    start = max(0, int(spectrum.ends[0]) - LEAD_IN)
    end = spectrum.frames
    if not phrase.ends_sentence and phrase.words:
        end = min(end, int(spectrum.ends[phrase.words[-1].end - 1]) + CLAUSE_PAUSE)
    return spectrum.part(start, end)


def _pcm(waveform: Floats, gain: float) -> bytes:
    """Return the waveform as 16-bit PCM, with its peaks rounded off."""
    scaled = waveform * np.float32(gain)
    over = np.maximum(np.abs(scaled) - _KNEE, 0.0)
    limited = scaled - np.copysign(over - _ROOM * np.tanh(over / _ROOM), scaled)
    samples: NDArray[np.int16] = (limited * np.float32(32767.0)).astype("<i2")
    return samples.tobytes()
