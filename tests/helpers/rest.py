"""Requests to the REST routes."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import av
import httpx
import numpy as np
import soundfile

from helpers.foreign import LONG
from helpers.servers import Server

JOB_TEXT = LONG * 12
"""A text that takes most of a second to synthesise on any machine."""

PATIENCE_S = 60.0


def to(server: Server) -> httpx.Client:
    """Return a client with a generous timeout, for several threads."""
    # httpcore closes an idle connection too many even if another thread has just begun to use it.
    return httpx.Client(
        base_url=server.url, timeout=PATIENCE_S, limits=httpx.Limits(max_keepalive_connections=None)
    )


@lru_cache(maxsize=16)
def recording(seconds: float = 6.0, hertz: float = 220.0) -> bytes:
    """Return a WAV file that is not silent."""
    times = np.arange(int(44100 * seconds)) / 44100
    sound = 0.3 * np.sin(2 * np.pi * hertz * times) * (1 + 0.5 * np.sin(2 * np.pi * 3 * times))
    return wav(sound, 44100)


def wav(sound: np.ndarray[Any, Any], rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format="WAV")
    return file.getvalue()


def heard(answer: httpx.Response) -> tuple[np.ndarray[Any, Any], int]:
    """Return the samples of a response, -1 to 1, and their rate in Hz."""
    assert answer.status_code == 200, answer.text
    resampler = av.AudioResampler(format="flt", layout="mono")
    with av.open(io.BytesIO(answer.content)) as file:
        rate = file.streams.audio[0].rate
        frames = [piece for frame in file.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate


def upload(
    client: httpx.Client,
    voice_sample_id: str,
    data: bytes | None = None,
    name: str = "sample.wav",
    **fields: str,
) -> httpx.Response:
    files = {"audio_file": (name, recording() if data is None else data)}
    return client.post("/audio_prompts/upload", data={"prompt_id": voice_sample_id, **fields}, files=files)


def say(client: httpx.Client, text: str = "Hello there.", **fields: Any) -> httpx.Response:
    return client.post("/generate", json={"text": text, "voice_id": "aria", **fields})


def job_of(client: httpx.Client, text: str = JOB_TEXT, **fields: Any) -> str:
    body = {"text": text, "voice_id": "aria", **fields}
    answer = client.post("/generate?async_mode=true", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def status_of(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/jobs/{job}").json()["status"])


def metadata_of(client: httpx.Client, voice_sample_id: str) -> dict[str, Any]:
    answer = client.get(f"/audio_prompts/metadata/{voice_sample_id}")
    assert answer.status_code == 200, answer.text
    known: dict[str, Any] = answer.json()
    return known
