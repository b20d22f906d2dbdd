"""Where weights come from: a directory, the Hugging Face hub, or nowhere (`random:…`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streaming_server.errors import EngineFailure

DEFAULT_MODEL = "nari-labs/Dia-1.6B-0626"
DEFAULT_CODEC = "descript/dac_44khz"
RANDOM = "random:"


@dataclass(frozen=True, slots=True)
class Source:
    """Where weights come from: a directory, or nothing at all (`random:…`)."""

    name: str
    directory: Path | None

    @property
    def is_random(self) -> bool:
        return self.directory is None


def locate(name: str, variable: str) -> Source:
    """Find `random:tiny`, `random:full`, a directory, or a model of the Hugging Face hub, and download it.

    variable: the setting that names it, for the error's advice. HF_TOKEN is honoured by the hub's client.
    Raises EngineFailure.
    """
    if name.startswith(RANDOM):
        if name not in (f"{RANDOM}tiny", f"{RANDOM}full"):
            raise EngineFailure(f"{name} is not known; random weights come as random:tiny or random:full")
        return Source(name, None)
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(name, path)
    if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise EngineFailure(f"{variable} names no directory: {name}")
    return Source(name, _download(name, variable))


def _download(name: str, variable: str) -> Path:
    advice = f"Pass a directory with its files as {variable}, or {RANDOM}tiny to try the server with noise"
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
    except Exception as error:  # The client lets through what its HTTP library and its hf_xet raise.
        raise EngineFailure(
            f"{name} cannot be downloaded from the hub: {_reason(error)}. {advice}"
        ) from error
    return path


def _reason(error: Exception) -> str:
    """One line of what went wrong."""
    lost = next((link for link in _chain(error) if _of_the_network(link)), None)
    if lost is not None:
        return f"there is no connection to it, or it broke off ({_line(lost)})"
    return _line(error)


def _line(error: BaseException) -> str:
    said = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _of_the_network(error: BaseException) -> bool:
    """Whether it says that the hub was not reached; what HTTP library raised it depends on the client."""
    ours = isinstance(error, ConnectionError | TimeoutError)
    return ours or any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
