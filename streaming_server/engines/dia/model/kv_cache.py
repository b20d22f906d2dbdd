"""Keys and values of the decoder, preallocated for every slot."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streaming_server.engines.dia.model.config import DiaConfig

BRANCHES = 2
"""Rows per stream for classifier-free guidance: with the text, and without."""

SlotIndex = slice | Tensor
"""Slots that a step computes: a slice, or the ids in an int64 tensor."""


@dataclass(frozen=True, slots=True)
class KVCache:
    """Keys and values of the decoder, preallocated for every slot.

    self_kv: per layer [slots, branches, 2, kv heads, frames, head width]; keys, then values. cross_kv: per
    layer [slots, 2, heads, text, head width]; of the conditional branch only.
    """

    self_kv: list[Tensor]
    cross_kv: list[Tensor]

    @property
    def frames(self) -> int:
        return self.self_kv[0].shape[4]

    @property
    def text(self) -> int:
        return self.cross_kv[0].shape[3]

    @classmethod
    def empty(
        cls, config: DiaConfig, slots: int, frames: int, text: int, device: torch.device, dtype: torch.dtype
    ) -> KVCache:
        d = config.decoder
        self_kv = (slots, BRANCHES, 2, d.kv_heads, frames, d.head_width)
        cross_kv = (slots, 2, d.cross_heads, text, d.cross_head_width)
        return cls(
            [torch.zeros(self_kv, device=device, dtype=dtype) for _ in range(d.layers)],
            [torch.zeros(cross_kv, device=device, dtype=dtype) for _ in range(d.layers)],
        )


def slot_bytes(config: DiaConfig, frames: int, text: int, dtype: torch.dtype) -> int:
    """Return the size of one slot of a `KVCache` in bytes."""
    d = config.decoder
    self_kv = BRANCHES * 2 * d.kv_heads * frames * d.head_width
    cross_kv = 2 * d.cross_heads * text * d.cross_head_width
    return d.layers * (self_kv + cross_kv) * dtype.itemsize


class KVCacheView:
    """The part of the cache that a masked step reads: some slots, `frames` frames and `text` bytes of each.

    A slice of slots is viewed in place; listed slots are gathered.
    """

    def __init__(self, cache: KVCache, slot_ids: SlotIndex, frames: int, text: int) -> None:
        self.frames = frames
        self.text = text
        self._cache = cache
        self._slot_ids = slot_ids
        device = cache.self_kv[0].device
        slots = cache.self_kv[0].shape[0]
        self.indices = (
            torch.arange(slots, device=device)[slot_ids] if isinstance(slot_ids, slice) else slot_ids
        )
        self._self_views: list[tuple[Tensor, Tensor]] = []
        self._cross_views: list[tuple[Tensor, Tensor]] = []
        if isinstance(slot_ids, slice):
            self._self_views = [self._self_view(index) for index in range(len(cache.self_kv))]
            self._cross_views = [self._cross_view(index) for index in range(len(cache.cross_kv))]

    def write(self, layer: int, positions: Tensor, new: Tensor) -> None:
        """Write keys and values [B, branches, 2, kv heads, head width] at `positions` [B]."""
        self._cache.self_kv[layer][self.indices, :, :, :, positions] = new

    def self_kv(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return keys and values, each [B × branches, kv heads, frames, head width]."""
        return self._self_views[layer] if self._self_views else self._self_view(layer)

    def cross_kv(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return keys and values, each [B, heads, text, head width]."""
        return self._cross_views[layer] if self._cross_views else self._cross_view(layer)

    def _self_view(self, layer: int) -> tuple[Tensor, Tensor]:
        live = self._cache.self_kv[layer][..., : self.frames, :][self._slot_ids].flatten(0, 1)
        return live[:, 0], live[:, 1]

    def _cross_view(self, layer: int) -> tuple[Tensor, Tensor]:
        live = self._cache.cross_kv[layer][..., : self.text, :][self._slot_ids]
        return live[:, 0], live[:, 1]
