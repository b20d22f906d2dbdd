"""The kernels' arithmetic, in Triton's interpreter. Run by `test_kernels.py` in a process of its own."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import pytest
import torch
from helpers.simulated_cuda import SimulatedCuda
from helpers.spoken import drain, pcm
from helpers.tiny_kernels import fill, slots_of, tiny_model

from streaming_server.bench.dia.host_time import AbsentDevice
from streaming_server.engines.dia.kernels import matvec
from streaming_server.engines.dia.kernels.attention import Split, cross_attention, self_attention
from streaming_server.engines.dia.kernels.convolution import Tile, convolve
from streaming_server.engines.dia.kernels.pointwise import add_rms_norm, embed_rms_norm, silu_mul
from streaming_server.engines.dia.kernels.prefill_attention import (
    prefill_cross_attention,
    prefill_self_attention,
)
from streaming_server.engines.dia.kernels.quantized_matmul import parts_of, product
from streaming_server.engines.dia.kernels.sampling import advance, sample
from streaming_server.engines.dia.model import columns
from streaming_server.engines.dia.model.codec import Codec
from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA
from streaming_server.engines.dia.model.linear import Linear, quantize, quantize_float8
from streaming_server.engines.dia.model.paged_cache import PagedCache
from streaming_server.engines.dia.model.sampling import SamplingRules, sample_codes
from streaming_server.engines.dia.serving.engine import DiaEngine
from streaming_server.engines.dia.serving.fused_codec import FusedCodec
from streaming_server.engines.dia.serving.fused_step import FusedStep
from streaming_server.engines.dia.serving.graphs import GraphRunner
from streaming_server.engines.dia.serving.load import assemble_on_gpu, create_engine, run_kernels_once
from streaming_server.engines.dia.serving.page_table import PageTable
from streaming_server.engines.dia.serving.prefill_graphs import text_lengths
from streaming_server.engines.dia.serving.slots import NO_END, SamplingParams, Slots, sampling_tensors
from streaming_server.engines.dia.serving.step_graphs import FusedSteps
from streaming_server.engines.dia.serving.stream import CHUNK_SIZES
from streaming_server.engines.dia.weights.hub import locate
from streaming_server.engines.dia.weights.loader import read_codec
from streaming_server.types import DEFAULT_VOICE, Generation, MemoryReport, Utterance

# NumPy warns of integers that wrap, as the counter-based generator lets them, and of masked infinities.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

DTYPES = {torch.float32: 2e-6, torch.bfloat16: 1.5e-2, torch.float16: 2e-3}
"""Each precision with the relative error it may have."""

DOT_DTYPES = [torch.float32, torch.float16]
"""Triton's interpreter multiplies the bits of bfloat16 as integers in `tl.dot`."""


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(found, expected, tolerance):
    scale = expected.double().abs().max()
    error = float((found.double() - expected.double()).abs().max() / scale)
    assert error < tolerance, error


def state_of(slots, column, values):
    state = torch.zeros(slots, columns.INTEGERS, dtype=torch.int64)
    state[:, column] = torch.tensor(values)
    return state


def batch_of(slot_ids, active=None):
    """A batch in which nothing is added to the table."""
    count = len(slot_ids)
    return torch.tensor([slot_ids, [1] * count if active is None else active, [-1] * count, [0] * count])


def rotate(x, angles):
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * angles).flatten(-2).to(x.dtype)


def attend(q, keys, values):
    """One query row over keys [n, width] in double precision."""
    weights = torch.softmax(keys.double() @ q.double(), 0)
    return weights @ values.double()


CONFIG = replace(
    TINY_DIA,
    decoder=replace(
        TINY_DIA.decoder, layers=1, heads=4, kv_heads=2, head_width=16, cross_heads=2, cross_head_width=32
    ),
)
FRAMES, TEXT = 256, 128


def paged(lengths, texts, dtype):
    """A cache of noise in which slots have the pages for these lengths, in no order."""
    cache = PagedCache.empty(CONFIG, len(lengths), 40, FRAMES, TEXT, torch.device("cpu"), dtype)
    cache.pool.copy_(noise(*cache.pool.shape, dtype=dtype))
    pages = iter((torch.randperm(40, generator=torch.Generator().manual_seed(4)) + 1).tolist())
    layout = cache.layout
    for slot, (frames, text) in enumerate(zip(lengths, texts, strict=True)):
        for column in range(-(-frames // layout.frames)):
            cache.table[slot, column] = next(pages)
        for column in range(-(-text // layout.text)):
            cache.table[slot, layout.frame_pages + column] = next(pages)
    return cache


def frames_in(cache, slot, count):
    """The keys and values of a slot: [branches, 2, kv heads, frames, head width]."""
    used = cache.self_pages(0)[cache.table[slot, : cache.layout.frame_pages]]
    return used.permute(1, 2, 3, 0, 4, 5).flatten(3, 4)[:, :, :, :count]


def text_in(cache, slot, count):
    """The keys and values of a slot's text: [2, heads, text, head width]."""
    used = cache.cross_pages(0)[cache.table[slot, cache.layout.frame_pages :]]
    return used.permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :count]


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize("split", [Split(1, 256), Split(5, 32), Split(8, 64)])
def test_self_attention_covers_live_frames_and_writes_the_new_one(monkeypatch, dtype, split):
    monkeypatch.setattr(Split, "of", lambda programs, length: split)
    heads, kv_heads, width, slots = 4, 2, 16, 5
    positions = [0, 1, 31, 170, 255]
    cache = paged([position + 1 for position in positions], [1] * slots, dtype)
    known = [frames_in(cache, slot, position + 1) for slot, position in enumerate(positions)]
    angles = torch.polar(torch.ones(FRAMES, width // 2), noise(FRAMES, width // 2, seed=3))
    rotary = torch.view_as_real(angles).reshape(FRAMES, width).contiguous()
    slot_ids, active = [3, 0, 4, 2, 1], [1, 1, 1, 1, 0]
    qkv = noise(5, 2, (heads + 2 * kv_heads) * width, seed=1, dtype=dtype)
    found = self_attention(
        qkv,
        rotary,
        cache,
        0,
        batch_of(slot_ids, active),
        state_of(slots, columns.POSITION, positions),
        columns.POSITION,
        heads,
        arrivals := torch.zeros(5 * 2 * kv_heads, dtype=torch.int32),
    )
    assert not arrivals.any()
    for index, slot in enumerate(slot_ids[:4]):
        position = positions[slot]
        for branch in range(2):
            new = qkv[index, branch].view(-1, width)
            q = rotate(new[:heads], angles[position])
            known[slot][branch, 0, :, position] = rotate(new[heads : heads + kv_heads], angles[position])
            known[slot][branch, 1, :, position] = new[heads + kv_heads :]
            for head in range(heads):
                keys, values = known[slot][branch, :, head // 2]
                expected = attend(q[head], keys, values)
                close(found[index, branch].view(heads, width)[head], expected, DTYPES[dtype])
    for slot, position in enumerate(positions):
        after = frames_in(cache, slot, position + 1)
        tolerance = 1e-2 if dtype != torch.float32 else 1e-6
        torch.testing.assert_close(after, known[slot], rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize("split", [Split(1, 128), Split(3, 32)])
def test_cross_attention_covers_live_text(monkeypatch, dtype, split):
    monkeypatch.setattr(Split, "of", lambda programs, length: split)
    heads, width = 2, 32
    lengths = [1, 33, 128, 77]
    cache = paged([1] * 4, lengths, dtype)
    slot_ids = [2, 1, 0, 3]
    q = noise(4, 1, heads * width, seed=1, dtype=dtype)
    state = state_of(4, columns.TEXT, lengths)
    arrivals = torch.zeros(4 * heads, dtype=torch.int32)
    found = cross_attention(q, cache, 0, batch_of(slot_ids), state, columns.TEXT, arrivals)
    assert not arrivals.any()
    for index, slot in enumerate(slot_ids):
        for head in range(heads):
            keys, values = text_in(cache, slot, lengths[slot])[:, head]
            expected = attend(q[index, 0].view(heads, width)[head], keys, values)
            close(found[index, 0].view(heads, width)[head], expected, DTYPES[dtype])


def test_attention_reads_nothing_beyond_the_live_part():
    cache = paged([1, 1], [64, 64], torch.float32)
    cache.pool.fill_(torch.nan)
    last = cache.cross_pages(0)[cache.table[1, cache.layout.frame_pages]]
    last[:, :, :20] = noise(*last[:, :, :20].shape)
    q = noise(1, 1, 64)
    state, arrivals = state_of(2, columns.TEXT, [0, 20]), torch.zeros(2, dtype=torch.int32)
    found = cross_attention(q, cache, 0, batch_of([1]), state, columns.TEXT, arrivals)
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize(("first", "count"), [(0, 5), (37, 64), (100, 90)])
def test_prefill_attention_is_causal_and_covers_the_text(dtype, first, count):
    cache = paged([1, first + count, 256], [1, 100, 5], dtype)
    cache.pool[:, 0] = torch.nan
    rows = 96
    inputs = torch.tensor([1, first, count, 100])
    q = noise(2, rows, 4, 16, seed=1, dtype=dtype)
    found = prefill_self_attention(q, cache, 0, inputs)
    known = frames_in(cache, 1, first + count)
    for branch, row, head in itertools.product(range(2), (0, 1, count // 2, count - 1), range(4)):
        keys, values = known[branch, :, head // 2, : first + row + 1]
        expected = attend(q[branch, row, head], keys, values)
        close(found[branch, row].view(4, 16)[head], expected, DTYPES[dtype])
    q = noise(1, rows, 2, 32, seed=2, dtype=dtype)
    found = prefill_cross_attention(q, cache, 0, inputs)
    for row, head in itertools.product((0, count - 1, rows - 1), range(2)):
        keys, values = text_in(cache, 1, 100)[:, head]
        close(found[0, row].view(2, 32)[head], attend(q[0, row, head], keys, values), DTYPES[dtype])


def rms_norm(x, weight, eps=1e-5):
    x = x.double()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight.double()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [64, 100])
def test_add_rms_norm(dtype, width):
    weight = noise(width, seed=9, dtype=dtype)
    constant = noise(width, seed=8, dtype=dtype)
    for given, conditional in ((None, False), (None, True), (constant, False)):
        x = noise(3, 2, width, dtype=dtype)
        delta = noise(3, 1 if given is not None else 2, width, seed=1, dtype=dtype)
        whole = delta if given is None else torch.cat([delta, constant.expand(3, 1, -1)], dim=1)
        expected = x + whole
        y = add_rms_norm(x, delta, weight, 1e-5, constant=given, conditional=conditional)
        close(
            x, expected, 8e-3 if dtype == torch.bfloat16 else 1e-9
        )  # The interpreter truncates to bfloat16.
        close(y, rms_norm(x[:, :1] if conditional else x, weight), DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_embed_rms_norm_sums_the_channels_of_the_last_row(dtype):
    slots, rows, channels, vocabulary, width = 3, 10, 9, 12, 48
    codes = torch.randint(0, vocabulary, (slots, rows, channels))
    embedding, weight = noise(channels * vocabulary, width, dtype=dtype), noise(width, seed=1, dtype=dtype)
    positions = [0, 4, 9]
    state = state_of(slots, columns.POSITION, positions)
    table = torch.zeros(slots, 4, dtype=torch.int64)
    batch = batch_of([2, 0])
    batch[2:, 1] = torch.tensor([9, 77])
    x, y = embed_rms_norm(codes, embedding, weight, batch, table, state, columns.POSITION, 1e-5)
    assert table.nonzero().tolist() == [[2, 1]]
    assert table[2, 1] == 77
    for index, slot in enumerate((2, 0)):
        looked_up = embedding.view(channels, vocabulary, width)[range(channels), codes[slot, positions[slot]]]
        for branch in range(2):
            close(x[index, branch], looked_up.double().sum(0), DTYPES[dtype])
            close(y[index, branch], rms_norm(x[index, branch], weight), DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [128, 1500])
def test_silu_mul(dtype, width):
    gate_up = noise(2, 2, 2 * width, dtype=dtype) * 3
    gate, up = gate_up.double().chunk(2, -1)
    close(silu_mul(gate_up), torch.nn.functional.silu(gate) * up, DTYPES[dtype])


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize(
    ("rows", "outputs", "inputs"), [(1, 100, 300), (2, 64, 1024), (16, 40, 256), (70, 33, 512)]
)
def test_products_with_weights_of_8_bits(dtype, rows, outputs, inputs):
    """The inputs are split where there are few outputs; the last part may be shorter."""
    x, weight = noise(rows, 1, inputs, dtype=dtype), noise(outputs, inputs, seed=1, dtype=dtype)
    integers, scale = quantize(weight)
    exact = x.double() @ (integers.double() * scale.double()[:, None]).t()
    close(product(x, integers, scale), exact, DTYPES[dtype])
    close(Linear(weight, "converted")(x), exact, DTYPES[dtype])
    small, scale = quantize_float8(weight)
    exact = x.double() @ (small.double() * scale.double()[:, None]).t()
    close(product(x, small, scale), exact, DTYPES[dtype])
    close(Linear(weight, "converted_float8")(x), exact, DTYPES[dtype])


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize(("rows", "outputs", "inputs"), [(1, 100, 300), (2, 64, 1024), (4, 3, 20000)])
def test_products_of_a_matrix_with_few_rows(dtype, rows, outputs, inputs):
    x, weight = noise(rows, 1, inputs, dtype=dtype), noise(outputs, inputs, seed=1, dtype=dtype)
    close(matvec.multiply(x, weight), x.double() @ weight.double().t(), DTYPES[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("conditional", "gated", "with_constant"), list(itertools.product((0, 1), repeat=3)))
def test_sum_norm_product_and_silu_in_one_kernel(dtype, conditional, gated, with_constant):
    """Like the kernels for each of them."""
    width, outputs = 48, 40
    x, norm = noise(2, 2, width, dtype=dtype), noise(width, seed=1, dtype=dtype)
    added = noise(2, 1 if with_constant else 2, width, seed=2, dtype=dtype)
    constant = noise(width, seed=3, dtype=dtype) if with_constant else None
    weight = noise(outputs, width, seed=4, dtype=dtype)
    options = {"constant": constant, "conditional": bool(conditional)}
    summed, found = matvec.add_norm_multiply(x, added, norm, weight, 1e-5, gated=bool(gated), **options)
    y = add_rms_norm(x, added, norm, 1e-5, **options)
    product = (y.double() @ weight.double().t()).to(dtype)
    assert torch.equal(summed, x)
    close(found, silu_mul(product) if gated else product, DTYPES[dtype])


def test_every_float8_number_is_converted_exactly():
    small = torch.arange(256).to(torch.uint8).view(torch.float8_e4m3fn)
    small = torch.where(small.float().isnan(), torch.zeros(()), small.float()).to(torch.float8_e4m3fn)
    found = product(torch.eye(256), small.view(1, 256), torch.ones(1))
    assert torch.equal(found[:, 0], small.float())


def test_inputs_are_split_where_that_fills_the_device():
    shapes = (3072, 2048), (2048, 2048), (16384, 2048), (2048, 8192)
    assert [parts_of(2, *shape) for shape in shapes] == [4, 8, 1, 8]
    assert parts_of(2, 64, 256) == 2


EOS = 1024
CHANNELS, VOCABULARY = 9, 1028
SETTINGS = [
    SamplingParams(),
    SamplingParams(temperature=0),
    SamplingParams(top_k=None, temperature=1.8),
    SamplingParams(cfg_scale=1.0, top_p=0.7),
    SamplingParams(cfg_filter_top_k=9, top_k=3),
    SamplingParams(top_p=1.0, temperature=0.3),
    SamplingParams(cfg_filter_top_k=1028, top_k=1028, top_p=0.999),
    SamplingParams(cfg_filter_top_k=1),
]


@pytest.mark.parametrize(
    ("scale", "step", "end"),
    [(1.0, 0.0, False), (0.05, 0.0, False), (6.0, 0.5, False), (1.0, 0.25, True)],
    ids=["usual", "flat", "sharp with ties", "end of audio"],
)
@torch.inference_mode()
def test_sampling_gives_the_same_codes_as_the_plain_sampler(scale, step, end):
    """step: round logits to multiples of it, so that many tie. end: whether end of audio is likeliest."""
    streams, channels = len(SETTINGS), 2
    slots = slots_of(SETTINGS)
    generator = torch.Generator().manual_seed(int(scale * 100))
    logits = torch.randn(streams, 2, channels, VOCABULARY, generator=generator) * scale
    if step:
        logits = (logits / step).round() * step
    if end:
        logits[:, 0, 0, EOS] = logits[:, 0, 0].amax(-1) + step
    slots.ints[:, columns.SEED] = torch.randint(0, 2**62, (streams,), generator=generator)
    slots.ints[:, columns.POSITION] = torch.arange(streams) * 97
    found = sample(logits, batch_of(list(range(streams))), slots.ints, slots.floats, EOS)
    expected = sample_codes(
        logits,
        sampling_tensors(slots.ints, slots.floats),
        slots.ints[:, columns.POSITION, None] + 1,
        SamplingRules.of(channels, EOS, torch.device("cpu")),
        VOCABULARY,
        True,
    )
    assert torch.equal(found, expected)


@torch.inference_mode()
def test_advance_applies_known_codes_delays_and_the_end():
    slots = slots_of([SamplingParams()] * 4)
    delays = slots.delays
    slots.codes.fill_(-1)
    slots.codes[1, 8, 3] = 77
    slots.ints[:, columns.POSITION] = torch.tensor([4, 7, 49, 9])
    slots.ints[:, columns.END] = torch.tensor([NO_END, NO_END, NO_END, 2])
    slots.ints[:, columns.LIMIT] = torch.tensor([100, 100, 50, 100])
    chosen = torch.randint(0, 1024, (4, CHANNELS))
    chosen[0, 0] = EOS
    before = slots.codes.clone()
    batch = batch_of([0, 1, 2, 3])
    advance(chosen, slots.codes, batch, slots.ints, delays, EOS, EOS + 1)
    assert slots.ints[:, columns.POSITION].tolist() == [5, 8, 50, 10]
    assert slots.ints[:, columns.END].tolist() == [5, NO_END, 50, 2]
    assert slots.codes[0, 5].tolist() == [EOS, *chosen[0, 1:].tolist()]
    assert slots.codes[1, 8].tolist() == [*chosen[1, :3].tolist(), 77, *chosen[1, 4:].tolist()]
    assert slots.codes[2, 50].tolist() == [EOS, *chosen[2, 1:].tolist()]
    assert slots.codes[3, 10].tolist() == [EOS + 1, EOS, *chosen[3, 2:].tolist()]
    before[0, 5], before[1, 8], before[2, 50], before[3, 10] = (
        slots.codes[0, 5],
        slots.codes[1, 8],
        slots.codes[2, 50],
        slots.codes[3, 10],
    )
    assert torch.equal(slots.codes, before)
    state, codes = slots.ints.clone(), slots.codes.clone()
    advance(chosen, slots.codes, batch_of([0, 1, 2, 3], [0] * 4), slots.ints, delays, EOS, EOS + 1)
    assert torch.equal(slots.ints, state)
    assert torch.equal(slots.codes, codes)


@pytest.mark.timeout(300)
@torch.inference_mode()
def test_fused_step_generates_the_codes_of_the_plain_step():
    """Streams of all sorts, at different positions, some resting, in changing batches."""
    settings = [
        SamplingParams(temperature=0, seed=1),
        SamplingParams(seed=2),
        SamplingParams(temperature=0, cfg_scale=1.0, max_tokens=30),
        SamplingParams(seed=4, top_k=None, temperature=1.8),
    ]
    plain, fused = slots_of(settings, prefill=True), slots_of(settings, prefill=True, pages=True)
    step = FusedStep(fused)
    for slot_ids in ([0, 1, 2, 3], [2, 0, 3], [1], [3, 2, 1, 0]):
        fill(plain, slot_ids)
        active = [1] * len(slot_ids) + [0] * (len(slot_ids) % 2)
        step(batch_of([*slot_ids, *([0] * (len(slot_ids) % 2))], active))
        assert torch.equal(fused.codes, plain.codes)
        assert torch.equal(fused.ints, plain.ints)


def engine_on(pages):
    """Return an engine on a simulated GPU with `pages` pages, or on the plain runner if None."""
    plain = create_engine("random:tiny", device="cpu", slots=3).runner
    gpu = SimulatedCuda()
    if pages is None:
        return DiaEngine(plain), gpu
    with torch.inference_mode():
        slots = Slots(plain.slots.model, 3, frames=160, text=64, pages=pages)
        return DiaEngine(GraphRunner(slots, plain.codec, CHUNK_SIZES, gpu)), gpu


@pytest.mark.timeout(500)
def test_graph_runner_generates_what_the_plain_runner_does():
    """The whole engine on a simulated GPU: one graph per batch size, padded batches, greedy and sampled, and
    a second utterance that continues the first one's voice.
    """
    heard = []
    for pages in (None, 20):
        engine, gpu = engine_on(pages)
        engine.submit(utterance(1, "Hello there.", temperature=0.0))
        engine.step()
        events = drain(engine, [utterance(2, "And you?", temperature=1.2)])
        events += drain(engine, [utterance(3, "Me too.", context=2)])
        heard.append([pcm(events, number) for number in (1, 2, 3)])
        engine.close()
    assert len(heard[0][0]) > 1000
    assert heard[1] == heard[0]
    assert gpu.captures == 3 + 3 * len(CHUNK_SIZES) + 2, "one per batch size; of prefill a text and a piece"


def utterance(number, text, context=None, **generation):
    given = Generation(max_tokens=21, seed=number, **generation)
    return Utterance(number, context or number, text, DEFAULT_VOICE, given, time.monotonic())


@pytest.mark.parametrize(
    ("longest", "lengths"),
    [
        (64, [64]),
        (100, [64, 100]),
        (1024, [64, 128, 256, 512, 1024]),
        (1025, [64, 128, 256, 512, 1024, 1025]),
    ],
)
def test_the_longest_text_has_a_graph(longest, lengths):
    assert text_lengths(longest) == lengths


@torch.inference_mode()
def test_the_first_run_of_the_kernels_stays_within_its_slot():
    """On a GPU an index out of range would end the process."""
    run_kernels_once(tiny_model())


@pytest.mark.parametrize("kernels", [True, False])
def test_the_runner_for_a_gpu_is_assembled_to_measure(kernels):
    """Run the kernels once, then use a device that computes nothing."""
    sound = read_codec(locate("random:tiny", "DIA_CODEC"), TINY_CODEC, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        model = tiny_model()
    memory = MemoryReport(0, 40_000_000 if kernels else 1_270_000_000)
    runner = assemble_on_gpu(
        model, TINY_CODEC, sound, AbsentDevice(256), None, kernels, lambda device: memory
    )
    assert runner.use_triton == kernels
    assert runner.slots.count > 1
    assert runner.realtime_streams() == runner.slots.count
    assert len(runner.prefill_seconds()) == (6 if kernels else 0)
    runner.close()


@torch.inference_mode()
def test_trials_leave_the_slots_as_they_were():
    slots = slots_of([SamplingParams()] * 2, pages=True)
    slots.clear()
    before = slots.codes.clone(), slots.ints.clone(), slots.paged.table.clone()
    gpu = SimulatedCuda()
    stream = gpu.stream()
    table = PageTable(slots.paged.layout, slots.paged.pages)
    steps = FusedSteps(
        slots, table, lambda body, inputs: gpu.capture(lambda: body() or inputs, inputs, stream, None)
    )
    with gpu.use_stream(stream), steps.trial(2) as graph:
        graph.replay()
        assert slots.ints[:, columns.POSITION].tolist() == [65, 65]
    assert torch.equal(slots.codes, before[0])
    assert torch.equal(slots.ints, before[1])
    assert torch.equal(slots.paged.table, before[2])


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize(
    ("inputs", "outputs", "taps", "dilation"), [(32, 40, 7, 3), (6, 3, 7, 9), (24, 96, 2, 1), (64, 1, 1, 1)]
)
def test_convolve(dtype, inputs, outputs, taps, dilation):
    x = noise(3, 30 + (taps - 1) * dilation, inputs, dtype=dtype)
    weight = noise(outputs, taps, inputs, seed=1, dtype=dtype) / (taps * inputs) ** 0.5
    bias, alpha = noise(outputs, seed=2, dtype=dtype), noise(outputs, seed=3, dtype=dtype).abs() + 0.1
    plain = torch.nn.functional.conv1d(x.double().mT, weight.double().mT, dilation=dilation).mT
    close(convolve(x, weight, dilation), plain, DTYPES[dtype])
    wide = plain + bias.double()
    found = convolve(x, weight, dilation, bias=bias, activation=(alpha, 1 / alpha))
    close(found, wide + (wide * alpha.double()).sin() ** 2 * (1 / alpha).double(), DTYPES[dtype])


@pytest.mark.parametrize("rows", [1, 16, 17, 64, 65, 1024, 1025])
def test_tiles_of_convolutions_are_powers_of_two(rows):
    for outputs, inputs in [(1, 96), (96, 96), (192, 192), (6144, 1536), (3, 6), (40, 24)]:
        tile = Tile.of(rows, outputs, inputs)
        assert all(size >= 16 and size & (size - 1) == 0 for size in (tile.rows, tile.columns, tile.inputs))


@torch.inference_mode()
def decoded(codec, codes, chunks, lengths):
    """Two streams in slots 2 and 0, the second of which begins a chunk later."""
    heard = []
    slots = torch.tensor([2, 0])
    for slot in (0, 2):
        codec.reset(slot)
    first = 0
    for frames in chunks:
        fed = torch.tensor([first, 0])
        part = codes[:, first : first + frames]
        heard.append(codec.decode(part, slots, fed, torch.tensor(lengths)))
        first += frames
        codec.reset(0)
    return torch.cat(heard, 1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float16, 0.02)])
@pytest.mark.timeout(200)
def test_fused_codec_decodes_what_the_plain_one_does(monkeypatch, dtype, tolerance):
    """Across chunks, at a stream's beginning and beyond its end; in few programs, which take long here."""
    monkeypatch.setattr("streaming_server.engines.dia.kernels.codec_window._ROWS", 1024)
    monkeypatch.setattr(Tile, "of", lambda rows, outputs, inputs: Tile(4096, 64, 32, 1))
    tensors = read_codec(locate("random:tiny", "DIA_CODEC"), TINY_CODEC, torch.device("cpu"), torch.float32)
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(0, 1024, (2, 20, 9), generator=generator)
    chunks, lengths = (10, 4, 6), (12, 2**40)
    plain = Codec(TINY_CODEC, tensors, 3)
    fused = FusedCodec(TINY_CODEC, tensors, 3, dtype)
    expected, found = (decoded(codec, codes, chunks, lengths) for codec in (plain, fused))
    outside = torch.arange(found.shape[1]) - plain.lag
    inside = (outside >= 0) & (outside < 12 * TINY_CODEC.hop)
    close(found[0, inside], expected[0, inside], tolerance)
    close(found[1, 10 * TINY_CODEC.hop :], expected[1, 10 * TINY_CODEC.hop :], tolerance)
