"""Who may come in: keys, origins, numbers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from streaming_server.errors import Draining, Forbidden, Full, RateLimited, Unauthorized
from streaming_server.settings import Settings, is_loopback

WAITING_FOR_KEYS = 64
"""Websockets that may be waited for at once to show their key. They take no place of those who have one."""


class Guard:
    """Decides on every connection before anything is done for it."""

    def __init__(self, settings: Settings) -> None:
        self._digests = tuple(_digest(key.get_secret_value()) for key in settings.api_keys)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in settings.allowed_origins)
        self._names = _names(settings)
        self._speaking = _Places(settings.max_connections, "The server has all the connections it can serve.")
        self._watching = _Places(settings.max_status_connections, "As many watch the status as can.")
        self._waiting = _Places(WAITING_FOR_KEYS, "Too many connections are about to show their key.")
        self.draining = False

    @property
    def wants_key(self) -> bool:
        return bool(self._digests)

    def check_origin(self, connection: HTTPConnection) -> None:
        """Raises Forbidden when a browser page from elsewhere asks. Other programs send no Origin.

        Nor do browsers with a GET of what they take for the page's own server. A foreign name can be made to
        resolve to this machine, so without a key the server answers to names only that are its own.
        """
        if not self.wants_key and not self._goes_by(_host(connection)):
            raise Forbidden("The server does not go by this name; the operator can allow it as an origin.")
        origin = connection.headers.get("origin")
        if origin is None or self.allows(origin):
            return
        if not _same_origin(origin, connection):
            raise Forbidden("Pages of this origin may not connect; the operator can allow it.")

    def allows(self, origin: str) -> bool:
        """Whether the operator has named the origin of a page."""
        return origin.lower() in self._origins

    def opens(self, key: str | None) -> bool:
        """Whether the key opens the server. Takes the same time for every key."""
        digest = _digest(key or "")
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return not self.wants_key or any(matches)

    def check_key(self, key: str | None) -> None:
        """Raises Unauthorized unless the key opens the server."""
        if not self.opens(key):
            raise Unauthorized("A valid key is needed.")

    @contextmanager
    def speaking(self, pool_has_room: bool) -> Iterator[None]:
        """A place for one who is to be spoken to. Raises Draining, Full."""
        if self.draining:
            raise Draining("The server is about to stop.")
        with self._speaking.one():
            if not pool_has_room:
                raise Full("No worker can take more speech at the moment.")
            yield

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A place for one who is told the status. Raises Full."""
        with self._watching.one():
            yield

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A place for one whose key has not come yet. Raises Full."""
        with self._waiting.one():
            yield

    def _goes_by(self, host: str | None) -> bool:
        """Whether a name cannot have been made to resolve here by somebody else. None: no name was given."""
        if host is None or host in self._names or host.endswith(".localhost"):
            return True
        return is_loopback(host) or _is_address(host)


class _Places:
    """So many, for so long as each is held."""

    def __init__(self, places: int, full: str) -> None:
        self._free = places
        self._full = full

    @contextmanager
    def one(self) -> Iterator[None]:
        if not self._free:
            raise Full(self._full)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


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
        if self.early_s() > 0:
            self._tokens += 1
            raise RateLimited(f"At most {self._per_second:g} messages a second, please.")

    def early_s(self) -> float:
        """Count one message; by how many seconds it came too early."""
        now = time.monotonic()
        self._tokens = min(2 * self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _names(settings: Settings) -> frozenset[str]:
    """What the machine and the server are called by those who run them."""
    origins = [urlsplit(origin.lower()).hostname for origin in settings.allowed_origins]
    return frozenset({settings.host.lower(), socket.gethostname().lower(), *filter(None, origins)})


def _host(connection: HTTPConnection) -> str | None:
    """The name of the Host header, without its port; empty if it is none."""
    header = connection.headers.get("host")
    if not header:
        return None
    try:
        return (urlsplit(f"//{header.lower()}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _same_origin(origin: str, connection: HTTPConnection) -> bool:
    """Whether a page was served by this server, as far as the Host header tells."""
    try:
        page = urlsplit(origin.lower())
    except ValueError:
        return False
    return page.scheme in ("http", "https") and page.netloc == connection.headers.get("host", "").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
