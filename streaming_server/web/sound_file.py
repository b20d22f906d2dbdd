"""Stored audio files as responses."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from streaming_server.errors import SpeechError
from streaming_server.web.responses import error_json

ATTEMPTS = 3
"""Attempts to open a file that may be replaced at any moment."""


class SoundFile(FileResponse):
    """A file, or the part of it that `Range` requests. Errors are JSON, as on all routes.

    gone: raised if the file no longer exists. find: returns its current path, for files that are
    replaced by one of another name.
    """

    def __init__(
        self,
        path: Path,
        *,
        gone: SpeechError,
        find: Callable[[], Awaitable[Path]] | None = None,
        media_type: str | None = None,
        filename: str | None = None,
    ) -> None:
        super().__init__(path, media_type=media_type, filename=filename)
        self._gone = gone
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        descriptor = await self._open()
        try:
            self.path = f"/dev/fd/{descriptor}"  # The open file can be replaced or removed.
            self.stat_result = os.fstat(descriptor)
            self.set_stat_headers(self.stat_result)
            await self._send_file(scope, receive, send)
        finally:
            os.close(descriptor)

    async def _open(self) -> int:
        for _ in range(ATTEMPTS):
            try:
                return await to_thread.run_sync(os.open, self.path, os.O_RDONLY)
            except FileNotFoundError:
                if self._find is None:
                    break
                self.path = await self._find()
        raise self._gone

    async def _send_file(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def send_shaped(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refused = True
                headers = Headers(raw=message["headers"])
                await _refusal(message["status"], headers)(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, send_shaped)


def _refusal(status: int, headers: Headers) -> Response:
    """Return the response to a malformed range (400) or one outside the file (416)."""
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        length = headers["content-range"].rpartition("/")[2]
        content_range = {"content-range": headers["content-range"]}
        return error_json(
            "range_not_satisfiable", f"Range: the file has {length} bytes.", status, content_range
        )
    return error_json("bad_message", "Range: write it as bytes=first-last, first not after last.", status)
