"""Dia's encoder and decoder, computed for many streams in static shapes.

A stream occupies a slot of the KV cache. For guidance each stream has two branches, conditional (with the
text) and unconditional. The unconditional encoder input is all zeros, and cross-attention has no
positions, so its cross-attention output is one vector per layer whatever the text's length: it is computed
once, and nothing is cached for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming_server.engines.dia.model.config import DiaConfig
from streaming_server.engines.dia.model.kv_cache import BRANCHES, KVCache, KVCacheView
from streaming_server.engines.dia.model.linear import Kernel, Linear, best_kernel
from streaming_server.engines.dia.model.ops import (
    interleave_halves,
    length_mask,
    rms_norm,
    rotary_table,
    rotate,
    swiglu,
)


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    attention_norm: Tensor
    qkv: Linear
    out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    attention_norm: Tensor
    qkv: Linear
    out: Linear
    cross_norm: Tensor
    cross_q: Linear
    cross_kv: Linear
    cross_out: Linear
    unconditional: Tensor
    """[width]: what cross-attention adds in the unconditional branch."""
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


class DiaModel:
    """Dia's weights, ready to compute with.

    tensors: all of them, by transformers' names, in the dtype and on the device to compute with; they are
    removed from the dictionary as they are used. kernel: for the matrices read in every step; None for the
    fastest exact one.
    """

    def __init__(self, config: DiaConfig, tensors: dict[str, Tensor], kernel: Kernel | None = None) -> None:
        self.config = config
        self._kernel = kernel
        e, d = config.encoder, config.decoder
        self._text_embedding = tensors.pop("model.encoder.embedding.weight")
        self.device = self._text_embedding.device
        self.dtype = self._text_embedding.dtype
        self._encoder_layers = [self._encoder_layer(tensors, index) for index in range(e.layers)]
        self._encoder_norm = tensors.pop("model.encoder.norm.weight")
        self._encoder_rotary = rotary_table(e.positions, e.head_width, e.rope_theta, self.device, self.dtype)
        self.audio_embedding = tensors.pop("model.decoder.embeddings.embed.weight")
        self._channel_offsets = torch.arange(d.channels, device=self.device) * d.vocabulary
        empty_text = self._encode_empty_text()
        self.decoder_layers = [self._decoder_layer(tensors, index, empty_text) for index in range(d.layers)]
        self.decoder_norm = tensors.pop("model.decoder.norm.weight")
        self.head = self._step_linear(_aligned(tensors.pop("logits_dense.weight")))
        self.decoder_rotary = rotary_table(d.positions, d.head_width, d.rope_theta, self.device, self.dtype)
        self._identity_rotation = torch.ones(1, 1, 1, 1, device=self.device, dtype=self.decoder_rotary.dtype)

    def _linear(self, weight: Tensor) -> Linear:
        return Linear(weight, best_kernel(weight))

    def _step_linear(self, weight: Tensor) -> Linear:
        return Linear(weight, self._kernel or best_kernel(weight))

    def _encoder_layer(self, tensors: dict[str, Tensor], index: int) -> EncoderLayer:
        name = f"model.encoder.layers.{index}"
        head_width = self.config.encoder.head_width
        q, k, v, o = (tensors.pop(f"{name}.self_attention.{p}_proj.weight") for p in "qkvo")
        return EncoderLayer(
            attention_norm=tensors.pop(f"{name}.pre_sa_norm.weight"),
            qkv=self._linear(_qkv(q, k, v, head_width)),
            out=self._linear(o),
            mlp_norm=tensors.pop(f"{name}.post_sa_norm.weight"),
            gate_up=self._linear(tensors.pop(f"{name}.mlp.gate_up_proj.weight")),
            down=self._linear(tensors.pop(f"{name}.mlp.down_proj.weight")),
        )

    def _decoder_layer(self, tensors: dict[str, Tensor], index: int, empty_text: Tensor) -> DecoderLayer:
        name = f"model.decoder.layers.{index}"
        head_width = self.config.decoder.head_width
        q, k, v, o = (tensors.pop(f"{name}.self_attention.{p}_proj.weight") for p in "qkvo")
        cq, ck, cv, co = (tensors.pop(f"{name}.cross_attention.{p}_proj.weight") for p in "qkvo")
        return DecoderLayer(
            attention_norm=tensors.pop(f"{name}.pre_sa_norm.weight"),
            qkv=self._step_linear(_qkv(q, k, v, head_width)),
            out=self._step_linear(o),
            cross_norm=tensors.pop(f"{name}.pre_ca_norm.weight"),
            cross_q=self._step_linear(cq),
            cross_kv=self._linear(torch.cat([ck, cv])),
            cross_out=self._step_linear(co),
            unconditional=functional.linear(functional.linear(empty_text, cv), co),
            mlp_norm=tensors.pop(f"{name}.pre_mlp_norm.weight"),
            gate_up=self._step_linear(tensors.pop(f"{name}.mlp.gate_up_proj.weight")),
            down=self._step_linear(tensors.pop(f"{name}.mlp.down_proj.weight")),
        )

    def _encode_empty_text(self) -> Tensor:
        """Return the encoder's output for a text of zeros of any length, [encoder width]."""
        for encoded in self.encode(torch.zeros(1, dtype=torch.int64, device=self.device)):
            if encoded is not None:
                return encoded[0]
        raise AssertionError

    # The encoder

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> Iterator[Tensor | None]:
        """Encode a text, yielding None after every layer and finally the output, [T, encoder width].

        ids: [T], int64, on the device. mask: [1, 1, 1, T], added to the scores, if some of it is padding.
        """
        e = self.config.encoder
        x = functional.embedding(ids, self._text_embedding)[None]
        length = ids.shape[0]
        rotary = self._encoder_rotary[:length, None]
        for layer in self._encoder_layers:
            qkv = layer.qkv(rms_norm(x, layer.attention_norm, e.norm_eps)).view(
                1, length, 3, e.heads, e.head_width
            )
            rotated = rotate(qkv[:, :, :2], rotary[:, None]).transpose(1, 3)
            attended = functional.scaled_dot_product_attention(
                rotated[:, :, 0], rotated[:, :, 1], qkv[:, :, 2].transpose(1, 2), attn_mask=mask, scale=1.0
            )
            layer.out.add_to(x, attended.transpose(1, 2).reshape(1, length, -1))
            layer.down.add_to(x, swiglu(layer.gate_up(rms_norm(x, layer.mlp_norm, e.norm_eps))))
            yield None
        yield rms_norm(x, self._encoder_norm, e.norm_eps)[0]

    def fill_cross_cache(self, encoded: Tensor, cache: KVCache, slot: int) -> Iterator[None]:
        """Write a slot's cross-attention keys and values, yielding after every layer. encoded: [T, encoder
        width].
        """
        d = self.config.decoder
        length = encoded.shape[0]
        for layer, cross_kv in zip(self.decoder_layers, cache.cross_kv, strict=True):
            kv = layer.cross_kv(encoded[None]).view(length, 2, d.cross_heads, d.cross_head_width)
            cross_kv[slot, :, :, :length] = kv.permute(1, 2, 0, 3)
            yield

    # The decoder

    def prefill(
        self, rows: Tensor, first: int, text: int, cache: KVCache, slot: int, with_logits: bool = True
    ) -> Iterator[Tensor | None]:
        """Feed known rows to one slot, yielding None after every layer and finally the logits.

        rows: [n, channels], int64, for positions `first` to `first + n`; earlier positions must be cached.
        text: bytes in the cross-attention cache. Logits are [n, branches, channels, vocabulary] and are left
        out unless `with_logits` is set.
        """
        d = self.config.decoder
        count, end = rows.shape[0], first + rows.shape[0]
        x = self.embed(rows).expand(BRANCHES, -1, -1).contiguous()
        rotary = self.decoder_rotary[first:end, None]
        positions = torch.arange(end, device=self.device)
        mask = torch.zeros(count, end, device=self.device, dtype=self.dtype)
        mask.masked_fill_(positions > positions[first:, None], -torch.inf)
        for index, layer in enumerate(self.decoder_layers):
            self_kv = cache.self_kv[index][slot]
            qkv = layer.qkv(rms_norm(x, layer.attention_norm, d.norm_eps))
            qkv = qkv.view(BRANCHES, count, d.heads + 2 * d.kv_heads, d.head_width)
            rotated = rotate(qkv[:, :, : d.heads + d.kv_heads], rotary).transpose(1, 2)
            self_kv[:, 0, :, first:end] = rotated[:, d.heads :]
            self_kv[:, 1, :, first:end] = qkv[:, :, d.heads + d.kv_heads :].transpose(1, 2)
            keys, values = self_kv[:, :, :, :end].repeat_interleave(d.heads // d.kv_heads, dim=2).unbind(1)
            attended = functional.scaled_dot_product_attention(
                rotated[:, : d.heads], keys, values, attn_mask=mask, scale=1.0
            )
            layer.out.add_to(x, attended.transpose(1, 2).reshape(BRANCHES, count, -1))
            self._cross_prefill(layer, x, cache.cross_kv[index][slot, :, :, :text])
            layer.down.add_to(x, swiglu(layer.gate_up(rms_norm(x, layer.mlp_norm, d.norm_eps))))
            yield None
        if not with_logits:
            return
        yield self.split_logits(self.head(rms_norm(x, self.decoder_norm, d.norm_eps))).transpose(0, 1)

    def _cross_prefill(self, layer: DecoderLayer, x: Tensor, cross_kv: Tensor) -> None:
        d = self.config.decoder
        conditional = x[:1]
        q = layer.cross_q(rms_norm(conditional, layer.cross_norm, d.norm_eps))
        q = q.view(1, -1, d.cross_heads, d.cross_head_width).transpose(1, 2)
        attended = functional.scaled_dot_product_attention(q, cross_kv[:1], cross_kv[1:], scale=1.0)
        layer.cross_out.add_to(conditional, attended.transpose(1, 2).reshape(1, x.shape[1], -1))
        x[1:].add_(layer.unconditional)

    def step(self, codes: Tensor, view: KVCacheView, positions: Tensor, texts: Tensor) -> Tensor:
        """Feed one row per slot of `view`; return logits [B, branches, channels, vocabulary].

        codes: [B, channels]. positions: [B], each row's position. texts: [B], bytes of text. All int64.
        """
        d = self.config.decoder
        count = codes.shape[0]
        groups = (count * BRANCHES, d.kv_heads, d.heads // d.kv_heads, d.head_width)
        x = self.embed(codes)[:, None].expand(-1, BRANCHES, -1).contiguous()
        self_mask = length_mask(positions + 1, view.frames, self.dtype).repeat_interleave(BRANCHES, dim=0)
        cross_mask = length_mask(texts, view.text, self.dtype)
        rotation = self.decoder_rotary[positions][:, None, None].expand(-1, 1, d.heads + d.kv_heads, -1)
        rotation = torch.cat(
            [rotation, self._identity_rotation.expand(count, 1, d.kv_heads, rotation.shape[3])], dim=2
        )
        for index, layer in enumerate(self.decoder_layers):
            qkv = layer.qkv(rms_norm(x, layer.attention_norm, d.norm_eps))
            qkv = rotate(qkv.view(count, BRANCHES, -1, d.head_width), rotation)
            new = qkv[:, :, d.heads :].view(count, BRANCHES, 2, d.kv_heads, d.head_width)
            view.write(index, positions, new)
            keys, values = view.self_kv(index)
            attended = functional.scaled_dot_product_attention(
                qkv[:, :, : d.heads].view(groups), keys, values, attn_mask=self_mask, scale=1.0
            )
            layer.out.add_to(x, attended.reshape(count, BRANCHES, -1))
            self._cross_step(layer, x, view.cross_kv(index), cross_mask)
            layer.down.add_to(x, swiglu(layer.gate_up(rms_norm(x, layer.mlp_norm, d.norm_eps))))
        return self.split_logits(self.head(rms_norm(x, self.decoder_norm, d.norm_eps)))

    def _cross_step(
        self, layer: DecoderLayer, x: Tensor, cross_kv: tuple[Tensor, Tensor], mask: Tensor
    ) -> None:
        d = self.config.decoder
        conditional = x[:, :1]
        q = layer.cross_q(rms_norm(conditional, layer.cross_norm, d.norm_eps))
        q = q.view(-1, d.cross_heads, 1, d.cross_head_width)
        attended = functional.scaled_dot_product_attention(q, *cross_kv, attn_mask=mask, scale=1.0)
        layer.cross_out.add_to(conditional, attended.reshape(x.shape[0], 1, -1))
        x[:, 1].add_(layer.unconditional)

    def split_logits(self, outputs: Tensor) -> Tensor:
        """Split the head's outputs by channel: [..., outputs] → [..., channels, vocabulary], a view."""
        d = self.config.decoder
        used = outputs[..., : d.channels * d.vocabulary]
        return used.view(*outputs.shape[:-1], d.channels, d.vocabulary)

    def embed(self, codes: Tensor) -> Tensor:
        """Sum the channels' embeddings: [n, channels] → [n, width]."""
        return functional.embedding(codes + self._channel_offsets, self.audio_embedding).sum(dim=1)


def _aligned(weight: Tensor) -> Tensor:
    """Append outputs of zeros on a GPU until there are a multiple of 64.

    cuBLAS has its fast kernels only for those: the published head's 9252 take twice as long on an H200.
    """
    missing = -weight.shape[0] % 64 if weight.device.type == "cuda" else 0
    return functional.pad(weight, (0, 0, 0, missing)) if missing else weight


def _qkv(q: Tensor, k: Tensor, v: Tensor, head_width: int) -> Tensor:
    """Join the projections of self-attention, those that are rotated with their pairs side by side."""
    return torch.cat([interleave_halves(q, head_width), interleave_halves(k, head_width), v])
