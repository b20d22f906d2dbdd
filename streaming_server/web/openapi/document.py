"""The OpenAPI 3.1 document, generated from the routes: `/openapi.json` and `/docs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from anyio import to_thread
from pydantic import BaseModel, TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from streaming_server.errors import Forbidden, SpeechError, StorageFailure, StoreUnavailable, Unauthorized
from streaming_server.version import package_version
from streaming_server.web.keyed import needs_key
from streaming_server.web.openapi.operation import Operation, operation, operation_of
from streaming_server.web.openapi.page import page
from streaming_server.web.responses import Error, Json
from streaming_server.web.sound_file import SoundFile

ABOUT = """\
Speech from text, while the text is still arriving. Websockets, which OpenAPI cannot describe, are in the
README: `/ws/speak` speaks, `/ws/status` sends the server's state every second. The routes here speak whole
texts and manage voices, voice samples and jobs.

If the server has keys, send one as `Authorization: Bearer …` or `?token=…`. An error is
`{"error": {"code", "message"}, "detail"}`; the message is for a person, and `detail` repeats it. 503 and 429
come with `Retry-After`.
"""
TAGS = ("speech", "voices", "samples", "jobs", "operator", "state")
VENDORS = ("OpenAI", "ElevenLabs", "Deepgram", "Cartesia", "Kyutai")
REF = "#/components/schemas/{model}"

Schema = dict[str, Any]


def routes() -> list[BaseRoute]:
    return [Route("/openapi.json", openapi_json), Route("/docs", docs)]


@operation("state", "This document")
async def openapi_json(request: Request) -> Json[dict[str, Any]]:
    return Json(await _document_of(request.app))


@operation("state", "This document as a page", media=("text/html",))
async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(page(await _document_of(request.app)))


async def _document_of(app: Starlette) -> dict[str, Any]:
    """Return the document of an application, built once, in a thread: it takes a tenth of a second."""
    if not hasattr(app.state, "openapi"):
        app.state.openapi = await to_thread.run_sync(document, app.routes)
    found: dict[str, Any] = app.state.openapi
    return found


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the document of the routes that have an `@operation`."""
    operations = list(documented(routes))
    schemas = _Schemas(_models(operations))
    paths: dict[str, dict[str, Any]] = {}
    for route, found in operations:
        item = paths.setdefault(route.path_format, _path_parameters(route))
        for method in sorted((route.methods or set()) - {"HEAD"}):
            item[method.lower()] = _operation_json(route, found, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Streaming speech server", "version": package_version(), "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in (*TAGS, *VENDORS)],
        "security": [{}, {"key": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def documented(routes: Iterable[BaseRoute]) -> Iterator[tuple[Route, Operation]]:
    for route in routes:
        if isinstance(route, Route) and route.include_in_schema:
            found = operation_of(route.endpoint)
            if found is not None:
                yield route, found


class _Schemas:
    """Schemas of response types. `components` holds those that have a name."""

    def __init__(self, types: Iterable[Any]) -> None:
        adapters = [(index, "serialization", TypeAdapter(one)) for index, one in enumerate(types)]
        self._types = list(types)
        found, shared = TypeAdapter.json_schemas(adapters, ref_template=REF)  # type: ignore[arg-type]
        self._found = [_without_titles(found[index, "serialization"]) for index in range(len(adapters))]
        self.components: dict[str, Schema] = _without_titles(shared.get("$defs", {}))

    def of(self, type_: Any) -> Schema:
        found: Schema = self._found[self._types.index(type_)]
        return found


def _models(operations: Iterable[tuple[Route, Operation]]) -> list[Any]:
    models: list[Any] = [Error]
    for route, _ in operations:
        models += [model for model in map(_json_model, _returned(route)) if model not in (None, *models)]
    return models


def _returned(route: Route) -> tuple[Any, ...]:
    """Return the response types in the endpoint's return annotation."""
    hint = get_type_hints(route.endpoint)["return"]
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _json_model(response: Any) -> Any:
    return get_args(response)[0] if get_origin(response) is Json else None


def _operation_json(route: Route, found: Operation, schemas: _Schemas) -> dict[str, Any]:
    fields: dict[str, Any] = {"tags": [found.tag], "summary": found.summary}
    if found.docs is not None:
        fields["externalDocs"] = {"url": found.docs}
    if found.body is not None:
        content = {found.body_type: {"schema": _input(found.body)}}
        fields["requestBody"] = {"required": found.body_required, "content": content}
    if parameters := list(_query_parameters(found.query)):
        fields["parameters"] = parameters
    keyed = needs_key(route.endpoint)
    if not keyed:
        fields["security"] = [{}]
    fields["responses"] = _responses(_returned(route), found, schemas) | _errors(found, keyed, schemas)
    return fields


def _responses(returned: Sequence[Any], found: Operation, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    ranges = any(response is SoundFile for response in returned)
    for response in returned:
        model = _json_model(response)
        if model is Error:
            continue  # Of another status; `also` tells which.
        if model is not None:
            content["application/json"] = {"schema": schemas.of(model)}
        else:
            content |= {kind: {"schema": _media_schema(kind)} for kind in found.media}
    responses = {str(found.status): {"description": found.description, "content": content}}
    error = {"application/json": {"schema": schemas.of(Error)}}
    if ranges:
        responses["206"] = {"description": "The requested range.", "content": content}
        responses["400"] = {"description": "bad_message: malformed `Range`.", "content": error}
        responses["416"] = {"description": "range_not_satisfiable: see `Content-Range`.", "content": error}
    other = error if any(_json_model(response) is Error for response in returned) else content
    for status, description in found.also.items():
        responses[str(status)] = {"description": description, "content": other}
    return responses


def _errors(found: Operation, keyed: bool, schemas: _Schemas) -> dict[str, Any]:
    if found.docs is not None:
        content: dict[str, Any] = {"application/json": {"schema": {}}}
        return {"default": {"description": "An error, in the vendor's form.", "content": content}}
    kinds: list[type[SpeechError]] = [Forbidden, *([Unauthorized] if keyed else []), *found.errors]
    if StorageFailure in kinds:
        kinds.append(StoreUnavailable)  # The same failure of a store that several servers share.
    by_status: dict[str, list[str]] = {}
    for kind in kinds:
        codes = by_status.setdefault(str(kind.http_status), [])
        if kind.code not in codes:
            codes.append(kind.code)
    content = {"application/json": {"schema": schemas.of(Error)}}
    return {
        status: {"description": ", ".join(codes), "content": content} for status, codes in by_status.items()
    }


def _media_schema(kind: str) -> Schema:
    return {"type": "string", "format": "binary"} if kind.startswith("audio/") else {}


def _input(body: type[BaseModel] | Any) -> Schema:
    """Return the schema of a request model, with nested models inlined."""
    if not (isinstance(body, type) and issubclass(body, BaseModel)):
        return dict(body)
    schema = body.model_json_schema()
    inner = schema.pop("$defs", {})

    def written_out(value: Any) -> Any:
        if isinstance(value, list):
            return [written_out(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return written_out(inner[value["$ref"].rpartition("/")[2]])
        return {name: written_out(item) for name, item in value.items()}

    found: Schema = _without_titles(written_out(schema))
    return found


def _query_parameters(query: Any) -> Iterator[dict[str, Any]]:
    if isinstance(query, type):
        for name, schema in _input(query).get("properties", {}).items():
            yield {"name": name, "in": "query", **_query_value(schema)}
        return
    for one in query:
        schema = TypeAdapter(one.type).json_schema()
        yield {"name": one.name, "in": "query", "schema": schema, "description": one.description}


def _query_value(schema: Schema) -> dict[str, Any]:
    """Return the schema of a parameter of the query; an object is sent as JSON."""
    for branch in schema.get("anyOf", ()):
        if branch.get("type") == "object":
            return {"content": {"application/json": {"schema": branch}}}
    return {"schema": schema}


def _path_parameters(route: Route) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    names = sorted(route.param_convertors)
    parameters = [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
    return {"parameters": parameters} if parameters else {}


def _without_titles(value: Any) -> Any:
    """Drop the titles that pydantic makes of names."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_titles(item)
        for name, item in value.items()
        if name != "title" or not isinstance(item, str)
    }
