"""The settings an operator can change while the server runs, and where each value comes from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streaming_server.settings import Settings
from streaming_server.storage.configuration import ConfigurationStore

Origin = Literal["start", "put", "default"]
"""start: a flag or DIA_* variable. put: the route, now or before a restart. default: neither."""

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "debug_mode": "debug",
        "save_outputs": "save_outputs",
        "show_prompts": "show_prompts",
        "output_retention_hours": "retention_hours",
        "whisper_model_size": "whisper_model",
    }
)
"""The fields that can also be set at the start, and the settings that do so."""

log = structlog.stdlib.get_logger(__name__)


class ServerConfig(BaseModel):
    """The configuration. `sources` is reported, and ignored in a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    debug_mode: bool = False
    save_outputs: bool = True
    show_prompts: bool = False
    output_retention_hours: float = Field(24, ge=0.01, le=24 * 365)
    auto_discover_prompts: bool = True
    auto_transcribe: bool = True
    whisper_model_size: str = Field("base", min_length=1, max_length=4096)
    sources: dict[str, Origin] = Field(
        default_factory=dict, description="Where each value comes from; ignored in a request."
    )


class Configuration:
    """The current configuration: flags and variables first, then stored values, then defaults.

    A value that is put takes effect at once, even against a flag, and is stored. At the next start, flags and
    variables take precedence over it again. `load` and `put` block; threads may share it.
    """

    def __init__(self, store: ConfigurationStore, settings: Settings) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._put: dict[str, Any] = {}
        self._from_start = {
            name for name, setting in SETTINGS.items() if setting in settings.model_fields_set
        }
        self._apply({name: getattr(settings, setting) for name, setting in SETTINGS.items()})

    def load(self) -> None:
        """Apply the stored values; ignore them if they are no longer valid."""
        self._put = {name: value for name, value in self._store.get().items() if name in _NAMES}
        effective = {name: value for name, value in self._put.items() if name not in self._from_start}
        try:
            self._apply(_values(self.now) | effective)
        except ValidationError as error:
            log.warning("ignoring an invalid stored configuration", fields=_invalid_fields(error))
            self._put = {}
            self._apply(_values(self.now))

    def reload(self) -> None:
        """Apply the values that other servers have put since the last call, as if they had been put here.

        Values they did not change keep this server's flags and variables.
        """
        with self._lock:
            self._merge_stored(self._store.get())

    def put(self, config: ServerConfig) -> None:
        """Replace the configuration and store what has changed. Raise StorageFailure."""

        def merge(stored: dict[str, Any]) -> dict[str, Any]:
            # Values that another server has just put must be replaced too, not dropped from the store.
            self._merge_stored(stored)
            return self._put | self._changes(config)

        with self._lock:
            stored = self._store.change(merge)
            self._from_start -= self._changes(config).keys()
            self._put = stored
            self._apply(_values(config))

    def _changes(self, config: ServerConfig) -> dict[str, Any]:
        current = _values(self.now)
        return {name: value for name, value in _values(config).items() if value != current[name]}

    def _merge_stored(self, found: dict[str, Any]) -> None:
        stored = {name: value for name, value in found.items() if name in _NAMES}
        changed = {
            name: value for name, value in stored.items() if name not in self._put or self._put[name] != value
        }
        try:
            values = ServerConfig(**(_values(self.now) | changed))
        except ValidationError as error:
            log.warning("ignoring an invalid stored configuration", fields=_invalid_fields(error))
            return
        self._put = stored
        self._from_start -= changed.keys()
        self._apply(_values(values))

    def _apply(self, values: dict[str, Any]) -> None:
        self.now = ServerConfig(**values, sources={name: self._origin(name) for name in _NAMES})

    def _origin(self, name: str) -> Origin:
        if name in self._from_start:
            return "start"
        return "put" if name in self._put else "default"


_NAMES = tuple(name for name in ServerConfig.model_fields if name != "sources")


def _values(config: ServerConfig) -> dict[str, Any]:
    return config.model_dump(exclude={"sources"})


def _invalid_fields(error: ValidationError) -> list[str]:
    return [str(each["loc"][0]) for each in error.errors() if each["loc"]]
