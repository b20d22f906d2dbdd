"""A checkpoint on disk: tensors by name, from safetensors files or a .pth file, beside a config.json.

Every problem is reported as an EngineFailure that names the file and the tensor.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming_server.engines.dia.weights.shapes import Shape
from streaming_server.errors import EngineFailure


class Checkpoint:
    """Tensors by name, over one safetensors file, several with an index, or a .pth file."""

    def __init__(self, readers: dict[str, tuple[str, Callable[[], Tensor]]], main: str) -> None:
        self._readers = readers
        self._main = main

    def __contains__(self, name: str) -> bool:
        return name in self._readers

    def read(self, name: str, shape: Shape) -> Tensor:
        if name not in self._readers:
            raise EngineFailure(f"{self._main}: the tensor {name} is missing.")
        file, reader = self._readers[name]
        tensor = reader()
        if tuple(tensor.shape) != shape:
            raise EngineFailure(
                f"{file}: the tensor {name} has the shape {list(tensor.shape)} instead of {list(shape)}."
            )
        return tensor

    @classmethod
    def open(cls, directory: Path) -> Checkpoint:
        index = directory / "model.safetensors.index.json"
        single = directory / "model.safetensors"
        if index.exists():
            return cls._open_sharded(directory, index)
        if single.exists():
            return cls(_readers_of(single), single.name)
        pickles = sorted(directory.glob("*.pth"))
        if pickles:
            return cls(_pickle_readers(pickles[0]), pickles[0].name)
        raise EngineFailure("model.safetensors is missing: no weights found beside config.json.")

    @classmethod
    def _open_sharded(cls, directory: Path, index: Path) -> Checkpoint:
        mapped = read_json(index).get("weight_map")
        if not isinstance(mapped, dict):
            raise EngineFailure(f"{index.name}: weight_map is missing.")
        readers: dict[str, tuple[str, Callable[[], Tensor]]] = {}
        for file in sorted({str(file) for file in mapped.values()}):
            path = directory / file
            if not path.exists():
                first = next(name for name, where in mapped.items() if where == file)
                raise EngineFailure(f"{file} is missing; {index.name} lists it as the file of {first}.")
            readers |= _readers_of(path)
        return cls(readers, index.name)


def _readers_of(path: Path) -> dict[str, tuple[str, Callable[[], Tensor]]]:
    """Return the readers of a safetensors file's tensors, which raise EngineFailure."""
    from safetensors import SafetensorError, safe_open  # Random weights do without it.

    try:
        handle: Any = safe_open(path, framework="pt", device="cpu")
        names = list(handle.keys())
    except (SafetensorError, OSError) as error:
        raise EngineFailure(f"{path.name} is not a complete safetensors file ({error}).") from error

    def reader(name: str) -> Callable[[], Tensor]:
        def read() -> Tensor:
            try:
                tensor: Tensor = handle.get_tensor(name)
            except (SafetensorError, OSError, ValueError) as error:
                raise EngineFailure(f"{path.name}: the tensor {name} cannot be read ({error}).") from error
            return tensor

        return read

    return {name: (path.name, reader(name)) for name in names}


def _pickle_readers(path: Path) -> dict[str, tuple[str, Callable[[], Tensor]]]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineFailure(f"{path.name} is not a complete PyTorch checkpoint ({reason}).") from error
    if not isinstance(loaded, dict):
        raise EngineFailure(f"{path.name} does not contain a dictionary of tensors.")

    def reader(tensor: Tensor) -> Callable[[], Tensor]:
        return lambda: tensor

    return {
        name: (path.name, reader(tensor)) for name, tensor in loaded.items() if isinstance(tensor, Tensor)
    }


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises EngineFailure."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise EngineFailure(f"{path.name} is missing from {path.parent.name}.") from error
    except (OSError, ValueError) as error:
        raise EngineFailure(f"{path.name} is not readable JSON ({error}).") from error
    if not isinstance(document, dict):
        raise EngineFailure(f"{path.name} is not a JSON object.")
    return document
