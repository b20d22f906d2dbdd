"""The voices of the hibari package that are not in its wheel.

Read from the package's own list without importing the package, so that the server process may do it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streaming_server.engines.provider import option
from streaming_server.types import EngineVoice, Voice, VoiceFile

BASE_URL = "https://huggingface.co/maureesewilliams/hibari/resolve/main/voices/"

_STYLES = MappingProxyType({"fenrir": "calm", "fable": "friendly", "kore": "bright"})
"""Styles that eSpeak NG and others choose a similar voice by; `emma` is neutral."""


@dataclass(frozen=True, slots=True)
class HibariSettings:
    """Source and folder of the further voices."""

    voices_url: str = option(BASE_URL, "where the voices emma, fenrir, fable and kore are fetched from")
    voices_dir: str | None = option(
        None, "folder these voices are kept in; by default HIBARI_HOME, or hibari in the user's cache"
    )

    @property
    def folder(self) -> Path:
        return Path(self.voices_dir) if self.voices_dir else _cache_folder()


def further_voices(settings: HibariSettings) -> tuple[EngineVoice, ...]:
    """Return the voices and their files; none if the package is not installed."""
    return tuple(
        _engine_voice(name, listed, settings)
        for name, listed in _listed().items()
        if not listed.get("bundled")
    )


def british(name: str) -> bool:
    """Return whether a further voice has a British accent."""
    return bool(_listed()[name]["british"])


def _engine_voice(name: str, listed: dict[str, Any], settings: HibariSettings) -> EngineVoice:
    url = f"{settings.voices_url.rstrip('/')}/{listed['file']}"
    file = VoiceFile(url, settings.folder / listed["file"], listed["bytes"], listed["sha256"])
    voice = Voice(name, name.title(), _STYLES.get(name, "neutral"))
    return EngineVoice(voice, listed["language"], file)


def _listed() -> dict[str, dict[str, Any]]:
    """Return the package's list of voices."""
    spec = find_spec("hibari")
    if spec is None or not spec.submodule_search_locations:
        return {}
    voices: dict[str, dict[str, Any]] = json.loads(
        Path(spec.submodule_search_locations[0], "assets", "voices.json").read_text("utf-8")
    )
    return voices


def _cache_folder() -> Path:
    """Return the folder that the package itself keeps voices in."""
    if home := os.environ.get("HIBARI_HOME"):
        return Path(home)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hibari"
