"""What browsers ask before a page of another origin may read an answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming_server.web.services import parts_of

METHODS = "GET, POST, PUT, DELETE"
READABLE = (
    "Accept-Ranges, Content-Disposition, Content-Range, Retry-After, X-Generation-ID, X-Request-ID,"
    " DG-Model-Name, DG-Request-ID"
)
"""Headers of answers that a page may read, beside those that every page may."""
REMEMBERED_S = 600
"""How long a browser need not ask again."""


class Cors:
    """Tells browsers that pages of the allowed origins may read what they asked for (Fetch, CORS protocol).

    Each is told its own name and never `*`, nor that browsers may add credentials of theirs: a page shows the
    key that it was given. Pages of other origins have been turned away before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope) if scope["type"] == "http" else None
        origin = connection.headers.get("origin") if connection is not None else None
        if connection is None or origin is None or not parts_of(connection).guard.allows(origin):
            await self._app(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = READABLE
                headers.add_vary_header("Origin")
            await send(message)

        asked = connection.headers.get("access-control-request-method")
        preflight = scope["method"] == "OPTIONS" and asked is not None
        app = _permission(connection) if preflight else self._app
        await app(scope, receive, send_allowed)


def _permission(connection: HTTPConnection) -> Response:
    """The answer to a preflight. Any header is let through: clients' libraries add their own."""
    headers = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": connection.headers.get("access-control-request-headers", ""),
        "Access-Control-Max-Age": str(REMEMBERED_S),
        "Vary": "Access-Control-Request-Headers",
    }
    if connection.headers.get("access-control-request-private-network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=204, headers=headers)
