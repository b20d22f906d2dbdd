"""HTTP routes of other vendors' protocols: their keys and errors in the vendor's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.errors import SpeechError
from streaming_server.web.keyed import check_key, marked_as_keyed
from streaming_server.web.keys import key_of
from streaming_server.web.responses import Json, retry_after

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """Adapts endpoints to a protocol.

    key_of: finds the key, besides in the server's own places for it. refusal: returns an error in the
    protocol's form.
    """

    key_of: Callable[[HTTPConnection], str | None]
    refusal: Callable[[SpeechError], Response]

    def keyed(self, endpoint: Endpoint) -> Endpoint:
        """Wrap an endpoint that needs a key."""

        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            await check_key(request, self.key_of(request) or key_of(request))
            return await endpoint(request)

        return self.open(marked_as_keyed(guarded))

    def open(self, endpoint: Endpoint) -> Endpoint:
        """Wrap an endpoint that needs no key."""

        @wraps(endpoint)
        async def explaining(request: Request) -> Response:
            try:
                return await endpoint(request)
            except SpeechError as error:
                return self.refusal(error)

        return explaining


def refused(error: SpeechError, body: Mapping[str, Any], *, as_400: bool) -> Response:
    """Return a JSON response. as_400: whether the vendor uses 400 where the server uses 422."""
    return Json(body, status_code=status_of(error, as_400=as_400), headers=retry_after(error.http_status))


def status_of(error: SpeechError, *, as_400: bool) -> int:
    return 400 if as_400 and error.http_status == 422 else error.http_status
