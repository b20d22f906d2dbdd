"""The OpenAPI document as an HTML page without scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

METHODS = ("get", "post", "put", "delete")


def page(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML. Its one stylesheet is `/static/docs.css`."""
    return "\n".join(_Page(document).lines()) + "\n"


class _Page:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._schemas: dict[str, Any] = document["components"]["schemas"]

    def lines(self) -> Iterator[str]:
        info = self._document["info"]
        title = escape(info["title"])
        yield "<!doctype html>"
        yield f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield '<link rel="icon" href="static/icon.svg"><link rel="stylesheet" href="static/docs.css">'
        yield f"</head><body><header><h1>{title} <small>{escape(info['version'])}</small></h1>"
        for paragraph in info["description"].strip().split("\n\n"):
            yield f"<p>{_prose(paragraph)}</p>"
        yield '<p><a href="openapi.json">openapi.json</a> is the same as JSON.</p></header>'
        tags = [tag["name"] for tag in self._document["tags"]]
        links = " ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in tags)
        yield f"<nav>{links}</nav><main>"
        for tag in tags:
            yield f'<section id="{escape(tag)}"><h2>{escape(tag)}</h2>'
            for path, method, operation, parameters in self._operations(tag):
                yield from self._operation(path, method, operation, parameters)
            yield "</section>"
        yield from self._components()
        yield "</main></body></html>"

    def _operations(self, tag: str) -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
        for path, item in self._document["paths"].items():
            for method in METHODS:
                if tag in item.get(method, {}).get("tags", ()):
                    operation = item[method]
                    yield (
                        path,
                        method,
                        operation,
                        item.get("parameters", []) + operation.get("parameters", []),
                    )

    def _operation(
        self, path: str, method: str, operation: dict[str, Any], parameters: list[dict[str, Any]]
    ) -> Iterator[str]:
        name = f"{method.upper()} {path}"
        yield f'<details><summary><code class="{method}">{escape(name)}</code> {escape(operation["summary"])}'
        yield "</summary>"
        if "externalDocs" in operation:
            url = escape(operation["externalDocs"]["url"])
            yield f'<p><a href="{url}" rel="noreferrer">The vendor\'s documentation</a></p>'
        queried = [one for one in parameters if one["in"] == "query"]
        if queried:
            yield "<h3>Query</h3><dl>"
            for one in queried:
                schema = one["schema"] if "schema" in one else one["content"]["application/json"]["schema"]
                yield self._field(one["name"], schema, required=False, about=one.get("description", ""))
            yield "</dl>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"<h3>Body, {escape(kind)}</h3>"
            yield self._shape(content["schema"])
        for status, response in operation["responses"].items():
            kinds = ", ".join(response["content"])
            yield f"<h3>{status} <small>{escape(kinds)}</small></h3><p>{escape(response['description'])}</p>"
            if status < "300":
                yield from (self._shape(content["schema"]) for content in response["content"].values())
        yield "</details>"

    def _components(self) -> Iterator[str]:
        yield '<section id="schemas"><h2>schemas</h2>'
        for name, schema in self._schemas.items():
            yield f'<details id="schema-{name}"><summary><code>{name}</code></summary>'
            yield f"{self._shape(schema)}</details>"
        yield "</section>"

    def _shape(self, schema: dict[str, Any]) -> str:
        """Return the fields of an object, or the type of anything else but text and bytes."""
        if schema.get("format") == "binary" or schema in ({}, {"type": "string"}):
            return ""
        if "properties" not in schema:
            return f"<p>{_kind(schema)}</p>"
        required = schema.get("required", ())
        fields = (self._field(name, one, name in required) for name, one in schema["properties"].items())
        return f"<dl>{''.join(fields)}</dl>"

    def _field(self, name: str, schema: dict[str, Any], required: bool, about: str = "") -> str:
        facts = [_kind(schema)]
        if (bounds := _bounds(schema)) is not None:
            facts.append(bounds)
        if schema.get("default") is not None:
            facts.append(f"by default <code>{escape(json.dumps(schema['default']))}</code>")
        if about or "description" in schema:
            facts.append(_prose(about or schema["description"]))
        mark = "" if not required else " <b>*</b>"
        return f"<dt><code>{escape(name)}</code>{mark}</dt><dd>{'; '.join(facts)}</dd>"


def _kind(schema: dict[str, Any]) -> str:
    """Return the type of a value as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if "properties" in schema:
        inner = (f"{escape(name)}: {_kind(one)}" for name, one in schema["properties"].items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"by id, {_kind(schema['additionalProperties'])}"
    return "file" if schema.get("format") == "binary" else escape(schema.get("type", "anything"))


def _bounds(schema: dict[str, Any]) -> str | None:
    """Return the range of a number or the length of a string, if bounded."""
    parts = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    schema = parts[0] if len(parts) == 1 else schema
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    unit = " characters" if "minLength" in schema or "maxLength" in schema else ""
    if "exclusiveMinimum" in schema:
        low = f"more than {schema['exclusiveMinimum']:g}"
    if "exclusiveMaximum" in schema:
        high = f"less than {schema['exclusiveMaximum']:g}"
    if low is None and high is None:
        return None
    if high is None:
        return f"at least {low}{unit}"
    return f"up to {high}{unit}" if low is None else f"{low} to {high}{unit}"


def _prose(text: str) -> str:
    """Return plain text with `code` in it as HTML."""
    pieces = escape(text, quote=False).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
