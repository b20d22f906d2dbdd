"""Keys and values of the decoder in pages, which slots take as their streams grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor

from streaming_server.engines.dia.model.config import DiaConfig
from streaming_server.engines.dia.model.kv_cache import BRANCHES

PAGE_FRAMES: Final = 64
"""Frames in a page: 0.74 s of audio. With the published model in bfloat16 a page takes 4.7 MB."""


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Layout of a page, which holds either frames of both branches or bytes of text.

    frames, text: positions in a page. size: elements of a page in one layer. frame_pages, text_pages: most
    that a slot can have of each.
    """

    frames: int
    text: int
    size: int
    frame_pages: int
    text_pages: int

    @classmethod
    def of(cls, config: DiaConfig, frames: int, text: int) -> Self:
        """Return the layout for streams of at most `frames` frames and `text` bytes of text."""
        d = config.decoder
        size = PAGE_FRAMES * BRANCHES * 2 * d.kv_heads * d.head_width
        page_text = size // (2 * d.cross_heads * d.cross_head_width)
        return cls(PAGE_FRAMES, page_text, size, -(-frames // PAGE_FRAMES), -(-text // page_text))

    @property
    def slot_pages(self) -> int:
        """Pages of the longest stream with the longest text."""
        return self.frame_pages + self.text_pages

    def pages(self, frames: int, text: int) -> int:
        """Return the number of pages of a stream of `frames` frames and `text` bytes of text."""
        return -(-frames // self.frames) + -(-text // self.text)


def page_bytes(config: DiaConfig, dtype: torch.dtype) -> int:
    """Return the size of a page in all layers, in bytes."""
    return PageLayout.of(config, 1, 1).size * config.decoder.layers * dtype.itemsize


@dataclass(frozen=True, slots=True)
class PagedCache:
    """The pages of all slots, and the table of which slot has which.

    pool: [layers, pages, elements]; page 0 belongs to no slot and takes what is written to none. table:
    [slots, frame pages + text pages], int64, on the device: the pages of each slot in order, those of its
    frames first, 0 where it has none.
    """

    layout: PageLayout
    pool: Tensor
    table: Tensor
    _frame_shape: tuple[int, ...]
    _text_shape: tuple[int, ...]

    @classmethod
    def empty(
        cls,
        config: DiaConfig,
        slots: int,
        pages: int,
        frames: int,
        text: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Self:
        """Allocate `pages` pages, and the one that belongs to no slot."""
        d, layout = config.decoder, PageLayout.of(config, frames, text)
        pool = torch.zeros(d.layers, pages + 1, layout.size, device=device, dtype=dtype)
        table = torch.zeros(slots, layout.slot_pages, device=device, dtype=torch.int64)
        frame_shape = (-1, BRANCHES, 2, d.kv_heads, layout.frames, d.head_width)
        text_shape = (-1, 2, d.cross_heads, layout.text, d.cross_head_width)
        return cls(layout, pool, table, frame_shape, text_shape)

    @property
    def pages(self) -> int:
        """Pages that slots can have."""
        return self.pool.shape[1] - 1

    def self_pages(self, layer: int) -> Tensor:
        """View a layer's pages as frames: [pages, branches, 2, kv heads, frames, head width]."""
        return self.pool[layer].view(self._frame_shape)

    def cross_pages(self, layer: int) -> Tensor:
        """View a layer's pages as text: [pages, 2, heads, text, head width]."""
        return self.pool[layer].view(self._text_shape)

    def frame_places(self, slot: Tensor, positions: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Return page and offset of frames of one slot; those from `end` on belong to page 0.

        slot, end: [1], int64. positions: [n], int64.
        """
        column = (positions // self.layout.frames).clamp_(max=self.layout.frame_pages - 1)
        return self.table[slot, column].masked_fill_(positions >= end, 0), positions % self.layout.frames

    def text_places(self, slot: Tensor, positions: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Return page and offset of bytes of text, as `frame_places` does for frames."""
        column = (positions // self.layout.text).clamp_(max=self.layout.text_pages - 1)
        pages = self.table[slot, column + self.layout.frame_pages]
        return pages.masked_fill_(positions >= end, 0), positions % self.layout.text

    def spread(self) -> None:
        """Give every slot as many pages as it can have, though slots share them; only to time steps."""
        slots, width = self.table.shape
        numbers = torch.arange(slots * width, device=self.table.device).view(slots, width)
        self.table.copy_(numbers % self.pages + 1)

    def clear(self) -> None:
        """Take all pages from all slots."""
        self.table.zero_()
