"""Checkpoints load in every layout, and say what is wrong with them."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from helpers.checkpoints import codec_document, write_checkpoint  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA, CodecConfig, DiaConfig  # noqa: E402
from streaming_server.engines.dia.weights.hub import locate  # noqa: E402
from streaming_server.engines.dia.weights.loader import (  # noqa: E402
    read_codec,
    read_codec_config,
    read_dia,
    read_dia_config,
)
from streaming_server.engines.dia.weights.random_init import random_tensors  # noqa: E402
from streaming_server.engines.dia.weights.shapes import codec_shapes, dia_shapes  # noqa: E402
from streaming_server.errors import EngineFailure  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def checkpoint(tmp_path):
    tensors = dict(random_tensors(dia_shapes(TINY_DIA), CPU, torch.float32))
    write_checkpoint(tmp_path, TINY_DIA.document(), tensors)
    return tmp_path, tensors


def load(path):
    source = locate(str(path), "DIA_MODEL")
    return read_dia(source, read_dia_config(source), CPU, torch.float32)


def assert_same(loaded, tensors):
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_published_model_has_the_published_parameter_count():
    assert sum(torch.Size(shape).numel() for shape in dia_shapes(DiaConfig()).values()) == 1_611_160_576


@pytest.mark.parametrize("shards", [1, 3])
def test_checkpoint_round_trip(tmp_path, shards):
    tensors = dict(random_tensors(dia_shapes(TINY_DIA), CPU, torch.float32))
    write_checkpoint(tmp_path, TINY_DIA.document(), tensors, shards)
    assert read_dia_config(locate(str(tmp_path), "DIA_MODEL")) == TINY_DIA
    assert_same(load(tmp_path), tensors)


@pytest.mark.slow
def test_reads_what_transformers_saves(tmp_path, tiny_reference):
    reference = tiny_reference(torch.float32)
    reference.save_pretrained(tmp_path, max_shard_size="2MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert read_dia_config(locate(str(tmp_path), "DIA_MODEL")) == TINY_DIA
    assert_same(load(tmp_path), dict(reference.state_dict()))


def native(tensors, config):
    """The same weights as the nari-labs package stores them."""
    e, d = config.encoder, config.decoder
    stored = {}
    for name, tensor in tensors.items():
        short = name.removeprefix("model.")
        width = e.head_width if short.startswith("encoder") else d.head_width
        if short.endswith("embeddings.embed.weight"):
            for channel, part in enumerate(tensor.chunk(d.channels)):
                stored[f"decoder.embeddings.{channel}.weight"] = part
        elif short == "logits_dense.weight":
            stored["decoder.logits_dense.weight"] = tensor.t().reshape(d.width, d.channels, d.vocabulary)
        elif "gate_up_proj" in short:
            stored[short.replace("gate_up_proj", "wi_fused")] = tensor.t().reshape(tensor.shape[1], 2, -1)
        elif "down_proj" in short:
            stored[short.replace("down_proj", "wo")] = tensor.t()
        elif "o_proj" in short:
            stored[short] = tensor.t().reshape(-1, width, tensor.shape[0])
        elif "_proj" in short:
            stored[short] = tensor.t().reshape(tensor.shape[1], -1, width)
        else:
            stored[short] = tensor
    return {name: tensor.contiguous().clone() for name, tensor in stored.items()}


@pytest.mark.parametrize("file", ["model.safetensors", "dia-v0_1.pth"])
def test_reads_the_nari_layout(checkpoint, file):
    path, tensors = checkpoint
    (path / "model.safetensors").unlink()
    (torch.save if file.endswith("pth") else save_file)(native(tensors, TINY_DIA), path / file)
    assert_same(load(path), tensors)


def test_reads_the_nari_config():
    document = {
        "data": {
            "text_length": 1024,
            "audio_length": 3072,
            "channels": 9,
            "delay_pattern": [0, *range(8, 16)],
        },
        "model": {
            "encoder": {"n_layer": 12, "n_embd": 1024, "n_hidden": 4096, "n_head": 16, "head_dim": 128},
            "decoder": {
                "n_layer": 18,
                "n_embd": 2048,
                "n_hidden": 8192,
                "gqa_query_heads": 16,
                "kv_heads": 4,
                "gqa_head_dim": 128,
                "cross_query_heads": 16,
                "cross_head_dim": 128,
            },
        },
    }
    assert DiaConfig.parse(document) == DiaConfig()


def test_reads_token_ids_from_the_top_level_of_older_configs():
    document = TINY_DIA.document()
    for name in ("eos", "pad", "bos"):
        document[f"{name}_token_id"] = document["decoder_config"].pop(f"{name}_token_id")
    assert DiaConfig.parse(document) == TINY_DIA


def test_missing_config_field_is_named(tmp_path):
    document = TINY_DIA.document()
    del document["decoder_config"]["hidden_size"]
    with pytest.raises(EngineFailure, match="hidden_size"):
        DiaConfig.parse(document)


def test_config_of_another_model_is_rejected():
    with pytest.raises(EngineFailure, match="not a Dia model"):
        DiaConfig.parse({"model_type": "llama"})
    with pytest.raises(EngineFailure, match="not a DAC codec"):
        CodecConfig.parse({"model_type": "encodec", "sampling_rate": 24000})


def test_missing_tensor_is_named(checkpoint):
    path, tensors = checkpoint
    del tensors["model.decoder.norm.weight"]
    save_file(tensors, path / "model.safetensors")
    with pytest.raises(
        EngineFailure, match=r"model\.safetensors: the tensor model\.decoder\.norm\.weight is miss"
    ):
        load(path)


def test_wrong_shape_is_reported_with_both_shapes(checkpoint):
    path, tensors = checkpoint
    tensors["logits_dense.weight"] = torch.zeros(5, 64)
    save_file(tensors, path / "model.safetensors")
    with pytest.raises(EngineFailure, match=r"dense\.weight has the shape \[5, 64\] instead of \[9252, 64\]"):
        load(path)


def test_truncated_file_is_named(checkpoint):
    path, _ = checkpoint
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(EngineFailure, match=r"model\.safetensors is not a complete safetensors file"):
        load(path)


def test_truncated_pickle_is_named(checkpoint):
    path, tensors = checkpoint
    (path / "model.safetensors").unlink()
    torch.save(tensors, path / "dia.pth")
    (path / "dia.pth").write_bytes((path / "dia.pth").read_bytes()[:5000])
    with pytest.raises(EngineFailure, match=r"dia\.pth is not a complete PyTorch checkpoint"):
        load(path)


def test_missing_shard_is_named_with_one_of_its_tensors(tmp_path):
    tensors = dict(random_tensors(dia_shapes(TINY_DIA), CPU, torch.float32))
    write_checkpoint(tmp_path, TINY_DIA.document(), tensors, 2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        EngineFailure, match=r"00002-of-00002\.safetensors is missing; .* lists it as the file of model\."
    ):
        load(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(EngineFailure, match=r"config\.json is missing"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(TINY_DIA.document()))
    with pytest.raises(EngineFailure, match=r"model\.safetensors is missing"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineFailure, match=r"config\.json is not readable JSON"):
        load(tmp_path)


def test_random_weights_are_reproducible():
    source = locate("random:tiny", "DIA_MODEL")
    config = read_dia_config(source)
    assert config == TINY_DIA
    one, other = (read_dia(source, config, CPU, torch.float32) for _ in range(2))
    assert_same(one, other)


def test_decoder_weight_norms_are_resolved(tmp_path):
    tensors = {
        name: tensor * 5 for name, tensor in random_tensors(codec_shapes(TINY_CODEC), CPU, torch.float32)
    }
    stored = dict(tensors)
    for style, name in (("_g", "decoder.conv1"), ("parametrizations", "decoder.block.0.conv_t1")):
        weight = stored.pop(f"{name}.weight")
        magnitude = weight.flatten(1).norm(dim=1).view(-1, 1, 1)
        if style == "_g":
            stored |= {f"{name}.weight_g": magnitude, f"{name}.weight_v": weight * 3}
        else:
            parametrized = f"{name}.parametrizations.weight"
            stored |= {f"{parametrized}.original0": magnitude, f"{parametrized}.original1": weight / 7}
    write_checkpoint(tmp_path, codec_document(TINY_CODEC), stored)
    source = locate(str(tmp_path), "DIA_CODEC")
    loaded = read_codec(source, read_codec_config(source), CPU, torch.float32)
    assert all(torch.allclose(loaded[name], tensors[name], atol=1e-7) for name in tensors)


def test_reads_a_codec_that_transformers_saves(tmp_path):
    transformers = pytest.importorskip("transformers")
    document = {key: value for key, value in codec_document(TINY_CODEC).items() if key != "architectures"}
    reference = transformers.DacModel(transformers.DacConfig(**document))
    reference.save_pretrained(tmp_path)
    source = locate(str(tmp_path), "DIA_CODEC")
    assert read_codec_config(source) == TINY_CODEC
    saved = load_file(tmp_path / "model.safetensors")
    loaded = read_codec(source, TINY_CODEC, CPU, torch.float32)
    assert all(torch.equal(loaded[name], saved[name]) for name in loaded)
