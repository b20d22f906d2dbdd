"""The tensors of a checkpoint and their shapes, in transformers' layout."""

from __future__ import annotations

from streaming_server.engines.dia.model.config import CodecConfig, DiaConfig

Shape = tuple[int, ...]


def dia_shapes(config: DiaConfig) -> dict[str, Shape]:
    """Return the shape of every tensor of a Dia checkpoint."""
    e, d = config.encoder, config.decoder
    shapes: dict[str, Shape] = {"model.encoder.embedding.weight": (e.vocabulary, e.width)}
    for index in range(e.layers):
        name = f"model.encoder.layers.{index}"
        shapes |= _attention_shapes(
            f"{name}.self_attention", e.width, e.width, e.heads, e.heads, e.head_width
        )
        shapes |= {f"{name}.{norm}.weight": (e.width,) for norm in ("pre_sa_norm", "post_sa_norm")}
        shapes |= _mlp_shapes(f"{name}.mlp", e.width, e.ff_width)
    shapes["model.encoder.norm.weight"] = (e.width,)
    shapes["model.decoder.embeddings.embed.weight"] = (d.channels * d.vocabulary, d.width)
    for index in range(d.layers):
        name = f"model.decoder.layers.{index}"
        shapes |= _attention_shapes(
            f"{name}.self_attention", d.width, d.width, d.heads, d.kv_heads, d.head_width
        )
        shapes |= _attention_shapes(
            f"{name}.cross_attention", d.width, e.width, d.cross_heads, d.cross_heads, d.cross_head_width
        )
        norms = ("pre_sa_norm", "pre_ca_norm", "pre_mlp_norm")
        shapes |= {f"{name}.{norm}.weight": (d.width,) for norm in norms}
        shapes |= _mlp_shapes(f"{name}.mlp", d.width, d.ff_width)
    shapes["model.decoder.norm.weight"] = (d.width,)
    shapes["logits_dense.weight"] = (d.channels * d.vocabulary, d.width)
    return shapes


def _attention_shapes(
    name: str, width: int, read_width: int, heads: int, kv_heads: int, head_width: int
) -> dict[str, Shape]:
    return {
        f"{name}.q_proj.weight": (heads * head_width, width),
        f"{name}.k_proj.weight": (kv_heads * head_width, read_width),
        f"{name}.v_proj.weight": (kv_heads * head_width, read_width),
        f"{name}.o_proj.weight": (width, heads * head_width),
    }


def _mlp_shapes(name: str, width: int, ff_width: int) -> dict[str, Shape]:
    return {
        f"{name}.gate_up_proj.weight": (2 * ff_width, width),
        f"{name}.down_proj.weight": (width, ff_width),
    }


def codec_shapes(config: CodecConfig) -> dict[str, Shape]:
    """Return the shapes of a DAC checkpoint's decoder and codebooks."""
    shapes: dict[str, Shape] = {}
    for index in range(config.codebooks):
        name = f"quantizer.quantizers.{index}"
        shapes[f"{name}.codebook.weight"] = (config.codebook_size, config.codebook_width)
        shapes |= _conv_shapes(f"{name}.out_proj", config.latent_width, config.codebook_width, 1)
    width = config.decoder_width
    shapes |= _conv_shapes("decoder.conv1", width, config.latent_width, 7)
    for index, rate in enumerate(config.rates):
        name, half = f"decoder.block.{index}", width // 2
        shapes[f"{name}.snake1.alpha"] = (1, width, 1)
        shapes |= {f"{name}.conv_t1.weight": (width, half, 2 * rate), f"{name}.conv_t1.bias": (half,)}
        shapes |= _unit_shapes(name, half)
        width = half
    shapes["decoder.snake1.alpha"] = (1, width, 1)
    return shapes | _conv_shapes("decoder.conv2", 1, width, 7)


def encoder_shapes(config: CodecConfig) -> dict[str, Shape]:
    """Return the shapes of the tensors a DAC checkpoint needs to encode audio."""
    width = config.latent_width // 2 ** len(config.rates)
    shapes = _conv_shapes("encoder.conv1", width, 1, 7)
    for index, rate in enumerate(reversed(config.rates)):
        name = f"encoder.block.{index}"
        shapes |= _unit_shapes(name, width)
        shapes[f"{name}.snake1.alpha"] = (1, width, 1)
        shapes |= _conv_shapes(f"{name}.conv1", 2 * width, width, 2 * rate)
        width *= 2
    shapes["encoder.snake1.alpha"] = (1, width, 1)
    shapes |= _conv_shapes("encoder.conv2", config.latent_width, width, 3)
    for index in range(config.codebooks):
        name = f"quantizer.quantizers.{index}"
        shapes |= _conv_shapes(f"{name}.in_proj", config.codebook_width, config.latent_width, 1)
    return shapes


def _unit_shapes(name: str, width: int) -> dict[str, Shape]:
    """Return the shapes of a block's three residual units."""
    shapes: dict[str, Shape] = {}
    for unit in ("res_unit1", "res_unit2", "res_unit3"):
        shapes |= {f"{name}.{unit}.{snake}.alpha": (1, width, 1) for snake in ("snake1", "snake2")}
        shapes |= _conv_shapes(f"{name}.{unit}.conv1", width, width, 7)
        shapes |= _conv_shapes(f"{name}.{unit}.conv2", width, width, 1)
    return shapes


def _conv_shapes(name: str, outputs: int, inputs: int, kernel: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs, kernel), f"{name}.bias": (outputs,)}
