"""Request bodies and queries, read and validated."""

from __future__ import annotations

import codecs
from typing import Annotated, TypeVar

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request

from streaming_server.errors import BadMessage, BadValue, TooLarge
from streaming_server.web.content_encoding import decoder_of
from streaming_server.web.openapi.operation import Parameter
from streaming_server.web.services import speech_services
from streaming_server.web.validation import MOST_VALUES, validated

ESCAPED_BYTES = 12
"""Bytes of one character beyond the first plane as JSON escapes it, twice `\\uXXXX`."""
OTHER_FIELDS_BYTES = 64 * 1024
"""Bytes that a JSON body may have besides the longest text."""
MAX_LISTED = 500
"""The largest `limit` of a list."""
DEFAULT_LISTED = 50
LIMIT = Parameter(
    "limit", Annotated[int, Field(ge=1, le=MAX_LISTED)], f"How many to return; {DEFAULT_LISTED} by default."
)

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request) -> bytes:
    """Return the body, decompressed if it is gzip. Raise BadMessage, Full, TooLarge or TooSlow.

    It may be as long as the longest text is with every character escaped, so that the text itself decides.

    Starlette's limit counts bytes as they arrive, which says little about gzip, and raises an HTTPException,
    which vendors' routes could not answer in their own form.
    """
    longest_text = speech_services(request).settings.max_context_characters
    limit = ESCAPED_BYTES * longest_text + OTHER_FIELDS_BYTES
    decoder = decoder_of(request)
    body, received = bytearray(), 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            for content in decoder.feed(chunk):
                body += content
                if max(received, len(body)) > limit:
                    raise TooLarge(f"The body is longer than {limit} bytes.")
        decoder.finish()
    except BaseException:
        body.clear()  # The traceback would keep it until the garbage collector runs, which is seldom.
        raise
    return bytes(body)


async def read_json(
    request: Request, model: type[Body], *, optional: bool = False, most_values: int = MOST_VALUES
) -> Body:
    """Return the body as `model`; an empty body counts as `{}` if `optional`.

    Raise as `read_body` does, BadMessage for anything but a JSON object, and BadValue naming the field.
    """
    raw = await read_body(request)
    if not raw and optional:
        raw = b"{}"
    try:
        value = orjson.loads(raw.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        raise BadMessage("The body must be JSON.") from None
    return validated(model, value, most_values=most_values)


def flag(request: Request, name: str) -> bool:
    """Return a boolean of the query, False by default. Raise BadValue."""
    said = request.query_params.get(name, "false").lower()
    if said not in ("true", "1", "yes", "false", "0", "no"):
        raise BadValue("must be true or false.", field=name)
    return said in ("true", "1", "yes")


def limit_of(request: Request) -> int:
    """Return the query's `limit`, 1 to 500, 50 by default. Raise BadValue."""
    said = request.query_params.get("limit", str(DEFAULT_LISTED))
    if said.isascii() and said.isdigit() and len(said) <= 20 and 1 <= int(said) <= MAX_LISTED:
        return int(said)
    raise BadValue(f"must be a whole number from 1 to {MAX_LISTED}.", field="limit")
