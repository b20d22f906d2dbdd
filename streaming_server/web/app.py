"""Routes and lifespan: the only place where the parts are put together."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

import streaming_server
from streaming_server.audio.frames import warm_up
from streaming_server.catalogue import Catalogue
from streaming_server.configuration import Configuration
from streaming_server.engines.selection import SelectedEngine, select_engine
from streaming_server.errors import EngineFailure, SpeechError
from streaming_server.jobs.queue import JobQueue
from streaming_server.metrics import Metrics
from streaming_server.pool.devices import choose_devices, visible_gpus
from streaming_server.pool.pool import Pool
from streaming_server.pool.supervisor import WorkerCommand
from streaming_server.settings import Settings
from streaming_server.storage.database import Database
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
from streaming_server.web.limits import (
    BODIES_AT_ONCE,
    BODIES_PER_ADDRESS,
    AddressPlaces,
    Limits,
    UploadPlaces,
)
from streaming_server.web.middleware.body import BodyLimit
from streaming_server.web.middleware.hangup import HangUp
from streaming_server.web.middleware.origin import OriginCheck
from streaming_server.web.middleware.paths import NormalizedPath
from streaming_server.web.middleware.security_headers import SecurityHeaders
from streaming_server.web.native.session import speak
from streaming_server.web.openapi import document
from streaming_server.web.openapi.operation import operation
from streaming_server.web.responses import (
    Json,
    client_disconnect,
    http_exception,
    internal_error,
    speech_error,
    unknown_websocket,
)
from streaming_server.web.rest import (
    cleanup,
    config,
    discovery,
    jobs,
    logs,
    previews,
    status,
    transcripts,
    voice_samples,
    voices,
)
from streaming_server.web.rest import speech as generate
from streaming_server.web.rest.job_runner import JobRunner
from streaming_server.web.services import Parts
from streaming_server.web.vendors import kyutai, openai
from streaming_server.web.vendors.cartesia import http as cartesia_http
from streaming_server.web.vendors.cartesia.websocket import tts_websocket
from streaming_server.web.vendors.deepgram import http as deepgram_http
from streaming_server.web.vendors.deepgram.websocket import speak_websocket
from streaming_server.web.vendors.elevenlabs import http as elevenlabs_http
from streaming_server.web.vendors.elevenlabs.websocket import multi_stream_input, stream_input
from streaming_server.web.vendors.wyoming import server as wyoming
from streaming_server.web.websocket.registry import Connections

log = structlog.stdlib.get_logger(__name__)

WHISPER_BYTES = 4 * 2**30
"""What Whisper may want of a GPU; with less to spare it listens on the CPU."""

EXPOSED_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "Retry-After",
    "X-Generation-ID",
    "X-Request-ID",
    "DG-Model-Name",
    "DG-Request-ID",
)
"""Response headers that pages of allowed origins may read, besides those CORS always exposes."""


def create_app(settings: Settings, engine: SelectedEngine | None = None) -> Starlette:
    """Return the application.

    engine: by default the one that `settings` names, configured by variables alone. Raises EngineFailure when
    the engine is not installed or the devices asked for are missing.
    """
    parts = _build(settings, engine or select_engine(settings.engine))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            _ending_with_its_tasks(parts),
            parts.pool.running(),
            parts.background.running(),
            anyio.create_task_group() as group,
        ):
            await voices.refresh(parts)
            _doubt_aliases(parts)
            group.start_soon(anyio.to_thread.run_sync, warm_up)
            group.start_soon(parts.transcription.run)
            group.start_soon(JobRunner(parts).run)
            group.start_soon(cleanup.keep_clean, parts)
            group.start_soon(discovery.discover_at_start, parts)
            group.start_soon(_give_up, parts)
            group.start_soon(parts.connections.watch)
            group.start_soon(parts.connections.announce, parts.pool)
            group.start_soon(status.measure_lag, parts)
            if settings.wyoming_port is not None:
                await _listen_for_wyoming(parts, group)
            yield
            group.cancel_scope.cancel()

    app = Starlette(
        routes=[
            Route("/", _page),
            Mount("/static", StaticFiles(directory=_static())),
            WebSocketRoute("/ws/speak", _Bare(speak)),
            WebSocketRoute("/ws/status", _Bare(status.StatusChannel(parts))),
            WebSocketRoute("/tts/websocket", _Bare(tts_websocket)),
            WebSocketRoute("/v1/text-to-speech/{voice}/multi-stream-input", _Bare(multi_stream_input)),
            WebSocketRoute("/v1/text-to-speech/{voice}/stream-input", _Bare(stream_input)),
            WebSocketRoute("/v1/speak", _Bare(speak_websocket)),
            WebSocketRoute("/api/tts_streaming", _Bare(kyutai.tts_streaming)),
            WebSocketRoute("/{path:path}", _Bare(unknown_websocket)),
            *cartesia_http.routes(),
            *voices.routes(),
            *discovery.routes(),
            *voice_samples.routes(),
            *transcripts.routes(),
            *generate.routes(),
            *previews.routes(),
            *jobs.routes(),
            *config.routes(),
            *cleanup.routes(),
            *logs.routes(),
            *document.routes(),
            *openai.routes(),
            *elevenlabs_http.routes(),
            *deepgram_http.routes(),
            *kyutai.routes(),
            *status.routes(),
        ],
        lifespan=lifespan,
        middleware=_middleware(settings),
        exception_handlers={
            SpeechError: speech_error,
            HTTPException: http_exception,
            ClientDisconnect: client_disconnect,
        },
    )
    app.router.redirect_slashes = False
    app.state.parts = parts
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    """Return the middleware, the outermost first."""
    bodies = AddressPlaces(BODIES_AT_ONCE, BODIES_PER_ADDRESS, "Too many request bodies at once; try again.")
    cors = Middleware(
        CORSMiddleware,
        allow_origins=[origin.lower().rstrip("/") for origin in settings.allowed_origins],
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=("*",),  # Clients' libraries add headers of their own.
        allow_private_network=True,
        expose_headers=EXPOSED_HEADERS,
    )
    return [
        Middleware(SecurityHeaders, embeddable=bool(settings.allowed_origins)),
        Middleware(OriginCheck),
        *([cors] if settings.allowed_origins else []),
        Middleware(HangUp),
        Middleware(BodyLimit, grace_s=settings.header_timeout_s, places=bodies),
        Middleware(NormalizedPath, keep=("/voices/",)),  # Cartesia's list; ours is at /voices.
        Middleware(ServerErrorMiddleware, handler=internal_error),  # Inside, so that a 500 has the headers.
    ]


@asynccontextmanager
async def _ending_with_its_tasks(parts: Parts) -> AsyncIterator[None]:
    """Where a task fails that the server cannot do without, the process ends: whoever watches starts it anew.

    uvicorn by itself would go on, with nobody to speak.
    """
    try:
        yield
    except Exception as error:
        log.critical("the server cannot go on", exc_info=error)
        parts.refusal = "A part of the server failed; the log says which."
        signal.raise_signal(signal.SIGTERM)


def _doubt_aliases(parts: Parts) -> None:
    """A voice that an alias means may be made yet, or be a slip of the pen."""
    known = {voice.id for voice in parts.catalogue.voices}
    for alias, voice in parts.settings.voice_aliases.items():
        if voice not in known:
            log.warning("there is no such voice for an alias", alias=alias, voice=voice)


async def _listen_for_wyoming(parts: Parts, group: TaskGroup) -> None:
    try:
        await group.start(wyoming.listen, parts)
    except OSError as error:
        settings = parts.settings
        where = (
            f"--wyoming-host {settings.wyoming_host or settings.host} --wyoming-port {settings.wyoming_port}"
        )
        parts.refusal = f"Cannot listen on {where}: {error.strerror or error}."
        signal.raise_signal(signal.SIGTERM)


async def _give_up(parts: Parts) -> None:
    """A server whose workers cannot start, for want of a model say, has nothing to wait for."""
    parts.refusal = await parts.pool.start_failed()
    signal.raise_signal(signal.SIGTERM)


def _pool(settings: Settings, engine: SelectedEngine, metrics: Metrics) -> Pool:
    """Return the pool of the engine's workers. Raises EngineFailure when a device asked for is missing."""
    provider = engine.provider
    devices = choose_devices(
        mode=settings.gpu_mode,
        wanted=settings.gpu_ids,
        gpus=visible_gpus() if provider.uses_gpus else None,
        max_workers=settings.max_workers,
        cpu_workers=min(provider.cpu_workers, os.cpu_count() or 1),
    )
    start_timeout_s = settings.worker_start_timeout_s or provider.start_timeout_s
    return Pool(devices, WorkerCommand(engine.worker_arguments, start_timeout_s), on_step=metrics.stepped)


def _build(settings: Settings, engine: SelectedEngine) -> Parts:
    metrics = Metrics()
    pool = _pool(settings, engine, metrics)
    access, limits, catalogue = Access(settings), Limits(settings), Catalogue(settings.voice_aliases)
    connections = Connections(settings.send_timeout_s, metrics)
    data = settings.data_dir.absolute()
    with _named("--data-dir", data):
        lock = Lock(data)
        database = Database(data)
    store = VoiceStore(database, data)
    store.sweep()
    job_table = Jobs(database, data / "jobs")
    configuration = Configuration(store, settings)
    configuration.load()
    contexts = OpenContexts(settings, configuration, limits, pool, metrics, catalogue)
    return Parts(
        settings=settings,
        engine=engine,
        access=access,
        limits=limits,
        pool=pool,
        metrics=metrics,
        catalogue=catalogue,
        contexts=contexts,
        connections=connections,
        store=store,
        jobs=job_table,
        journal=Journal(database, data / "outputs"),
        configuration=configuration,
        ingest=Ingest(),
        transcription=Transcription(configuration.now.whisper_model_size, lambda: _roomiest(pool)),
        job_queue=JobQueue(job_table),
        previews=Previews(data / "previews"),
        uploads=UploadPlaces(),
        background=Background(),
        lock=lock,
    )


@contextmanager
def _named(flag: str, folder: Path) -> Iterator[None]:
    """What is wrong with a folder is told with its name and who gave it. Raises EngineFailure."""
    try:
        yield
    except OSError as error:
        what = "This is a file" if folder.is_file() else (error.strerror or str(error))
        raise EngineFailure(f"{flag} {folder} cannot be used: {what}.") from error


def _roomiest(pool: Pool) -> str:
    """The GPU with most memory free, for Whisper, or the CPU."""
    free = {
        worker.device.id.removeprefix("gpu_"): worker.gauge.report.total - worker.gauge.report.used
        for worker in pool.workers
        if worker.device.id.startswith("gpu_")
    }
    gpu = max(free, key=free.__getitem__, default=None)
    return f"cuda:{gpu}" if gpu is not None and free[gpu] >= WHISPER_BYTES else "cpu"


def _static() -> Path:
    """The page's files: beside the package in a checkout, inside it when installed."""
    package = Path(streaming_server.__file__).parent
    beside = package.parent / "static"
    return beside if beside.is_dir() else package / "static"


class Welcome(TypedDict):
    message: str
    status: str


@operation("state", "Get the page, or as JSON that the server runs", media=("text/html",))
async def _page(request: Request) -> FileResponse | Json[Welcome]:
    """Return the page to browsers, which name text/html, and JSON to other clients."""
    if "text/html" in request.headers.get("accept", ""):
        return FileResponse(_static() / "index.html", headers={"Vary": "Accept"})
    return Json(
        {"message": "A text-to-speech server; see /docs for its API.", "status": "healthy"},
        headers={"Vary": "Accept"},
    )


class _Bare:
    """A websocket endpoint that is given scope, receive and send as they are."""

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(scope, receive, send)
