"""Compute the streams that fit into a device's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from streaming_server.engines.dia.model.paged_cache import PageLayout
from streaming_server.engines.dia.serving.context import USUAL_PACE
from streaming_server.engines.dia.serving.segments import expected_frames
from streaming_server.errors import EngineFailure
from streaming_server.types import MemoryReport

SHARE: Final = 0.8
"""Share of the whole memory that streams may fill: below the threshold where relief begins."""

MOST_SLOTS: Final = 256
"""Slots on a GPU at most."""

TYPICAL_BYTES: Final = 150
"""Bytes of text of a typical utterance, about ten seconds."""


_HOW_TO_FREE_MEMORY = "Use --quantize int8 or stop other programs on the device."


@dataclass(frozen=True, slots=True)
class Capacity:
    """The slots and pages that fit in memory.

    slots: streams at once. pages: that they share, each of them growing as it goes.
    """

    slots: int
    pages: int


class Closeable(Protocol):
    def close(self) -> None:
        """Free all memory."""


_R = TypeVar("_R", bound=Closeable)


def typical_pages(layout: PageLayout) -> int:
    """Return the pages that a typical utterance reserves."""
    frames = expected_frames(TYPICAL_BYTES, USUAL_PACE)
    return min(layout.pages(frames, TYPICAL_BYTES), layout.slot_pages)


def paged_capacity(
    memory: MemoryReport, needed: int, layout: PageLayout, page_bytes: int, wanted: int | None
) -> Capacity:
    """Return what fits beside `needed` more bytes than are used now.

    wanted: slots, or None for as many typical utterances as fit. One stream of the greatest length always
    fits.

    Raises EngineFailure if it does not, or if fewer typical utterances fit than are wanted.
    """
    room = int(memory.total * SHARE) - memory.used - needed
    pages = room // page_bytes
    least = max(layout.slot_pages, (wanted or 1) * typical_pages(layout))
    if pages < least:
        several = wanted is not None and wanted > 1
        raise EngineFailure(
            f"{f'{wanted} concurrent utterances need' if several else 'An utterance needs'}"
            f" {least * page_bytes / 1e9:.1f} GB beside the model; {max(0, room) / 1e9:.1f} of"
            f" {memory.total / 1e9:.1f} GB are available."
            f" {'Lower --slots.' if several else _HOW_TO_FREE_MEMORY}"
        )
    slots = wanted or min(MOST_SLOTS, max(1, pages // typical_pages(layout)))
    return Capacity(slots, min(pages, slots * layout.slot_pages))


def fit(
    make: Callable[[Capacity], _R],
    memory: Callable[[], MemoryReport],
    layout: PageLayout,
    page_bytes: int,
    wanted: int | None,
) -> _R:
    """Make what serves streams, with all the pages that there is memory for.

    What libraries, graphs and their workspaces take is measured: everything is made once with the fewest
    pages, and then again. Raises EngineFailure as `paged_capacity` does.
    """
    before = memory().used
    trial = make(Capacity(wanted or MOST_SLOTS, layout.slot_pages))
    beside = memory().used - before - layout.slot_pages * page_bytes
    trial.close()
    del trial
    now = memory()
    # Libraries keep some of it, which is counted as used by now.
    kept = now.used - before
    return make(paged_capacity(now, max(0, beside - kept), layout, page_bytes, wanted))
