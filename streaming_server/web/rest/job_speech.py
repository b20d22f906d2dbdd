"""The speech of a job."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing
from typing import Any

import anyio
from pydantic import ValidationError

from streaming_server.audio.coder import Coder
from streaming_server.errors import BadValue
from streaming_server.jobs.runner import JobSpeech, OpenSpeech
from streaming_server.web.reading import Reading, Wish, open_reading
from streaming_server.web.rest.generate_request import GenerateRequest
from streaming_server.web.services import Parts


def job_speech(parts: Parts) -> OpenSpeech:
    """Return what opens the speech of a job's request."""

    @asynccontextmanager
    async def open_speech(
        request: Mapping[str, Any], coding: anyio.CapacityLimiter
    ) -> AsyncIterator[JobSpeech]:
        engine = await parts.pool.engine()
        wish = _wish(request)
        with (
            open_reading(parts, engine, wish, coding) as reading,
            closing(Coder(wish.audio_format, reading.sample_rate, coding)) as coder,
        ):
            yield _CodedReading(reading, coder)

    return open_speech


class _CodedReading:
    """A reading as the bytes of a file."""

    def __init__(self, reading: Reading, coder: Coder) -> None:
        self._reading = reading
        self._coder = coder

    @property
    def utterances(self) -> int:
        return self._reading.utterances

    @property
    def audio_s(self) -> float:
        return self._reading.audio_s

    async def audio(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._reading.pcm()) as pieces:
            async for pcm in pieces:
                yield await self._coder.push(pcm)
        yield await self._coder.finish()

    def final_head(self) -> bytes:
        return self._coder.final_head()


def _wish(request: Mapping[str, Any]) -> Wish:
    """Raise BadValue for a request that an earlier version stored and this one does not accept."""
    try:
        return GenerateRequest.model_validate(request).wish
    except ValidationError as error:
        raise BadValue("Job is from an incompatible version; resubmit it.") from error
