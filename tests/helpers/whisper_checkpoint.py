"""A tiny real Whisper checkpoint whose decoder returns a given text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WIDTH = 64
"""Width of every layer, and the number of distinct tokens a pinned decoder can output."""
TEXT_POSITIONS = 48


def make(path: Path, *, say: str = "", language: str = "en") -> Path:
    """Write a multilingual checkpoint that `whisper.load_model` reads, and two more beside it.

    The first hears `say`, in that language, in any sample of less than 30 s; `silence.pt` takes everything
    for silence; the weights of `random.pt` are left random. Made in a separate process, so that torch stays
    out of this one. Skips the test where openai-whisper is not installed.
    """
    command = [sys.executable, __file__, str(path), language, say]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    if "No module named 'whisper'" in done.stderr:
        pytest.skip("openai-whisper is not installed")
    assert done.returncode == 0, done.stderr
    return path


def _make(path: Path, say: str, language: str) -> None:
    import torch
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    dims = ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=WIDTH,
        n_audio_head=1,
        n_audio_layer=1,
        n_vocab=51865,
        n_text_ctx=TEXT_POSITIONS,
        n_text_state=WIDTH,
        n_text_head=1,
        n_text_layer=1,
    )
    model = Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding)

    def save(name: Path) -> None:
        halves = {name: value.half() for name, value in model.state_dict().items()}
        torch.save({"dims": vars(dims), "model_state_dict": halves}, name)

    save(path.with_name("random.pt"))
    _pin(model, "", language, silence=True)
    save(path.with_name("silence.pt"))
    _pin(model, say, language, silence=False)
    save(path)


def _pin(model, say: str, language: str, silence: bool) -> None:  # type: ignore[no-untyped-def]
    """Let the position alone decide the next token.

    Every block adds nothing, so what the norm sees is token embedding plus position. Each token to be said
    has a direction of its own, and the position before it points there ten times as strongly.
    """
    import torch
    from whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(True, num_languages=model.num_languages, language=language, task="transcribe")
    start = tokenizer.timestamp_begin
    first = tokenizer.no_speech if silence else tokenizer.to_language_token(language)
    words = [] if silence else [start, *tokenizer.encode(" " + say), start + 50, tokenizer.eot]
    # The prompt is start, language, task; what follows the start also tells the language.
    script = [first, None, *words]
    assert len(script) < TEXT_POSITIONS // 2
    decoder = model.decoder
    tokens = dict.fromkeys(token for token in script if token is not None)
    with torch.no_grad():
        for block in decoder.blocks:
            for layer in (block.attn.out, block.cross_attn.out, block.mlp[2]):
                layer.weight.zero_()
                layer.bias.zero_()
        decoder.token_embedding.weight.zero_()
        decoder.positional_embedding.zero_()
        decoder.positional_embedding[:, -1] = 10.0  # Where there is nothing to say, all is equally likely.
        decoder.ln.weight.fill_(10.0)
        for direction, token in enumerate(tokens):
            decoder.token_embedding.weight[token, direction] = 1.0
        for position, token in enumerate(script):
            if token is not None:
                decoder.positional_embedding[position] = 0.0
                decoder.positional_embedding[position, list(tokens).index(token)] = 10.0
        if not silence:
            decoder.token_embedding.weight[first] *= 0.07  # Sure of the language, but not quite.


if __name__ == "__main__":
    _make(Path(sys.argv[1]), say=sys.argv[3], language=sys.argv[2])
