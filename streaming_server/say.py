"""`run.py say`: a text into a WAV file, with the sound arriving before one's eyes."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, CliPositionalArg, SettingsConfigDict
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI

from streaming_server.errors import SpeechError, Unavailable
from streaming_server.types import DEFAULT_VOICE
from streaming_server.web.messages import MAX_LEAD_MS

HEADER = 16
"""Bytes before the samples of a binary message."""
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0
FAREWELL_S = 0.3
"""How long a server that has more to send may take to hear that nobody wants it."""


class SayCommand(BaseSettings):
    """Speak a text into a WAV file: through a running server, or one started for it."""

    model_config = SettingsConfigDict(
        env_prefix="DIA_",
        frozen=True,
        extra="ignore",
        cli_kebab_case=True,
        cli_implicit_flags="toggle",
        cli_hide_none_type=True,
    )

    text: CliPositionalArg[str] = Field(description='what to say; "-" reads it from standard input')
    voice: str = Field(DEFAULT_VOICE.id, description="who says it")
    language: str | None = Field(None, description="language of the text, such as en-GB")
    speed: float | None = Field(None, ge=0.25, le=4.0, description="pace, 0.25 to 4; 1 is the voice's own")
    pitch: float | None = Field(None, ge=0.5, le=2.0, description="pitch, 0.5 to 2; 1 is the voice's own")
    out: Path = Field(Path("speech.wav"), description="WAV file to write")
    url: str | None = Field(
        None, description="server to use; by default one on this machine's port, or a new one"
    )
    host: str = Field("127.0.0.1", description="where a server may be running already")
    port: int = Field(7860, description="its port")
    key: SecretStr | None = Field(None, description="key of the server, where it needs one")


def say(command: SayCommand) -> int:
    """Run the command; the exit status. An existing file stays until there is a whole new one.

    Raises SpeechError.
    """
    raw = sys.stdin.buffer.read() if command.text == "-" else os.fsencode(command.text)
    text = raw.decode("utf-8", "replace")
    unfinished = command.out.with_name(command.out.name + ".part")
    try:
        with unfinished.open("wb") as file, _server(command) as url:
            status = asyncio.run(_speak(command, text, url, file))
        unfinished.replace(command.out)
    except OSError as error:
        raise SpeechError(f"{error.filename or command.url or command.out}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return status


async def _speak(command: SayCommand, text: str, url: str, out: BinaryIO) -> int:
    console = Console(stderr=True)
    async with _connected(command, url) as socket:
        ready = orjson.loads(await asyncio.wait_for(socket.recv(), ANSWER_TIMEOUT_S))
        if ready["type"] == "error":
            raise SpeechError(ready["message"])
        chunk = int(ready["limits"]["text_characters"])
        await socket.send(_start(command))
        for at in range(0, len(text), chunk):
            await socket.send(_json(type="text", text=text[at : at + chunk]))
        await socket.send(_json(type="finish"))
        started = time.monotonic()
        with wave.open(out, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(int(ready["sample_rate"]))
            seconds, first_s = await _record(socket, file, console, len(text), started)
    if first_s is None:
        raise SpeechError("There was nothing to say in this text.")
    console.print(
        f"{command.out}: {seconds:.2f} s of speech in {time.monotonic() - started:.2f} s, "
        f"first audio after {1000 * first_s:.0f} ms"
    )
    return 0


def _start(command: SayCommand) -> str:
    options = {"language": command.language, "speed": command.speed, "pitch": command.pitch}
    said = {name: value for name, value in options.items() if value is not None}
    return _json(type="start", voice=command.voice, max_lead_ms=MAX_LEAD_MS, **said)


async def _record(
    socket: ClientConnection, file: wave.Wave_write, console: Console, characters: int, started: float
) -> tuple[float, float | None]:
    """Write what arrives; seconds of audio, and seconds to the first of it. Raises SpeechError."""
    samples, first_s = 0, None
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[seconds]:.1f} s"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("speaking", total=characters, seconds=0.0)
        while True:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):  # wait_for of 3.11 loses a Ctrl-C now and then
                message = await socket.recv()
            if isinstance(message, bytes):
                first_s = time.monotonic() - started if first_s is None else first_s
                file.writeframesraw(message[HEADER:])
                samples += (len(message) - HEADER) // 2
                progress.update(bar, seconds=samples / file.getframerate())
                continue
            event = orjson.loads(message)
            if event["type"] == "sentence":
                progress.update(bar, completed=event["start"])
            elif event["type"] == "error":
                raise SpeechError(event["message"])
            elif event["type"] == "done":
                return samples / file.getframerate(), first_s


@asynccontextmanager
async def _connected(command: SayCommand, url: str) -> AsyncIterator[ClientConnection]:
    """A native websocket. Raises SpeechError with the server's own sentence."""
    headers = {"Authorization": f"Bearer {command.key.get_secret_value()}"} if command.key else {}
    address = url.replace("http", "ws", 1).rstrip("/") + "/ws/speak"
    try:
        async with connect(
            address, additional_headers=headers, proxy=None, close_timeout=FAREWELL_S
        ) as socket:
            yield socket
    except InvalidURI:
        raise SpeechError("--url: a server's address begins with http:// or https://.") from None
    except TimeoutError:
        raise SpeechError(f"The server at {url} did not answer in time.") from None
    except OSError as error:
        raise SpeechError(f"No server answers at {url}: {error.strerror or error}.") from None
    except InvalidStatus as error:
        raise SpeechError(_reason(error.response.body)) from None
    except ConnectionClosed as error:
        raise SpeechError(f"The server closed the connection: {error}") from None


def _reason(body: bytes | bytearray | None) -> str:
    try:
        return str(orjson.loads(body or b"")["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "The server refused the connection."


@contextmanager
def _server(command: SayCommand) -> Iterator[str]:
    """The address of a server to use, one of our own where none runs. Raises Unavailable."""
    running = command.url or f"http://{command.host}:{command.port}"
    if command.url:
        yield running
        return
    if _answers(f"{running}/livez"):
        _wait_until_ready(running)
        yield running
        return
    with own_server() as url:
        yield url


def _wait_until_ready(url: str) -> None:
    """A server that is still loading its model is worth waiting for. Raises Unavailable."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(f"{url}/readyz"):
        if time.monotonic() > deadline:
            raise Unavailable(f"The server at {url} is not ready to speak.")
        time.sleep(0.1)


@contextmanager
def own_server(*options: str) -> Iterator[str]:
    """Start a server on a free port for as long as it is needed. Raises Unavailable."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = tempfile.mkdtemp(prefix="streaming-server-")
    arguments = ["serve", "--host=127.0.0.1", f"--port={port}", f"--data-dir={data}"]
    arguments += ["--log-level=warning", *options]
    # Nobody else can reach it, and who starts it need not have the key at hand.
    environment = {name: value for name, value in os.environ.items() if name.upper() != "DIA_API_KEYS"}
    process = subprocess.Popen([sys.executable, "-m", "streaming_server", *arguments], env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(f"{url}/readyz"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable("No server could be started.")
            time.sleep(0.02)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _json(**message: Any) -> str:
    return orjson.dumps(message).decode()
