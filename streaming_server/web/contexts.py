"""The open contexts of every door: let in, counted, waited for."""

from __future__ import annotations

import time
from functools import partial

import anyio
import structlog

from streaming_server.catalogue import Catalogue
from streaming_server.configuration import Configuration
from streaming_server.context import End, SpeechContext
from streaming_server.errors import BadValue, Draining
from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.settings import Settings
from streaming_server.types import EngineInfo, Generation
from streaming_server.web.limits import Limits

MOMENT_S = 2.0
"""How long after the last listener somebody may still be about to speak again."""

log = structlog.stdlib.get_logger(__name__)


class OpenContexts:
    """Opens contexts for the doors. Who opens one calls `left` when its last word is out."""

    def __init__(
        self,
        settings: Settings,
        configuration: Configuration,
        limits: Limits,
        pool: Pool,
        metrics: Metrics,
        catalogue: Catalogue,
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._limits = limits
        self._pool = pool
        self._metrics = metrics
        self._catalogue = catalogue
        self._open: set[SpeechContext] = set()
        self._unattended: set[SpeechContext] = set()
        self._attended_until = 0.0
        self._one_left = anyio.Event()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def attended(self) -> bool:
        """Whether anybody waits for sound, or did a moment ago: work that nobody waits for stands back."""
        return len(self._open) > len(self._unattended) or time.monotonic() < self._attended_until

    def open(
        self,
        engine: EngineInfo,
        voice: str,
        generation: Generation,
        max_lead_ms: int | None = None,
        *,
        attended: bool = True,
    ) -> SpeechContext:
        """A new turn of speech. attended: whether somebody waits for its sound.

        Raises Draining, UnknownVoice, BadValue.
        """
        if self._limits.draining:
            raise Draining("The server is about to stop.")
        entry = self._catalogue.find(voice)
        wanted = generation.over(entry.defaults)
        if wanted.language is not None and "language" in engine.uses and not engine.speaks(wanted.language):
            raise BadValue("the running engine does not speak it.", field="language")
        context = SpeechContext(
            self._pool,
            engine,
            entry.voice,
            wanted,
            max_characters=self._settings.max_context_characters,
            max_lead_s=(max_lead_ms or self._settings.max_lead_ms) / 1000,
            stall_s=self._settings.stall_timeout_s,
            spoken=partial(self._show, voice),
            heard=self._metrics.heard,
        )
        self._open.add(context)
        if not attended:
            self._unattended.add(context)
        self._metrics.contexts.inc()
        return context

    def left(self, context: SpeechContext, end: End | None) -> None:
        """The context is over, with the end that was received or abandoned before it. Idempotent."""
        if context not in self._open:
            return
        context.close()
        self._open.remove(context)
        if context in self._unattended:
            self._unattended.remove(context)
        else:
            self._attended_until = time.monotonic() + MOMENT_S
        self._metrics.contexts.dec()
        how = type(end).__name__.lower() if end is not None else "abandoned"
        self._metrics.contexts_ended.labels(how).inc()
        self._one_left.set()

    def _show(self, voice: str, text: str) -> None:
        if self._configuration.now.show_prompts:
            log.info("spoken", voice=voice, text=text)

    async def all_left(self) -> None:
        """Wait until none is open."""
        while self._open:
            self._one_left = anyio.Event()
            await self._one_left.wait()
