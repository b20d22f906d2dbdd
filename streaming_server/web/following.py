"""Brings a server up to date with what other servers have stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import anyio
import structlog
from anyio import to_thread

from streaming_server.errors import SpeechError, StoreUnavailable
from streaming_server.jobs.runner import JobRunner
from streaming_server.storage import configuration, jobs, pronunciations, voices
from streaming_server.web.services import Services

RETRY_S = 1.0
"""Seconds between attempts to read a store that failed."""

log = structlog.stdlib.get_logger(__name__)


class Follower:
    """handlers: what to do when a topic has changed; a handler that raises SpeechError is called again."""

    def __init__(self, handlers: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        self._handlers = handlers
        self._changed: set[str] = set()
        self._news = anyio.Event()

    def tell(self, topic: str) -> None:
        """Have the topic handled soon; topics of newer versions are ignored."""
        if topic in self._handlers:
            self._changed.add(topic)
            self._news.set()

    async def run(self) -> None:
        """Handle changed topics one after the other until cancelled. Changes of one that come together count
        once."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            topics, self._changed = self._changed, set()
            for topic in sorted(topics):
                await self._handle(topic)
            if self._changed:
                await anyio.sleep(RETRY_S)

    async def _handle(self, topic: str) -> None:
        try:
            await self._handlers[topic]()
        except SpeechError as error:
            log.warning("cannot read what another server changed", topic=topic, reason=error.message)
            self.tell(topic)


def follower(services: Services, runner: JobRunner) -> Follower:
    """Return what keeps a server's voices, configuration, pronunciations and jobs up to date."""

    async def refresh_voices() -> None:
        await services.voices.library.refresh()
        if services.voices.library.incomplete:
            raise StoreUnavailable("A recording could not be fetched.")

    async def reload_configuration() -> None:
        current = services.operations.configuration
        await to_thread.run_sync(current.reload)
        services.voices.transcription.use(current.now.whisper_model_size)
        services.voices.transcriptions.schedule()

    async def reload_pronunciations() -> None:
        await to_thread.run_sync(services.operations.pronunciations.load)

    async def look_for_jobs() -> None:
        services.jobs.queue.notify()

    return Follower(
        {
            voices.TOPIC: refresh_voices,
            configuration.TOPIC: reload_configuration,
            pronunciations.TOPIC: reload_pronunciations,
            jobs.TOPIC: look_for_jobs,
            jobs.CANCELLED: runner.renew,
        }
    )
