"""Applies what other servers have stored."""

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
    """handlers: what to do when a topic has changed; a handler that raises SpeechError is called again.

    Topics do not wait for each other: recordings may have to be fetched from a slow object store.
    """

    def __init__(self, handlers: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        self._handlers = handlers
        self._news = {topic: anyio.Event() for topic in handlers}

    def notify(self, topic: str) -> None:
        """Schedule the handler of a topic. Unknown topics, of newer versions, are ignored."""
        if topic in self._news:
            self._news[topic].set()

    async def run(self) -> None:
        """Handle changed topics until cancelled. Changes of one that come together count once."""
        async with anyio.create_task_group() as group:
            for topic in self._handlers:
                group.start_soon(self._follow, topic)

    async def _follow(self, topic: str) -> None:
        while True:
            await self._news[topic].wait()
            self._news[topic] = anyio.Event()
            try:
                await self._handlers[topic]()
            except SpeechError as error:
                log.warning("cannot read what another server changed", topic=topic, reason=error.message)
                self.notify(topic)
            if self._news[topic].is_set():
                await anyio.sleep(RETRY_S)


def follower(services: Services, runner: JobRunner) -> Follower:
    """Return what keeps a server's voices, configuration, pronunciations and jobs up to date."""

    async def refresh_voices() -> None:
        await services.voices.library.refresh()
        if services.voices.library.incomplete:
            raise StoreUnavailable("A recording could not be fetched.")

    async def reload_configuration() -> None:
        current = services.operations.configuration
        await to_thread.run_sync(current.reload)
        services.voices.whisper.use(current.now.whisper_model_size)
        services.voices.transcription_queue.schedule()

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
