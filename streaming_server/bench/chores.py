"""What a server is kept busy with beside speaking, to see whether its listeners notice."""

from __future__ import annotations

import io
import json
import threading
import urllib.error
import urllib.request
from typing import Any, Literal

import numpy as np
import soundfile

from streaming_server.bench.client import Address
from streaming_server.errors import Unavailable

ChoreName = Literal["uploads", "transcription"]

SAMPLE_RATE = 44100
LONGEST_SAMPLE_S = 60
SPOKEN_SAMPLE_S = 10
PROMPT = "bench-chores"
ANSWER_TIMEOUT_S = 120.0
PAUSE_S = 1.0
_BOUNDARY = "a-boundary-no-sample-contains"


class Chores:
    """Asks a server for one thing after another, in a thread of its own, until told to stop.

    Between two lies a second, as even a hasty client needs to send so much over a network.

    done: how often it has been given what it asked for.
    """

    def __init__(self, name: ChoreName, address: Address) -> None:
        self.done = 0
        self._address = address
        self._trouble: str | None = None
        self._enough = threading.Event()
        transcribed = name == "transcription"
        self._work = self._transcribe if transcribed else self._upload
        seconds = SPOKEN_SAMPLE_S if transcribed else LONGEST_SAMPLE_S
        self._form = _form(sample(seconds), transcribed=transcribed)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Chores:
        """Begin, once the server has shown that it can. Raises Unavailable."""
        self._upload()
        self._work()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop. Raises Unavailable if the server has refused meanwhile."""
        self._enough.set()
        self._thread.join()
        self._ask("DELETE", f"/audio_prompts/{PROMPT}?force=true")
        if self._trouble is not None and exception[0] is None:
            raise Unavailable(self._trouble)

    def _run(self) -> None:
        while not self._enough.is_set():
            try:
                self._work()
            except Unavailable as error:
                self._trouble = error.message
                return
            self.done += 1
            self._enough.wait(PAUSE_S)

    def _upload(self) -> None:
        self._ask("POST", "/audio_prompts/upload", self._form)

    def _transcribe(self) -> None:
        self._ask("POST", f"/audio_prompts/{PROMPT}/transcribe", b"")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> None:
        """Raises Unavailable with the server's own sentence."""
        address = self._address
        scheme = "https" if address.secure else "http"
        url = f"{scheme}://{address.host}:{address.port}{address.prefix}{path}"
        headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"} if body else {}
        if address.key is not None:
            headers["Authorization"] = f"Bearer {address.key}"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            raise Unavailable(_sentence(error.read())) from None
        except OSError as error:
            raise Unavailable(f"The server left a request unanswered: {error}.") from None


def sample(seconds: int) -> bytes:
    """A WAV file of a hum that rises and falls as a voice does, mono, 44.1 kHz."""
    times = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    loudness = 0.25 + 0.2 * np.sin(2 * np.pi * 3 * times)
    hum = loudness * sum(np.sin(2 * np.pi * 140 * overtone * times) / overtone for overtone in (1, 2, 3))
    file = io.BytesIO()
    soundfile.write(file, hum, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _form(wav: bytes, *, transcribed: bool) -> bytes:
    """The body of an upload; with `transcribed`, of one whose words somebody will ask for."""
    fields = [("prompt_id", "", PROMPT.encode()), ("audio_file", '; filename="hum.wav"', wav)]
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
