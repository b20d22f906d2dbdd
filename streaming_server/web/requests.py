"""Request bodies, read and validated, and what queries have in common."""

from __future__ import annotations

import codecs
from typing import Annotated, TypeVar

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request

from streaming_server.errors import BadMessage, TooLarge
from streaming_server.web.content_encoding import decoder_of
from streaming_server.web.services import speech_services
from streaming_server.web.validation import MOST_VALUES, validated

ESCAPED_BYTES = 12
"""Bytes of one character beyond the first plane as JSON escapes it, twice `\\uXXXX`."""
OTHER_FIELDS_BYTES = 64 * 1024
"""Bytes that a JSON body may have besides the longest text."""
MAX_LISTED = 500
"""The largest `limit` of a list."""
DEFAULT_LISTED = 50
Limit = Annotated[int, Field(ge=1, le=MAX_LISTED, description="How many to return.")]

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
