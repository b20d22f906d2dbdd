"""Paths as clients join them: `//v1/models`, `/v1/models/`."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from streaming_server.web.responses import error_json
from streaming_server.web.websocket.unknown import UnknownWebSocket

_SLASHES = re.compile("/{2,}")
_CONTROL = re.compile("[\0-\x1f\x7f]")


class NormalizedPath:
    """Collapse repeated slashes and drop a trailing one, instead of a redirect that loses a POST's body.

    keep: paths whose trailing slash counts. A path with control characters is not found; without this check
    `/voices%0a` would match `/voices`, as `$` matches before a newline.
    """

    def __init__(self, app: ASGIApp, keep: Collection[str] = ()) -> None:
        self._app = app
        self._keep = frozenset({"/", *keep})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path = _SLASHES.sub("/", scope["path"])
            if path not in self._keep:
                path = path.removesuffix("/")
            if _CONTROL.search(path):
                http = scope["type"] == "http"
                answer = error_json("not_found", "Not Found.", 404) if http else UnknownWebSocket()
                await answer(scope, receive, send)
                return
            scope["path"] = path
        await self._app(scope, receive, send)
