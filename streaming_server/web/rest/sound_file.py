"""Files of sound that are kept, sent as they are."""

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
"""At a file that is replaced just when it is asked for."""


class SoundFile(FileResponse):
    """A file, or the part of it that `Range` asks for. What cannot be given is told in the one shape.

    gone: what is raised where the file is not there any more. find: where it lies by now, if it may have been
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
        descriptor = await self._opened()
        try:
            self.path = f"/dev/fd/{descriptor}"  # To its end, though it be replaced or removed meanwhile.
            self.stat_result = os.fstat(descriptor)
            self.set_stat_headers(self.stat_result)
            await self._send_file(scope, receive, send)
        finally:
            os.close(descriptor)

    async def _opened(self) -> int:
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
    """Of a range that is none (400), or of which nothing is there (416)."""
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        length = headers["content-range"].rpartition("/")[2]
        said = {"content-range": headers["content-range"]}
        return error_json("range_not_satisfiable", f"Range: the file has {length} bytes.", status, said)
    return error_json("bad_message", "Range: write it as bytes=first-last, first not after last.", status)
