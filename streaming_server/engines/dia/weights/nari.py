"""The nari-labs package's layout: inputs first, heads on an axis of their own, one embedding per channel."""

from __future__ import annotations

import torch
from torch import Tensor

from streaming_server.engines.dia.model.config import DiaConfig
from streaming_server.engines.dia.weights.checkpoint import Checkpoint
from streaming_server.engines.dia.weights.shapes import Shape, dia_shapes


def is_nari(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint uses this layout."""
    return "model.encoder.embedding.weight" not in checkpoint and "encoder.embedding.weight" in checkpoint


def read_nari(
    checkpoint: Checkpoint, config: DiaConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return every tensor by transformers' name, on `device` in `dtype`. Raises EngineFailure."""
    d = config.decoder
    tensors: dict[str, Tensor] = {}
    for name, shape in dia_shapes(config).items():
        nari_name = name.removeprefix("model.")
        if name.endswith("embeddings.embed.weight"):
            channels = [
                checkpoint.read(f"decoder.embeddings.{channel}.weight", (d.vocabulary, d.width))
                for channel in range(d.channels)
            ]
            tensor = torch.cat(channels)
        elif name == "logits_dense.weight":
            stored = (d.width, d.channels, d.vocabulary)
            tensor = checkpoint.read("decoder.logits_dense.weight", stored).reshape(d.width, -1).t()
        elif name.endswith("gate_up_proj.weight"):
            nari_name = nari_name.replace("gate_up_proj", "wi_fused")
            stored = (shape[1], 2, shape[0] // 2)
            tensor = checkpoint.read(nari_name, stored).reshape(shape[1], -1).t()
        elif name.endswith("down_proj.weight"):
            tensor = checkpoint.read(nari_name.replace("down_proj", "wo"), (shape[1], shape[0])).t()
        elif name.endswith("_proj.weight"):
            tensor = (
                checkpoint.read(nari_name, _nari_attention_shape(name, shape, config))
                .reshape(shape[::-1])
                .t()
            )
        else:
            tensor = checkpoint.read(nari_name, shape)
        tensors[name] = tensor.to(device, dtype).contiguous()
    return tensors


def _nari_attention_shape(name: str, shape: Shape, config: DiaConfig) -> Shape:
    if ".encoder." in name:
        head_width = config.encoder.head_width
    elif ".cross_attention." in name:
        head_width = config.decoder.cross_head_width
    else:
        head_width = config.decoder.head_width
    if name.endswith("o_proj.weight"):
        return (shape[1] // head_width, head_width, shape[0])
    return (shape[1], shape[0] // head_width, head_width)
