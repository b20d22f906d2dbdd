"""What an operator can change while the server runs, and where each of it comes from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streaming_server.settings import Settings
from streaming_server.storage.voices import VoiceStore

Origin = Literal["start", "put", "default"]
"""A flag or DIA_* variable; what was put, in this life or an earlier one; neither."""

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "debug_mode": "debug",
        "save_outputs": "save_outputs",
        "show_prompts": "show_prompts",
        "output_retention_hours": "retention_hours",
        "whisper_model_size": "whisper_model",
    }
)
"""What can be said at the start too, and the setting that says it."""

log = structlog.stdlib.get_logger(__name__)


class ServerConfig(BaseModel):
    """The configuration. `sources` is told and never taken."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    debug_mode: bool = False
    save_outputs: bool = True
    show_prompts: bool = False
    output_retention_hours: float = Field(24, ge=0.01, le=24 * 365)
    auto_discover_prompts: bool = True
    auto_transcribe: bool = True
    whisper_model_size: str = Field("base", min_length=1, max_length=4096)
    sources: dict[str, Origin] = Field(
        default_factory=dict, description="Where each value comes from; what is sent of it is passed over."
    )


class Configuration:
    """The configuration there is: of the command line, then as it was last put, then as it comes.

    What is changed counts at once, whatever the command line says, and is stored. At the next start the flags
    and variables of that start count before it. `load` and `put` block; any thread may call.
    """

    def __init__(self, store: VoiceStore, settings: Settings) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._put: dict[str, Any] = {}
        self._from_start = {ours for ours, theirs in SETTINGS.items() if theirs in settings.model_fields_set}
        self._settle({ours: getattr(settings, theirs) for ours, theirs in SETTINGS.items()})

    def load(self) -> None:
        """Take over what was put in an earlier life; what that cannot mean any more is passed over."""
        self._put = {name: value for name, value in self._store.config().items() if name in _NAMES}
        counts = {name: value for name, value in self._put.items() if name not in self._from_start}
        try:
            self._settle(_values(self.now) | counts)
        except ValidationError:
            log.warning("the stored configuration does not fit; the settings count")
            self._put = {}
            self._settle(_values(self.now))

    def put(self, config: ServerConfig) -> None:
        """From now on. What differs from what there is is stored. Raises StorageFailure."""
        with self._lock:
            there = _values(self.now)
            changed = {name: value for name, value in _values(config).items() if value != there[name]}
            put = self._put | changed
            self._store.put_config(put)
            self._put = put
            self._from_start -= changed.keys()
            self._settle(_values(config))

    def _settle(self, values: dict[str, Any]) -> None:
        self.now = ServerConfig(**values, sources={name: self._origin(name) for name in _NAMES})

    def _origin(self, name: str) -> Origin:
        if name in self._from_start:
            return "start"
        return "put" if name in self._put else "default"


_NAMES = tuple(name for name in ServerConfig.model_fields if name != "sources")


def _values(config: ServerConfig) -> dict[str, Any]:
    return config.model_dump(exclude={"sources"})
