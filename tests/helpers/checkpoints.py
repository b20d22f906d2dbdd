"""Checkpoints in transformers' layout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from streaming_server.engines.dia.model.config import CodecConfig


def codec_document(config: CodecConfig) -> dict[str, Any]:
    """Return a codec's config.json in transformers' layout."""
    return {
        "architectures": ["DacModel"],
        "model_type": "dac",
        "sampling_rate": config.sample_rate,
        "n_codebooks": config.codebooks,
        "codebook_size": config.codebook_size,
        "codebook_dim": config.codebook_width,
        "encoder_hidden_size": config.latent_width // 2 ** len(config.rates),
        "decoder_hidden_size": config.decoder_width,
        "downsampling_ratios": list(reversed(config.rates)),
    }


def write_checkpoint(
    directory: Path, document: dict[str, Any], tensors: dict[str, Tensor], shards: int = 1
) -> None:
    """Write config.json and one safetensors file, or several with their index."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(document, indent=2))
    if shards == 1:
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    per_file = math.ceil(len(names) / shards)
    index: dict[str, str] = {}
    for shard in range(shards):
        chosen = names[shard * per_file : (shard + 1) * per_file]
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        save_file({name: tensors[name] for name in chosen}, directory / file, metadata={"format": "pt"})
        index |= dict.fromkeys(chosen, file)
    written = {"metadata": {}, "weight_map": index}
    (directory / "model.safetensors.index.json").write_text(json.dumps(written, indent=2))
