"""The kernels' arithmetic, in Triton's interpreter. Run by `test_kernels.py` in a process of its own."""

from __future__ import annotations

import time

import pytest
import torch
from helpers.simulated_cuda import SimulatedCuda
from helpers.spoken import drain, pcm
from helpers.tiny_kernels import fill, slots_of

from streaming_server.engines.dia.kernels.attention import Split, cross_attention, self_attention
from streaming_server.engines.dia.kernels.pointwise import add_rms_norm, embed_rms_norm, silu_mul
from streaming_server.engines.dia.kernels.sampling import advance, sample
from streaming_server.engines.dia.model import columns
from streaming_server.engines.dia.model.sampling import SamplingRules, sample_codes
from streaming_server.engines.dia.serving.engine import DiaEngine
from streaming_server.engines.dia.serving.fused_step import FusedStep
from streaming_server.engines.dia.serving.graphs import GraphRunner
from streaming_server.engines.dia.serving.load import create_engine
from streaming_server.engines.dia.serving.slots import NO_END, SamplingParams, sampling_tensors
from streaming_server.engines.dia.serving.step_graphs import FusedSteps
from streaming_server.engines.dia.serving.stream import CHUNK_RAMP
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance

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
    return torch.tensor([slot_ids, [1] * len(slot_ids) if active is None else active])


def rotate(x, angles):
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * angles).flatten(-2).to(x.dtype)


def attend(q, keys, values):
    """One query row over keys [n, width] in double precision."""
    weights = torch.softmax(keys.double() @ q.double(), 0)
    return weights @ values.double()


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize("split", [Split(1, 256), Split(5, 32), Split(8, 64)])
def test_self_attention_covers_live_frames_and_writes_the_new_one(monkeypatch, dtype, split):
    monkeypatch.setattr(Split, "of", lambda programs, length: split)
    heads, kv_heads, width, frames, slots = 4, 2, 16, 256, 5
    positions = [0, 1, 31, 170, 255]
    cache = noise(slots, 2, 2, kv_heads, frames, width, dtype=dtype)
    before = cache.clone()
    angles = torch.polar(torch.ones(frames, width // 2), noise(frames, width // 2, seed=3))
    rotary = torch.view_as_real(angles).reshape(frames, width).contiguous()
    slot_ids, active = [3, 0, 4, 2, 1], [1, 1, 1, 1, 0]
    qkv = noise(5, 2, (heads + 2 * kv_heads) * width, seed=1, dtype=dtype)
    found = self_attention(
        qkv,
        rotary,
        cache,
        batch_of(slot_ids, active),
        state_of(slots, columns.POSITION, positions),
        columns.POSITION,
        heads,
    )
    for index, slot in enumerate(slot_ids[:4]):
        position = positions[slot]
        for branch in range(2):
            new = qkv[index, branch].view(-1, width)
            q = rotate(new[:heads], angles[position])
            before[slot, branch, 0, :, position] = rotate(new[heads : heads + kv_heads], angles[position])
            before[slot, branch, 1, :, position] = new[heads + kv_heads :]
            for head in range(heads):
                keys, values = before[slot, branch, :, head // 2, : position + 1]
                expected = attend(q[head], keys, values)
                close(found[index, branch].view(heads, width)[head], expected, DTYPES[dtype])
    torch.testing.assert_close(cache, before, rtol=1e-2 if dtype != torch.float32 else 1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize("split", [Split(1, 128), Split(3, 32)])
def test_cross_attention_covers_live_text(monkeypatch, dtype, split):
    monkeypatch.setattr(Split, "of", lambda programs, length: split)
    heads, width, text, slots = 4, 32, 128, 4
    lengths = [1, 33, 128, 77]
    cache = noise(slots, 2, heads, text, width, dtype=dtype)
    slot_ids = [2, 1, 0, 3]
    q = noise(4, 1, heads * width, seed=1, dtype=dtype)
    state = state_of(slots, columns.TEXT, lengths)
    found = cross_attention(q, cache, batch_of(slot_ids), state, columns.TEXT)
    for index, slot in enumerate(slot_ids):
        for head in range(heads):
            keys, values = cache[slot, :, head, : lengths[slot]]
            expected = attend(q[index, 0].view(heads, width)[head], keys, values)
            close(found[index, 0].view(heads, width)[head], expected, DTYPES[dtype])


def test_attention_reads_nothing_beyond_the_live_part():
    heads, width, slots = 2, 16, 2
    cache = torch.full((slots, 2, heads, 64, width), torch.nan)
    cache[1, :, :, :20] = noise(2, heads, 20, width)
    q = noise(1, 1, heads * width)
    found = cross_attention(q, cache, batch_of([1]), state_of(slots, columns.TEXT, [0, 20]), columns.TEXT)
    assert bool(found.isfinite().all())


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
    x, y = embed_rms_norm(codes, embedding, weight, batch_of([2, 0]), state, columns.POSITION, 1e-5)
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
    plain, fused = slots_of(settings, prefill=True), slots_of(settings, prefill=True)
    step = FusedStep(fused)
    for slot_ids in ([0, 1, 2, 3], [2, 0, 3], [1], [3, 2, 1, 0]):
        fill(plain, slot_ids)
        active = [1] * len(slot_ids) + [0] * (len(slot_ids) % 2)
        step(batch_of([*slot_ids, *([0] * (len(slot_ids) % 2))], active))
        assert torch.equal(fused.codes, plain.codes)
        assert torch.equal(fused.ints, plain.ints)


@pytest.mark.timeout(500)
def test_graph_runner_generates_what_the_plain_runner_does():
    """The whole engine on a simulated GPU: one graph per batch size, padded batches, greedy and sampled."""
    heard = []
    for kernels in (False, True):
        plain = create_engine("random:tiny", device="cpu", slots=3)._runner
        with torch.inference_mode():
            gpu = SimulatedCuda()
            runner = GraphRunner(plain.slots, plain.codec, CHUNK_RAMP, gpu, True) if kernels else plain
        engine = DiaEngine(runner)
        engine.submit(utterance(1, "Hello there.", temperature=0.0))
        engine.step()
        events = drain(engine, [utterance(2, "And you?", temperature=1.2)])
        heard.append([pcm(events, number) for number in (1, 2)])
        engine.close()
    assert len(heard[0][0]) > 1000
    assert heard[1] == heard[0]
    assert gpu.captures == 3 + 3 * len(CHUNK_RAMP), "a graph per batch size"


def utterance(number, text, **generation):
    given = Generation(max_tokens=21, seed=number, **generation)
    return Utterance(number, number, text, DEFAULT_VOICE, given, time.monotonic())


@torch.inference_mode()
def test_trials_leave_the_slots_as_they_were():
    slots = slots_of([SamplingParams()] * 2)
    slots.clear()
    before = slots.codes.clone(), slots.ints.clone()
    gpu = SimulatedCuda()
    steps = FusedSteps(slots, lambda body, inputs: gpu.capture(lambda: body() or inputs, inputs, None, None))
    with steps.trial(2) as graph:
        graph.replay()
        assert slots.ints[:, columns.POSITION].tolist() == [65, 65]
    assert torch.equal(slots.codes, before[0])
    assert torch.equal(slots.ints, before[1])
