"""Dia's encoder and decoder, computed for many streams in static shapes.

A stream is a slot: a fixed place in the caches below. Each stream has two branches, with the text and without
it, for guidance. The branch without text reads only zeros; since cross-attention has no positions, what it
hears there is one vector per layer whatever the text's length, so it is computed once and nothing is cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming_server.engines.dia.model.config import DiaConfig
from streaming_server.engines.dia.model.linear import Kernel, Linear, best_kernel

BRANCHES = 2

Lanes = slice | Tensor
"""Which slots a step advances: the first few, or the ones listed in an int64 tensor."""


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
    """[width]: what cross-attention adds in the branch without text."""
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class Caches:
    """Keys and values of every slot, preallocated.

    own: per layer [slots, branches, 2, kv heads, frames, head width]; keys, then values.
    cross: per layer [slots, 2, heads, text, head width]; of the branch with text only.
    """

    own: list[Tensor]
    cross: list[Tensor]

    @property
    def frames(self) -> int:
        return self.own[0].shape[4]

    @property
    def text(self) -> int:
        return self.cross[0].shape[3]

    @classmethod
    def empty(
        cls, config: DiaConfig, slots: int, frames: int, text: int, device: torch.device, dtype: torch.dtype
    ) -> Caches:
        d = config.decoder
        own = (slots, BRANCHES, 2, d.kv_heads, frames, d.head_width)
        cross = (slots, 2, d.cross_heads, text, d.cross_head_width)
        return cls(
            [torch.zeros(own, device=device, dtype=dtype) for _ in range(d.layers)],
            [torch.zeros(cross, device=device, dtype=dtype) for _ in range(d.layers)],
        )


def slot_bytes(config: DiaConfig, frames: int, text: int, dtype: torch.dtype) -> int:
    """What one slot of `Caches` takes."""
    d = config.decoder
    own = BRANCHES * 2 * d.kv_heads * frames * d.head_width
    cross = 2 * d.cross_heads * text * d.cross_head_width
    return d.layers * (own + cross) * dtype.itemsize


class DiaModel:
    """The weights, ready to compute with.

    tensors: by transformers' names, all of them, in `dtype` and on `device`; taken out of the dictionary as
    they are used. kernel: for the matrices read in every step; None for the fastest exact one.
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
        self._encoder_turns = _turns(e.positions, e.head_width, e.rope_theta, self.device, self.dtype)
        self._audio_embedding = tensors.pop("model.decoder.embeddings.embed.weight")
        self._channel_offsets = torch.arange(d.channels, device=self.device) * d.vocabulary
        nothing_read = self._nothing_read()
        self._decoder_layers = [
            self._decoder_layer(tensors, index, nothing_read) for index in range(d.layers)
        ]
        self._decoder_norm = tensors.pop("model.decoder.norm.weight")
        self._head = self._step_linear(tensors.pop("logits_dense.weight"))
        self._decoder_turns = _turns(d.positions, d.head_width, d.rope_theta, self.device, self.dtype)
        self._still = torch.ones(1, 1, 1, 1, device=self.device, dtype=self._decoder_turns.dtype)

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
            qkv=self._linear(torch.cat([_pairs(q, head_width), _pairs(k, head_width), v])),
            out=self._linear(o),
            mlp_norm=tensors.pop(f"{name}.post_sa_norm.weight"),
            gate_up=self._linear(tensors.pop(f"{name}.mlp.gate_up_proj.weight")),
            down=self._linear(tensors.pop(f"{name}.mlp.down_proj.weight")),
        )

    def _decoder_layer(self, tensors: dict[str, Tensor], index: int, nothing_read: Tensor) -> DecoderLayer:
        name = f"model.decoder.layers.{index}"
        head_width = self.config.decoder.head_width
        q, k, v, o = (tensors.pop(f"{name}.self_attention.{p}_proj.weight") for p in "qkvo")
        cq, ck, cv, co = (tensors.pop(f"{name}.cross_attention.{p}_proj.weight") for p in "qkvo")
        return DecoderLayer(
            attention_norm=tensors.pop(f"{name}.pre_sa_norm.weight"),
            qkv=self._step_linear(torch.cat([_pairs(q, head_width), _pairs(k, head_width), v])),
            out=self._step_linear(o),
            cross_norm=tensors.pop(f"{name}.pre_ca_norm.weight"),
            cross_q=self._step_linear(cq),
            cross_kv=self._linear(torch.cat([ck, cv])),
            cross_out=self._step_linear(co),
            unconditional=functional.linear(functional.linear(nothing_read, cv), co),
            mlp_norm=tensors.pop(f"{name}.pre_mlp_norm.weight"),
            gate_up=self._step_linear(tensors.pop(f"{name}.mlp.gate_up_proj.weight")),
            down=self._step_linear(tensors.pop(f"{name}.mlp.down_proj.weight")),
        )

    def _nothing_read(self) -> Tensor:
        """[encoder width]: what the encoder makes of a text of zeros, of whatever length."""
        for encoded in self.encode(torch.zeros(1, dtype=torch.int64, device=self.device)):
            if encoded is not None:
                return encoded[0]
        raise AssertionError

    # The encoder

    def encode(self, ids: Tensor) -> Iterator[Tensor | None]:
        """Read a text, a layer between two pauses; the last thing to come is [T, encoder width].

        ids: [T], int64, on the device.
        """
        e = self.config.encoder
        x = functional.embedding(ids, self._text_embedding)[None]
        length = ids.shape[0]
        turns = self._encoder_turns[:length, None]
        for layer in self._encoder_layers:
            qkv = layer.qkv(_norm(x, layer.attention_norm, e.norm_eps)).view(
                1, length, 3, e.heads, e.head_width
            )
            rotated = _rotate(qkv[:, :, :2], turns[:, None]).transpose(1, 3)
            heard = functional.scaled_dot_product_attention(
                rotated[:, :, 0], rotated[:, :, 1], qkv[:, :, 2].transpose(1, 2), scale=1.0
            )
            layer.out.add_to(x, heard.transpose(1, 2).reshape(1, length, -1))
            layer.down.add_to(x, _gated(layer.gate_up(_norm(x, layer.mlp_norm, e.norm_eps))))
            yield None
        yield _norm(x, self._encoder_norm, e.norm_eps)[0]

    def remember_text(self, encoded: Tensor, caches: Caches, slot: int) -> Iterator[None]:
        """Fill a slot's cross-attention cache, a layer between two pauses. encoded: [T, encoder width]."""
        d = self.config.decoder
        length = encoded.shape[0]
        for layer, cross in zip(self._decoder_layers, caches.cross, strict=True):
            kv = layer.cross_kv(encoded[None]).view(length, 2, d.cross_heads, d.cross_head_width)
            cross[slot, :, :, :length] = kv.permute(1, 2, 0, 3)
            yield

    # The decoder

    def prefill(
        self,
        rows: Tensor,
        first: int,
        text: int,
        caches: Caches,
        slot: int,
        speak: bool = True,
        branches: int = BRANCHES,
    ) -> Iterator[Tensor | None]:
        """Feed known rows to one slot, a layer between two pauses; the last thing to come is their logits.

        rows: [n, channels], int64, for positions `first` to `first + n`, before which the cache is filled.
        text: bytes in the cross-attention cache. Logits are [n, branches, channels, vocabulary]; without
        `speak` there are none. branches: 1 where the cache of the branch without text is filled otherwise.
        """
        d = self.config.decoder
        count, end = rows.shape[0], first + rows.shape[0]
        x = self._embed(rows).expand(branches, -1, -1).contiguous()
        turns = self._decoder_turns[first:end, None]
        positions = torch.arange(end, device=self.device)
        mask = torch.zeros(count, end, device=self.device, dtype=self.dtype)
        mask.masked_fill_(positions > positions[first:, None], -torch.inf)
        for index, layer in enumerate(self._decoder_layers):
            own = caches.own[index][slot, :branches]
            qkv = layer.qkv(_norm(x, layer.attention_norm, d.norm_eps))
            qkv = qkv.view(branches, count, d.heads + 2 * d.kv_heads, d.head_width)
            turned = _rotate(qkv[:, :, : d.heads + d.kv_heads], turns).transpose(1, 2)
            own[:, 0, :, first:end] = turned[:, d.heads :]
            own[:, 1, :, first:end] = qkv[:, :, d.heads + d.kv_heads :].transpose(1, 2)
            keys, values = own[:, :, :, :end].repeat_interleave(d.heads // d.kv_heads, dim=2).unbind(1)
            heard = functional.scaled_dot_product_attention(
                turned[:, : d.heads], keys, values, attn_mask=mask, scale=1.0
            )
            layer.out.add_to(x, heard.transpose(1, 2).reshape(branches, count, -1))
            self._cross_prefill(layer, x, caches.cross[index][slot, :, :, :text])
            layer.down.add_to(x, _gated(layer.gate_up(_norm(x, layer.mlp_norm, d.norm_eps))))
            yield None
        if not speak:
            return
        logits = self._head(_norm(x, self._decoder_norm, d.norm_eps))
        yield logits.view(branches, count, d.channels, d.vocabulary).transpose(0, 1)

    def _cross_prefill(self, layer: DecoderLayer, x: Tensor, cross: Tensor) -> None:
        d = self.config.decoder
        conditional = x[:1]
        q = layer.cross_q(_norm(conditional, layer.cross_norm, d.norm_eps))
        q = q.view(1, -1, d.cross_heads, d.cross_head_width).transpose(1, 2)
        heard = functional.scaled_dot_product_attention(q, cross[:1], cross[1:], scale=1.0)
        layer.cross_out.add_to(conditional, heard.transpose(1, 2).reshape(1, x.shape[1], -1))
        x[1:].add_(layer.unconditional)

    def step(self, codes: Tensor, view: CacheView, positions: Tensor, texts: Tensor) -> Tensor:
        """Feed one row to every lane of `view`; logits [B, branches, channels, vocabulary].

        codes: [B, channels]. positions, texts: [B], the row's position and the bytes of text; all int64.
        """
        d = self.config.decoder
        lanes = codes.shape[0]
        groups = (lanes * BRANCHES, d.kv_heads, d.heads // d.kv_heads, d.head_width)
        x = self._embed(codes)[:, None].expand(-1, BRANCHES, -1).contiguous()
        own_mask = _mask(positions + 1, view.frames, self.dtype).repeat_interleave(BRANCHES, dim=0)
        cross_mask = _mask(texts, view.text, self.dtype)
        turn = self._decoder_turns[positions][:, None, None].expand(-1, 1, d.heads + d.kv_heads, -1)
        turn = torch.cat([turn, self._still.expand(lanes, 1, d.kv_heads, turn.shape[3])], dim=2)
        for index, layer in enumerate(self._decoder_layers):
            qkv = layer.qkv(_norm(x, layer.attention_norm, d.norm_eps))
            qkv = _rotate(qkv.view(lanes, BRANCHES, -1, d.head_width), turn)
            new = qkv[:, :, d.heads :].view(lanes, BRANCHES, 2, d.kv_heads, d.head_width)
            view.write(index, positions, new)
            keys, values = view.own(index)
            heard = functional.scaled_dot_product_attention(
                qkv[:, :, : d.heads].view(groups), keys, values, attn_mask=own_mask, scale=1.0
            )
            layer.out.add_to(x, heard.reshape(lanes, BRANCHES, -1))
            self._cross_step(layer, x, view.cross(index), cross_mask)
            layer.down.add_to(x, _gated(layer.gate_up(_norm(x, layer.mlp_norm, d.norm_eps))))
        logits = self._head(_norm(x, self._decoder_norm, d.norm_eps))
        return logits.view(lanes, BRANCHES, d.channels, d.vocabulary)

    def _cross_step(self, layer: DecoderLayer, x: Tensor, cross: tuple[Tensor, Tensor], mask: Tensor) -> None:
        d = self.config.decoder
        conditional = x[:, :1]
        q = layer.cross_q(_norm(conditional, layer.cross_norm, d.norm_eps))
        q = q.view(-1, d.cross_heads, 1, d.cross_head_width)
        heard = functional.scaled_dot_product_attention(q, *cross, attn_mask=mask, scale=1.0)
        layer.cross_out.add_to(conditional, heard.reshape(x.shape[0], 1, -1))
        x[:, 1].add_(layer.unconditional)

    def _embed(self, codes: Tensor) -> Tensor:
        """Sum of the channels' embeddings: [n, channels] → [n, width]."""
        return functional.embedding(codes + self._channel_offsets, self._audio_embedding).sum(dim=1)


class CacheView:
    """The part of the caches a step looks at: some lanes, so many frames, so many bytes of text.

    For a slice of slots nothing is copied; for listed slots their live part is gathered.
    """

    def __init__(self, caches: Caches, lanes: Lanes, frames: int, text: int) -> None:
        self.frames = frames
        self.text = text
        self._caches = caches
        self._lanes = lanes
        device = caches.own[0].device
        slots = caches.own[0].shape[0]
        self.indices = torch.arange(slots, device=device)[lanes] if isinstance(lanes, slice) else lanes
        self._own: list[tuple[Tensor, Tensor]] = []
        self._cross: list[tuple[Tensor, Tensor]] = []
        if isinstance(lanes, slice):
            self._own = [self._own_of(index) for index in range(len(caches.own))]
            self._cross = [self._cross_of(index) for index in range(len(caches.cross))]

    def write(self, layer: int, positions: Tensor, new: Tensor) -> None:
        """new: [B, branches, 2, kv heads, head width], for the frame at `positions` [B]."""
        self._caches.own[layer][self.indices, :, :, :, positions] = new

    def own(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values, each [B × branches, kv heads, frames, head width]."""
        return self._own[layer] if self._own else self._own_of(layer)

    def cross(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values, each [B, heads, text, head width]."""
        return self._cross[layer] if self._cross else self._cross_of(layer)

    def _own_of(self, layer: int) -> tuple[Tensor, Tensor]:
        live = self._caches.own[layer][..., : self.frames, :][self._lanes].flatten(0, 1)
        return live[:, 0], live[:, 1]

    def _cross_of(self, layer: int) -> tuple[Tensor, Tensor]:
        live = self._caches.cross[layer][..., : self.text, :][self._lanes]
        return live[:, 0], live[:, 1]


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if x.dtype != torch.float64:
        return functional.rms_norm(x, weight.shape, weight, eps)
    # Dia normalises in single precision whatever it computes in; a reference run in double must too.
    single = x.float()
    single = single * torch.rsqrt(single.pow(2).mean(-1, keepdim=True) + eps)
    return weight * single.to(x.dtype)


def _gated(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate).mul_(up)


def _mask(lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """[B, 1, 1, width]: 0 where there is something to attend to, -inf beyond."""
    beyond = torch.arange(width, device=lengths.device) >= lengths[:, None]
    return torch.zeros((), device=lengths.device, dtype=dtype).masked_fill(beyond, -torch.inf)[:, None, None]


def _pairs(weight: Tensor, head_width: int) -> Tensor:
    """Reorder each head's rows so that the two halves rotated together lie side by side.

    Queries and keys are reordered alike, so their products stay; a rotation becomes one complex product.
    """
    return weight.view(-1, 2, head_width // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def _turns(positions: int, head_width: int, theta: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Rotary embedding as unit complex numbers, [positions, head width / 2]; angles in single precision."""
    exponents = torch.arange(0, head_width, 2, dtype=torch.float32) / head_width
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * (1.0 / theta**exponents)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.complex(angles.cos().to(wide), angles.sin().to(wide)).to(device)


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
    """x: [..., head width], turned pair by pair, computed in single precision or better."""
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    pairs = torch.view_as_complex(wide.view(*wide.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
