"""What the routes share."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import anyio
from starlette.requests import HTTPConnection

from streaming_server.catalogue import Catalogue
from streaming_server.configuration import Configuration
from streaming_server.engines.selection import SelectedEngine
from streaming_server.jobs.queue import JobQueue
from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.settings import Settings
from streaming_server.storage.files import Lock
from streaming_server.storage.history import Journal
from streaming_server.storage.jobs import Jobs
from streaming_server.storage.previews import Previews
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.client import Transcription
from streaming_server.voice_samples.ingest import Ingest
from streaming_server.web.auth import Access
from streaming_server.web.background import Background
from streaming_server.web.contexts import OpenContexts
from streaming_server.web.limits import Limits, UploadPlaces
from streaming_server.web.websocket.registry import Connections


@dataclass(slots=True)
class Parts:
    """One of each, made by `create_app` and handed to whoever needs it.

    refreshing: held while the catalogue is brought up to date. discovering: held while samples are looked
    for. coding: threads that code what somebody listens to. refusal: why the server gave up, if it did.
    """

    settings: Settings
    engine: SelectedEngine
    access: Access
    limits: Limits
    pool: Pool
    metrics: Metrics
    catalogue: Catalogue
    contexts: OpenContexts
    connections: Connections
    store: VoiceStore
    jobs: Jobs
    journal: Journal
    configuration: Configuration
    ingest: Ingest
    transcription: Transcription
    job_queue: JobQueue
    previews: Previews
    uploads: UploadPlaces
    background: Background
    lock: Lock
    refreshing: anyio.Lock = field(default_factory=anyio.Lock)
    discovering: anyio.Lock = field(default_factory=anyio.Lock)
    coding: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(os.cpu_count() or 1))
    started_at: float = field(default_factory=time.monotonic)
    refusal: str | None = None


def parts_of(connection: HTTPConnection) -> Parts:
    parts = connection.app.state.parts
    assert isinstance(parts, Parts)
    return parts
