"""Speech over HTTP as the clients of the earlier server ask for it, and the previews of voices."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import structlog
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from streaming_server.container import AudioFormat
from streaming_server.errors import BadValue
from streaming_server.types import DEFAULT_VOICE, Generation
from streaming_server.web.http import Json, keyed, read_json, refusal
from streaming_server.web.parts import Parts, parts_of
from streaming_server.web.reading import Reading, SpokenResponse, Wish

LONGEST_TEXT = 4096
"""Of a text that is answered with its sound; a job's may be as long as a context's."""
MOST_TOKENS = 3072
"""Dia's; the earlier server took up to 10000, and failed."""

log = structlog.stdlib.get_logger(__name__)


class SpeechRequest(BaseModel):
    """A text and how to speak it."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    text: str = Field(min_length=1)
    voice_id: str = Field(min_length=1, max_length=128)
    response_format: AudioFormat = "wav"
    speed: float | None = Field(None, ge=0.25, le=4.0)
    temperature: float | None = Field(None, ge=0.1, le=2.0)
    cfg_scale: float | None = Field(None, ge=1.0, le=10.0)
    top_p: float | None = Field(None, ge=0.0, le=1.0)
    max_tokens: int | None = Field(None, ge=100, le=10_000)
    seed: int | None = Field(None, ge=0, lt=2**63)

    @property
    def wish(self) -> Wish:
        """Without the asterisks of Markdown; a `top_p` of 0 is the least there is."""
        return Wish(
            " ".join(self.text.replace("*", "").split()),
            self.voice_id,
            Generation(
                speed=self.speed,
                seed=self.seed,
                temperature=self.temperature,
                cfg_scale=self.cfg_scale,
                top_p=max(self.top_p, 1e-6) if self.top_p is not None else None,
                max_tokens=min(self.max_tokens, MOST_TOKENS) if self.max_tokens is not None else None,
            ),
            self.response_format,
        )


class PlainRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1)
    voice_id: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)


def routes() -> list[BaseRoute]:
    return [
        Route("/generate", keyed(generate), methods=["POST"]),
        Route("/api/tts/generate", keyed(generate_plainly), methods=["POST"]),
        Route("/preview/{voice_id}", keyed(preview)),
        Route("/models", keyed(models)),
    ]


async def generate(request: Request) -> Response:
    """The sound of a text while it is made, or with `async_mode=true` a job."""
    parts = parts_of(request)
    wanted = await read_json(request, SpeechRequest)
    if request.query_params.get("async_mode", "").lower() in ("true", "1", "yes"):
        return await _enqueue(parts, wanted)
    return _spoken(request, wanted)


async def generate_plainly(request: Request) -> Response:
    """The sound of a text, with nothing to choose but the voice."""
    plain = await read_json(request, PlainRequest)
    return _spoken(request, SpeechRequest(text=plain.text, voice_id=plain.voice_id))


async def preview(request: Request) -> Response:
    """A voice introduces itself. Kept until the voice changes."""
    parts = parts_of(request)
    entry = parts.catalogue.find(request.path_params["voice_id"])
    file = await parts.previews.get(parts, entry)
    return FileResponse(file, media_type="audio/wav", filename=f"{entry.voice.id}_preview.wav")


async def models(request: Request) -> Response:
    info = await parts_of(request).pool.engine()
    description = f"Speaks at {info.sample_rate} Hz, {info.slots} utterances at once on each device."
    return Json({"models": [{"id": "dia", "name": info.name, "description": description}]})


async def _enqueue(parts: Parts, wanted: SpeechRequest) -> Response:
    longest = parts.settings.max_context_characters
    if len(wanted.text) > longest:
        raise BadValue(f"text: at most {longest} characters.")
    parts.catalogue.find(wanted.voice_id)
    job = await parts.job_runner.add(wanted.model_dump(exclude_none=True))
    return Json(
        {
            "job_id": job.id,
            "status": job.status,
            "message": "The text waits to be spoken.",
            "status_url": f"/jobs/{job.id}",
            "result_url": f"/jobs/{job.id}/result",
        },
        status_code=202,
    )


def _spoken(request: Request, wanted: SpeechRequest) -> Response:
    parts = parts_of(request)
    if len(wanted.text) > LONGEST_TEXT:
        raise BadValue(f"text: at most {LONGEST_TEXT} characters; longer ones with async_mode=true.")
    wish = wanted.wish
    name = f"speech.{wish.audio_format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    asked_id = request.headers.get("x-request-id", "")
    if parts.configuration.now.debug_mode and asked_id.isprintable() and asked_id.isascii() and asked_id:
        headers["X-Generation-ID"] = asked_id[:128]
    return SpokenResponse(
        parts,
        wish,
        explain=refusal,
        headers=headers,
        body=lambda reading: _kept(parts, wanted, reading),
    )


async def _kept(parts: Parts, wanted: SpeechRequest, reading: Reading) -> AsyncGenerator[bytes, None]:
    """The sound, and where that is wanted a copy of it in a file and a line in the journal."""
    config = parts.configuration.now
    started = time.monotonic()
    file = parts.journal.new_file(wanted.response_format) if config.save_outputs else None
    async with aclosing(reading.contained()) as body:
        async for data in body:
            if file is not None and not await to_thread.run_sync(_append, file, data):
                file = None
            yield data
    if config.debug_mode:
        entry = parts.catalogue.find(wanted.voice_id)
        await to_thread.run_sync(
            lambda: parts.journal.add(
                text=wanted.text,
                voice=wanted.voice_id,
                prompt=entry.voice.prompt.path.rpartition("/")[2] if entry.voice.prompt else None,
                took_s=time.monotonic() - started,
                audio_s=reading.audio_s,
                file=file,
            )
        )


def _append(file: Path, data: bytes) -> bool:
    """Whether the copy is still worth going on with. Blocks."""
    try:
        with file.open("ab") as out:
            out.write(data)
    except OSError as error:
        log.warning("an output could not be kept", reason=error.strerror)
        return False
    return True
