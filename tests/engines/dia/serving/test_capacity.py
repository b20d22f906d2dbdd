"""The number of streams follows from the device's memory, as the device reports it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from helpers.simulated_cuda import SimulatedCuda  # noqa: E402

from streaming_server.engines.dia.model.codec import codec_slot_bytes  # noqa: E402
from streaming_server.engines.dia.model.config import TINY_DIA, CodecConfig, DiaConfig  # noqa: E402
from streaming_server.engines.dia.model.paged_cache import PageLayout, page_bytes  # noqa: E402
from streaming_server.engines.dia.serving import load  # noqa: E402
from streaming_server.engines.dia.serving.capacity import (  # noqa: E402
    MOST_SLOTS,
    SHARE,
    Capacity,
    fit,
    paged_capacity,
    typical_pages,
)
from streaming_server.engines.dia.serving.graphs import GraphRunner  # noqa: E402
from streaming_server.engines.dia.serving.load import create_engine, weight_bytes  # noqa: E402
from streaming_server.engines.dia.serving.slots import Slots  # noqa: E402
from streaming_server.errors import EngineFailure  # noqa: E402
from streaming_server.types import MemoryReport  # noqa: E402

LAYOUT = PageLayout.of(DiaConfig(), 3072, 1024)
PAGE = page_bytes(DiaConfig(), torch.bfloat16)
WEIGHTS = weight_bytes(DiaConfig(), CodecConfig(), torch.bfloat16)
GB = 10**9


def test_sizes_of_the_published_model():
    assert PAGE == 18 * 64 * 2 * 2 * 4 * 128 * 2
    assert LAYOUT.slot_pages * PAGE == pytest.approx(377e6, rel=0.01)
    assert typical_pages(LAYOUT) * PAGE == pytest.approx(113e6, rel=0.01)


@pytest.mark.parametrize(("total", "least"), [(8, 10), (16, 60), (24, 110), (80, MOST_SLOTS)])
def test_cards_of_all_sizes_hold_many_streams(total, least):
    """0.5 GB are CUDA's own, 1 GB is that of graphs and their workspaces."""
    report = MemoryReport(WEIGHTS + GB // 2, total * GB)
    found = paged_capacity(report, GB, LAYOUT, PAGE, None)
    assert found.slots >= least
    assert report.used + GB + found.pages * PAGE <= SHARE * report.total
    assert found.pages >= found.slots * typical_pages(LAYOUT)


def test_wanted_slots_get_no_more_pages_than_they_can_use():
    report = MemoryReport(WEIGHTS, 80 * GB)
    assert paged_capacity(report, GB, LAYOUT, PAGE, 6) == Capacity(6, 6 * LAYOUT.slot_pages)
    many = paged_capacity(report, GB, LAYOUT, PAGE, 400)
    assert many.slots == 400
    assert many.pages < 400 * LAYOUT.slot_pages


def test_too_many_wanted_slots_are_refused_with_both_figures():
    report = MemoryReport(WEIGHTS, 16 * GB)
    with pytest.raises(EngineFailure, match=r"200 concurrent utterances need 22\.6 GB .* 8\.3 of 16\.0 GB"):
        paged_capacity(report, GB, LAYOUT, PAGE, 200)
    with pytest.raises(EngineFailure, match=r"An utterance needs 0\.4 GB"):
        paged_capacity(MemoryReport(6 * GB, 8 * GB), GB, LAYOUT, PAGE, None)


@pytest.mark.parametrize(("total", "others"), [(8, 0.5), (24, 0.5), (24, 12), (141, 0.6)])
def test_slots_without_pages_leave_a_gpu_below_the_relief_threshold(total, others):
    report = MemoryReport(WEIGHTS + int(others * GB), total * GB)
    found = load.plain_slots(DiaConfig(), CodecConfig(), torch.bfloat16, report, GB, MOST_SLOTS)
    each = LAYOUT.slot_pages * PAGE + codec_slot_bytes(CodecConfig(), torch.float32)
    assert report.used + GB + found * each <= SHARE * report.total
    assert found == MOST_SLOTS or report.used + GB + (found + 1) * each > SHARE * report.total


class Device(SimulatedCuda):
    """A GPU of `total` bytes that counts what slots, graphs and libraries take.

    Each graph takes 1 MB for as long as it is there. The first capture makes libraries take 50 MB for ever.
    """

    def __init__(self, total):
        super().__init__()
        self.total = total
        self.libraries = self.graphs = self.pages = 0

    def report(self):
        used = 100_000_000 + self.libraries + self.graphs * 1_000_000 + self.pages
        return MemoryReport(used, self.total)

    def capture(self, body, inputs, stream, pool):
        self.libraries = 50_000_000
        self.graphs += 1
        return super().capture(body, inputs, stream, pool)

    def clear_workspaces(self):
        self.graphs = self.pages = 0


@pytest.mark.parametrize("total", [400_000_000, 1_600_000_000])
def test_what_graphs_and_libraries_take_is_measured(total):
    """The real runner, in plain steps, whose pages are those it would have with kernels."""
    device, made = Device(total), []
    engine = create_engine("random:tiny", device="cpu", slots=2)
    model, codec = engine.runner.slots.model, engine.runner.codec
    layout = PageLayout.of(TINY_DIA, 3072, 1024)
    each = page_bytes(TINY_DIA, torch.float32)

    def make(capacity):
        device.pages = capacity.pages * each
        made.append(capacity)
        with torch.inference_mode():
            return GraphRunner(Slots(model, 2, frames=64, text=64), codec, (4,), device)

    runner = fit(make, device.report, layout, each, None)
    assert made[0] == Capacity(MOST_SLOTS, layout.slot_pages)
    final = made[1]
    graphs = runner.graphs * 1_000_000
    limit = SHARE * total
    assert device.report().used == 150_000_000 + graphs + final.pages * each <= limit
    room = limit - 150_000_000 - graphs
    assert final.pages == min(room // each, final.slots * layout.slot_pages)
    runner.close()
    engine.close()
