"""Draining a server: it takes no new speech and finishes what it speaks."""

from __future__ import annotations

import anyio
import structlog

from streaming_server.contexts import Contexts
from streaming_server.jobs.queue import JobQueue
from streaming_server.web.limits import Limits
from streaming_server.web.websocket.registry import Connections

log = structlog.stdlib.get_logger(__name__)


class Drain:
    """Drains a running application before it stops, for SIGTERM or another reason.

    The application neither installs signal handlers nor sends itself a signal; its host does, and calls `run`
    before it closes the sockets. All methods are idempotent.
    """

    def __init__(self, limits: Limits, contexts: Contexts, connections: Connections, jobs: JobQueue) -> None:
        self._limits = limits
        self._contexts = contexts
        self._connections = connections
        self._jobs = jobs
        self._waiting: anyio.CancelScope | None = None

    def refuse(self) -> None:
        """Report not ready and refuse new contexts."""
        self._limits.draining = True

    async def run(self, timeout_s: float) -> None:
        """Drain, and return when no context is open, or after `timeout_s`.

        Interrupt the jobs and close the websockets with 1012: at once those without a context, the others
        after their last context, or at the timeout.
        """
        self.refuse()
        self._jobs.stop()
        self._connections.dismiss_idle()
        if open_contexts := len(self._contexts):
            log.info("draining", contexts=open_contexts, timeout_s=timeout_s)
        with anyio.move_on_after(timeout_s) as self._waiting:
            await self._contexts.all_closed()
            await self._connections.all_left()
        self._connections.dismiss()

    def cut(self) -> None:
        """Close every websocket at once, and end the wait of `run`."""
        self.refuse()
        self._jobs.stop()
        self._connections.dismiss()
        if self._waiting is not None:
            self._waiting.cancel()
