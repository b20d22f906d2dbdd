"""The host's side of the table of pages: admission, growth, and the entries to be uploaded."""

from __future__ import annotations

from streaming_server.engines.dia.model.paged_cache import PageLayout
from streaming_server.engines.dia.serving.pages import PageBook


class PageTable:
    """Maps slots to pages and queues table entries for upload.

    pages: there are in all. pending: pages not uploaded yet, by their place in the flattened table. Entries
    are written in parallel, so a place has one pending page at most: the last that was entered.
    """

    def __init__(self, layout: PageLayout, pages: int) -> None:
        self._layout = layout
        self._book = PageBook(pages, layout.slot_pages)
        self._frames: dict[int, int] = {}
        self.pending: dict[int, int] = {}

    @property
    def free(self) -> int:
        """Pages that no slot has."""
        return self._book.free

    def admit(self, slot: int, text: int, frames: int) -> bool:
        """Reserve pages for `text` bytes of text and `frames` expected frames; take those of the text.

        Returns False if there are not enough.
        """
        if not self._book.reserve(slot, self._layout.pages(frames, text)):
            return False
        taken = self._book.take(slot, self._layout.pages(0, text))
        assert taken is not None
        self._enter(slot, self._layout.frame_pages, taken)
        self._frames[slot] = 0
        return True

    def grow(self, slot: int, frames: int) -> bool:
        """Give a slot the pages of `frames` frames; return False if it has to wait for others to end."""
        has = self._frames[slot]
        wanted = min(self._layout.pages(frames, 0), self._layout.frame_pages)
        if wanted <= has:
            return True
        taken = self._book.take(slot, wanted - has)
        if taken is None:
            return False
        self._enter(slot, has, taken)
        self._frames[slot] = wanted
        return True

    def release(self, slot: int) -> None:
        """Take back all pages of a slot. Idempotent."""
        self._book.release(slot)
        self._frames.pop(slot, None)

    def _enter(self, slot: int, column: int, pages: list[int]) -> None:
        place = slot * self._layout.slot_pages + column
        self.pending.update(enumerate(pages, place))
