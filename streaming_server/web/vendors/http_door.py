"""How the clients of other protocols are answered over HTTP: their keys and errors in their own form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.errors import SpeechError
from streaming_server.web.auth import key_of
from streaming_server.web.keyed import marked_as_keyed
from streaming_server.web.responses import Json, retry_after
from streaming_server.web.services import speech_services

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """What is a protocol's own about its routes.

    key_of: where its clients put their key, besides our own places. refusal: its form of an error.
    """

    key_of: Callable[[HTTPConnection], str | None]
    refusal: Callable[[SpeechError], Response]

    def keyed(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint for those who have a key, where one is needed."""

        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            speech_services(request).access.check_key(self.key_of(request) or key_of(request))
            return await endpoint(request)

        return self.open(marked_as_keyed(guarded))

    def open(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint for everybody."""

        @wraps(endpoint)
        async def telling(request: Request) -> Response:
            try:
                return await endpoint(request)
            except SpeechError as error:
                return self.refusal(error)

        return telling


def refused(error: SpeechError, told: Mapping[str, Any], *, as_400: bool) -> Response:
    """An answer of JSON. as_400: whether the vendor has no 422 and tells of a bad value with a 400."""
    return Json(told, status_code=status_of(error, as_400=as_400), headers=retry_after(error.http_status))


def status_of(error: SpeechError, *, as_400: bool) -> int:
    return 400 if as_400 and error.http_status == 422 else error.http_status
