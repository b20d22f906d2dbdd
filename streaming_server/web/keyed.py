"""Endpoints that need a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import anyio
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.errors import Unauthorized
from streaming_server.hosts import network_of
from streaming_server.web.keys import key_of
from streaming_server.web.services import speech_services

Endpoint = Callable[[Request], Awaitable[Response]]


async def check_key(
    connection: HTTPConnection, key: str | None, check: Callable[[str | None], None] | None = None
) -> None:
    """Check a key. Each further wrong key from an address is answered later than the one before.

    check: `Keys.check` by default. Raise Unauthorized unless the key is valid or none is needed, and what
    `check` raises.
    """
    services = speech_services(connection)
    try:
        (check or services.keys.check)(key)
    except Unauthorized:
        if key is not None:
            address = network_of(connection.client.host) if connection.client is not None else ""
            await anyio.sleep(services.wrong_keys.record_failure(address))
        raise


def keyed(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint so that it needs a key."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        await check_key(request, key_of(request))
        return await endpoint(request)

    return marked_as_keyed(guarded)


def admin_keyed(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint so that it needs an admin key where there are any, and otherwise a key."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        await check_key(request, key_of(request), speech_services(request).keys.check_admin)
        return await endpoint(request)

    return marked_as_keyed(guarded)


def check_may_replace(request: Request, exists: bool, what: str) -> None:
    """Raise Forbidden if `exists`, the server has admin keys and the request carries none.

    Replacing also deletes.
    """
    if exists:
        speech_services(request).keys.check_admin(key_of(request), f"Replacing {what}")


def marked_as_keyed(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that checks the key, for its documentation."""
    endpoint.__dict__["needs_key"] = True
    return endpoint


def needs_key(endpoint: Callable[..., Any]) -> bool:
    return bool(getattr(endpoint, "needs_key", False))
