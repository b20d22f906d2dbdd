"""API keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from pydantic import SecretStr
from starlette.requests import HTTPConnection

from streaming_server.errors import Forbidden, Unauthorized
from streaming_server.settings import Settings


class Keys:
    """Checks keys. Holds their digests, never the keys."""

    def __init__(self, settings: Settings) -> None:
        self._keys = _digests(settings.api_keys)
        self._admin_keys = _digests(settings.admin_keys)

    @property
    def needed(self) -> bool:
        """True if the server has keys."""
        return bool(self._keys)

    def opens(self, key: str | None) -> bool:
        """Return whether the key is valid, or none is needed. Takes the same time for every key.

        An admin key is valid everywhere.
        """
        valid = _is_among(key, self._keys + self._admin_keys)
        return valid or not self.needed

    def check(self, key: str | None) -> None:
        """Raise Unauthorized unless the key is valid or none is needed."""
        if not self.opens(key):
            raise Unauthorized("A valid API key is required.")

    def check_admin(self, key: str | None, what: str = "This") -> None:
        """Check the key as `check` does and, where there are admin keys, that it is one of them.

        what: the operation, for the message. Raise Unauthorized without a valid key, and Forbidden for a key
        that opens only the rest.
        """
        self.check(key)
        if self._admin_keys and not _is_among(key, self._admin_keys):
            if _is_among(key, self._keys):
                raise Forbidden(f"{what} needs an admin key; the one sent opens only the other routes.")
            raise Unauthorized("An admin key is required.")


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
