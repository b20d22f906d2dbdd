"""Requests of pages of other origins, refused before they are routed."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from streaming_server.errors import BadMessage, Forbidden
from streaming_server.web.origins import Origins, require_host
from streaming_server.web.responses import error_response

PROBES = frozenset({"/livez", "/readyz"})
"""Paths that answer any Host."""


class OriginCheck:
    """Refuse HTTP requests whose Host or Origin is not allowed, except probes.

    The probes of gateways and schedulers have a Host of their own, and the answers tell nothing else.
    Websockets make the same check in their handshake, where each protocol has its own form of an error.
    """

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            check = require_host if _is_probe(scope) else self._origins.check
            try:
                check(HTTPConnection(scope))
            except (BadMessage, Forbidden) as error:
                app = error_response(error)
        await app(scope, receive, send)


def _is_probe(scope: Scope) -> bool:
    return scope["path"].removeprefix(scope.get("root_path", "")) in PROBES
