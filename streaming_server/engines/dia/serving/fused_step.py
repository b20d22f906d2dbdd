"""A decode step made of Triton kernels and matrix products: 8 to 12 launches a layer, no masks, no copies.

It computes what `Slots.step` computes, for any set of slots and whatever their lengths, so one CUDA graph
per batch size is enough.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streaming_server.engines.dia.kernels import matvec
from streaming_server.engines.dia.kernels.attention import cross_attention, self_attention
from streaming_server.engines.dia.kernels.pointwise import add_rms_norm, embed_rms_norm, silu_mul
from streaming_server.engines.dia.kernels.sampling import advance, sample
from streaming_server.engines.dia.model import columns
from streaming_server.engines.dia.model.kv_cache import BRANCHES
from streaming_server.engines.dia.model.linear import Linear
from streaming_server.engines.dia.serving.slots import Slots


class FusedStep:
    """The step of these slots, which have pages. Its only state is counters, zero between steps."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        rotary = torch.view_as_real(slots.model.decoder_rotary)
        self._rotary = rotary.reshape(rotary.shape[0], -1).contiguous()
        d = slots.model.config.decoder
        most = slots.count * max(BRANCHES * d.kv_heads, d.cross_heads)
        self._arrivals = torch.zeros(most, dtype=torch.int32, device=rotary.device)

    def __call__(self, batch: Tensor) -> None:
        """Generate one more row in the active slots.

        batch: [4, B], int64, contiguous: slot ids, 1 for each that advances, places in the flattened table of
        pages that are set before, -1 for none, and their pages. Inactive entries pad the batch: they may
        repeat any slot and change nothing.
        """
        slots, config = self._slots, self._slots.model.config
        logits = self._logits(batch)
        chosen = sample(logits, batch, slots.ints, slots.floats, config.eos)
        advance(chosen, slots.codes, batch, slots.ints, slots.delays, config.eos, config.pad)

    def _logits(self, batch: Tensor) -> Tensor:
        """Return logits [B, branches, channels, vocabulary]."""
        slots, model = self._slots, self._slots.model
        d, ints, cache = model.config.decoder, self._slots.ints, self._slots.paged
        layers, eps = model.decoder_layers, d.norm_eps
        first = layers[0].attention_norm
        x, y = embed_rms_norm(
            slots.codes, model.audio_embedding, first, batch, cache.table, ints, columns.POSITION, eps
        )
        qkv = _multiply(layers[0].qkv, y)
        following = [layer.attention_norm for layer in layers[1:]] + [model.decoder_norm]
        next_products = [layer.qkv for layer in layers[1:]] + [model.head]
        for index, layer in enumerate(layers):
            attended = self_attention(
                qkv, self._rotary, cache, index, batch, ints, columns.POSITION, d.heads, self._arrivals
            )
            added = _multiply(layer.out, attended)
            x, q = _add_norm_multiply(x, added, layer.cross_norm, layer.cross_q, eps, conditional=True)
            attended = cross_attention(q, cache, index, batch, ints, columns.TEXT, self._arrivals)
            added = _multiply(layer.cross_out, attended)
            x, hidden = _add_norm_multiply(
                x, added, layer.mlp_norm, layer.gate_up, eps, constant=layer.unconditional, gated=True
            )
            added = _multiply(layer.down, hidden)
            x, qkv = _add_norm_multiply(x, added, following[index], next_products[index], eps)
        return model.split_logits(qkv)


def _is_fast(linear: Linear, rows: Tensor) -> bool:
    """Return whether Triton multiplies these rows faster than the library does."""
    return linear.kernel == "dense" and matvec.is_fast(rows.shape[0] * rows.shape[1], linear.weight)


def _multiply(linear: Linear, rows: Tensor) -> Tensor:
    """Return the product by whichever of the two is faster."""
    return matvec.multiply(rows, linear.weight) if _is_fast(linear, rows) else linear(rows)


def _add_norm_multiply(
    x: Tensor,
    added: Tensor,
    norm: Tensor,
    linear: Linear,
    eps: float,
    *,
    constant: Tensor | None = None,
    conditional: bool = False,
    gated: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return x + added, and its norm multiplied; see `matvec.add_norm_multiply`. x may be overwritten."""
    if _is_fast(linear, x):
        return matvec.add_norm_multiply(
            x, added, norm, linear.weight, eps, constant=constant, conditional=conditional, gated=gated
        )
    y = linear(add_rms_norm(x, added, norm, eps, constant=constant, conditional=conditional))
    return x, silu_mul(y) if gated else y
