"""What has been kept for long enough goes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from anyio import sleep, to_thread
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import SpeechError, StorageFailure
from streaming_server.web.openapi.operation import operation
from streaming_server.web.requests import keyed
from streaming_server.web.responses import Json
from streaming_server.web.services import Parts, parts_of

CLEAN_EVERY_S = 600.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """How many were removed of each kind, and why some kinds were not gone through to the end."""

    removed: dict[str, int]
    failed: dict[str, str]


class CleanedUp(TypedDict):
    message: str
    removed: int
    failed: dict[str, str]


def routes() -> list[BaseRoute]:
    return [Route("/cleanup", keyed(cleanup), methods=["POST"])]


@operation("operator", "Remove expired results now", errors=(StorageFailure,))
async def cleanup(request: Request) -> Json[CleanedUp]:
    """Remove now what would be removed in time. An error only where nothing could be gone through."""
    cleaned = await to_thread.run_sync(expire, parts_of(request))
    if not cleaned.removed:
        raise StorageFailure(next(iter(cleaned.failed.values())))
    removed = sum(cleaned.removed.values())
    message = f"{removed} results were removed."
    if cleaned.failed:
        message += f" What there is of {' and '.join(cleaned.failed)} could not be gone through."
    return Json({"message": message, "removed": removed, "failed": cleaned.failed})


async def keep_clean(parts: Parts) -> None:
    """Remove what has been kept for long enough, as long as the server runs."""
    while True:
        cleaned = await to_thread.run_sync(expire, parts)
        for kind, reason in cleaned.failed.items():
            log.warning("what has been kept for long enough was not removed", kind=kind, reason=reason)
        await sleep(CLEAN_EVERY_S)


def expire(parts: Parts) -> Cleaned:
    """Remove outputs with their journal, jobs and previews past their time, whatever fails of it. Blocks."""
    before = time.time() - 3600 * parts.configuration.now.output_retention_hours
    cleaned = Cleaned({}, {})
    for kind, kept in (("outputs", parts.journal), ("jobs", parts.jobs), ("previews", parts.previews)):
        try:
            cleaned.removed[kind] = kept.expire(before)
        except SpeechError as error:
            cleaned.failed[kind] = error.message
    return cleaned
