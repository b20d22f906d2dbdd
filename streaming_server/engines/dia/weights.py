"""Checkpoints: finding them, checking them and reading them, tensor by tensor.

Three layouts are read: transformers' (config.json with safetensors, in one file or in shards), the one of the
nari-labs package (config.json with safetensors or a .pth file), and random weights made on the spot. Whatever
is wrong is one EngineFailure that names the file and the tensor.
"""

from __future__ import annotations

import json
import math
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from streaming_server.engines.dia.config import TINY_CODEC, TINY_DIA, CodecConfig, DiaConfig
from streaming_server.errors import EngineFailure

DEFAULT_MODEL = "nari-labs/Dia-1.6B-0626"
DEFAULT_CODEC = "descript/dac_44khz"
RANDOM = "random:"
RANDOM_SCALE = 0.02
"""Standard deviation of random weights; transformers' initializer_range."""

Shape = tuple[int, ...]


def dia_shapes(config: DiaConfig) -> dict[str, Shape]:
    """Every tensor of a Dia checkpoint in transformers' layout."""
    e, d = config.encoder, config.decoder
    shapes: dict[str, Shape] = {"model.encoder.embedding.weight": (e.vocabulary, e.width)}
    for index in range(e.layers):
        name = f"model.encoder.layers.{index}"
        shapes |= _attention_shapes(
            f"{name}.self_attention", e.width, e.width, e.heads, e.heads, e.head_width
        )
        shapes |= {f"{name}.{norm}.weight": (e.width,) for norm in ("pre_sa_norm", "post_sa_norm")}
        shapes |= _mlp_shapes(f"{name}.mlp", e.width, e.ff_width)
    shapes["model.encoder.norm.weight"] = (e.width,)
    shapes["model.decoder.embeddings.embed.weight"] = (d.channels * d.vocabulary, d.width)
    for index in range(d.layers):
        name = f"model.decoder.layers.{index}"
        shapes |= _attention_shapes(
            f"{name}.self_attention", d.width, d.width, d.heads, d.kv_heads, d.head_width
        )
        shapes |= _attention_shapes(
            f"{name}.cross_attention", d.width, e.width, d.cross_heads, d.cross_heads, d.cross_head_width
        )
        norms = ("pre_sa_norm", "pre_ca_norm", "pre_mlp_norm")
        shapes |= {f"{name}.{norm}.weight": (d.width,) for norm in norms}
        shapes |= _mlp_shapes(f"{name}.mlp", d.width, d.ff_width)
    shapes["model.decoder.norm.weight"] = (d.width,)
    shapes["logits_dense.weight"] = (d.channels * d.vocabulary, d.width)
    return shapes


def _attention_shapes(
    name: str, width: int, read_width: int, heads: int, kv_heads: int, head_width: int
) -> dict[str, Shape]:
    return {
        f"{name}.q_proj.weight": (heads * head_width, width),
        f"{name}.k_proj.weight": (kv_heads * head_width, read_width),
        f"{name}.v_proj.weight": (kv_heads * head_width, read_width),
        f"{name}.o_proj.weight": (width, heads * head_width),
    }


def _mlp_shapes(name: str, width: int, ff_width: int) -> dict[str, Shape]:
    return {
        f"{name}.gate_up_proj.weight": (2 * ff_width, width),
        f"{name}.down_proj.weight": (width, ff_width),
    }


def codec_shapes(config: CodecConfig) -> dict[str, Shape]:
    """Every tensor of a DAC checkpoint's decoder and codebooks in transformers' layout."""
    shapes: dict[str, Shape] = {}
    for index in range(config.codebooks):
        name = f"quantizer.quantizers.{index}"
        shapes[f"{name}.codebook.weight"] = (config.codebook_size, config.codebook_width)
        shapes |= _conv_shapes(f"{name}.out_proj", config.latent_width, config.codebook_width, 1)
    width = config.decoder_width
    shapes |= _conv_shapes("decoder.conv1", width, config.latent_width, 7)
    for index, rate in enumerate(config.rates):
        name, half = f"decoder.block.{index}", width // 2
        shapes[f"{name}.snake1.alpha"] = (1, width, 1)
        shapes |= {f"{name}.conv_t1.weight": (width, half, 2 * rate), f"{name}.conv_t1.bias": (half,)}
        for unit in ("res_unit1", "res_unit2", "res_unit3"):
            shapes |= {f"{name}.{unit}.{snake}.alpha": (1, half, 1) for snake in ("snake1", "snake2")}
            shapes |= _conv_shapes(f"{name}.{unit}.conv1", half, half, 7)
            shapes |= _conv_shapes(f"{name}.{unit}.conv2", half, half, 1)
        width = half
    shapes["decoder.snake1.alpha"] = (1, width, 1)
    return shapes | _conv_shapes("decoder.conv2", 1, width, 7)


def encoder_shapes(config: CodecConfig) -> dict[str, Shape]:
    """Every tensor of a DAC checkpoint that turns sound into codes, in transformers' layout."""
    width = config.latent_width // 2 ** len(config.rates)
    shapes = _conv_shapes("encoder.conv1", width, 1, 7)
    for index, rate in enumerate(reversed(config.rates)):
        name = f"encoder.block.{index}"
        for unit in ("res_unit1", "res_unit2", "res_unit3"):
            shapes |= {f"{name}.{unit}.{snake}.alpha": (1, width, 1) for snake in ("snake1", "snake2")}
            shapes |= _conv_shapes(f"{name}.{unit}.conv1", width, width, 7)
            shapes |= _conv_shapes(f"{name}.{unit}.conv2", width, width, 1)
        shapes[f"{name}.snake1.alpha"] = (1, width, 1)
        shapes |= _conv_shapes(f"{name}.conv1", 2 * width, width, 2 * rate)
        width *= 2
    shapes["encoder.snake1.alpha"] = (1, width, 1)
    shapes |= _conv_shapes("encoder.conv2", config.latent_width, width, 3)
    for index in range(config.codebooks):
        name = f"quantizer.quantizers.{index}"
        shapes |= _conv_shapes(f"{name}.in_proj", config.codebook_width, config.latent_width, 1)
    return shapes


def _conv_shapes(name: str, outputs: int, inputs: int, kernel: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs, kernel), f"{name}.bias": (outputs,)}


@dataclass(frozen=True, slots=True)
class Source:
    """Where weights come from: a directory, or nothing at all (`random:…`)."""

    name: str
    directory: Path | None

    @property
    def is_random(self) -> bool:
        return self.directory is None


def locate(name: str, variable: str) -> Source:
    """Find `random:tiny`, `random:full`, a directory, or a model of the Hugging Face hub, and download it.

    variable: the setting that names it, for the error's advice. HF_TOKEN is honoured by the hub's client.
    Raises EngineFailure.
    """
    if name.startswith(RANDOM):
        if name not in (f"{RANDOM}tiny", f"{RANDOM}full"):
            raise EngineFailure(f"{name} is not known; random weights come as random:tiny or random:full")
        return Source(name, None)
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(name, path)
    if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise EngineFailure(f"{variable} names no directory: {name}")
    return Source(name, _download(name, variable))


def _download(name: str, variable: str) -> Path:
    advice = f"Pass a directory with its files as {variable}, or {RANDOM}tiny to try the server with noise"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise EngineFailure(
            f"{name} cannot be downloaded: huggingface_hub is not installed. {advice}"
        ) from error
    token = os.environ.get("HF_TOKEN")
    try:
        path = Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"], token=token))
        if not any(path.glob("*.safetensors")):
            snapshot_download(name, allow_patterns=["*.json", "*.pth"], token=token)
        return path
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineFailure(f"{name} cannot be downloaded from the hub ({reason}). {advice}") from error


def read_dia_config(source: Source) -> DiaConfig:
    if source.directory is None:
        return TINY_DIA if source.name.endswith("tiny") else DiaConfig()
    return DiaConfig.parse(_read_json(source.directory / "config.json"))


def read_codec_config(source: Source) -> CodecConfig:
    if source.directory is None:
        return TINY_CODEC if source.name.endswith("tiny") else CodecConfig()
    return CodecConfig.parse(_read_json(source.directory / "config.json"))


def read_dia(
    source: Source, config: DiaConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Every tensor by transformers' name, on `device` in `dtype`. Raises EngineFailure."""
    shapes = dia_shapes(config)
    if source.directory is None:
        return dict(random_tensors(shapes, device, dtype))
    checkpoint = _Checkpoint.open(source.directory)
    if "model.encoder.embedding.weight" not in checkpoint and "encoder.embedding.weight" in checkpoint:
        return _read_native(checkpoint, config, device, dtype)
    return {name: checkpoint.read(name, shape).to(device, dtype) for name, shape in shapes.items()}


def read_codec(
    source: Source, config: CodecConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The codec's decoder and codebooks by transformers' names, their weight norms resolved.

    Raises EngineFailure.
    """
    return _read_dac(source, codec_shapes(config), device, dtype)


def read_encoder(
    source: Source, config: CodecConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The codec's encoder and codebooks by transformers' names, their weight norms resolved.

    Raises EngineFailure.
    """
    codebooks = {name: shape for name, shape in codec_shapes(config).items() if name.startswith("quantizer.")}
    # Random weights depend on their place in the list: the codebooks come first, as in the decoder's.
    return _read_dac(source, codebooks | encoder_shapes(config), device, dtype)


def has_encoder(source: Source) -> bool:
    """Whether a codec's checkpoint can turn sound into codes. Raises EngineFailure."""
    if source.directory is None:
        return True
    checkpoint = _Checkpoint.open(source.directory)
    weight = "encoder.conv1.weight"
    return weight in checkpoint or any(norm in checkpoint for _, norm in _norm_names(weight))


def _read_dac(
    source: Source, shapes: dict[str, Shape], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    if source.directory is None:
        return {name: _audible(name, tensor) for name, tensor in random_tensors(shapes, device, dtype)}
    checkpoint = _Checkpoint.open(source.directory)
    return {name: _read_normed(checkpoint, name, shape).to(device, dtype) for name, shape in shapes.items()}


def random_tensors(
    shapes: dict[str, Shape], device: torch.device, dtype: torch.dtype, seed: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Noise in a checkpoint's shapes: what it speaks is noise too. Norms and snakes are ones."""
    for index, (name, shape) in enumerate(shapes.items()):
        generator = torch.Generator().manual_seed(seed * 100_003 + index)
        if name.endswith(("norm.weight", ".alpha")):
            yield name, torch.ones(shape, device=device, dtype=dtype)
        else:
            noise = torch.empty(shape, dtype=torch.float32).normal_(std=RANDOM_SCALE, generator=generator)
            yield name, noise.to(device, dtype)


def _audible(name: str, tensor: Tensor) -> Tensor:
    """Random codec weights scaled so that noise goes through the decoder neither lost nor clipped."""
    if name.endswith((".alpha", ".bias")):
        return tensor
    fan_in = math.prod(tensor.shape[1:]) if ".conv_t1." not in name else 2 * tensor.shape[0]
    quiet = 0.1 if name.endswith((".conv2.weight", ".codebook.weight")) else 1.0
    return tensor * (quiet / RANDOM_SCALE / math.sqrt(fan_in))


def write_checkpoint(
    directory: Path, document: dict[str, Any], tensors: dict[str, Tensor], shards: int = 1
) -> None:
    """Write transformers' layout: config.json and one safetensors file, or several with their index."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(document, indent=2))
    if shards == 1:
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    per_file = math.ceil(len(names) / shards)
    index: dict[str, str] = {}
    for shard in range(shards):
        chosen = names[shard * per_file : (shard + 1) * per_file]
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        save_file({name: tensors[name] for name in chosen}, directory / file, metadata={"format": "pt"})
        index |= dict.fromkeys(chosen, file)
    written = {"metadata": {}, "weight_map": index}
    (directory / "model.safetensors.index.json").write_text(json.dumps(written, indent=2))


class _Checkpoint:
    """Names → tensors, over one safetensors file, several with an index, or a .pth file."""

    def __init__(self, readers: dict[str, tuple[str, Callable[[], Tensor]]], main: str) -> None:
        self._readers = readers
        self._main = main

    def __contains__(self, name: str) -> bool:
        return name in self._readers

    def read(self, name: str, shape: Shape) -> Tensor:
        if name not in self._readers:
            raise EngineFailure(f"{self._main}: the tensor {name} is missing")
        file, reader = self._readers[name]
        try:
            tensor = reader()
        except (SafetensorError, OSError, ValueError) as error:
            raise EngineFailure(f"{file}: the tensor {name} cannot be read ({error})") from error
        if tuple(tensor.shape) != shape:
            raise EngineFailure(
                f"{file}: the tensor {name} has the shape {list(tensor.shape)} instead of {list(shape)}"
            )
        return tensor

    @classmethod
    def open(cls, directory: Path) -> _Checkpoint:
        index = directory / "model.safetensors.index.json"
        single = directory / "model.safetensors"
        if index.exists():
            return cls._open_sharded(directory, index)
        if single.exists():
            return cls(_readers_of(single), single.name)
        pickles = sorted(directory.glob("*.pth"))
        if pickles:
            return cls(_pickle_readers(pickles[0]), pickles[0].name)
        raise EngineFailure("model.safetensors is missing: there are no weights beside config.json")

    @classmethod
    def _open_sharded(cls, directory: Path, index: Path) -> _Checkpoint:
        mapped = _read_json(index).get("weight_map")
        if not isinstance(mapped, dict):
            raise EngineFailure(f"{index.name}: weight_map is missing")
        readers: dict[str, tuple[str, Callable[[], Tensor]]] = {}
        for file in sorted({str(file) for file in mapped.values()}):
            path = directory / file
            if not path.exists():
                first = next(name for name, where in mapped.items() if where == file)
                raise EngineFailure(f"{file} is missing; {index.name} says it holds {first}")
            readers |= _readers_of(path)
        return cls(readers, index.name)


def _readers_of(path: Path) -> dict[str, tuple[str, Callable[[], Tensor]]]:
    try:
        handle: Any = safe_open(path, framework="pt", device="cpu")
        names = list(handle.keys())
    except (SafetensorError, OSError) as error:
        raise EngineFailure(f"{path.name} is no whole safetensors file ({error})") from error

    def reader(name: str) -> Callable[[], Tensor]:
        def read() -> Tensor:
            tensor: Tensor = handle.get_tensor(name)
            return tensor

        return read

    return {name: (path.name, reader(name)) for name in names}


def _pickle_readers(path: Path) -> dict[str, tuple[str, Callable[[], Tensor]]]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineFailure(f"{path.name} is no whole PyTorch checkpoint ({reason})") from error
    if not isinstance(loaded, dict):
        raise EngineFailure(f"{path.name} holds no dictionary of tensors")

    def reader(tensor: Tensor) -> Callable[[], Tensor]:
        return lambda: tensor

    return {
        name: (path.name, reader(tensor)) for name, tensor in loaded.items() if isinstance(tensor, Tensor)
    }


def _read_native(
    checkpoint: _Checkpoint, config: DiaConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The nari-labs layout: inputs first, heads on axes of their own, one embedding per channel."""
    d = config.decoder
    tensors: dict[str, Tensor] = {}
    for name, shape in dia_shapes(config).items():
        native = name.removeprefix("model.")
        if name.endswith("embeddings.embed.weight"):
            channels = [
                checkpoint.read(f"decoder.embeddings.{channel}.weight", (d.vocabulary, d.width))
                for channel in range(d.channels)
            ]
            tensor = torch.cat(channels)
        elif name == "logits_dense.weight":
            stored = (d.width, d.channels, d.vocabulary)
            tensor = checkpoint.read("decoder.logits_dense.weight", stored).reshape(d.width, -1).t()
        elif name.endswith("gate_up_proj.weight"):
            native = native.replace("gate_up_proj", "wi_fused")
            stored = (shape[1], 2, shape[0] // 2)
            tensor = checkpoint.read(native, stored).reshape(shape[1], -1).t()
        elif name.endswith("down_proj.weight"):
            tensor = checkpoint.read(native.replace("down_proj", "wo"), (shape[1], shape[0])).t()
        elif name.endswith("_proj.weight"):
            tensor = checkpoint.read(native, _native_attention(name, shape, config)).reshape(shape[::-1]).t()
        else:
            tensor = checkpoint.read(native, shape)
        tensors[name] = tensor.to(device, dtype).contiguous()
    return tensors


def _native_attention(name: str, shape: Shape, config: DiaConfig) -> Shape:
    if ".encoder." in name:
        head_width = config.encoder.head_width
    elif ".cross_attention." in name:
        head_width = config.decoder.cross_head_width
    else:
        head_width = config.decoder.head_width
    if name.endswith("o_proj.weight"):
        return (shape[1] // head_width, head_width, shape[0])
    return (shape[1], shape[0] // head_width, head_width)


def _norm_names(name: str) -> tuple[tuple[str, str], ...]:
    """What PyTorch's two kinds of weight norm store in place of a weight: magnitude and direction."""
    stem = name.removesuffix(".weight")
    parametrized = f"{stem}.parametrizations.weight"
    return (
        (f"{stem}.weight_g", f"{stem}.weight_v"),
        (f"{parametrized}.original0", f"{parametrized}.original1"),
    )


def _read_normed(checkpoint: _Checkpoint, name: str, shape: Shape) -> Tensor:
    """A weight, or what its weight norm makes of it: magnitude per first axis, times the direction."""
    lengths = (shape[0], *(1 for _ in shape[1:]))
    for magnitude, direction in _norm_names(name):
        if name not in checkpoint and direction in checkpoint:
            g, v = checkpoint.read(magnitude, lengths).float(), checkpoint.read(direction, shape).float()
            length: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1).view(lengths)
            return g * v / length
    return checkpoint.read(name, shape)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise EngineFailure(f"{path.name} is missing from {path.parent.name}") from error
    except (OSError, ValueError) as error:
        raise EngineFailure(f"{path.name} is not readable JSON ({error})") from error
    if not isinstance(document, dict):
        raise EngineFailure(f"{path.name} is not a JSON object")
    return document
