"""A tiny Dia with random weights and short utterances, which starts fast."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

SECONDS = 2
"""Length of every utterance; with random weights none ends earlier."""


def options_of(folder: Path) -> tuple[str, ...]:
    """Writes a checkpoint into the folder; what a server needs to speak with it on the CPU.

    Skips the test where PyTorch is not installed.
    """
    torch = pytest.importorskip("torch")
    from helpers.checkpoints import write_checkpoint
    from streaming_server.engines.dia.model.config import TINY_DIA
    from streaming_server.engines.dia.weights.random_init import random_tensors
    from streaming_server.engines.dia.weights.shapes import dia_shapes

    config = replace(TINY_DIA, decoder=replace(TINY_DIA.decoder, positions=86 * SECONDS))
    tensors = dict(random_tensors(dia_shapes(config), torch.device("cpu"), torch.float32))
    write_checkpoint(folder / "model", config.document(), tensors)
    return (
        "--engine=dia",
        f"--model={folder / 'model'}",
        "--codec=random:tiny",
        "--slots=2",
        "--max-workers=1",
    )
