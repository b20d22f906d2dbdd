"""Decoding of clients' JSON messages."""

from __future__ import annotations

import json
from typing import Any

import orjson

from streaming_server.errors import BadMessage, BadValue

MAX_NAME = 256
"""Longest name of a context, in characters."""


def decode_object(raw: str | bytes) -> dict[str, Any]:
    """Decode a JSON object, in text or binary. Raise BadMessage."""
    message = decode_json(raw)
    if not isinstance(message, dict):
        raise BadMessage("A message must be a JSON object.")
    return message


def decode_json(raw: str | bytes) -> Any:
    """Decode JSON. Raise BadMessage.

    orjson refuses halves of surrogate pairs, which JavaScript clients send when they cut a string anywhere.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        escapes = "\\u" in raw if isinstance(raw, str) else b"\\u" in raw
    try:
        if escapes:
            return json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        pass
    raise BadMessage("The message is not valid JSON.")


def _refuse_constant(constant: str) -> None:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


def read_name(message: dict[str, Any], *fields: str) -> str | None:
    """Return the name of a message's context, from the first of the fields that is set. Raise BadValue."""
    for field in fields:
        name = message.get(field)
        if name is None:
            continue
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or has_surrogates(name):
            raise BadValue(f"must be a string of 1 to {MAX_NAME} characters.", field=field)
        return name
    return None


def has_surrogates(text: str) -> bool:
    """Return whether a text holds a lone surrogate and so cannot be sent back."""
    return any("\ud800" <= character <= "\udfff" for character in text)
