"""What the routes share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.settings import Settings
from streaming_server.types import BUILTIN_VOICES, Voice
from streaming_server.web.guard import Guard

if TYPE_CHECKING:
    from streaming_server.web.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each, made by `create_app` and handed to whoever needs it."""

    settings: Settings
    guard: Guard
    pool: Pool
    metrics: Metrics
    sessions: Sessions
    started_at: float = field(default_factory=time.monotonic)

    @property
    def voices(self) -> dict[str, Voice]:
        return {voice.id: voice for voice in BUILTIN_VOICES}


def parts_of(connection: HTTPConnection) -> Parts:
    parts = connection.app.state.parts
    assert isinstance(parts, Parts)
    return parts
