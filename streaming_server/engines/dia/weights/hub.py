"""Locate weights: in a directory, on the Hugging Face hub, or random (`random:…`)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from streaming_server.errors import EngineFailure

DEFAULT_MODEL = "nari-labs/Dia-1.6B-0626"
"""The published model on the Hugging Face hub."""
DEFAULT_CODEC = "descript/dac_44khz"
"""The published codec on the Hugging Face hub."""
RANDOM = "random:"
"""Prefix of the names of random weights."""


@dataclass(frozen=True, slots=True)
class WeightsLocation:
    """Location of weights: a directory, or None for random ones."""

    name: str
    directory: Path | None

    @property
    def is_random(self) -> bool:
        return self.directory is None


def locate(name: str, variable: str) -> WeightsLocation:
    """Find `random:tiny`, `random:full`, a directory, or a model on the Hugging Face hub, which is
    downloaded.

    variable: the setting to name in errors. The hub's client honours HF_TOKEN. Raises EngineFailure.
    """
    if name.startswith(RANDOM):
        if name not in (f"{RANDOM}tiny", f"{RANDOM}full"):
            raise EngineFailure(f"{name} is unknown; use random:tiny or random:full.")
        return WeightsLocation(name, None)
    path = Path(name).expanduser()
    if path.is_dir():
        return WeightsLocation(name, path)
    if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise EngineFailure(f"{variable} is not a directory: {name}.")
    return WeightsLocation(name, _download(name, variable))


def _download(name: str, variable: str) -> Path:
    advice = f"Pass a directory with its files as {variable}, or {RANDOM}tiny to try the server with noise."
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise EngineFailure(
            f"{name} cannot be downloaded: huggingface_hub is not installed. {advice}"
        ) from error
    token = os.environ.get("HF_TOKEN")
    try:
        path = Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"], token=token))
        if not any(path.glob("*.safetensors")):
            snapshot_download(name, allow_patterns=["*.json", "*.pth"], token=token)
    except Exception as error:  # The client passes on errors of its HTTP library and of hf_xet.
        raise EngineFailure(
            f"{name} cannot be downloaded from the hub: {_reason(error)}. {advice}"
        ) from error
    return path


def _reason(error: Exception) -> str:
    """Describe what went wrong in one line."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
