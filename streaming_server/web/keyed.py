"""Endpoints that need a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.web.keys import key_of
from streaming_server.web.services import speech_services

Endpoint = Callable[[Request], Awaitable[Response]]


def check_key(connection: HTTPConnection) -> None:
    """Raise Unauthorized unless the request carries a valid key or none is needed."""
    speech_services(connection).keys.check(key_of(connection))


def keyed(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint so that it needs a key."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        check_key(request)
        return await endpoint(request)

    return marked_as_keyed(guarded)


def admin_keyed(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint so that it needs an admin key where there are any, and otherwise a key."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        speech_services(request).keys.check_admin(key_of(request))
        return await endpoint(request)

    return marked_as_keyed(guarded)


def check_may_replace(request: Request, exists: bool, what: str) -> None:
    """Raise Forbidden for replacing what exists without an admin key, where there are any: it deletes too."""
    if exists:
        speech_services(request).keys.check_admin(key_of(request), f"Replacing {what}")


def marked_as_keyed(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that checks the key, for its documentation."""
    endpoint.__dict__["needs_key"] = True
    return endpoint


def needs_key(endpoint: Callable[..., Any]) -> bool:
    return bool(getattr(endpoint, "needs_key", False))
