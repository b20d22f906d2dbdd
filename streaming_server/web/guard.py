"""Who may come in: keys, origins, numbers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from streaming_server.errors import Draining, Forbidden, Full, RateLimited, Unauthorized
from streaming_server.settings import Settings, is_loopback


class Guard:
    """Decides on every connection before anything is done for it."""

    def __init__(self, settings: Settings) -> None:
        self._digests = tuple(_digest(key.get_secret_value()) for key in settings.api_keys)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in settings.allowed_origins)
        self._max_connections = settings.max_connections
        self.draining = False

    @property
    def wants_key(self) -> bool:
        return bool(self._digests)

    def check_origin(self, connection: HTTPConnection) -> None:
        """Raises Forbidden when a browser page from elsewhere asks. Other programs send no Origin."""
        origin = connection.headers.get("origin")
        if origin is None or origin.lower() in self._origins:
            return
        if not self._same_origin(origin, connection):
            raise Forbidden("Pages of this origin may not connect; the operator can allow it.")

    def check_key(self, key: str | None) -> None:
        """Raises Unauthorized unless the key opens the server. Takes the same time for every key."""
        if not self.wants_key:
            return
        digest = _digest(key or "")
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise Unauthorized("A valid key is needed.")

    def check_room(self, connections: int, pool_has_room: bool) -> None:
        """Raises Draining or Full when one more connection cannot be served."""
        if self.draining:
            raise Draining("The server is about to stop.")
        if connections >= self._max_connections:
            raise Full("The server has all the connections it can serve.")
        if not pool_has_room:
            raise Full("No worker can take more speech at the moment.")

    def _same_origin(self, origin: str, connection: HTTPConnection) -> bool:
        """Whether a page was served by this server.

        The Host header alone does not prove it: a foreign name can be made to resolve to this machine. So
        the name must be one that cannot be rebound, or a key be needed besides.
        """
        page = urlsplit(origin.lower())
        if page.scheme not in ("http", "https") or page.netloc != connection.headers.get("host", "").lower():
            return False
        host = page.hostname or ""
        return self.wants_key or is_loopback(host) or _is_address(host)


def key_of(connection: HTTPConnection) -> str | None:
    """The key a client sent in a header or the query, if any."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials:
        return credentials.strip()
    return connection.query_params.get("token")


class MessageRate:
    """A token bucket: `per_second` messages sustained, twice that in a burst."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = 2 * per_second
        self._at = time.monotonic()

    def count(self) -> None:
        """Count one message. Raises RateLimited."""
        now = time.monotonic()
        self._tokens = min(2 * self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            raise RateLimited(f"At most {self._per_second:g} messages a second, please.")
        self._tokens -= 1


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
