"""The list of voices in Cartesia's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from starlette.requests import HTTPConnection, Request
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from streaming_server.text.language import ENGLISH
from streaming_server.voices.catalogue import Catalogue, CatalogueEntry
from streaming_server.web.openapi.operation import operation
from streaming_server.web.responses import Json
from streaming_server.web.services import speech_services
from streaming_server.web.validation import validated_query
from streaming_server.web.vendors.http_door import HttpDoor
from streaming_server.web.vendors.model import ClientFields

FIRST_WITH_PAGES = "2024-11-13"
"""The first version of the API whose lists have pages; before it, they were JSON arrays."""

VERSION = "cartesia-version"
"""The header with the version that a client expects."""


class CartesiaVoicesQuery(ClientFields):
    """A page of the list: the voice before or after it, and its length."""

    limit: int | None = Field(None, ge=1)
    starting_after: str | None = None
    ending_before: str | None = None


class ForCartesia(Route):
    """A route for clients that send Cartesia-Version; the server's own API has the same path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and VERSION not in HTTPConnection(scope).headers:
            return Match.NONE, {}
        return super().matches(scope)


def routes(door: HttpDoor) -> list[BaseRoute]:
    """Return the routes. They must precede the server's own `/voices`."""
    return [
        ForCartesia("/voices", door.keyed(voices), include_in_schema=False),
        Route("/voices/", door.keyed(voices)),
        Route("/voices/{voice}", door.keyed(voice)),
    ]


@operation(
    "Cartesia",
    "List the voices; at /voices too for clients that send Cartesia-Version",
    docs="https://docs.cartesia.ai/api-reference/voices/list",
    query=CartesiaVoicesQuery,
)
async def voices(request: Request) -> Json[Any]:
    """List voices in the form of the client's version."""
    catalogue = speech_services(request).catalogue
    query = validated_query(CartesiaVoicesQuery, request.query_params)
    known = [_voice_to_json(entry) for entry in catalogue.entries]
    page, more = _page(known, query)
    if _version(request) < FIRST_WITH_PAGES:
        return Json(page)
    return Json({"data": page, "has_more": more, "next_page": page[-1]["id"] if more else None})


@operation(
    "Cartesia",
    "Get a voice",
    docs="https://docs.cartesia.ai/api-reference/voices/get",
)
async def voice(request: Request) -> Json[dict[str, Any]]:
    catalogue: Catalogue = speech_services(request).catalogue
    return Json(_voice_to_json(catalogue.find(request.path_params["voice"])))


def _version(request: HTTPConnection) -> str:
    """Return the version, a date; FIRST_WITH_PAGES by default."""
    version = request.headers.get(VERSION) or request.query_params.get("cartesia_version")
    return version or FIRST_WITH_PAGES


def _page(
    known: Sequence[dict[str, Any]], query: CartesiaVoicesQuery
) -> tuple[Sequence[dict[str, Any]], bool]:
    """Return the page that was asked for, and whether there is more in that direction.

    The page after a voice that does not exist is empty, which ends a client's iteration. Without a limit, the
    page holds all voices.
    """
    ids = [one["id"] for one in known]
    first = _place(ids, query.starting_after) + 1
    last = _place(ids, query.ending_before) if query.ending_before is not None else len(known)
    limit = query.limit or len(known)
    if query.ending_before is not None:
        return known[max(first, last - limit) : last], last - limit > first
    return known[first : min(last, first + limit)], first + limit < last


def _place(ids: Sequence[str], voice: str | None) -> int:
    """Return the index of a voice: -1 for None, the length of the list if it does not exist."""
    if voice is None:
        return -1
    return ids.index(voice) if voice in ids else len(ids)


def _voice_to_json(entry: CatalogueEntry) -> dict[str, Any]:
    """Return a voice with the fields of every version of the API."""
    voice = entry.voice
    return {
        "id": voice.id,
        "name": voice.name,
        "tagline": voice.style,
        "description": f"{voice.name} ({voice.style})",
        "language": entry.language or ENGLISH,
        "locales": [],
        "gender": None,
        "created_at": "1970-01-01T00:00:00Z",
        "access": "public",
        "visibility": "all",
        "is_public": True,
        "is_owner": False,
    }
