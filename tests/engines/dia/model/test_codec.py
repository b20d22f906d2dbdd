"""The streaming decoder's samples are those of decoding everything at once."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from helpers.checkpoints import codec_document  # noqa: E402

from streaming_server.engines.dia.model.codec import (  # noqa: E402
    UNKNOWN_LENGTH,
    Codec,
    codec_lag,
    codec_slot_bytes,
    to_pcm,
)
from streaming_server.engines.dia.model.config import TINY_CODEC, CodecConfig  # noqa: E402
from streaming_server.engines.dia.weights.hub import locate  # noqa: E402
from streaming_server.engines.dia.weights.loader import read_codec  # noqa: E402

HOP, LAG = TINY_CODEC.hop, 4757


@pytest.fixture(scope="module")
def tensors():
    return read_codec(locate("random:tiny", "DIA_CODEC"), TINY_CODEC, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def full_decode(tensors):
    """codes [T, codebooks] → samples, all at once, by transformers."""
    transformers = pytest.importorskip("transformers")
    document = {key: value for key, value in codec_document(TINY_CODEC).items() if key != "architectures"}
    reference = transformers.DacModel(transformers.DacConfig(**document))
    missing, unexpected = reference.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(name.startswith("encoder.") or ".in_proj." in name for name in missing)

    @torch.inference_mode()
    def decode(codes):
        return reference.decode(audio_codes=codes.t()[None]).audio_values[0]

    return decode


def some_codes(frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 1024, (frames, 9), generator=generator)


@torch.inference_mode()
def stream(codec, codes, pieces, slot=0):
    """Feed `codes` in pieces of these sizes and what must follow them; returns all samples."""
    codec.reset(slot)
    total, fed, out = len(codes), 0, []
    slot_ids = torch.tensor([slot])
    pieces = iter(pieces)
    while fed < total + codec.lag_frames:
        size = next(pieces)
        piece = torch.full((1, size, 9), 7)
        known = codes[fed : fed + size]
        piece[0, : len(known)] = known
        length = UNKNOWN_LENGTH if fed + size <= total else total
        samples = codec.decode(piece, slot_ids, torch.tensor([fed]), torch.tensor([length]))[0]
        start = fed * HOP - LAG
        fed += size
        out.append(samples[max(0, -start) : max(0, total * HOP - start)])
    return torch.cat(out)


def test_published_codec_lags_by_its_reach():
    assert codec_lag(CodecConfig()) == LAG
    assert codec_slot_bytes(CodecConfig(), torch.float32) < 1_000_000


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 40, 100])
def test_any_chunk_size_equals_full_decode(tensors, full_decode, size):
    codes = some_codes(60)
    pieces = iter(lambda: size, None)
    samples = stream(Codec(TINY_CODEC, tensors, 1), codes, pieces)
    expected = full_decode(codes)
    assert samples.shape == expected.shape == (60 * HOP,)
    assert float(expected.abs().max()) > 0.05
    assert float((samples - expected).abs().max()) < 1e-5


@pytest.mark.parametrize("frames", [1, 2, 9, 10, 11])
def test_audio_shorter_than_the_lag_is_complete(tensors, full_decode, frames):
    codes = some_codes(frames, seed=frames)
    samples = stream(Codec(TINY_CODEC, tensors, 1), codes, iter([10, 4, 8, 16]))
    assert float((samples - full_decode(codes)).abs().max()) < 1e-5


@torch.inference_mode()
def test_streams_at_different_positions_share_a_call(tensors, full_decode):
    codec = Codec(TINY_CODEC, tensors, 4)
    spoken = {0: some_codes(30, 1), 2: some_codes(43, 2), 3: some_codes(17, 3)}
    fed = {0: 0, 2: -8, 3: -16}
    out = {slot: [] for slot in spoken}
    for slot in spoken:
        codec.reset(slot)
    while any(fed[slot] < len(codes) + 10 for slot, codes in spoken.items()):
        active = [slot for slot in (3, 0, 2) if 0 <= fed[slot] < len(spoken[slot]) + 10]
        batch = torch.zeros(len(active), 4, 9, dtype=torch.int64)
        for row, slot in enumerate(active):
            known = spoken[slot][fed[slot] : fed[slot] + 4]
            batch[row, : len(known)] = known
        lengths = [
            UNKNOWN_LENGTH if fed[slot] + 4 <= len(spoken[slot]) else len(spoken[slot]) for slot in active
        ]
        samples = codec.decode(
            batch, torch.tensor(active), torch.tensor([fed[slot] for slot in active]), torch.tensor(lengths)
        )
        for row, slot in enumerate(active):
            start = fed[slot] * HOP - LAG
            out[slot].append(samples[row, max(0, -start) : max(0, len(spoken[slot]) * HOP - start)])
        for slot in spoken:
            fed[slot] += 4
    for slot, codes in spoken.items():
        assert float((torch.cat(out[slot]) - full_decode(codes)).abs().max()) < 1e-5


@torch.inference_mode()
def test_edges_can_be_ignored_far_from_them(tensors):
    codes = some_codes(40)
    results = []
    for edges in (True, False):
        codec = Codec(TINY_CODEC, tensors, 1)
        slot_ids, endless = slice(0, 1), torch.tensor([UNKNOWN_LENGTH])
        codec.decode(codes[None, :16], slot_ids, torch.tensor([0]), endless)
        results.append(codec.decode(codes[None, 16:], slot_ids, torch.tensor([16]), endless, edges))
    assert torch.equal(*results)


def test_reset_clears_a_slot(tensors):
    codec = Codec(TINY_CODEC, tensors, 2)
    fresh = stream(codec, some_codes(20, 5), iter(lambda: 6, None), slot=1)
    stream(codec, some_codes(31, 6), iter(lambda: 6, None), slot=1)
    assert torch.equal(stream(codec, some_codes(20, 5), iter(lambda: 6, None), slot=1), fresh)


def test_pcm_is_rounded_and_clamped():
    samples = torch.tensor([-1.5, -1.0, -0.5, 0.0, 1 / 32767, 1.0, 1.5])
    assert to_pcm(samples).tolist() == [-32768, -32767, -16384, 0, 1, 32767, 32767]
