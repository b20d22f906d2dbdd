"""Check of the pages that may use the server and of its host names."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from streaming_server.errors import BadMessage, Forbidden
from streaming_server.hosts import is_loopback
from streaming_server.settings import Settings

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]*)?")
"""A Host header in lower case (RFC 9110, 7.2): a name or an address, an IPv6 address in brackets."""


class Origins:
    """Checks the Origin and the Host of requests."""

    def __init__(self, settings: Settings) -> None:
        self._keyed = bool(settings.api_keys)
        self._origins = frozenset(settings.allowed_origins)
        self._names = _own_names(settings)

    def check(self, connection: HTTPConnection) -> None:
        """Raise Forbidden for a page of another origin, for a repeated Host or Origin header and, without
        keys, for a foreign Host; BadMessage for a missing Host.

        A proxy may have read the other of two headers.

        A foreign host name can be made to resolve to this machine (DNS rebinding), so a server without keys
        accepts addresses and its own names only. Browsers send no Origin with what a page embeds, such as
        `<audio src>`; there Sec-Fetch-Site tells.
        """
        require_host(connection)
        if any(len(connection.headers.getlist(name)) > 1 for name in ("host", "origin")):
            raise Forbidden("Send one Host header, and one Origin header at most.")
        if not self._keyed and not self._is_own_name(connection.headers.get("host")):
            raise Forbidden("Host not allowed; add its origin to --allowed-origins.")
        origin = connection.headers.get("origin")
        if origin is None:
            foreign = not self._keyed and _is_embedded(connection) and not self.allows(_referrer(connection))
        else:
            foreign = not self.allows(origin) and not _is_same_origin(origin, connection)
        if foreign:
            raise Forbidden("Origin not allowed; add it to --allowed-origins.")

    def allows(self, origin: str) -> bool:
        """Return whether `origin` is in --allowed-origins."""
        return origin.lower() in self._origins

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


def require_host(connection: HTTPConnection) -> None:
    """Raise BadMessage for a request of HTTP/1.1 without a Host (RFC 9112, 3.2)."""
    if connection.scope.get("http_version", "1.1") == "1.1" and "host" not in connection.headers:
        raise BadMessage("A request of HTTP/1.1 needs a Host header.")


def _own_names(settings: Settings) -> frozenset[str]:
    """Return the names of this machine and those of the allowed origins."""
    origins = [urlsplit(origin).hostname for origin in settings.allowed_origins]
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
