"""The flags of the installed engines, one group of the help for each engine."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import Field, fields
from types import MappingProxyType, NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from streaming_server.engines.registry import InstalledEngine
from streaming_server.errors import EngineFailure

METAVARS: Mapping[Any, str] = MappingProxyType({str: "TEXT", int: "N", float: "N"})


class EngineFlags:
    """Adds the options of engines to a parser and keeps the values of those that were given.

    Several engines may have an option of the same name. That is one flag, and the chosen engine reads it.
    An option named like one of the server's own has no flag.
    """

    def __init__(self, parser: argparse.ArgumentParser, engines: Iterable[InstalledEngine]) -> None:
        self._values: dict[str, Any] = {}
        self._parser = parser
        self._owners: dict[str, list[str]] = {}
        for engine in engines:
            self._add(engine)

    def given_to(self, engine: str) -> dict[str, Any]:
        """Return the values by field name. Raise EngineFailure for a flag that is not this engine's."""
        for name in self._values:
            if engine not in self._owners[name]:
                owners = " or ".join(f"--engine {owner}" for owner in self._owners[name])
                raise EngineFailure(f"{flag_of(name)} has no effect with --engine {engine}; use {owners}.")
        return self._values

    def _add(self, engine: InstalledEngine) -> None:
        """Add the group of one engine; one that cannot be imported is listed with the reason."""
        title = f"engine {engine.name}"
        try:
            provider = engine.load()
        except EngineFailure as error:
            self._parser.add_argument_group(title, error.message)
            return
        options = {field.name: field for field in fields(provider.settings)}
        hints = get_type_hints(provider.settings)
        shared = [flag_of(name) for name in options if name in self._owners]
        also = f"; also takes {', '.join(shared)}" if shared else ""
        group = self._parser.add_argument_group(title, provider.description + also)
        for name, option in options.items():
            with suppress(argparse.ArgumentError):  # The server has an option of that name.
                if name not in self._owners:
                    self._add_flag(group, option, hints[name])
                self._owners.setdefault(name, []).append(engine.name)

    def _add_flag(self, group: argparse._ArgumentGroup, option: Field[Any], kind: Any) -> None:
        description = option.metadata.get("description", "").replace("%", "%%")
        shown = f" (default: {option.default})" if option.default not in (None, False) else ""
        switch = kind is bool
        group.add_argument(
            ("--no-" if switch and option.default else "--") + option.name.replace("_", "-"),
            action=_Keep,
            values=self._values,
            name=option.name,
            constant=not option.default if switch else None,
            nargs=0 if switch else None,
            metavar=None if switch else _metavar(kind),
            help=description + ("" if switch else shown),
        )


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def _metavar(kind: Any) -> str:
    """Return the choices of a Literal, or what a value of this type is called."""
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    plain = [part for part in get_args(kind) if part is not NoneType]
    return _metavar(plain[0]) if plain else METAVARS.get(kind, "VALUE")


class _Keep(argparse.Action):
    """Stores a value in a separate dictionary, so that server options and engine options cannot clash."""

    def __init__(
        self, *arguments: Any, values: dict[str, Any], name: str, constant: Any, **options: Any
    ) -> None:
        super().__init__(*arguments, **{**options, "dest": argparse.SUPPRESS, "default": argparse.SUPPRESS})
        self._values, self._name, self._constant = values, name, constant

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        self._values[self._name] = values if self._constant is None else self._constant
