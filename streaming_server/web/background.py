"""Work that outlives the request that asked for it, and ends with the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ParamSpec

import anyio
from anyio.abc import TaskGroup

P = ParamSpec("P")
Task = Callable[P, Coroutine[Any, Any, None]]


class Background:
    """Owns such tasks. What one raises ends the server, so they translate their own errors."""

    def __init__(self) -> None:
        self._group: TaskGroup | None = None
        self._asked_for: dict[Task[...], bool] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While open, tasks can be started; on leaving they are cancelled."""
        async with anyio.create_task_group() as self._group:
            try:
                yield
            finally:
                self._group.cancel_scope.cancel()
                self._group = None

    def start(self, task: Task[P], *arguments: P.args, **named: P.kwargs) -> None:
        """Start a task; without effect when the server is about to end."""
        if self._group is not None:
            self._group.start_soon(partial(task, *arguments, **named))

    def see_to(self, task: Task[P], *arguments: P.args, **named: P.kwargs) -> None:
        """Have a task run that does all there is to do; where it runs already, once more afterwards.

        Without effect when the server is about to end.
        """
        if self._group is None:
            return
        running = task in self._asked_for
        self._asked_for[task] = True
        if not running:
            self.start(self._while_asked_for, task, partial(task, *arguments, **named))

    async def _while_asked_for(self, task: Task[...], run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            while self._asked_for[task]:
                self._asked_for[task] = False
                await run()
        finally:
            del self._asked_for[task]
