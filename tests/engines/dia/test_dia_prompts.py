"""A recording becomes a voice."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from streaming_server.engines.dia.config import TINY_CODEC  # noqa: E402
from streaming_server.engines.dia.prompts import PromptEncoder  # noqa: E402
from streaming_server.errors import BadValue, EngineFailure  # noqa: E402


@pytest.fixture
def codec(tmp_path):
    document = {key: value for key, value in TINY_CODEC.document().items() if key != "architectures"}
    transformers.DacModel(transformers.DacConfig(**document)).save_pretrained(tmp_path)
    return str(tmp_path)


def test_a_recording_is_filled_up_to_whole_frames_and_encoded(codec):
    samples = np.sin(np.arange(512 * 20 + 7) / 30).astype(np.float32)
    prompt = PromptEncoder(codec).encode(samples, "[S1] Ah.")
    assert prompt.transcript == "[S1] Ah."
    assert prompt.codes.shape == (21, 9)
    assert int(prompt.codes.min()) >= 0
    assert int(prompt.codes.max()) < 1024


@pytest.mark.parametrize("seconds", [0, 25])
def test_nothing_and_far_too_much_are_refused(codec, seconds):
    with pytest.raises(BadValue, match="up to 20 s"):
        PromptEncoder(codec).encode(np.zeros(seconds * 44100, dtype=np.float32), "")


def test_random_weights_cannot_clone():
    with pytest.raises(EngineFailure, match="no encoder"):
        PromptEncoder("random:tiny")
