"""Requests of pages of other origins, refused before they are routed."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from streaming_server.errors import Forbidden
from streaming_server.web.auth import Access
from streaming_server.web.responses import error_response


class OriginCheck:
    """Refuse HTTP requests whose Host or Origin is not allowed.

    Websockets make the same check in their handshake, where each protocol has its own form of an error.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            connection = HTTPConnection(scope)
            try:
                self._access.check_origin(connection)
            except Forbidden as error:
                app = error_response(error)
        await app(scope, receive, send)
