"""The words that the description of the routes is written in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from streaming_server.audio.formats import CONTENT_TYPES
from streaming_server.errors import (
    BadMessage,
    BadValue,
    EngineFailure,
    Forbidden,
    Full,
    SpeechError,
    StorageFailure,
    TooLarge,
    Unauthorized,
    UnknownVoice,
)

Schema = dict[str, Any]
Operation = dict[str, Any]
Paths = dict[str, dict[str, Operation]]
Errors = tuple[type[SpeechError], ...]

SPOKEN = (BadMessage, BadValue, TooLarge, UnknownVoice, Full, EngineFailure)
STORED = (StorageFailure,)
OPEN: Errors = (Forbidden,)
"""What even a route without a key refuses: pages of other origins."""
KEYED: Errors = (Unauthorized, Forbidden)

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
YES_OR_NO: Schema = {"type": "boolean"}
ANY: Schema = {"description": "Anything."}
BYTES: Schema = {"type": "string", "format": "binary"}

EVENTS = "text/event-stream"
_EVENT: Schema = {
    "type": "object",
    "description": "One of the events; its data is JSON.",
    "properties": {"data": TEXT, "event": TEXT},
    "required": ["data"],
}


def an_object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    properties = {**required, **optional}
    return {"type": "object", "properties": properties, "required": list(required)}


def a_list(of: Schema, **limits: Any) -> Schema:
    return {"type": "array", "items": of, **limits}


def by_id(of: Schema) -> Schema:
    return {"type": "object", "additionalProperties": of}


def one_of(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def taken_by(model: type[BaseModel]) -> Schema:
    """What a model takes. The few models inside others are written out where they are used."""
    schema = model.model_json_schema()
    inner = schema.pop("$defs", {})

    def written_out(value: Any) -> Any:
        if isinstance(value, list):
            return [written_out(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return written_out(inner[value["$ref"].rpartition("/")[2]])
        return {
            name: written_out(item)
            for name, item in value.items()
            if name != "title" or not isinstance(item, str)
        }

    found: Schema = written_out(schema)
    return found


def operation(
    tag: str,
    summary: str,
    *answers: dict[str, Any],
    body: dict[str, Any] | None = None,
    query: Iterable[dict[str, Any]] = (),
    errors: Errors = (),
    keyed: bool = True,
    error: Schema | None = None,
) -> Operation:
    """errors: what it may raise, beside what every route may. error: their form, where it is not ours."""
    operation: Operation = {"tags": [tag], "summary": summary, "responses": {}}
    if body is not None:
        operation["requestBody"] = body
    if query:
        operation["parameters"] = list(query)
    if not keyed:
        operation["security"] = [{}]
    for answer in answers:
        operation["responses"] |= answer
    for status, kinds in _by_status((*(KEYED if keyed else OPEN), *errors)).items():
        schemas = [ref("Error")] if error is None or status == "403" else [error]
        schemas += [error] if error is not None and status == "403" else []
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        about = {"description": ", ".join(kind.code for kind in kinds)}
        operation["responses"][status] = about | {"content": {"application/json": {"schema": schema}}}
    return operation


def _by_status(errors: Errors) -> dict[str, list[type[SpeechError]]]:
    found: dict[str, list[type[SpeechError]]] = {}
    for kind in errors:
        found.setdefault(str(kind.http_status), []).append(kind)
    return found


def json_answer(schema: Schema, about: str = "Done.", status: int = 200) -> dict[str, Any]:
    return answer(about, {"application/json": schema}, status)


def answer(about: str, content: Mapping[str, Schema], status: int = 200) -> dict[str, Any]:
    described = {kind: {"schema": schema} for kind, schema in content.items()}
    return {str(status): {"description": about, "content": described}}


def sound_answer(*kinds: str, about: str = "The sound.") -> dict[str, Any]:
    events = {EVENTS: _EVENT} if EVENTS in kinds else {}
    return answer(about, dict.fromkeys(kinds or _sounds(), BYTES) | events)


def kept_answer(*kinds: str, about: str = "The sound.") -> dict[str, Any]:
    """Of a file, which is given in parts to those who ask for one."""
    part = answer("The part that `Range` asks for.", dict.fromkeys(kinds or _sounds(), BYTES), 206)
    no_range = json_answer(ref("Error"), "bad_message: `Range` is none.", 400)
    beyond = json_answer(ref("Error"), "range_not_satisfiable; `Content-Range` tells the length.", 416)
    return sound_answer(*kinds, about=about) | part | no_range | beyond


def _sounds() -> list[str]:
    return sorted(set(CONTENT_TYPES.values()))


def takes(schema: Schema, *, required: bool = True, kind: str = "application/json") -> dict[str, Any]:
    return {"required": required, "content": {kind: {"schema": schema}}}


def in_query(name: str, schema: Schema, about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": about}


def path_parameters(path: str) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if not names:
        return {}
    schema = {"type": "string", "minLength": 1}
    return {"parameters": [{"name": n, "in": "path", "required": True, "schema": schema} for n in names]}
