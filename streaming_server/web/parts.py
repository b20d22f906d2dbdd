"""What the routes share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from streaming_server.catalogue import Catalogue
from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.settings import Settings
from streaming_server.web.contexts import OpenContexts
from streaming_server.web.guard import Guard

if TYPE_CHECKING:
    from streaming_server.web.connections import Connections


@dataclass(slots=True)
class Parts:
    """One of each, made by `create_app` and handed to whoever needs it.

    refusal: why the server gave up, if it did.
    """

    settings: Settings
    guard: Guard
    pool: Pool
    metrics: Metrics
    catalogue: Catalogue
    contexts: OpenContexts
    connections: Connections
    started_at: float = field(default_factory=time.monotonic)
    refusal: str | None = None


def parts_of(connection: HTTPConnection) -> Parts:
    parts = connection.app.state.parts
    assert isinstance(parts, Parts)
    return parts
