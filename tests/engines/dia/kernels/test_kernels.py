"""The Triton kernels: their arithmetic in Triton's interpreter, and what they compile to, without a GPU."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from helpers.triton_offline import SHARED_BYTES, compile_offline, compiled, recorded_launches  # noqa: E402

from streaming_server.engines.dia.kernels import launch as dependent  # noqa: E402
from streaming_server.engines.dia.kernels import supports  # noqa: E402
from streaming_server.engines.dia.kernels.attention import BLOCK  # noqa: E402
from streaming_server.engines.dia.kernels.quantized_matmul import product  # noqa: E402
from streaming_server.engines.dia.model.config import TINY_DIA, CodecConfig, DecoderConfig, DiaConfig  # noqa: E402
from streaming_server.engines.dia.model.transformer import DiaModel  # noqa: E402
from streaming_server.engines.dia.serving.fused_codec import FusedCodec  # noqa: E402
from streaming_server.engines.dia.serving.fused_prefill import FusedPrefill  # noqa: E402
from streaming_server.engines.dia.serving.fused_step import FusedStep  # noqa: E402
from streaming_server.engines.dia.serving.slots import Slots  # noqa: E402
from streaming_server.engines.dia.weights.shapes import codec_shapes, dia_shapes  # noqa: E402

INTERPRETED = Path(__file__).with_name("interpreted.py")


def interpret(*selection):
    """Run interpreted.py with TRITON_INTERPRET set, which triton reads when it is imported."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", str(INTERPRETED), *selection]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=INTERPRETED.parents[4])
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kernels_compute_what_their_plain_counterparts_do():
    interpret("-k", "not generates")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fused_step_and_graph_runner_generate_the_plain_codes():
    interpret("-k", "generates")


def published_slots(dtype):
    """256 slots of the published model, without memory."""
    meta, config = torch.device("meta"), DiaConfig()
    tensors = {
        name: torch.empty(shape, dtype=dtype, device=meta) for name, shape in dia_shapes(config).items()
    }
    with torch.inference_mode():
        return Slots(DiaModel(config, tensors), 256, pages=1000)


@pytest.fixture(scope="module")
def launches():
    """Batch size → the launches of the published model's step; the sizes split the keys differently.

    Those of prefill and of the codec have names.
    """
    meta, found = torch.device("meta"), {}
    with torch.inference_mode():
        slots = published_slots(torch.bfloat16)
        step, prefill = FusedStep(slots), FusedPrefill(slots)
        for size in (1, 16, 256):
            with recorded_launches() as found[size]:
                step(torch.empty(4, size, dtype=torch.int64, device=meta))
        with recorded_launches() as found["early"], pytest.MonkeyPatch.context() as patch:
            patch.setattr(dependent, "overlaps", lambda device: True)
            for size in (1, 16):
                step(torch.empty(4, size, dtype=torch.int64, device=meta))
        with recorded_launches() as found["prefill"]:
            prefill.read_text(torch.empty(2 + 256, dtype=torch.int64, device=meta))
            prefill.feed_rows(torch.empty(4, dtype=torch.int64, device=meta))
        sound = {name: torch.empty(shape, device=meta) for name, shape in codec_shapes(CodecConfig()).items()}
        codec = FusedCodec(CodecConfig(), sound, 257, torch.float16)
        with recorded_launches() as found["products"]:
            layer = slots.model.decoder_layers[0]
            for rows, linear in itertools.product((2, 16, 512), (layer.qkv, layer.gate_up, layer.down)):
                x = torch.empty(rows, linear.inputs, dtype=torch.bfloat16, device=meta)
                integers = torch.empty(linear.weight.shape, dtype=torch.int8, device=meta)
                product(x, integers, x.new_empty(linear.outputs))
                small = torch.empty(linear.weight.shape, dtype=torch.float8_e4m3fn, device=meta)
                product(x, small, x.new_empty(linear.outputs))
        with recorded_launches() as found["codec"]:
            for count, frames in ((1, 10), (8, 8), (32, 16)):
                ints = torch.empty(count, dtype=torch.int64, device=meta)
                codec.decode(torch.empty(count, frames, 9, dtype=torch.int64, device=meta), ints, ints, ints)
    return found


@pytest.mark.parametrize(("size", "each"), [(1, 8), (16, 6), (256, 6)])
def test_launches_are_as_many_as_predicted(launches, size, each):
    """Of a layer: two attentions and, with one stream, six products; else three norms and SiLU."""
    first = 4 if size == 1 else 3
    assert launches[size].total() == first + DiaConfig().decoder.layers * each


@pytest.mark.slow
def test_kernels_that_start_early_wait_for_the_one_before(launches):
    """All but the first of a step, which relies on nothing else having started early."""
    early = {dict(launch.options).get("launch_pdl", False) for launch in launches["early"]}
    late = [launch for launch in launches["early"] if not dict(launch.options).get("launch_pdl")]
    assert early == {True, False}
    assert {launch.name.split()[0] for launch in late} == {"_embed_kernel"}
    for launch in launches["early"]:
        before_any_end = re.split(r"\bret;", compiled(launch, 90).asm["ptx"])[0]
        waits = "griddepcontrol.wait" in before_any_end
        assert waits == (not launch.name.startswith("_embed_kernel")), launch.name


def test_the_codec_takes_as_many_launches_as_it_says(launches):
    assert launches["codec"].total() == 3 * 48


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_BYTES)
def test_attention_loads_keys_while_it_multiplies_others(launches, capability):
    """There are at least two buffers of keys and of values, each of a block."""
    attention = [launch for launch in launches[256] if launch.name.startswith("_attention_kernel")]
    assert len(attention) == 2
    for launch in attention:
        code = compiled(launch, capability).asm["ttgir"]
        buffers = re.findall(r"local_alloc : \(\) -> !ttg.memdesc<(\d+)x(\d+)x128xbf16", code)
        assert [int(block) for _, block in buffers] == [BLOCK, BLOCK]
        assert all(int(count) >= 2 for count, _ in buffers)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("capability", SHARED_BYTES)
def test_kernels_compile_without_spills_for(launches, capability):
    names = [name for name in launches if name != "early" or capability >= 90]
    for launch in set().union(*(launches[name] for name in names)):
        usage = compile_offline(launch, capability)
        assert usage.stack == 0, f"{launch.name} spills: {usage}"
        assert usage.shared <= SHARED_BYTES[capability], f"{launch.name}: {usage}"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("capability", SHARED_BYTES)
def test_kernels_fit_into_shared_memory_in_float32(capability):
    """The benchmark's smoke test compares kernels in float32; they may spill there."""
    meta = torch.device("meta")
    with torch.inference_mode(), recorded_launches() as found:
        slots = published_slots(torch.float32)
        FusedStep(slots)(torch.empty(4, 6, dtype=torch.int64, device=meta))
        FusedPrefill(slots).feed_rows(torch.empty(4, dtype=torch.int64, device=meta))
    for launch in found:
        assert compile_offline(launch, capability).shared <= SHARED_BYTES[capability], launch.name


def test_kernels_cover_the_published_and_the_tiny_model():
    assert all(
        supports(config, dtype)
        for config in (DiaConfig(), TINY_DIA)
        for dtype in (torch.bfloat16, torch.float16, torch.float32)
    )
    assert not supports(DiaConfig(), torch.float64)
    assert not supports(DiaConfig(decoder=DecoderConfig(head_width=96)), torch.bfloat16)
