"""The open contexts of every door: opened, counted, waited for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import structlog

from streaming_server.audio.encoder import AudioOptions, SpeechEncoder
from streaming_server.catalogue import Catalogue, Entry
from streaming_server.context import End, SpeechContext, text_too_long
from streaming_server.errors import BadValue, Draining
from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.render import Rendering
from streaming_server.settings import Settings
from streaming_server.text.language import ENGLISH, is_auto
from streaming_server.text.style import SpeakingStyle
from streaming_server.types import EngineInfo, Generation

ATTENDED_FOR_S = 2.0
"""After the last listener's context ended, another is expected for so long."""
UNPACED_MS = 24 * 3600 * 1000
"""A lead that never holds audio back, for clients that write it to a file."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How a context speaks, to whom and through which door.

    voice: an id or an alias. max_lead_ms: audio sent ahead of real time; None for the server's setting.
    attended: whether somebody waits for the sound; background work stands back for those. name: what the
    client calls the context. text_processing: False speaks the text as it stands.
    """

    voice: str
    generation: Generation = field(default_factory=Generation)
    audio: AudioOptions = field(default_factory=AudioOptions)
    max_lead_ms: int | None = None
    attended: bool = True
    door: str = "native"
    name: str | None = None
    text_processing: bool = True

    def style(self, language: str, engine: EngineInfo) -> SpeakingStyle:
        """How written text becomes spoken text for an engine. language: of text in Latin letters."""
        return SpeakingStyle(
            enabled=self.text_processing,
            language=language,
            speaker_tags=engine.dialogue,
            nonverbals=engine.dialogue,
        )


class Contexts:
    """Open contexts for the doors.

    draining: whether the server is about to stop. show_text: whether spoken text is logged.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        metrics: Metrics,
        catalogue: Catalogue,
        *,
        draining: Callable[[], bool],
        show_text: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._catalogue = catalogue
        self._draining = draining
        self._show_text = show_text
        self._open: set[SpeechContext] = set()
        self._unattended: set[SpeechContext] = set()
        self._attended_until = 0.0
        self._one_closed = anyio.Event()
        self._threads = anyio.CapacityLimiter(os.cpu_count() or 1)
        metrics.buffered.set_function(lambda: sum(context.buffered for context in self._open))

    def __len__(self) -> int:
        return len(self._open)

    @property
    def attended(self) -> bool:
        """Whether somebody waits for sound, or did a moment ago. Background work then stands back."""
        return len(self._open) > len(self._unattended) or time.monotonic() < self._attended_until

    def open(
        self, engine: EngineInfo, options: SpeechOptions, *, threads: anyio.CapacityLimiter | None = None
    ) -> Rendering:
        """Open a context. Close it with the rendering, which is an async context manager.

        threads: bounds the threads that code this context's audio, if not those shared by all listeners.
        Raise Draining, UnknownVoice, BadValue.
        """
        if self._draining():
            raise Draining("The server is about to stop.")
        entry = self._catalogue.choose(options.voice)
        generation, speed = split_speed(options.generation.over(entry.defaults), engine)
        asked = options.generation.language
        detect = asked is None or is_auto(asked)
        language = own_language(entry, engine) if asked is None or detect else asked
        if "language" in engine.uses:
            if not engine.speaks(language):
                raise BadValue("the running engine does not speak it.", field="language")
            generation = replace(generation, language=language)
        encoder = SpeechEncoder(
            engine.sample_rate, options.audio, speed=speed, threads=threads or self._threads
        )
        context = SpeechContext(
            self._pool,
            engine,
            entry.voice,
            generation,
            max_characters=self._settings.max_context_characters,
            max_lead_s=(options.max_lead_ms or self._settings.max_lead_ms) / 1000,
            speed=speed,
            style=options.style(language, engine),
            detect_language=detect,
            stall_s=self._settings.stall_timeout_s,
            on_utterance=partial(self._log_text, options.voice),
            on_first_audio=self._metrics.heard,
        )
        self._open.add(context)
        if not options.attended:
            self._unattended.add(context)
        self._metrics.contexts.inc()
        voice = options.voice if self._catalogue.knows(options.voice) else entry.voice.id
        labels = {"door": options.door, "context": options.name}
        return Rendering(
            context,
            encoder,
            self._metrics,
            voice=voice,
            release=partial(self._release, context),
            labels=labels,
        )

    def check_length(self, text: str) -> None:
        """Raise TooLarge for a text that is longer than a context takes."""
        most = self._settings.max_context_characters
        if len(text) > most:
            raise text_too_long(most)

    async def all_closed(self) -> None:
        """Wait until no context is open."""
        while self._open:
            self._one_closed = anyio.Event()
            await self._one_closed.wait()

    def _release(self, context: SpeechContext, end: End | None) -> None:
        if context not in self._open:
            return
        self._open.remove(context)
        if context in self._unattended:
            self._unattended.remove(context)
        else:
            self._attended_until = time.monotonic() + ATTENDED_FOR_S
        self._metrics.contexts.dec()
        how = type(end).__name__.lower() if end is not None else "abandoned"
        self._metrics.contexts_ended.labels(how).inc()
        self._one_closed.set()

    def _log_text(self, voice: str, text: str) -> None:
        if self._show_text():
            log.info("spoken", voice=voice, text=text)


def own_language(entry: Entry, engine: EngineInfo) -> str:
    """Return the language in which a voice speaks unless it is asked for another."""
    usual = ENGLISH if engine.speaks(ENGLISH) or not engine.languages else engine.languages[0]
    return entry.language or usual


def split_speed(generation: Generation, engine: EngineInfo) -> tuple[Generation, float]:
    """Split a speed into what the engine does by itself and what is left for the tempo stage."""
    speed = generation.speed
    if speed is None:
        return generation, 1.0
    slowest, fastest = engine.speeds if "speed" in engine.uses else (1.0, 1.0)
    by_engine = min(max(speed, slowest), fastest)
    return replace(generation, speed=by_engine), speed / by_engine
