"""Prefill in static shapes, so that a text and a piece of a prompt are one CUDA graph each.

Texts are padded to one of a few lengths, prompts are fed in pieces of `PIECE_ROWS` rows. What is computed for
padding is written to the page that belongs to no slot.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streaming_server.engines.dia.kernels.prefill_attention import (
    prefill_cross_attention,
    prefill_self_attention,
)
from streaming_server.engines.dia.model.kv_cache import BRANCHES
from streaming_server.engines.dia.model.ops import length_mask, rms_norm, rotate, swiglu
from streaming_server.engines.dia.model.transformer import DecoderLayer
from streaming_server.engines.dia.serving.prefill import PIECE_ROWS
from streaming_server.engines.dia.serving.slots import Slots


class FusedPrefill:
    """The prefill of these slots, which have pages. It keeps no state of its own."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def read_text(self, inputs: Tensor) -> None:
        """Encode a text and write its cross-attention keys and values.

        inputs: [2 + T], int64: slot, bytes of text, and the text, padded with zeros.
        """
        model, cache = self._slots.model, self._slots.paged
        slot, length, ids = inputs[:1], inputs[1:2], inputs[2:]
        positions = torch.arange(ids.shape[0], device=ids.device)
        *_, encoded = model.encode(ids, length_mask(length, ids.shape[0], model.dtype))
        assert encoded is not None
        pages, offsets = cache.text_places(slot, positions, length)
        d = model.config.decoder
        for index, layer in enumerate(model.decoder_layers):
            kv = layer.cross_kv(encoded[None]).view(-1, 2, d.cross_heads, d.cross_head_width)
            cache.cross_pages(index)[pages, :, :, offsets] = kv

    def feed_rows(self, inputs: Tensor) -> None:
        """Feed the next rows of a prompt, at most `PIECE_ROWS`, in both branches.

        inputs: [4], int64: slot, position of the first row, rows, bytes of text.
        """
        slots, model, cache = self._slots, self._slots.model, self._slots.paged
        slot, first, end = inputs[:1], inputs[1:2], inputs[1:2] + inputs[2:3]
        positions = first + torch.arange(PIECE_ROWS, device=inputs.device)
        codes = slots.codes[slot, positions.clamp(max=slots.frames)].clamp_(min=0)
        rotary = model.decoder_rotary[positions.clamp(max=slots.frames - 1)][:, None]
        pages, offsets = cache.frame_places(slot, positions, end)
        x = model.embed(codes).expand(BRANCHES, -1, -1).contiguous()
        d = model.config.decoder
        for index, layer in enumerate(model.decoder_layers):
            qkv = layer.qkv(rms_norm(x, layer.attention_norm, d.norm_eps))
            qkv = qkv.view(BRANCHES, PIECE_ROWS, -1, d.head_width)
            rotated = rotate(qkv[:, :, : d.heads + d.kv_heads], rotary)
            new = torch.stack([rotated[:, :, d.heads :], qkv[:, :, d.heads + d.kv_heads :]], dim=2)
            cache.self_pages(index)[pages, :, :, :, offsets] = new.transpose(0, 1)
            q = rotated[:, :, : d.heads].contiguous()
            layer.out.add_to(x, prefill_self_attention(q, cache, index, inputs))
            self._attend_to_text(layer, index, x, inputs)
            layer.down.add_to(x, swiglu(layer.gate_up(rms_norm(x, layer.mlp_norm, d.norm_eps))))

    def _attend_to_text(self, layer: DecoderLayer, index: int, x: Tensor, inputs: Tensor) -> None:
        d = self._slots.model.config.decoder
        q = layer.cross_q(rms_norm(x[:1], layer.cross_norm, d.norm_eps))
        q = q.view(1, PIECE_ROWS, d.cross_heads, d.cross_head_width)
        attended = prefill_cross_attention(q, self._slots.paged, index, inputs)
        layer.cross_out.add_to(x[:1], attended)
        x[1:].add_(layer.unconditional)
