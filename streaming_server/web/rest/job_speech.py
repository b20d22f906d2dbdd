"""Speech for jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
from pydantic import ValidationError

from streaming_server.errors import BadValue
from streaming_server.jobs.runner import JobSpeech, OpenSpeech
from streaming_server.web.rest.generate_request import GenerateRequest
from streaming_server.web.services import SpeechServices


def job_speech(services: SpeechServices) -> OpenSpeech:
    """Return a context manager factory that opens the speech of a job."""

    @asynccontextmanager
    async def open_speech(
        request: Mapping[str, Any], threads: anyio.CapacityLimiter
    ) -> AsyncIterator[JobSpeech]:
        engine = await services.pool.engine()
        wanted = _read(request)
        options = replace(wanted.options, attended=False, door="job")
        async with services.contexts.open(engine, options, threads=threads) as rendering:
            await rendering.read(wanted.text)
            yield rendering

    return open_speech


def _read(request: Mapping[str, Any]) -> GenerateRequest:
    """Parse a stored request. Raise BadValue if an earlier version stored it and this one rejects it."""
    try:
        return GenerateRequest.model_validate(request)
    except ValidationError as error:
        raise BadValue("Job is from an incompatible version; resubmit it.") from error
