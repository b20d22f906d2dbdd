"""Background requests that run while speech is measured."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import soundfile

from streaming_server.bench.client import Address
from streaming_server.cli.local_server import fetch
from streaming_server.errors import Unavailable

ChoreName = Literal["uploads", "transcription", "jobs"]

SAMPLE_RATE = 44100
LONGEST_SAMPLE_S = 60
SPOKEN_SAMPLE_S = 10
VOICE_SAMPLE = "bench-chores"
JOB_TEXT = "This is a sentence of a job that nobody waits for, and another one comes after it. " * 15
"""About 70 s of speech."""
ANSWER_TIMEOUT_S = 120.0
PAUSE_S = 1.0
POLL_S = 0.2
_BOUNDARY = "a-boundary-no-sample-contains"


class Chores:
    """Runs several clients of one kind, each in its own thread, until the context manager exits.

    Each client pauses for PAUSE_S between requests: over a network it would need that long to send them.
    """

    def __init__(self, name: ChoreName, address: Address) -> None:
        chore, at_once = CHORES[name]
        self._stopped = threading.Event()
        self._clients = [chore(address, number, self._stopped) for number in range(at_once)]
        self._done = [0] * at_once
        self._error: str | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(at_once)
        ]

    @property
    def done(self) -> int:
        """The number of completed requests."""
        return sum(self._done)

    def __enter__(self) -> Chores:
        """Make one request, then start the threads. Raise Unavailable if the request fails."""
        self._clients[0].prepare()
        self._clients[0].work()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the threads. Raise Unavailable if any request failed."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._error is not None and exception[0] is None:
            raise Unavailable(self._error)

    def _run(self, number: int) -> None:
        chore = self._clients[number]
        try:
            chore.prepare()
            while not self._stopped.is_set() or not self._done[number]:  # `clean` needs what `work` creates.
                chore.work()
                self._done[number] += 1
                self._stopped.wait(PAUSE_S)
            chore.clean()
        except Unavailable as error:
            self._error = error.message


class Chore(ABC):
    """One client. number: its index among the clients of its kind. stopped: set to stop it."""

    def __init__(self, address: Address, number: int, stopped: threading.Event) -> None:
        self._address = address
        self._stopped = stopped
        self._voice_sample = f"{VOICE_SAMPLE}-{number}"

    def prepare(self) -> None:
        """Set up what the requests need. Raise Unavailable."""
        return

    @abstractmethod
    def work(self) -> None:
        """Make one request and wait for its result. Raise Unavailable."""

    def clean(self) -> None:
        """Delete what `prepare` and `work` created. Raise Unavailable."""
        return

    def _request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> Any:
        """Return the JSON of the response. Raise Unavailable with the server's message."""
        headers = ({"Content-Type": kind} if body else {}) | self._address.headers
        request = urllib.request.Request(self._address.url(path), body, headers, method=method)
        try:
            return json.loads(fetch(request, ANSWER_TIMEOUT_S))
        except urllib.error.HTTPError as error:
            raise Unavailable(_sentence(error.read())) from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"The server did not answer a request: {error}.") from None

    def _send(self, form: bytes) -> None:
        self._request("POST", "/audio_prompts/upload", form, f"multipart/form-data; boundary={_BOUNDARY}")

    def _delete_sample(self) -> None:
        self._request("DELETE", f"/audio_prompts/{self._voice_sample}?force=true")


class Uploading(Chore):
    """Uploads a voice sample of the greatest length allowed."""

    def prepare(self) -> None:
        self._form = _form(self._voice_sample, hum_wav(LONGEST_SAMPLE_S), transcribed=False)

    def work(self) -> None:
        self._send(self._form)

    def clean(self) -> None:
        self._delete_sample()


class Transcribing(Chore):
    """Requests the transcription of a voice sample."""

    def prepare(self) -> None:
        self._send(_form(self._voice_sample, hum_wav(SPOKEN_SAMPLE_S), transcribed=True))

    def work(self) -> None:
        self._request("POST", f"/audio_prompts/{self._voice_sample}/transcribe", b"")

    def clean(self) -> None:
        self._delete_sample()


class Queueing(Chore):
    """Runs an mp3 job; cancels it when stopped."""

    def work(self) -> None:
        wanted = {"text": JOB_TEXT, "voice_id": "aria", "response_format": "mp3"}
        job = self._request("POST", "/generate?async_mode=true", json.dumps(wanted).encode())["job_id"]
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not self._stopped.wait(POLL_S):
            status = self._request("GET", f"/jobs/{job}")["status"]
            if status == "completed":
                return
            if status not in ("pending", "processing") or time.monotonic() > deadline:
                raise Unavailable(f"A job did not complete; its status is {status}.")
        self._stop(job)

    def _stop(self, job: str) -> None:
        if self._request("GET", f"/jobs/{job}")["status"] in ("pending", "processing"):
            self._request("DELETE", f"/jobs/{job}")


CHORES: Mapping[ChoreName, tuple[type[Chore], int]] = MappingProxyType(
    {"uploads": (Uploading, 4), "transcription": (Transcribing, 1), "jobs": (Queueing, 4)}
)
"""The client class and the number of clients, by name."""


def hum_wav(seconds: int) -> bytes:
    """Return a WAV file, mono, 44.1 kHz, of a hum whose loudness varies like a voice's."""
    times = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    loudness = 0.25 + 0.2 * np.sin(2 * np.pi * 3 * times)
    hum = loudness * sum(np.sin(2 * np.pi * 140 * overtone * times) / overtone for overtone in (1, 2, 3))
    file = io.BytesIO()
    soundfile.write(file, hum, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _form(voice_sample: str, wav: bytes, *, transcribed: bool) -> bytes:
    """Return the body of an upload. transcribed: leave the transcript to Whisper."""
    fields = [("prompt_id", "", voice_sample.encode()), ("audio_file", '; filename="hum.wav"', wav)]
    if not transcribed:
        fields.append(("transcript", "", b"A hum."))  # Keeps Whisper from transcribing it.
    parts = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        + value
        + b"\r\n"
        for name, more, value in fields
    )
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()


def _sentence(body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
        return str(answer["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "The server refused a request."
