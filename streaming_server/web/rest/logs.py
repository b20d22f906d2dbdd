"""The routes of the journal, in debug mode only."""

from __future__ import annotations

import time

from anyio import to_thread
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.audio.formats import CONTENT_TYPES
from streaming_server.errors import BadValue, Forbidden, StorageFailure, UnknownEntry
from streaming_server.storage.history import Journal, JournalEntry
from streaming_server.web.keyed import admin_keyed
from streaming_server.web.openapi.operation import operation
from streaming_server.web.requests import DEFAULT_LISTED, Limit
from streaming_server.web.responses import Confirmation, Json
from streaming_server.web.services import operations
from streaming_server.web.sound_file import SoundFile
from streaming_server.web.validation import validated_query


class LogListQuery(BaseModel):
    limit: Limit = DEFAULT_LISTED
    voice: str | None = Field(None, description="Only entries of this voice.")


class LogEntry(TypedDict):
    id: str
    timestamp: float
    text: str
    processed_text: str
    voice: str
    audio_prompt_used: str | None
    generation_time: float
    audio_s: float
    file_path: str | None
    file_size: int | None


class LogList(TypedDict):
    """total: of the journal. filtered: of this list."""

    logs: list[LogEntry]
    total: int
    filtered: int


def routes() -> list[BaseRoute]:
    return [
        Route("/logs", admin_keyed(logs), methods=["GET"]),
        Route("/logs", admin_keyed(clear_logs), methods=["DELETE"]),
        Route("/logs/{entry_id}", admin_keyed(log_entry), methods=["GET"]),
        Route("/logs/{entry_id}", admin_keyed(delete_log), methods=["DELETE"]),
        Route("/logs/{entry_id}/download", admin_keyed(download)),
    ]


@operation(
    "operator",
    "List what was generated, newest first; in debug mode only",
    query=LogListQuery,
    errors=(BadValue,),
)
async def logs(request: Request) -> Json[LogList]:
    journal, query = _journal(request), validated_query(LogListQuery, request.query_params)
    entries, total = await to_thread.run_sync(journal.list, query.voice, query.limit)
    return Json({"logs": [to_json(entry) for entry in entries], "total": total, "filtered": len(entries)})


@operation("operator", "Get an entry of the journal", errors=(UnknownEntry,))
async def log_entry(request: Request) -> Json[LogEntry]:
    return Json(to_json(await _entry(request)))


@operation("operator", "Delete an entry and its file", errors=(UnknownEntry, StorageFailure))
async def delete_log(request: Request) -> Json[Confirmation]:
    await to_thread.run_sync(_journal(request).delete, request.path_params["entry_id"])
    return Json({"message": "The entry and its file were deleted."})


@operation("operator", "Delete all entries and their files", errors=(StorageFailure,))
async def clear_logs(request: Request) -> Json[Confirmation]:
    removed = await to_thread.run_sync(_journal(request).expire, time.time())
    return Json({"message": f"{removed} entries and files were deleted."})


@operation("operator", "Get the audio of an entry", errors=(UnknownEntry,))
async def download(request: Request) -> SoundFile:
    entry = await _entry(request)
    gone = UnknownEntry("This entry has no audio file, or the file has expired.")
    if entry.file is None:
        raise gone
    media_type = next((kind for name, kind in CONTENT_TYPES.items() if entry.file.suffix == f".{name}"), None)
    return SoundFile(entry.file, gone=gone, media_type=media_type, filename=entry.file.name)


def _journal(request: Request) -> Journal:
    """Raise Forbidden unless the server is in debug mode: the journal shows texts."""
    if not operations(request).configuration.now.debug_mode:
        raise Forbidden("The journal needs debug mode: start with --debug, or set debug_mode by PUT /config.")
    return operations(request).journal


async def _entry(request: Request) -> JournalEntry:
    return await to_thread.run_sync(_journal(request).get, request.path_params["entry_id"])


def to_json(entry: JournalEntry) -> LogEntry:
    return {
        "id": entry.id,
        "timestamp": entry.made_at,
        "text": entry.text,
        "processed_text": " ".join(entry.text.split()),
        "voice": entry.voice,
        "audio_prompt_used": entry.voice_sample,
        "generation_time": round(entry.took_s, 3),
        "audio_s": round(entry.audio_s, 3),
        "file_path": f"outputs/{entry.file.name}" if entry.file is not None else None,
        "file_size": entry.file_size,
    }
