"""Files that voices need, fetched in the background when a voice is first used."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import IO, Literal
from urllib.parse import urlsplit

import structlog

from streaming_server.errors import NotReady, SpeechError, VoiceUnavailable
from streaming_server.types import EngineVoice, VoiceFile

TIMEOUT_S = 20.0
"""Seconds without data after which a download fails."""
WAIT_S = 30.0
"""Seconds that speech waits for a file before it fails with NotReady; the download goes on."""
LONGEST_S = 600.0
"""Seconds that a download may take."""
FORGOTTEN_S = 3600.0
"""Age in seconds of an unfinished download that a killed server has left behind."""

_CHUNK = 1 << 16

State = Literal["absent", "fetching", "present", "failed"]
OnReady = Callable[[SpeechError | None], None]
"""Called once, on the event loop, with None when the file is present or with the reason why it is not."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """The file of a voice. received, size: bytes. error: why the last attempt failed."""

    state: State
    received: int
    size: int
    error: str | None = None


@dataclass(slots=True)
class _Fetch:
    """A download. `received` is written by the fetching thread, the rest on the event loop."""

    received: int = 0
    running: bool = True
    error: SpeechError | None = None
    waiting: list[_Waiting] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A caller that waits for a file."""

    on_ready: OnReady
    timer: asyncio.TimerHandle | None = None


class VoiceFiles:
    """The files of an engine's voices, by id of the voice. Used on the event loop only."""

    def __init__(
        self, voices: Iterable[EngineVoice] = (), *, wait_s: float = WAIT_S, longest_s: float = LONGEST_S
    ) -> None:
        self._files = {voice.voice.id: voice.file for voice in voices if voice.file is not None}
        self._wait_s = wait_s
        self._longest_s = longest_s
        self._fetches: dict[str, _Fetch] = {}

    def progress(self, voice_id: str) -> DownloadProgress | None:
        """Return the state of a voice's file; None for a voice that needs none."""
        if (file := self._files.get(voice_id)) is None:
            return None
        fetch = self._fetches.get(voice_id)
        if fetch is not None and fetch.running:
            return DownloadProgress("fetching", min(fetch.received, file.size), file.size)
        if _is_whole(file):
            return DownloadProgress("present", file.size, file.size)
        if fetch is not None and fetch.error is not None:
            return DownloadProgress("failed", 0, file.size, fetch.error.message)
        return DownloadProgress("absent", 0, file.size)

    def unfinished(self) -> dict[str, DownloadProgress]:
        """Return the files that are being fetched or could not be, by id of the voice."""
        found = {voice_id: self.progress(voice_id) for voice_id in self._fetches}
        return {
            voice_id: progress
            for voice_id, progress in found.items()
            if progress is not None and progress.state != "present"
        }

    def request(self, voice_id: str, on_ready: OnReady) -> bool:
        """Start to fetch the file of a voice unless it is present. Return whether to wait for `on_ready`."""
        file = self._files.get(voice_id)
        if file is None or _is_whole(file):
            return False
        fetch = self._fetches.get(voice_id)
        if fetch is None or not fetch.running:
            fetch = self._fetches[voice_id] = self._start(voice_id, file)
        waiting = _Waiting(on_ready)
        waiting.timer = asyncio.get_running_loop().call_later(
            self._wait_s, self._give_up, voice_id, fetch, waiting
        )
        fetch.waiting.append(waiting)
        return True

    def _start(self, voice_id: str, file: VoiceFile) -> _Fetch:
        fetch = _Fetch()
        log.info("fetching voice", voice=voice_id, host=urlsplit(file.url).netloc, bytes=file.size)
        # A daemon, since a server that stops does not wait for the rest of a file.
        threading.Thread(
            target=self._run,
            args=(voice_id, file, fetch, asyncio.get_running_loop()),
            name=f"fetch {voice_id}",
            daemon=True,
        ).start()
        return fetch

    def _give_up(self, voice_id: str, fetch: _Fetch, waiting: _Waiting) -> None:
        fetch.waiting.remove(waiting)
        percent = min(100, 100 * fetch.received // self._files[voice_id].size)
        waiting.on_ready(
            NotReady(f"Voice {voice_id} is being fetched, {percent} % so far; try again in a moment.")
        )

    def _run(self, voice_id: str, file: VoiceFile, fetch: _Fetch, loop: asyncio.AbstractEventLoop) -> None:
        """Fetch a file, in a thread."""
        began = time.monotonic()
        error: SpeechError | None = None
        try:
            _download(voice_id, file, fetch, began + self._longest_s)
        except SpeechError as failure:
            error = failure
        except OSError as failure:
            error = VoiceUnavailable(f"Voice {voice_id} could not be stored: {failure.strerror}.")
        except Exception as failure:  # Without an answer its callers would wait for ever.
            error = VoiceUnavailable(f"Voice {voice_id} could not be fetched: {type(failure).__name__}.")
        with suppress(RuntimeError):  # The server has stopped.
            loop.call_soon_threadsafe(self._ended, voice_id, fetch, error, time.monotonic() - began)

    def _ended(self, voice_id: str, fetch: _Fetch, error: SpeechError | None, seconds: float) -> None:
        fetch.running, fetch.error = False, error
        if error is None:
            log.info("voice fetched", voice=voice_id, bytes=fetch.received, seconds=round(seconds, 1))
        else:
            log.warning("voice could not be fetched", voice=voice_id, reason=error.message)
        waiting, fetch.waiting = fetch.waiting, []
        for each in waiting:
            if each.timer is not None:
                each.timer.cancel()
            each.on_ready(error)


def _is_whole(file: VoiceFile) -> bool:
    """Return whether a file has its full size. A crash may have truncated it; it is then fetched again."""
    with suppress(OSError):
        return file.path.stat().st_size == file.size
    return False


def _download(voice_id: str, file: VoiceFile, fetch: _Fetch, deadline: float) -> None:
    """Download a file, check it and move it into place. Raise VoiceUnavailable, OSError."""
    folder = file.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    _remove_forgotten(file)
    handle, temporary = tempfile.mkstemp(prefix=f"{file.path.name}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as part:
            digest = _receive(voice_id, file, part, fetch, deadline)
        if digest != file.sha256:
            raise VoiceUnavailable(f"Voice {voice_id} arrived damaged and was dropped; try again.")
        os.replace(temporary, file.path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _remove_forgotten(file: VoiceFile) -> None:
    for part in file.path.parent.glob(f"{file.path.name}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > FORGOTTEN_S:
                part.unlink()


def _receive(voice_id: str, file: VoiceFile, part: IO[bytes], fetch: _Fetch, deadline: float) -> str:
    """Write a file as it arrives. Return its SHA-256. Raise VoiceUnavailable at the deadline."""
    digest = hashlib.sha256()
    for chunk in _chunks(voice_id, file.url):
        if time.monotonic() > deadline:
            raise VoiceUnavailable(f"Voice {voice_id} cannot be fetched: it arrives too slowly.")
        fetch.received += len(chunk)
        digest.update(chunk)
        if fetch.received > file.size:
            break  # With this chunk the digest does not match.
        part.write(chunk)
    return digest.hexdigest()


def _chunks(voice_id: str, url: str) -> Iterator[bytes]:
    """Yield a file as it arrives. Raise VoiceUnavailable, naming the voice."""
    host = urlsplit(url).netloc
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            while chunk := response.read1(_CHUNK):
                yield chunk
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"{host} answers with status {error.code}"
        raise VoiceUnavailable(f"Voice {voice_id} cannot be fetched: {reason}.") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = f"{host or url} cannot be reached"
        raise VoiceUnavailable(f"Voice {voice_id} cannot be fetched: {reason}.") from error
