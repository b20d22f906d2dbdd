"""The eSpeak NG engine: one utterance after the other, a few words per step.

Only the standard library is imported, so that the worker process stays small.
"""

from __future__ import annotations

import heapq

from streaming_server.engines.base import Engine
from streaming_server.engines.espeak.composed import Composed
from streaming_server.engines.espeak.japanese import JAPANESE, JapaneseReader
from streaming_server.engines.espeak.languages import DEFAULT_LANGUAGE, Languages
from streaming_server.engines.espeak.library import Library
from streaming_server.engines.espeak.pieces import SpokenPiece
from streaming_server.engines.espeak.spelled_text import Insertion, prosody_commands
from streaming_server.engines.espeak.thread import CallEnd, LibraryCall, LibraryThread
from streaming_server.engines.espeak.voices import VoiceParameters, parameters_for
from streaming_server.engines.memory import machine_memory
from streaming_server.engines.spoken_form import is_speakable, spoken_form
from streaming_server.errors import BadValue, EngineFailure
from streaming_server.types import (
    Audio,
    ChunkPolicy,
    EngineInfo,
    Event,
    Failed,
    Finished,
    MemoryReport,
    Utterance,
    Words,
)

SLOTS = 400
"""Utterances spoken in real time at once: one second of audio takes the library one or two milliseconds."""


class EspeakEngine(Engine):
    """Speaks through eSpeak NG. At most one instance per process.

    Utterances are spoken one after another, the earliest deadline first.
    """

    def __init__(self) -> None:
        """Raises EngineFailure if the library cannot be used."""
        library = Library()
        self._library = library
        self._languages = Languages(library.languages())
        if self._languages.voice_of(DEFAULT_LANGUAGE) is None:
            library.close()
            raise EngineFailure("eSpeak NG's data files lack English; reinstall espeakng-loader.")
        self._info = EngineInfo(
            name="espeak",
            sample_rate=library.sample_rate,
            slots=SLOTS,
            can_clone=False,
            languages=self._languages.tags,
            chunking=ChunkPolicy(min_chars=0, best_chars=1, max_chars=400, patience_s=0.0),
            uses=frozenset({"language", "speed", "pitch"}),
            ipa=True,
            prosody=True,
        )
        self.japanese = JapaneseReader()
        self._waiting: dict[int, Utterance] = {}
        self._queue: list[tuple[float, int, int]] = []  # deadline, arrival, utterance id
        self._arrivals = 0
        self._speaking: int | None = None
        self._composed = Composed("")
        self._thread: LibraryThread | None = LibraryThread(library)

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def active(self) -> int:
        return len(self._waiting) + (self._speaking is not None)

    def submit(self, utterance: Utterance) -> None:
        self._waiting[utterance.id] = utterance
        self._arrivals += 1
        heapq.heappush(self._queue, (utterance.deadline, self._arrivals, utterance.id))

    def cancel(self, utterance_id: int) -> None:
        if self._speaking == utterance_id:
            self._open_thread().stop()
            self._speaking = None
        elif self._waiting.pop(utterance_id, None) and len(self._queue) > 2 * len(self._waiting) + 64:
            self._queue = [entry for entry in self._queue if entry[2] in self._waiting]
            heapq.heapify(self._queue)

    def step(self) -> list[Event]:
        """Return the next words of the current utterance, or the first ones of the most urgent other."""
        if self._speaking is not None:
            return self._events(self._speaking, self._open_thread().resume())
        utterance = self._pop_most_urgent()
        if utterance is None:
            return []
        composed = Composed(spoken_form(utterance.text))
        try:
            call = self._call(utterance, composed)
        except BadValue as error:
            return [Failed(utterance.id, error.code, error.message, error.retryable)]
        if call is None:
            return [Finished(utterance.id, 0.0)]
        self._composed = composed
        return self._events(utterance.id, self._open_thread().start(call))

    def memory(self) -> MemoryReport:
        return machine_memory()

    def close(self) -> None:
        if self._thread is None:
            return
        if self._speaking is not None:
            self.cancel(self._speaking)
        self._waiting.clear()
        self._queue.clear()
        self._thread.close()
        self._thread = None
        self._library.close()

    def _open_thread(self) -> LibraryThread:
        if self._thread is None:
            raise EngineFailure("The engine is closed.")
        return self._thread

    def _pop_most_urgent(self) -> Utterance | None:
        while self._queue:
            _, _, utterance_id = heapq.heappop(self._queue)
            if (utterance := self._waiting.pop(utterance_id, None)) is not None:
                return utterance
        return None

    def _call(self, utterance: Utterance, composed: Composed) -> LibraryCall | None:
        """Return what the library is to do for an utterance; None if that has no sound. Raises BadValue."""
        parameters = self._parameters(utterance)
        if not is_speakable(composed.text):
            return None
        return LibraryCall(
            composed.text,
            parameters,
            composed.compose_parts(utterance.pronounced),
            composed.compose_spans(utterance.units),
            self._insertions(utterance, composed, parameters),
        )

    def _insertions(
        self, utterance: Utterance, composed: Composed, own: VoiceParameters
    ) -> tuple[Insertion, ...]:
        """Return commands that change the prosody within an utterance, and readings of Japanese words.

        Raises UnsupportedLanguage.
        """
        spans = composed.compose_parts(utterance.prosody)
        parameters = [self._parameters(utterance, span.speed, span.pitch) for span in spans]
        commands = prosody_commands(composed.text, spans, parameters, own)
        if not own.voice.startswith(JAPANESE):
            return tuple(commands)
        return (
            *commands,
            *self.japanese.readings(composed.text, composed.compose_parts(utterance.pronounced)),
        )

    def _parameters(self, utterance: Utterance, speed: float = 1.0, pitch: float = 1.0) -> VoiceParameters:
        """Return the library's parameters for an utterance. Raises BadValue for an unknown language.

        speed, pitch: further factors.
        """
        generation = utterance.generation
        voice = self._languages.voice_of(generation.language)
        if voice is None:
            raise BadValue(f"This engine does not speak the language {generation.language!r:.40}.")
        speed, pitch = speed * (generation.speed or 1.0), pitch * (generation.pitch or 1.0)
        return parameters_for(utterance.voice, voice, speed, pitch)

    def _events(self, utterance_id: int, result: SpokenPiece | CallEnd) -> list[Event]:
        if isinstance(result, SpokenPiece):
            self._speaking = utterance_id
            return self._events_of(utterance_id, result)
        self._speaking = None
        if isinstance(error := result.error, EngineFailure):
            return [Failed(utterance_id, error.code, error.message, error.retryable)]
        if error is not None:
            raise error
        rest = self._events_of(utterance_id, result.rest) if result.rest else []
        return [*rest, Finished(utterance_id, result.busy_s)]

    def _events_of(self, utterance_id: int, piece: SpokenPiece) -> list[Event]:
        events: list[Event] = []
        if piece.marks:
            events.append(Words(utterance_id, self._composed.original_marks(piece.marks)))
        if piece.pcm:
            events.append(Audio(utterance_id, piece.pcm))
        return events
