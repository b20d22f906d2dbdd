"""The `@operation` decorator: what an endpoint's signature does not say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
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
    """Documents an endpoint, as a decorator. The endpoint's return annotation says the rest: `Json[…]`,
    `SoundFile`, another response.

    body: a model or a JSON schema. media: content types of a response that is not JSON. status: of success.
    also: other statuses; their body is an error if the endpoint may return `Json[Error]`, else that of
    success. errors: what it raises besides Forbidden and, if it needs a key, Unauthorized. docs: the vendor's
    documentation, whose form errors then have.
    """

    tag: str
    summary: str
    _: KW_ONLY
    body: type[BaseModel] | Mapping[str, Any] | None = None
    body_type: str = "application/json"
    body_required: bool = True
    query: Sequence[Parameter] | type[BaseModel] = ()
    media: Sequence[str] = AUDIO
    status: int = 200
    description: str = "OK."
    also: Mapping[int, str] = field(default_factory=dict)
    errors: Sequence[type[SpeechError]] = ()
    docs: str | None = None

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["operation"] = self
        return endpoint


operation = Operation
"""The decorator: `@operation("jobs", "List the jobs")`."""


def operation_of(endpoint: Callable[..., Any]) -> Operation | None:
    """Return the arguments of `@operation`, also through decorators that use `functools.wraps`."""
    found = getattr(endpoint, "operation", None)
    return found if isinstance(found, Operation) else None
