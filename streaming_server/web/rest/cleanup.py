"""The route that deletes expired results."""

from __future__ import annotations

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import StorageFailure
from streaming_server.web.keyed import admin_keyed
from streaming_server.web.openapi.operation import operation
from streaming_server.web.responses import Json
from streaming_server.web.services import operations


class CleanedUp(TypedDict):
    message: str
    removed: int
    failed: dict[str, str]


def routes() -> list[BaseRoute]:
    return [Route("/cleanup", admin_keyed(cleanup), methods=["POST"])]


@operation("operator", "Remove expired results now", errors=(StorageFailure,))
async def cleanup(request: Request) -> Json[CleanedUp]:
    """Fail only if no kind of result could be deleted."""
    expired = await to_thread.run_sync(operations(request).expiry.expire)
    if not expired.removed:
        raise StorageFailure(next(iter(expired.failed.values())))
    removed = sum(expired.removed.values())
    message = f"{removed} results were removed."
    if expired.failed:
        message += f" Removing {' and '.join(expired.failed)} failed."
    return Json({"message": message, "removed": removed, "failed": expired.failed})
