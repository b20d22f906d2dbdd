"""DAC's encoder."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers.checkpoints import codec_document, write_checkpoint  # noqa: E402

from streaming_server.engines.dia.model.config import TINY_CODEC, CodecConfig  # noqa: E402
from streaming_server.engines.dia.voices.encoder import WINDOW_FRAMES, PromptEncoder, encoder_reach  # noqa: E402
from streaming_server.engines.dia.weights.hub import locate  # noqa: E402
from streaming_server.engines.dia.weights.loader import has_encoder, read_codec, read_encoder  # noqa: E402
from streaming_server.engines.dia.weights.random_init import random_tensors  # noqa: E402
from streaming_server.engines.dia.weights.shapes import codec_shapes, encoder_shapes  # noqa: E402

CPU = torch.device("cpu")
RANDOM = locate("random:tiny", "DIA_CODEC")


@pytest.fixture(scope="module")
def tensors():
    return read_encoder(RANDOM, TINY_CODEC, CPU, torch.float64)


@pytest.fixture(scope="module")
def reference(tensors):
    """transformers' codec of the same weights."""
    document = {key: value for key, value in codec_document(TINY_CODEC).items() if key != "architectures"}
    codec = transformers.DacModel(transformers.DacConfig(**document))
    codec.load_state_dict(tensors, strict=False)
    return codec.double().eval()


def sound(count, seed=0):
    noise = np.random.default_rng(seed).normal(0, 0.1, count)
    return (noise + 0.3 * np.sin(np.arange(count) / 30)).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 5, WINDOW_FRAMES, WINDOW_FRAMES + 1, 3 * WINDOW_FRAMES + 40])
def test_windowed_encoding_equals_transformers(tensors, reference, frames):
    samples = sound(frames * TINY_CODEC.hop)
    windows = list(PromptEncoder(TINY_CODEC, tensors).encode(samples))
    with torch.inference_mode():
        expected = reference.encode(torch.from_numpy(samples).double()[None, None]).audio_codes[0].t()
    assert max(len(window) for window in windows) <= WINDOW_FRAMES
    assert torch.cat(windows).equal(expected)


def test_last_frame_is_padded_with_silence(tensors):
    encoder = PromptEncoder(TINY_CODEC, tensors)
    samples = sound(20 * 512 + 7)
    codes = torch.cat(list(encoder.encode(samples)))
    filled = np.concatenate([samples, np.zeros(505, np.float32)])
    assert codes.shape == (21, 9)
    assert codes.equal(torch.cat(list(encoder.encode(filled))))


def test_different_audio_gives_different_codes(tensors):
    encoder = PromptEncoder(TINY_CODEC, tensors)
    one, other = (torch.cat(list(encoder.encode(sound(512 * 40, seed)))) for seed in (1, 2))
    assert (one != other).double().mean() > 0.3


def test_encoder_reach_bounds_the_receptive_field(tensors):
    encoder = PromptEncoder(TINY_CODEC, tensors)
    frames, middle, reach = 60, 30, encoder_reach(TINY_CODEC)
    samples = torch.from_numpy(sound(frames * 512)).double()[None, None]
    begin, end = middle * 512 - reach, (middle + 1) * 512 + reach
    changed = torch.full_like(samples, 3.0)
    changed[:, :, begin:end] = samples[:, :, begin:end]
    before, after = encoder.latents(samples), encoder.latents(changed)
    assert before[:, :, middle].equal(after[:, :, middle])
    assert not before[:, :, middle - 10].equal(after[:, :, middle - 10])


def test_published_encoder_reaches_less_than_9_frames():
    assert encoder_reach(CodecConfig()) == encoder_reach(TINY_CODEC) < 9 * 512


def test_encoder_weight_norms_are_resolved(tmp_path, tensors, reference):
    codec = transformers.DacModel(reference.config).double()
    codec.load_state_dict(reference.state_dict())
    codec.apply_weight_norm()
    codec.save_pretrained(tmp_path)
    source = locate(str(tmp_path), "DIA_CODEC")
    assert has_encoder(source)
    read = read_encoder(source, TINY_CODEC, CPU, torch.float64)
    assert read.keys() == tensors.keys()
    for name, tensor in read.items():
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-6, atol=1e-9)


def test_has_encoder_is_false_for_a_decoder_only_codec(tmp_path):
    decoder = dict(random_tensors(codec_shapes(TINY_CODEC), CPU, torch.float32))
    write_checkpoint(tmp_path, codec_document(TINY_CODEC), decoder)
    assert not has_encoder(locate(str(tmp_path), "DIA_CODEC"))


def test_random_encoder_and_decoder_share_codebooks(tensors):
    decoder = read_codec(RANDOM, TINY_CODEC, CPU, torch.float64)
    shared = tensors.keys() & decoder.keys()
    assert len(shared) == 3 * TINY_CODEC.codebooks
    assert all(tensors[name].equal(decoder[name]) for name in shared)
    assert encoder_shapes(TINY_CODEC).keys() == tensors.keys() - shared
