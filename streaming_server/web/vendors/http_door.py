"""HTTP routes of other vendors' protocols: their keys and errors in the vendor's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.errors import BadValue, SpeechError
from streaming_server.web.keyed import Endpoint, check_key, marked_as_keyed
from streaming_server.web.keys import key_of
from streaming_server.web.responses import Json, retry_after


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """Adapts endpoints to a protocol.

    key_of: finds the key, besides in the server's own places for it. error_body: returns an error in the
    protocol's form. bad_value_status: the vendor's status for what the server answers with 422.
    """

    key_of: Callable[[HTTPConnection], str | None]
    error_body: Callable[[SpeechError], Mapping[str, Any]]
    bad_value_status: int = BadValue.http_status

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

    def refusal(self, error: SpeechError) -> Response:
        """Return an error in the protocol's form."""
        status = status_of(error, self.bad_value_status)
        return Json(self.error_body(error), status_code=status, headers=retry_after(error.http_status))


def status_of(error: SpeechError, bad_value_status: int) -> int:
    """Return the vendor's status of an error. bad_value_status: see `HttpDoor`."""
    return bad_value_status if error.http_status == BadValue.http_status else error.http_status
