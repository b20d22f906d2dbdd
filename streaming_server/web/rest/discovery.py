"""The route that adds the voice samples of the samples directory."""

from __future__ import annotations

from anyio import to_thread
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import StorageFailure
from streaming_server.web.keyed import keyed
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json
from streaming_server.web.services import voice_services


class Discovered(TypedDict):
    """discovered: ids. refused: the reason by file name."""

    message: str
    total_prompts: int
    discovered: list[str]
    refused: dict[str, str]


class DiscoverRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    force_retranscribe: bool = False


def routes() -> list[BaseRoute]:
    return [Route("/audio_prompts/discover", keyed(discover), methods=["POST"])]


@operation(
    "samples",
    "Import the samples directory, with the transcripts beside the files",
    body=DiscoverRequest,
    body_required=False,
    errors=(*BODY_ERRORS, StorageFailure),
)
async def discover(request: Request) -> Json[Discovered]:
    voices = voice_services(request)
    wanted = await read_json(request, DiscoverRequest, optional=True)
    found = await voices.discovery.discover(retranscribe=wanted.force_retranscribe)
    stored = await to_thread.run_sync(voices.library.store.voice_samples)
    return Json(
        {
            "message": f"{len(found.ids)} samples were added, {len(found.refused)} refused.",
            "total_prompts": len(stored),
            "discovered": found.ids,
            "refused": found.refused,
        }
    )
