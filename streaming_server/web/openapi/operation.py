"""The `@operation` decorator: what an endpoint's signature does not say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from streaming_server.audio.formats import CONTENT_TYPES
from streaming_server.errors import (
    BadMessage,
    BadValue,
    EngineFailure,
    Full,
    SpeechError,
    TooLarge,
    TooSlow,
    UnknownVoice,
)

AUDIO = tuple(sorted(set(CONTENT_TYPES.values())))
"""Media types of all audio formats."""
BODY_ERRORS = (BadMessage, BadValue, TooLarge, TooSlow, Full)
"""Errors raised when reading a body."""
SPEECH_ERRORS = (*BODY_ERRORS, UnknownVoice, EngineFailure)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query. type: anything that pydantic can describe."""

    name: str
    type: Any
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """The arguments of `@operation`."""

    tag: str
    summary: str
    body: type[BaseModel] | Mapping[str, Any] | None
    body_type: str
    body_required: bool
    query: Sequence[Parameter] | type[BaseModel]
    media: Sequence[str]
    status: int
    description: str
    also: Mapping[int, str]
    errors: Sequence[type[SpeechError]]
    docs: str | None


def operation(
    tag: str,
    summary: str,
    *,
    body: type[BaseModel] | Mapping[str, Any] | None = None,
    body_type: str = "application/json",
    body_required: bool = True,
    query: Sequence[Parameter] | type[BaseModel] = (),
    media: Sequence[str] = AUDIO,
    status: int = 200,
    description: str = "OK.",
    also: Mapping[int, str] | None = None,
    errors: Sequence[type[SpeechError]] = (),
    docs: str | None = None,
) -> Callable[[Endpoint], Endpoint]:
    """Document an endpoint. Its return annotation says the rest: `Json[…]`, `SoundFile`, another response.

    body: a model or a JSON schema. media: content types of a response that is not JSON. status: of success.
    also: other statuses with the body of success. errors: what it raises besides Forbidden and, if it needs a
    key, Unauthorized. docs: the vendor's documentation, whose form errors then have.
    """

    def document(endpoint: Endpoint) -> Endpoint:
        endpoint.operation = Operation(  # type: ignore[attr-defined]
            tag,
            summary,
            body,
            body_type,
            body_required,
            query,
            media,
            status,
            description,
            also or {},
            errors,
            docs,
        )
        return endpoint

    return document


def operation_of(endpoint: Callable[..., Any]) -> Operation | None:
    """Return the arguments of `@operation`, also through decorators that use `functools.wraps`."""
    found = getattr(endpoint, "operation", None)
    return found if isinstance(found, Operation) else None
