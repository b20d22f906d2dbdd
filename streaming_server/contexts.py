"""Open contexts: create, count and wait for them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import anyio
import structlog

from streaming_server.audio.encoder import SpeechEncoder
from streaming_server.context import End, Part, SpeechContext, text_too_long
from streaming_server.errors import Draining, SpeechError
from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.render import Rendering
from streaming_server.settings import Settings
from streaming_server.speech_options import UNPACED_MS, SpeechOptions
from streaming_server.text.language import is_auto
from streaming_server.text.pronunciations import Pronunciations
from streaming_server.types import EngineInfo, Generation
from streaming_server.voices.catalogue import Catalogue, CatalogueEntry
from streaming_server.voices.downloads import VoiceFiles
from streaming_server.voices.language import check_language, language_of

ATTENDED_FOR_S = 2.0
"""Seconds after a listener's last context for which background work still yields."""

log = structlog.stdlib.get_logger(__name__)


class Contexts:
    """Opens contexts for all protocols.

    draining: whether the server is shutting down. show_text: whether spoken text is logged. pronunciations:
    the list in force.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        metrics: Metrics,
        catalogue: Catalogue,
        voice_files: VoiceFiles,
        *,
        draining: Callable[[], bool],
        show_text: Callable[[], bool],
        pronunciations: Callable[[], Pronunciations] = Pronunciations,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._catalogue = catalogue
        self._voice_files = voice_files
        self._draining = draining
        self._show_text = show_text
        self._pronunciations = pronunciations
        self._open: set[SpeechContext] = set()
        self._peak = 0
        self._unattended: set[SpeechContext] = set()
        self._attended_until = 0.0
        self._one_closed = anyio.Event()
        self._threads = anyio.CapacityLimiter(os.cpu_count() or 1)
        metrics.buffered.set_function(lambda: sum(context.buffered for context in self._open))

    def __len__(self) -> int:
        return len(self._open)

    def take_peak(self) -> int:
        """Return the highest number of open contexts since the last call."""
        peak, self._peak = self._peak, len(self._open)
        return peak

    @property
    def attended(self) -> bool:
        """True if a client waits for audio, or did a moment ago. Background work then yields."""
        return len(self._open) > len(self._unattended) or time.monotonic() < self._attended_until

    def open(
        self, engine: EngineInfo, options: SpeechOptions, *, threads: anyio.CapacityLimiter | None = None
    ) -> Rendering:
        """Open a context. Close it with the rendering, which is an async context manager.

        threads: limits the threads that encode this context's audio; by default all listeners share a limit.
        Raise Draining, UnknownVoice, BadValue.
        """
        if self._draining():
            raise Draining("The server is shutting down.")
        entry, part, speakers = self._parts(engine, options)
        language = language_of(entry, options.generation, engine)
        encoder = SpeechEncoder(engine.sample_rate, options.audio, threads=threads or self._threads)
        context = SpeechContext(
            self._pool,
            engine,
            part.voice,
            part.generation,
            speakers=speakers,
            max_characters=self._settings.max_context_characters,
            max_lead_s=self._lead_ms(options) / 1000,
            window=options.audio.window,
            style=options.style(language, engine, self._settings, self._pronunciations),
            detect_language=_detects(options.generation),
            stall_s=self._settings.stall_timeout_s,
            on_utterance=partial(self._log_text, options.voice),
            on_first_audio=self._metrics.observe_first_audio,
        )
        for voice_id in {part.voice.id, *(each.voice.id for each in speakers.values())}:
            self._await_voice(context, voice_id)
        self._count(context, attended=options.attended)
        return Rendering(
            context,
            encoder,
            self._metrics,
            voice=options.voice if self._catalogue.knows(options.voice) else entry.voice.id,
            release=partial(self._release, context),
            labels={"door": options.door, "context": options.name},
        )

    def check(self, engine: EngineInfo, options: SpeechOptions) -> None:
        """Raise UnknownVoice or BadValue for a voice or a language that `open` would refuse."""
        self._parts(engine, options)

    def _parts(
        self, engine: EngineInfo, options: SpeechOptions
    ) -> tuple[CatalogueEntry, Part, dict[str, Part]]:
        """Return the voice, how it speaks, and who speaks after each tag. Raise UnknownVoice, BadValue."""
        entry = self._catalogue.choose(options.voice)
        entries = {} if engine.dialogue else self._speakers(entry, options, engine)
        part = part_of(entry, options.generation, engine)
        return entry, part, {tag: part_of(each, options.generation, engine) for tag, each in entries.items()}

    def paces(self, options: SpeechOptions) -> bool:
        """Return whether the audio of a context is held back to real time."""
        return self._lead_ms(options) < UNPACED_MS

    def _lead_ms(self, options: SpeechOptions) -> int:
        if options.max_lead_ms is not None:
            return options.max_lead_ms
        paced = options.door == "native" or options.door in self._settings.paced_doors
        return self._settings.max_lead_ms if paced else UNPACED_MS

    def check_length(self, text: str) -> None:
        """Raise TooLarge for a text that is longer than a context takes."""
        most = self._settings.max_context_characters
        if len(text) > most:
            raise text_too_long(most)

    async def all_closed(self) -> None:
        """Wait until no context is open."""
        while self._open:
            await self._one_closed.wait()

    def _await_voice(self, context: SpeechContext, voice_id: str) -> None:
        """Hold a context until the file of a voice is there; end it with an error if that fails."""

        def on_ready(error: SpeechError | None) -> None:
            if error is not None:
                context.fail(error)
            context.release()

        if self._voice_files.request(voice_id, on_ready):
            context.hold()

    def _speakers(
        self, entry: CatalogueEntry, options: SpeechOptions, engine: EngineInfo
    ) -> dict[str, CatalogueEntry]:
        """Return the voice for each speaker tag.

        By default S1 is the context's own voice, and S2 the first other one of that speaker.
        """
        chosen: dict[str, CatalogueEntry] = {"S1": entry}
        if (second := self._second(entry, options, engine)) is not None:
            chosen["S2"] = second
        for speaker, name in options.voices.items():
            chosen[speaker] = self._catalogue.choose(name, field=f"voices.{speaker}")
        return chosen

    def _second(
        self, entry: CatalogueEntry, options: SpeechOptions, engine: EngineInfo
    ) -> CatalogueEntry | None:
        """Return the first other voice of speaker S2 whose language the engine speaks."""
        others = (
            each
            for each in self._catalogue.entries
            if each is not entry and each.voice.primary_speaker == "S2"
        )
        speaks = "language" not in engine.uses
        return next(
            (
                each
                for each in others
                if speaks or engine.speaks(language_of(each, options.generation, engine))
            ),
            None,
        )

    def _count(self, context: SpeechContext, *, attended: bool) -> None:
        self._open.add(context)
        self._peak = max(self._peak, len(self._open))
        if not attended:
            self._unattended.add(context)
        self._metrics.contexts.inc()

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
        self._one_closed = anyio.Event()

    def _log_text(self, voice: str, text: str) -> None:
        if self._show_text():
            log.info("spoken", voice=voice, text=text)


def part_of(entry: CatalogueEntry, asked: Generation, engine: EngineInfo) -> Part:
    """Return how a voice speaks. Raise BadValue."""
    generation = asked.over(entry.defaults)
    if "language" in engine.uses:
        language = language_of(entry, asked, engine)
        check_language(language, engine)
        generation = replace(generation, language=language)
    return Part(entry.voice, generation)


def _detects(asked: Generation) -> bool:
    return asked.language is None or is_auto(asked.language)
