"""A whole server with Dia, from the websocket to the codes."""

from __future__ import annotations

import sys

import anyio
import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from helpers.checkpoints import codec_document, write_checkpoint  # noqa: E402
from helpers.talk import talking  # noqa: E402

from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA  # noqa: E402
from streaming_server.engines.dia.weights.hub import locate  # noqa: E402
from streaming_server.engines.dia.weights.loader import read_codec  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore"),
]

TEXT = "Hello there, everyone who is listening to this today."


@pytest.fixture
def checkpoints(tmp_path, tiny_tensors):
    """Directories of a model and of a codec, and transformers' codec."""
    write_checkpoint(tmp_path / "dia", TINY_DIA.document(), tiny_tensors)
    weights = read_codec(locate("random:tiny", "DIA_CODEC"), TINY_CODEC, torch.device("cpu"), torch.float32)
    document = {key: value for key, value in codec_document(TINY_CODEC).items() if key != "architectures"}
    codec = transformers.DacModel(transformers.DacConfig(**document))
    codec.load_state_dict(weights, strict=False)
    codec.save_pretrained(tmp_path / "dac")
    return tmp_path / "dia", tmp_path / "dac", codec


@torch.inference_mode()
def expected_samples(model, codec, max_tokens):
    """Return what transformers generates greedily, decoded at once."""
    ids = torch.tensor([list(b"\x01 " + TEXT.encode() + b" \x02")])
    rows = torch.full((1, 16, 9), TINY_DIA.pad)
    for channel, delay in enumerate(TINY_DIA.delays):
        rows[0, : delay + 1, channel] = TINY_DIA.bos
    spoken = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        decoder_input_ids=rows,
        decoder_attention_mask=torch.ones(1, 16, dtype=torch.int64),
        do_sample=False,
        temperature=1.0,
        top_k=45,
        guidance_scale=3.0,
        max_new_tokens=max_tokens - 1,
    )[0]
    frames = int((spoken[:, 0] < TINY_DIA.eos).sum())
    codes = torch.stack([spoken[1 + d : 1 + d + frames, c] for c, d in enumerate(TINY_DIA.delays)])
    return (codec.decode(audio_codes=codes[None]).audio_values[0] * 32767).round().numpy()


async def test_greedy_audio_over_the_websocket_equals_transformers(start_server, checkpoints, tiny_reference):
    model, directory, codec = checkpoints
    server = start_server(
        "--engine=dia", f"--model={model}", f"--codec={directory}", "--slots=2", "--max-workers=1"
    )
    async with talking(server.ws_url) as talk:
        assert talk.ready["engine"] == "dia"
        assert talk.ready["notice"] is None
        assert talk.ready["sample_rate"] == 44100
        end = await talk.speak(TEXT, temperature=0.0, max_tokens=150, words=True)
    assert end["type"] == "done"
    heard = np.frombuffer(talk.audio(), dtype="<i2")
    expected = expected_samples(tiny_reference(torch.float32), codec, 150)
    assert heard.shape == expected.shape
    assert np.abs(heard - expected).max() <= 1
    words = [word["text"] for event in talk.of("words") for word in event["words"]]
    assert words == TEXT.split()


async def test_streamed_text_is_spoken_sentence_by_sentence(start_server, tmp_path):
    server = start_server("--engine=dia", "--model=random:tiny", "--slots=2", "--max-workers=1")
    async with talking(server.ws_url) as talk:
        await talk.send("start", seed=3, max_tokens=100)
        for piece in (
            "This is the first sentence of several th",
            "at come in pieces. ",
            "This is the second one.",
        ):
            await talk.send("text", text=piece)
        await talk.send("finish")
        end = await talk.end()
    assert end["type"] == "done"
    assert [event["text"] for event in talk.of("sentence")]
    assert len(talk.audio()) > 2 * 44100
    server.until_logged("The weights are random")
    say = [sys.executable, "run.py", "say", "Hello there.", "--pitch=2", "--url", server.url]
    told = await anyio.run_process([*say, "--out", str(tmp_path / "hello.flac")])
    assert "This engine ignores: pitch" in told.stderr.decode()
    assert soundfile.info(tmp_path / "hello.flac").samplerate == 44_100
