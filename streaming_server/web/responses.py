"""JSON responses, and errors as responses of one shape."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from typing_extensions import TypedDict

from streaming_server.errors import InternalError, SpeechError

RETRY_AFTER_S = 2
"""Seconds after which a client that was refused with 429 or 503 may try again."""


_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

Content = TypeVar("Content")


class Json(Response, Generic[Content]):
    """A JSON response. The return annotation of an endpoint, `Json[Something]`, documents it."""

    media_type = "application/json"

    def __init__(
        self, content: Content, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status_code, headers)

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=_to_json)


def _to_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError


class ErrorDetail(TypedDict):
    code: str
    message: str


class Error(TypedDict):
    """The body of an error. Dia's clients read `detail`, which is the message again."""

    error: ErrorDetail
    detail: str


class Confirmation(TypedDict):
    message: str


def error_response(error: SpeechError) -> Json[Error]:
    return error_json(error.code, error.message, error.http_status, retry_after(error.http_status))


def error_json(code: str, message: str, status: int, headers: Mapping[str, str] | None = None) -> Json[Error]:
    """Return an error in the shape all routes share."""
    error: Error = {"error": {"code": code, "message": message}, "detail": message}
    return Json(error, status_code=status, headers=headers)


def retry_after(status: int) -> dict[str, str]:
    """Return the Retry-After header for a status that has one."""
    return {"retry-after": str(RETRY_AFTER_S)} if status in (429, 503) else {}


def header_value(text: str) -> str:
    """Return text for a header, percent-encoded where it is not printable ASCII."""
    return quote(text, safe=_PRINTABLE)


async def speech_error(request: Request, error: Exception) -> Response:
    """Handle SpeechError."""
    assert isinstance(error, SpeechError)
    return error_response(error)


async def http_exception(request: Request, error: Exception) -> Response:
    """Handle what the router raises: 404 and 405."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    headers = {**(error.headers or {})}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_of(request)))
    return error_json(code, f"{error.detail}.", error.status_code, headers)


def _methods_of(request: Request) -> set[str]:
    """Return the methods of every route that has the request's path; the router knows the first only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in found for method in route.methods or ()}


async def internal_error(request: Request, error: Exception) -> Response:
    """Handle an unexpected exception. Its text goes to the log only."""
    return error_response(InternalError("Internal error; see the server's log."))


async def client_disconnect(request: Request, error: Exception) -> Response:
    """Handle a client that disconnected before its request was complete. The response is not read."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)
