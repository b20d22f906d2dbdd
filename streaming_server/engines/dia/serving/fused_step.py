"""A decode step made of Triton kernels and matrix products: 12 launches a layer, no masks, no copies.

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
    """The step of these slots, which have pages. Its only state are counters that are zero between steps."""

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
        layers = model.decoder_layers
        first = layers[0].attention_norm
        x, y = embed_rms_norm(
            slots.codes, model.audio_embedding, first, batch, cache.table, ints, columns.POSITION, d.norm_eps
        )
        norms = [*(layer.attention_norm for layer in layers[1:]), model.decoder_norm]
        arrivals = self._arrivals
        for index, (layer, next_norm) in enumerate(zip(layers, norms, strict=True)):
            qkv = _multiply(layer.qkv, y)
            attended = self_attention(
                qkv, self._rotary, cache, index, batch, ints, columns.POSITION, d.heads, arrivals
            )
            added = _multiply(layer.out, attended)
            y = add_rms_norm(x, added, layer.cross_norm, d.norm_eps, conditional=True)
            q = _multiply(layer.cross_q, y)
            attended = cross_attention(q, cache, index, batch, ints, columns.TEXT, arrivals)
            added = _multiply(layer.cross_out, attended)
            y = add_rms_norm(x, added, layer.mlp_norm, d.norm_eps, constant=layer.unconditional)
            added = _multiply(layer.down, silu_mul(_multiply(layer.gate_up, y)))
            y = add_rms_norm(x, added, next_norm, d.norm_eps)
        return model.split_logits(_multiply(model.head, y))


def _multiply(linear: Linear, rows: Tensor) -> Tensor:
    few = linear.kernel == "dense" and matvec.is_fast(rows.shape[0] * rows.shape[1], linear.weight)
    return matvec.multiply(rows, linear.weight) if few else linear(rows)
