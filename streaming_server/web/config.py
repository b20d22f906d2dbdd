"""What an operator can change while the server runs, and what it does to itself."""

from __future__ import annotations

import time
from typing import Any

import structlog
from anyio import sleep, to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from streaming_server.container import CONTENT_TYPES
from streaming_server.errors import BadValue, Forbidden, StorageFailure, UnknownEntry
from streaming_server.journal import JournalEntry
from streaming_server.settings import Settings
from streaming_server.store import Store
from streaming_server.web.http import Json, keyed, read_json
from streaming_server.web.parts import Parts, parts_of

MOST_LISTED = 500
CLEAN_EVERY_S = 600.0

log = structlog.stdlib.get_logger(__name__)


class ServerConfig(BaseModel):
    """The configuration that outlives the server."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    debug_mode: bool = False
    save_outputs: bool = True
    show_prompts: bool = False
    output_retention_hours: float = Field(24, ge=0.01, le=24 * 365)
    auto_discover_prompts: bool = True
    auto_transcribe: bool = True
    whisper_model_size: str = Field("base", min_length=1, max_length=4096)


class Configuration:
    """The configuration there is: as it was last put, or as the settings say. `load` and `put` block."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.now = ServerConfig(
            debug_mode=settings.debug,
            save_outputs=settings.save_outputs,
            show_prompts=settings.show_prompts,
            output_retention_hours=settings.retention_hours,
            whisper_model_size=settings.whisper_model,
        )

    def load(self) -> None:
        """Take over what was put in an earlier life; what that cannot mean any more is passed over."""
        stored = self._store.config()
        known = {name: stored[name] for name in ServerConfig.model_fields if name in stored}
        try:
            self.now = ServerConfig(**(self.now.model_dump() | known))
        except ValidationError:
            log.warning("the stored configuration does not fit; the settings count")

    def put(self, config: ServerConfig) -> None:
        """From now on, and after a restart. Raises StorageFailure."""
        self._store.put_config(config.model_dump())
        self.now = config


def routes() -> list[BaseRoute]:
    return [
        Route("/config", keyed(get_config), methods=["GET"]),
        Route("/config", keyed(put_config), methods=["PUT"]),
        Route("/cleanup", keyed(cleanup), methods=["POST"]),
        Route("/logs", keyed(logs), methods=["GET"]),
        Route("/logs", keyed(clear_logs), methods=["DELETE"]),
        Route("/logs/{entry_id}", keyed(log_entry), methods=["GET"]),
        Route("/logs/{entry_id}", keyed(delete_log), methods=["DELETE"]),
        Route("/logs/{entry_id}/download", keyed(download)),
    ]


async def get_config(request: Request) -> Response:
    return Json(parts_of(request).configuration.now.model_dump())


async def put_config(request: Request) -> Response:
    """The whole configuration; what is absent is the default."""
    parts = parts_of(request)
    config = await read_json(request, ServerConfig)
    await to_thread.run_sync(parts.configuration.put, config)
    parts.transcription.use(config.whisper_model_size)
    return Json(config.model_dump())


async def cleanup(request: Request) -> Response:
    """Remove now what would be removed in time."""
    removed = await to_thread.run_sync(expire, parts_of(request))
    return Json({"message": f"{removed} results were removed.", "removed": removed})


async def keep_clean(parts: Parts) -> None:
    """Remove what has been kept for long enough, as long as the server runs."""
    while True:
        try:
            await to_thread.run_sync(expire, parts)
        except StorageFailure as error:
            log.warning("what has been kept for long enough could not be removed", reason=error.message)
        await sleep(CLEAN_EVERY_S)


def expire(parts: Parts) -> int:
    """Remove outputs, journal entries, jobs and previews past their time; how many. Blocks.

    Raises StorageFailure.
    """
    before = time.time() - 3600 * parts.configuration.now.output_retention_hours
    return parts.journal.expire(before) + parts.jobs.expire(before) + parts.previews.expire(before)


async def logs(request: Request) -> Response:
    parts = _debugged(request)
    limit = limit_of(request)
    entries, total = await to_thread.run_sync(parts.journal.list, request.query_params.get("voice"), limit)
    return Json({"logs": [_told(entry) for entry in entries], "total": total, "filtered": len(entries)})


async def log_entry(request: Request) -> Response:
    parts = _debugged(request)
    return Json(_told(await to_thread.run_sync(parts.journal.get, request.path_params["entry_id"])))


async def delete_log(request: Request) -> Response:
    parts = _debugged(request)
    await to_thread.run_sync(parts.journal.delete, request.path_params["entry_id"])
    return Json({"message": "The entry and its file were deleted."})


async def clear_logs(request: Request) -> Response:
    parts = _debugged(request)
    removed = await to_thread.run_sync(parts.journal.expire, time.time())
    return Json({"message": f"{removed} entries and files were deleted."})


async def download(request: Request) -> Response:
    parts = _debugged(request)
    entry = await to_thread.run_sync(parts.journal.get, request.path_params["entry_id"])
    if entry.file is None or not entry.file.exists():
        raise UnknownEntry("No file was kept of this entry, or it has expired.")
    media_type = next((kind for name, kind in CONTENT_TYPES.items() if entry.file.suffix == f".{name}"), None)
    return FileResponse(entry.file, media_type=media_type, filename=entry.file.name)


def limit_of(request: Request) -> int:
    """The query's `limit`, 1 to 500. Raises BadValue."""
    raw = request.query_params.get("limit", "50")
    if not (raw.isascii() and raw.isdigit() and 1 <= int(raw[:9]) <= MOST_LISTED):
        raise BadValue(f"limit: a number from 1 to {MOST_LISTED}.")
    return int(raw)


def _debugged(request: Request) -> Parts:
    """Raises Forbidden unless the server is in debug mode: the journal shows what was said."""
    parts = parts_of(request)
    if not parts.configuration.now.debug_mode:
        raise Forbidden("The journal is there in debug mode only: start with --debug, or put /config.")
    return parts


def _told(entry: JournalEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "timestamp": entry.made_at,
        "text": entry.text,
        "processed_text": " ".join(entry.text.split()),
        "voice": entry.voice,
        "audio_prompt_used": entry.prompt,
        "generation_time": round(entry.took_s, 3),
        "audio_s": round(entry.audio_s, 3),
        "file_path": f"outputs/{entry.file.name}" if entry.file is not None else None,
        "file_size": entry.file_size,
    }
