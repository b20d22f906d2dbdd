"""Speech over HTTP as the clients of the earlier server ask for it, and the previews of voices."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import structlog
from anyio import CancelScope, to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from streaming_server.audio import wav_header
from streaming_server.container import AudioFormat
from streaming_server.errors import BadValue, SpeechError
from streaming_server.journal import Output
from streaming_server.types import DEFAULT_VOICE, Generation
from streaming_server.web.http import Json, flag, keyed, read_json, refusal
from streaming_server.web.parts import Parts, parts_of
from streaming_server.web.reading import Reading, SpokenResponse, Wish

LONGEST_TEXT = 4096
"""Of a text that is answered with its sound; a job's may be as long as a context's."""
LONGEST_ID = 128
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
    if flag(request, "async_mode"):
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
    if parts.configuration.now.debug_mode:
        asked_id = request.headers.get("x-request-id", "")
        fits = asked_id.isascii() and asked_id.isprintable() and 1 <= len(asked_id) <= LONGEST_ID
        headers["X-Generation-ID"] = asked_id if fits else uuid.uuid4().hex
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
    output, file = None, None
    if config.save_outputs:
        output = await to_thread.run_sync(Output, parts.journal.new_file(wanted.response_format))
    size = 0
    try:
        async with aclosing(reading.contained()) as body:
            async for data in body:
                size += len(data)
                if output is not None:
                    await to_thread.run_sync(output.append, data)
                yield data
        if output is not None:
            file = await to_thread.run_sync(output.keep, _final_head(reading, size))
    finally:
        if output is not None:
            with CancelScope(shield=True):
                await to_thread.run_sync(output.discard)
    if config.debug_mode:
        await to_thread.run_sync(_note, parts, wanted, reading, time.monotonic() - started, file)


def _final_head(reading: Reading, size: int) -> bytes:
    """What a WAV file of so many bytes begins with: while it was streamed, its length was not known."""
    if reading.audio_format != "wav":
        return b""
    head = len(wav_header(reading.sample_rate, None))
    return wav_header(reading.sample_rate, (size - head) // 2)


def _note(parts: Parts, wanted: SpeechRequest, reading: Reading, took_s: float, file: Path | None) -> None:
    """A line in the journal. The sound is out already: that it is not noted must not spoil it. Blocks."""
    try:
        prompt = parts.catalogue.find(wanted.voice_id).voice.prompt
        parts.journal.add(
            text=wanted.text,
            voice=wanted.voice_id,
            prompt=Path(prompt.path).name if prompt else None,
            took_s=took_s,
            audio_s=reading.audio_s,
            file=file,
        )
    except SpeechError as error:
        log.warning("a generation was not noted", reason=error.message)
