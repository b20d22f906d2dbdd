"""The voice models that are not in the wheel: fetched when one is first wanted, beside everything else."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from hibari.voices import BASE_URL, VOICES, cache_dir

from streaming_server.engines.hibari.network import Network
from streaming_server.engines.hibari.phonemes import PhonemeReader
from streaming_server.errors import EngineFailure, NotReady, SpeechError

TIMEOUT_S = 20.0
"""Longest silence of the server that a model is fetched from."""

_CHUNK = 1 << 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model and the front end of its language."""

    network: Network
    reader: PhonemeReader


@dataclass(slots=True)
class _Fetch:
    """A model on its way. Written by its own thread only."""

    size: int
    received: int = 0
    speaker: Speaker | None = None
    error: SpeechError | None = None


class VoiceModels:
    """The further voices of the hibari package, by name.

    voices: as in hibari's registry: file, bytes, sha256 and british of each. base_url: where the files are.
    folder: where they are kept.
    """

    def __init__(
        self,
        voices: Mapping[str, Mapping[str, Any]] = VOICES,
        base_url: str = BASE_URL,
        folder: Path | None = None,
    ) -> None:
        self._voices = {name: voice for name, voice in voices.items() if not voice.get("bundled")}
        self._base_url = base_url
        self._folder = folder or Path(cache_dir())
        self._fetches: dict[str, _Fetch] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._voices

    def prepare(self, name: str) -> None:
        """Fetch and load a model in the background, unless that has begun. Returns at once."""
        if name not in self._fetches:
            fetch = self._fetches[name] = _Fetch(self._voices[name]["bytes"])
            threading.Thread(target=self._run, args=(name, fetch), name=f"fetch {name}", daemon=True).start()

    def find(self, name: str) -> Speaker:
        """Return a model that has been loaded.

        Raises NotReady, which tells the progress, while it is on its way, and EngineFailure once if it could
        not be had; the next call tries again.
        """
        self.prepare(name)
        fetch = self._fetches[name]
        if fetch.error is not None:
            del self._fetches[name]
            raise fetch.error
        if fetch.speaker is None:
            percent = min(100, 100 * fetch.received // fetch.size)
            raise NotReady(f"Voice {name} is being fetched, {percent} % so far; try again in a moment.")
        return fetch.speaker

    def _run(self, name: str, fetch: _Fetch) -> None:
        try:
            path = self._folder / self._voices[name]["file"]
            if not path.exists():
                self._download(name, path, fetch)
            british = bool(self._voices[name]["british"])
            fetch.speaker = Speaker(Network(path), PhonemeReader(british=british))
        except SpeechError as error:
            fetch.error = error
        except OSError as error:
            fetch.error = EngineFailure(f"Voice {name} could not be stored: {error.strerror}.")
        except Exception as error:  # Without an answer the voice would be on its way for ever.
            log.exception("voice could not be loaded")
            fetch.error = EngineFailure(f"Voice {name} could not be loaded: {type(error).__name__}.")

    def _download(self, name: str, path: Path, fetch: _Fetch) -> None:
        """Download a model, check it and move it into place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                digest = self._receive(name, file, fetch)
            if digest != self._voices[name]["sha256"]:
                raise EngineFailure(f"Voice {name} arrived damaged and was dropped; try again.")
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _receive(self, name: str, file: IO[bytes], fetch: _Fetch) -> str:
        """Write the model to a file as it arrives. Return its SHA-256."""
        digest = hashlib.sha256()
        for chunk in _download_chunks(self._base_url + self._voices[name]["file"], name):
            fetch.received += len(chunk)
            if fetch.received > fetch.size:
                break  # The digest will not match.
            file.write(chunk)
            digest.update(chunk)
        return digest.hexdigest()


def _download_chunks(url: str, name: str) -> Iterator[bytes]:
    """Yield a file as it arrives. Raises EngineFailure, naming the voice."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            while chunk := response.read(_CHUNK):
                yield chunk
    except (OSError, HTTPException) as error:
        host = urlsplit(url).netloc
        raise EngineFailure(f"Voice {name} cannot be fetched: {host} cannot be reached.") from error
