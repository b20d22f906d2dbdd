"""The engine a server runs, with its settings from flags and `DIA_*` variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter

from streaming_server.engines.provider import EngineProvider
from streaming_server.engines.registry import InstalledEngine, find_engine, installed_engines
from streaming_server.types import EngineVoice

PREFIX = "DIA_"


@dataclass(frozen=True, slots=True)
class SelectedEngine:
    """An engine, and the settings each of its workers is started with."""

    installed: InstalledEngine
    provider: EngineProvider
    settings: Any

    @property
    def voices(self) -> tuple[EngineVoice, ...]:
        """The engine's voices beside the built-in ones."""
        return self.provider.voices(self.settings)

    @property
    def worker_arguments(self) -> tuple[str, ...]:
        """The worker's command line, from which `worker.create_engine` makes the engine."""
        document = TypeAdapter(self.provider.settings).dump_json(self.settings).decode()
        return f"--engine={self.installed.reference}", f"--settings={document}"


def select_engine(
    name: str, flags: Mapping[str, Any] | None = None, variables: Mapping[str, str] = os.environ
) -> SelectedEngine:
    """Return the engine of that name, with its settings.

    flags: values by field name; they override the variables, whose names are case-insensitive. Raises
    EngineFailure if the engine is not installed, and ValidationError if it does not accept a value.
    """
    installed = find_engine(name, installed_engines())
    provider = installed.load()
    given = {key.upper(): value for key, value in variables.items()}
    names = (field.name for field in fields(provider.settings))
    values = {name: given[key] for name in names if (key := PREFIX + name.upper()) in given}
    settings = TypeAdapter(provider.settings).validate_python({**values, **(flags or {})})
    return SelectedEngine(installed, provider, settings)


def settings_schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of an engine's settings. Raises EngineFailure if it is not installed."""
    return TypeAdapter(find_engine(name, installed_engines()).load().settings).json_schema()
