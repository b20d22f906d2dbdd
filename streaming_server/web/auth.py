"""API keys, allowed origins and host names."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.requests import HTTPConnection

from streaming_server.errors import Forbidden, Unauthorized
from streaming_server.hosts import is_loopback
from streaming_server.settings import Settings

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]*)?")
"""A Host header in lower case (RFC 9110, 7.2): a name or an address, an IPv6 address in brackets."""


class Access:
    """Checks keys, origins and host names. Holds digests of the keys, never the keys."""

    def __init__(self, settings: Settings) -> None:
        self._keys = _digests(settings.api_keys)
        self._admin_keys = _digests(settings.admin_keys)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in settings.allowed_origins)
        self._names = _own_names(settings)

    @property
    def needs_key(self) -> bool:
        return bool(self._keys)

    def check_origin(self, connection: HTTPConnection) -> None:
        """Raise Forbidden for a page of another origin, and without keys for a Host that is not ours.

        A foreign host name can be made to resolve to this machine (DNS rebinding), so a server without keys
        accepts addresses and its own names only. Browsers send no Origin with what a page embeds, such as
        `<audio src>`; there Sec-Fetch-Site tells.
        """
        if not self.needs_key and not self._is_own_name(connection.headers.get("host")):
            raise Forbidden("Host not allowed; add its origin to --allowed-origins.")
        origin = connection.headers.get("origin")
        if origin is None:
            foreign = (
                not self.needs_key and _is_embedded(connection) and not self.allows(_referrer(connection))
            )
        else:
            foreign = not self.allows(origin) and not _is_same_origin(origin, connection)
        if foreign:
            raise Forbidden("Origin not allowed; add it to --allowed-origins.")

    def allows(self, origin: str) -> bool:
        """Return whether `origin` is in --allowed-origins."""
        return origin.lower() in self._origins

    def opens(self, key: str | None) -> bool:
        """Return whether the key is valid, or none is needed. Takes the same time for every key.

        An admin key is valid everywhere.
        """
        valid = _is_among(key, self._keys + self._admin_keys)
        return valid or not self.needs_key

    def check_key(self, key: str | None) -> None:
        """Raise Unauthorized unless the key is valid or none is needed."""
        if not self.opens(key):
            raise Unauthorized("A valid API key is required.")

    def check_admin_key(self, key: str | None, what: str = "This") -> None:
        """Check the key as `check_key` does and, where there are admin keys, that it is one of them.

        what: the operation, for the message. Raise Unauthorized without a valid key, and Forbidden for a key
        that opens only the rest.
        """
        self.check_key(key)
        if self._admin_keys and not _is_among(key, self._admin_keys):
            if _is_among(key, self._keys):
                raise Forbidden(f"{what} needs an admin key; the one sent opens only the other routes.")
            raise Unauthorized("An admin key is required.")

    def _is_own_name(self, header: str | None) -> bool:
        """Return whether a Host header cannot be a foreign name. HTTP/1.0 clients may send none."""
        if not header:
            return True
        match = _HOST.fullmatch(header.lower())
        if match is None:
            return False
        host = match["name"].removesuffix(".")
        if host.startswith("["):
            return _is_address(host[1:-1])
        return host in self._names or host.endswith(".localhost") or is_loopback(host) or _is_address(host)


def key_of(connection: HTTPConnection) -> str | None:
    """Return the key in `Authorization: Bearer` or the query's `token`."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials:
        return credentials.strip()
    return connection.query_params.get("token")


def _digests(keys: Iterable[SecretStr]) -> tuple[bytes, ...]:
    return tuple(_digest(key.get_secret_value()) for key in keys)


def _is_among(key: str | None, digests: tuple[bytes, ...]) -> bool:
    """Return whether the key has one of these digests. Compares with all, so that time tells nothing."""
    digest = _digest(key or "")
    return sum(hmac.compare_digest(digest, known) for known in digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _own_names(settings: Settings) -> frozenset[str]:
    """Return the names of this machine and those of the allowed origins."""
    origins = [urlsplit(origin.lower()).hostname for origin in settings.allowed_origins]
    return frozenset({settings.host.lower(), socket.gethostname().lower(), *filter(None, origins)})


def _is_same_origin(origin: str, connection: HTTPConnection) -> bool:
    """Return whether the origin is the one that the Host header names."""
    try:
        page = urlsplit(origin.lower())
    except ValueError:
        return False
    return page.scheme in ("http", "https") and page.netloc == connection.headers.get("host", "").lower()


def _is_embedded(connection: HTTPConnection) -> bool:
    """Return whether a browser loads this for a page of another origin. Following a link is not that."""
    headers = connection.headers
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) != ("navigate", "document")


def _referrer(connection: HTTPConnection) -> str:
    """Return the origin of the page, if the browser says it."""
    try:
        page = urlsplit(connection.headers.get("referer", ""))
    except ValueError:
        return ""
    return f"{page.scheme}://{page.netloc}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
