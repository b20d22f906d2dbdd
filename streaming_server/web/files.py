"""Files of sound that are kept, sent as they are."""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from streaming_server.errors import SpeechError
from streaming_server.web.http import told


class SoundFile(FileResponse):
    """A file, or the part of it that `Range` asks for. What cannot be given is told in the one shape.

    gone: what is raised where the file is not there any more.
    """

    def __init__(
        self, path: Path, *, gone: SpeechError, media_type: str | None = None, filename: str | None = None
    ) -> None:
        super().__init__(path, media_type=media_type, filename=filename)
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            descriptor = await to_thread.run_sync(os.open, self.path, os.O_RDONLY)
        except FileNotFoundError:
            raise self._gone from None
        try:
            self.path = f"/dev/fd/{descriptor}"  # To its end, though it be replaced or removed meanwhile.
            self.stat_result = os.fstat(descriptor)
            self.set_stat_headers(self.stat_result)
            await self._send_file(scope, receive, send)
        finally:
            os.close(descriptor)

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
        return told("range_not_satisfiable", f"Range: the file has {length} bytes.", status, said)
    return told("bad_message", "Range: write it as bytes=first-last, first not after last.", status)
