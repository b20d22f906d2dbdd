"""The streaming decoder's samples are those of decoding everything at once."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.model.codec import (  # noqa: E402
    ENDLESS,
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
    document = {key: value for key, value in TINY_CODEC.document().items() if key != "architectures"}
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
    codec.begin(slot)
    total, fed, out = len(codes), 0, []
    lane = torch.tensor([slot])
    pieces = iter(pieces)
    while fed < total + codec.lag_frames:
        size = next(pieces)
        piece = torch.full((1, size, 9), 7)
        known = codes[fed : fed + size]
        piece[0, : len(known)] = known
        length = ENDLESS if fed + size <= total else total
        samples = codec.decode(piece, lane, torch.tensor([fed]), torch.tensor([length]))[0]
        start = fed * HOP - LAG
        fed += size
        out.append(samples[max(0, -start) : max(0, total * HOP - start)])
    return torch.cat(out)


def test_the_published_codec_lags_as_far_as_it_reaches():
    assert codec_lag(CodecConfig()) == LAG
    assert codec_slot_bytes(CodecConfig(), torch.float32) < 1_000_000


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 40, 100])
def test_any_piece_size_equals_the_full_decode(tensors, full_decode, size):
    codes = some_codes(60)
    pieces = iter(lambda: size, None)
    samples = stream(Codec(TINY_CODEC, tensors, 1), codes, pieces)
    expected = full_decode(codes)
    assert samples.shape == expected.shape == (60 * HOP,)
    assert float(expected.abs().max()) > 0.05
    assert float((samples - expected).abs().max()) < 1e-5


@pytest.mark.parametrize("frames", [1, 2, 9, 10, 11])
def test_speech_shorter_than_the_lag_is_whole(tensors, full_decode, frames):
    codes = some_codes(frames, seed=frames)
    samples = stream(Codec(TINY_CODEC, tensors, 1), codes, iter([10, 4, 8, 16]))
    assert float((samples - full_decode(codes)).abs().max()) < 1e-5


@torch.inference_mode()
def test_streams_at_different_places_share_a_call(tensors, full_decode):
    codec = Codec(TINY_CODEC, tensors, 4)
    speech = {0: some_codes(30, 1), 2: some_codes(43, 2), 3: some_codes(17, 3)}
    fed = {0: 0, 2: -8, 3: -16}
    out = {slot: [] for slot in speech}
    for slot in speech:
        codec.begin(slot)
    while any(fed[slot] < len(codes) + 10 for slot, codes in speech.items()):
        active = [slot for slot in (3, 0, 2) if 0 <= fed[slot] < len(speech[slot]) + 10]
        batch = torch.zeros(len(active), 4, 9, dtype=torch.int64)
        for lane, slot in enumerate(active):
            known = speech[slot][fed[slot] : fed[slot] + 4]
            batch[lane, : len(known)] = known
        lengths = [ENDLESS if fed[slot] + 4 <= len(speech[slot]) else len(speech[slot]) for slot in active]
        samples = codec.decode(
            batch, torch.tensor(active), torch.tensor([fed[slot] for slot in active]), torch.tensor(lengths)
        )
        for lane, slot in enumerate(active):
            start = fed[slot] * HOP - LAG
            out[slot].append(samples[lane, max(0, -start) : max(0, len(speech[slot]) * HOP - start)])
        for slot in speech:
            fed[slot] += 4
    for slot, codes in speech.items():
        assert float((torch.cat(out[slot]) - full_decode(codes)).abs().max()) < 1e-5


@torch.inference_mode()
def test_far_from_the_edges_they_need_not_be_looked_at(tensors):
    codes = some_codes(40)
    results = []
    for edges in (True, False):
        codec = Codec(TINY_CODEC, tensors, 1)
        lane, endless = slice(0, 1), torch.tensor([ENDLESS])
        codec.decode(codes[None, :16], lane, torch.tensor([0]), endless)
        results.append(codec.decode(codes[None, 16:], lane, torch.tensor([16]), endless, edges))
    assert torch.equal(*results)


def test_a_slot_remembers_nothing_of_the_stream_before(tensors):
    codec = Codec(TINY_CODEC, tensors, 2)
    fresh = stream(codec, some_codes(20, 5), iter(lambda: 6, None), slot=1)
    stream(codec, some_codes(31, 6), iter(lambda: 6, None), slot=1)
    assert torch.equal(stream(codec, some_codes(20, 5), iter(lambda: 6, None), slot=1), fresh)


def test_pcm_is_rounded_and_never_wraps():
    samples = torch.tensor([-1.5, -1.0, -0.5, 0.0, 1 / 32767, 1.0, 1.5])
    assert to_pcm(samples).tolist() == [-32768, -32767, -16384, 0, 1, 32767, 32767]
