"""What a server is kept busy with beside speaking, to see whether its listeners notice."""

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
from streaming_server.errors import Unavailable

ChoreName = Literal["uploads", "transcription", "jobs"]

SAMPLE_RATE = 44100
LONGEST_SAMPLE_S = 60
SPOKEN_SAMPLE_S = 10
VOICE_SAMPLE = "bench-chores"
JOB_TEXT = "This is a sentence of a job that nobody waits for, and another one comes after it. " * 15
"""Some seventy seconds of speech."""
ANSWER_TIMEOUT_S = 120.0
PAUSE_S = 1.0
POLL_S = 0.2
_BOUNDARY = "a-boundary-no-sample-contains"


class Chores:
    """Has several ask a server for one thing after another, each in a thread of its own, until told to stop.

    Between two of each lies a second, as even a hasty client needs to send so much over a network.
    """

    def __init__(self, name: ChoreName, address: Address) -> None:
        chore, at_once = CHORES[name]
        self._enough = threading.Event()
        self._chores = [chore(address, number, self._enough) for number in range(at_once)]
        self._done = [0] * at_once
        self._trouble: str | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(at_once)
        ]

    @property
    def done(self) -> int:
        """How often the server has given what it was asked for."""
        return sum(self._done)

    def __enter__(self) -> Chores:
        """Begin, once the server has shown that it can. Raises Unavailable."""
        self._chores[0].prepare()
        self._chores[0].work()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop. Raises Unavailable if the server has refused meanwhile."""
        self._enough.set()
        for thread in self._threads:
            thread.join()
        if self._trouble is not None and exception[0] is None:
            raise Unavailable(self._trouble)

    def _run(self, number: int) -> None:
        chore = self._chores[number]
        try:
            chore.prepare()
            while not self._enough.is_set():
                chore.work()
                self._done[number] += 1
                self._enough.wait(PAUSE_S)
            chore.clean()
        except Unavailable as error:
            self._trouble = error.message


class Chore(ABC):
    """One who asks. number: tells those who ask for the same apart. enough: set when it is to stop."""

    def __init__(self, address: Address, number: int, enough: threading.Event) -> None:
        self._address = address
        self._enough = enough
        # Not through a proxy from the environment, which would be sent the key.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._voice_sample = f"{VOICE_SAMPLE}-{number}"

    def prepare(self) -> None:
        """What has to be there before. Raises Unavailable."""
        return

    @abstractmethod
    def work(self) -> None:
        """Ask once, and wait for what was asked for. Raises Unavailable."""

    def clean(self) -> None:
        """Leave nothing behind. Raises Unavailable."""
        return

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """The answer's JSON. Raises Unavailable with the server's own sentence."""
        address = self._address
        scheme = "https" if address.secure else "http"
        url = f"{scheme}://{address.host}:{address.port}{address.prefix}{path}"
        headers = {"Content-Type": kind} if body else {}
        if address.key is not None:
            headers["Authorization"] = f"Bearer {address.key}"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with self._opener.open(request, timeout=ANSWER_TIMEOUT_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise Unavailable(_sentence(error.read())) from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"The server left a request unanswered: {error}.") from None

    def _send(self, form: bytes) -> None:
        self._ask("POST", "/audio_prompts/upload", form, f"multipart/form-data; boundary={_BOUNDARY}")

    def _forget(self) -> None:
        self._ask("DELETE", f"/audio_prompts/{self._voice_sample}?force=true")


class Uploading(Chore):
    """Sends a sample as long as there may be."""

    def prepare(self) -> None:
        self._form = _form(self._voice_sample, sample(LONGEST_SAMPLE_S), transcribed=False)

    def work(self) -> None:
        self._send(self._form)

    def clean(self) -> None:
        self._forget()


class Transcribing(Chore):
    """Has a sample listened to."""

    def prepare(self) -> None:
        self._send(_form(self._voice_sample, sample(SPOKEN_SAMPLE_S), transcribed=True))

    def work(self) -> None:
        self._ask("POST", f"/audio_prompts/{self._voice_sample}/transcribe", b"")

    def clean(self) -> None:
        self._forget()


class Queueing(Chore):
    """Has a text spoken into an mp3 file; when it is told to stop, not to its end."""

    def work(self) -> None:
        wanted = {"text": JOB_TEXT, "voice_id": "aria", "response_format": "mp3"}
        job = self._ask("POST", "/generate?async_mode=true", json.dumps(wanted).encode())["job_id"]
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not self._enough.wait(POLL_S):
            status = self._ask("GET", f"/jobs/{job}")["status"]
            if status == "completed":
                return
            if status not in ("pending", "processing") or time.monotonic() > deadline:
                raise Unavailable(f"A job was {status} and not done.")
        self._stop(job)

    def _stop(self, job: str) -> None:
        if self._ask("GET", f"/jobs/{job}")["status"] in ("pending", "processing"):
            self._ask("DELETE", f"/jobs/{job}")


CHORES: Mapping[ChoreName, tuple[type[Chore], int]] = MappingProxyType(
    {"uploads": (Uploading, 4), "transcription": (Transcribing, 1), "jobs": (Queueing, 4)}
)
"""Who asks, and how many of them."""


def sample(seconds: int) -> bytes:
    """A WAV file of a hum that rises and falls as a voice does, mono, 44.1 kHz."""
    times = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    loudness = 0.25 + 0.2 * np.sin(2 * np.pi * 3 * times)
    hum = loudness * sum(np.sin(2 * np.pi * 140 * overtone * times) / overtone for overtone in (1, 2, 3))
    file = io.BytesIO()
    soundfile.write(file, hum, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _form(voice_sample: str, wav: bytes, *, transcribed: bool) -> bytes:
    """The body of an upload; with `transcribed`, of one whose words somebody will ask for."""
    fields = [("prompt_id", "", voice_sample.encode()), ("audio_file", '; filename="hum.wav"', wav)]
    if not transcribed:
        fields.append(("transcript", "", b"A hum."))  # So that nobody listens to it for that.
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
        return "The server refused."
