"""The model equals transformers' on the same weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from streaming_server.engines.dia.model.config import TINY_DIA  # noqa: E402
from streaming_server.engines.dia.model.kv_cache import KVCache, KVCacheView  # noqa: E402
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots  # noqa: E402

CPU = torch.device("cpu")
CHANNELS = TINY_DIA.decoder.channels


def last(pieces):
    """Return the result of a piecewise computation."""
    result = None
    for piece in pieces:
        result = piece
    return result


def some_text(length):
    generator = torch.Generator().manual_seed(length)
    return torch.randint(1, 256, (length,), generator=generator)


def some_codes(frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 1024, (frames, CHANNELS), generator=generator)


def delayed(codes, rows):
    """The rows a model is fed for these frames: BOS before them, PAD where the model is free to speak."""
    fed = torch.full((rows, CHANNELS), TINY_DIA.pad)
    for channel, delay in enumerate(TINY_DIA.delays):
        fed[: delay + 1, channel] = TINY_DIA.bos
        known = codes[: max(0, rows - delay - 1), channel]
        fed[delay + 1 : delay + 1 + len(known), channel] = known
    return fed


def reference_logits(reference, text, rows, conditional=True):
    """[rows, channels, vocabulary]"""
    ids = text if conditional else torch.zeros_like(text)
    logits = reference(input_ids=ids[None], decoder_input_ids=rows[None]).logits
    return logits.transpose(0, 1)


def relative_error(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("length", [1, 2, 63, 150, 1024])
@torch.inference_mode()
def test_teacher_forced_logits_equal_transformers(tiny_model, tiny_reference, length):
    model, reference = tiny_model(torch.float32), tiny_reference(torch.float32)
    text, rows = some_text(length), delayed(some_codes(30), 31)
    cache = KVCache.empty(TINY_DIA, 2, 64, 1024, CPU, torch.float32)
    for _ in model.fill_cross_cache(last(model.encode(text)), cache, 1):
        pass
    logits = last(model.prefill(rows, 0, length, cache, 1))
    assert relative_error(logits[:, 0], reference_logits(reference, text, rows)) < 5e-5
    assert relative_error(logits[:, 1], reference_logits(reference, text, rows, conditional=False)) < 5e-5


@pytest.mark.parametrize("chunk", [1, 7, 31])
@torch.inference_mode()
def test_chunked_prefill_and_steps_equal_transformers(tiny_model, tiny_reference, chunk):
    model, reference = tiny_model(torch.float32), tiny_reference(torch.float32)
    text, rows = some_text(90), delayed(some_codes(50), 51)
    cache = KVCache.empty(TINY_DIA, 3, 64, 128, CPU, torch.float32)
    for _ in model.fill_cross_cache(last(model.encode(text)), cache, 2):
        pass
    got = []
    for first in range(0, 31, chunk):
        part = rows[first : min(first + chunk, 31)]
        got.extend(last(model.prefill(part, first, 90, cache, 2)))
    for position in range(31, 51):
        slot_ids = torch.tensor([2]) if position % 2 else slice(2, 3)
        view = KVCacheView(cache, slot_ids, 64, 128)
        got.extend(
            model.step(rows[position : position + 1], view, torch.tensor([position]), torch.tensor([90]))
        )
    assert relative_error(torch.stack(got)[:, 0], reference_logits(reference, text, rows)) < 5e-5


def greedy_reference(reference, text, prompt, max_tokens, scale):
    """Every row transformers speaks, the prompt's included."""
    first = len(prompt) + 1
    rows = delayed(prompt, first + TINY_DIA.last_delay)
    return reference.generate(
        input_ids=text[None],
        attention_mask=torch.ones(1, len(text), dtype=torch.int64),
        decoder_input_ids=rows[None],
        decoder_attention_mask=torch.ones(1, len(rows), dtype=torch.int64),
        do_sample=False,
        temperature=1.0,
        top_k=45,
        guidance_scale=scale,
        max_new_tokens=max_tokens - first,
    )[0]


def generate(slots, slot, text, prompt, params, slot_ids=None):
    """Prefill a slot and step it alone to its last row."""
    model = slots.model
    for _ in model.fill_cross_cache(last(model.encode(text)), slots.cache, slot):
        pass
    first = slots.begin(slot, prompt, len(text), params)
    if first > 1:
        last(model.prefill(slots.codes[slot, : first - 1], 0, len(text), slots.cache, slot))
    slot_ids = slice(slot, slot + 1) if slot_ids is None else slot_ids
    view = KVCacheView(slots.cache, slot_ids, slots.frames, slots.text)
    row = first
    while row < min(int(slots.ends[slot]) + TINY_DIA.last_delay + 1, params.max_tokens):
        slots.step(view, slot_ids, None, slots.candidates(params), params.temperature > 0)
        row += 1
    return slots.codes[slot, :row]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scale", [3.0, 1.0])
@pytest.mark.parametrize("frames", [0, 40])
@torch.inference_mode()
def test_greedy_decoding_equals_transformers(tiny_model, tiny_reference, frames, scale):
    slots = Slots(tiny_model(torch.float64), 2, frames=256, text=64)
    text, prompt = some_text(40), some_codes(frames)
    ours = generate(slots, 1, text, prompt, SamplingParams(temperature=0, cfg_scale=scale, max_tokens=200))
    theirs = greedy_reference(tiny_reference(torch.float64), text, prompt, 200, scale)
    assert torch.equal(ours, theirs)


@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_early_end_of_audio_follows_the_delays(tiny_tensors, tiny_model, tiny_reference):
    """End of audio, made likely, comes well before the limit and in the row where transformers has it."""
    head = tiny_tensors["logits_dense.weight"]
    before = head[TINY_DIA.eos].clone()
    try:
        head[TINY_DIA.eos] *= 2.2
        slots = Slots(tiny_model(torch.float64), 1, frames=640, text=64)
        reference = tiny_reference(torch.float64)
    finally:
        head[TINY_DIA.eos] = before
    text, prompt = some_text(40), some_codes(0)
    ours = generate(slots, 0, text, prompt, SamplingParams(temperature=0, max_tokens=600))
    theirs = greedy_reference(reference, text, prompt, 600, 3.0)
    assert torch.equal(ours, theirs)
    end = int(slots.ends[0])
    assert 1 < end < 500
    for channel, delay in enumerate(TINY_DIA.delays):
        assert int(ours[end + delay, channel]) == TINY_DIA.eos
        assert bool((ours[end + delay + 1 :, channel] == TINY_DIA.pad).all())
        assert bool((ours[delay + 1 : end + delay, channel] < TINY_DIA.eos).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@torch.inference_mode()
def test_streams_are_independent_of_their_batch(tiny_model, dtype):
    model = tiny_model(dtype)
    texts = [some_text(length) for length in (20, 64, 33, 7, 50)]
    all_params = [
        SamplingParams(seed=1),
        SamplingParams(seed=2, temperature=0),
        SamplingParams(seed=3, top_k=None, temperature=1.8),
        SamplingParams(seed=4, cfg_scale=1.0, top_p=0.7),
        SamplingParams(seed=1, cfg_filter_top_k=9, top_k=3),
    ]
    alone = []
    for text, params in zip(texts, all_params, strict=True):
        slots = Slots(model, 1, frames=256, text=64)
        _prepare(slots, 0, text, params)
        view = KVCacheView(slots.cache, slice(0, 1), 64, 64)
        for _ in range(60):
            slots.step(view, slice(0, 1), None, slots.candidates(params), params.temperature > 0)
        alone.append(slots.codes[0, :61].clone())
    slots = Slots(model, 5, frames=256, text=64)
    for slot, (text, params) in enumerate(zip(texts, all_params, strict=True)):
        _prepare(slots, slot, text, params)
    rows = [0] * 5
    shuffle = torch.Generator().manual_seed(0)
    while min(rows) < 60:
        slot_ids = torch.randperm(5, generator=shuffle)[: int(torch.randint(1, 6, (1,), generator=shuffle))]
        active = torch.tensor([[rows[slot_id] < 60] for slot_id in slot_ids.tolist()])
        candidates = max(slots.candidates(all_params[slot_id]) for slot_id in slot_ids.tolist())
        slots.step(KVCacheView(slots.cache, slot_ids, 128, 64), slot_ids, active, candidates, True)
        for slot_id in slot_ids.tolist():
            rows[slot_id] += rows[slot_id] < 60
    for slot in range(5):
        assert torch.equal(slots.codes[slot, :61], alone[slot]), f"stream {slot}"


def _prepare(slots, slot, text, params):
    for _ in slots.model.fill_cross_cache(last(slots.model.encode(text)), slots.cache, slot):
        pass
    slots.begin(slot, some_codes(0), len(text), params)


@torch.inference_mode()
def test_frames_of_undoes_the_delays(tiny_model):
    slots = Slots(tiny_model(torch.float32), 2, frames=128, text=16)
    prompt = some_codes(30)
    slots.begin(1, prompt, 4, SamplingParams())
    frames = slots.frames_of(torch.tensor([1]), torch.tensor([1]), 30)
    assert torch.equal(frames[0], prompt)


@torch.inference_mode()
def test_int8_logits_stay_close(tiny_tensors, tiny_model):
    from streaming_server.engines.dia.model.transformer import DiaModel

    rows, text = delayed(some_codes(20), 21), some_text(30)
    logits = []
    for model in (tiny_model(torch.float32), DiaModel(TINY_DIA, dict(tiny_tensors), "int8")):
        cache = KVCache.empty(TINY_DIA, 1, 32, 32, CPU, torch.float32)
        for _ in model.fill_cross_cache(last(model.encode(text)), cache, 0):
            pass
        logits.append(last(model.prefill(rows, 0, 30, cache, 0)))
    error = float((logits[1] - logits[0]).norm() / logits[0].norm())
    assert 0 < error < 0.05


def free_memory():
    from streaming_server.engines.dia.serving.device import device_memory

    memory = device_memory(CPU)
    return memory.total - memory.used


@pytest.mark.slow
@pytest.mark.timeout(900)
@torch.inference_mode()
def test_teacher_forced_logits_equal_transformers_at_full_size():
    if free_memory() < 18e9:
        pytest.skip("needs 18 GB of free memory")
    from streaming_server.bench.dia.reference import reference_model
    from streaming_server.engines.dia.model.config import DiaConfig
    from streaming_server.engines.dia.model.transformer import DiaModel
    from streaming_server.engines.dia.weights.random_init import random_tensors
    from streaming_server.engines.dia.weights.shapes import dia_shapes

    config = DiaConfig()
    # Dia folds attention's 1 / sqrt(128) into what its queries learnt. Without it random queries attend so
    # sharply that single precision alone moves logits by 1e-3: transformers' own, against itself in double.
    tensors = {
        name: tensor * 128**-0.5 if "q_proj" in name else tensor
        for name, tensor in random_tensors(dia_shapes(config), CPU, torch.float32)
    }
    reference = reference_model(config, tensors)
    # Bytes of text, rows that are fed in all, and how many of them at once, as a prompt is.
    cases = [(1, 5, 1), (150, 13, 9), (1024, 40, 38)]
    expected = [
        reference_logits(reference, some_text(text), delayed(some_codes(rows), rows), conditional)
        for text, rows, _ in cases
        for conditional in (True, False)
    ]
    del reference
    model = DiaModel(config, tensors)
    cache = KVCache.empty(config, 1, 64, 1024, CPU, torch.float32)
    for case, (text, count, prompt) in enumerate(cases):
        rows = delayed(some_codes(count), count)
        for _ in model.fill_cross_cache(last(model.encode(some_text(text))), cache, 0):
            pass
        logits = list(last(model.prefill(rows[:prompt], 0, text, cache, 0)))
        for position in range(prompt, count):
            view = KVCacheView(cache, slice(0, 1), 64, 1024)
            row = rows[position : position + 1]
            logits.extend(model.step(row, view, torch.tensor([position]), torch.tensor([text])))
        for branch in range(2):
            assert relative_error(torch.stack(logits)[:, branch], expected[2 * case + branch]) < 1e-4
