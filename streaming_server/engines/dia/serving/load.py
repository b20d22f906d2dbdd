"""Making an engine: finding the weights, checking the room, choosing slots and precision."""

from __future__ import annotations

import logging
import math
from typing import Literal

import torch
from torch import Tensor

from streaming_server.engines.dia.model.codec import Codec, codec_slot_bytes
from streaming_server.engines.dia.model.config import CodecConfig, DiaConfig
from streaming_server.engines.dia.model.linear import Kernel
from streaming_server.engines.dia.model.transformer import DiaModel, slot_bytes
from streaming_server.engines.dia.serving.device import (
    FULL_MODEL_BYTES,
    pick_device,
    pick_dtype,
    require_room,
)
from streaming_server.engines.dia.serving.engine import DiaEngine
from streaming_server.engines.dia.serving.runner import Runner
from streaming_server.engines.dia.serving.slots import Recipe, Slots
from streaming_server.engines.dia.serving.stream import RAMP
from streaming_server.engines.dia.voices.cache import PromptShelf
from streaming_server.engines.dia.voices.encoder import PromptEncoder
from streaming_server.engines.dia.weights.hub import DEFAULT_CODEC, DEFAULT_MODEL, RANDOM, Source, locate
from streaming_server.engines.dia.weights.loader import (
    has_encoder,
    read_codec,
    read_codec_config,
    read_dia,
    read_dia_config,
    read_encoder,
)
from streaming_server.engines.dia.weights.shapes import codec_shapes, dia_shapes

_LOG = logging.getLogger(__name__)

NOISE = "The weights are random: what Dia speaks with them is noise, for tests and benchmarks only."

_WORKSPACE_BYTES = 1_000_000_000
"""What CUDA, its libraries, graphs and passing results take beside weights and slots on a GPU."""

_SHARE = 0.8
"""Of the whole memory, whoever uses it, what slots may fill it up to: below the mark where relief begins."""

_MOST_SLOTS = 256
_CPU_SLOTS = 4


def create_engine(
    model: str = DEFAULT_MODEL,
    codec: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    slots: int | None = None,
    quantize: Literal["int8"] | None = None,
    compile_model: bool = True,
    defaults: Recipe | None = None,
    window: int | None = None,
) -> DiaEngine:
    """Load Dia and its codec and make them ready to speak.

    model, codec: a directory, a hub id, or `random:tiny` and `random:full`; the codec is by default the
    published one, or random weights beside a random model. device: `cuda`, `cuda:1`, `cpu`; by default the
    first GPU where there is one. dtype: `bfloat16`, `float16`, `float32`, by default the best of the device.
    slots: utterances at once; by default as many as a GPU speaks in real time and has memory for.
    compile_model: compile the sampling on a GPU where that works. window: bytes an utterance may be ahead of
    its listener, None for no bound.

    Raises EngineFailure: a model that cannot be found, read or held.
    """
    where = pick_device(device)
    precision = pick_dtype(dtype, where)
    if codec is None:
        codec = model if model.startswith(RANDOM) else DEFAULT_CODEC
    source = locate(model, "--model (DIA_MODEL)")
    config = read_dia_config(source)
    codec_source = locate(codec, "--codec (DIA_CODEC)")
    codec_config = read_codec_config(codec_source)
    count = _slots(config, codec_config, where, precision, slots, quantize)
    notice = NOISE if source.is_random or codec_source.is_random else None
    if notice:
        _LOG.warning(notice.upper())
    sound = torch.float64 if precision == torch.float64 else torch.float32
    tensors = read_dia(source, config, where, precision)
    codec_tensors = read_codec(codec_source, codec_config, where, sound)
    runner = assemble(config, tensors, codec_config, codec_tensors, count, quantize, compile_model)
    together = count if slots else _together(runner)
    return DiaEngine(runner, defaults, _shelf(codec_source, codec_config), window, together, notice)


def _together(runner: Runner) -> int:
    """No more utterances at once than can be spoken in real time."""
    together = runner.in_real_time()
    if together < runner.slots.count:
        _LOG.info(
            "%d utterances are spoken at once, which is what this GPU does in real time; there is memory for"
            " %d, and slots=%d would leave the rest of it free",
            together,
            runner.slots.count,
            together,
        )
    return together


def assemble(
    config: DiaConfig,
    tensors: dict[str, Tensor],
    codec: CodecConfig,
    codec_tensors: dict[str, Tensor],
    slots: int,
    kernel: Kernel | None = None,
    compile_model: bool = False,
) -> Runner:
    """A runner of these weights, which lie on the device and in the precision to compute in.

    The tensors of the model are taken out of their dictionary. kernel: for the matrices read in every step;
    None for the fastest exact one. compile_model: as for `create_engine`.
    """
    with torch.inference_mode():
        model = DiaModel(config, tensors, kernel)
        places = Slots(model, slots)
        decoder = Codec(codec, codec_tensors, slots + 1)
        if model.device.type != "cuda":
            return Runner(places, decoder)
        from streaming_server.engines.dia.serving.compiled import compiled_choose, verdicts_file
        from streaming_server.engines.dia.serving.cuda import Cuda
        from streaming_server.engines.dia.serving.graphs import GraphRunner

        if compile_model:
            places.choose = compiled_choose(places, verdicts_file())
        return GraphRunner(places, decoder, RAMP, Cuda(model.device))


def _shelf(source: Source, config: CodecConfig) -> PromptShelf | None:
    """Where cloned voices come from; None for a codec that can only decode.

    It computes on the CPU, where it takes nothing from the streams that a GPU speaks.
    """
    if not has_encoder(source):
        _LOG.warning("the codec has no encoder, so voices cannot be cloned")
        return None
    cpu = torch.device("cpu")
    return PromptShelf(lambda: PromptEncoder(config, read_encoder(source, config, cpu, torch.float32)))


def _slots(
    config: DiaConfig,
    codec: CodecConfig,
    device: torch.device,
    dtype: torch.dtype,
    wanted: int | None,
    quantize: Literal["int8"] | None,
) -> int:
    """How many streams to hold. Raises EngineFailure where there is no room for one, or for those wanted."""
    each = slot_bytes(config, config.decoder.positions, config.encoder.positions, dtype)
    each += codec_slot_bytes(codec, torch.float32)
    fixed = weight_bytes(config, codec, dtype, quantize)
    # Weights are made small one after another, once all of them are there.
    loading = weight_bytes(config, codec, dtype)
    if device.type == "cuda":
        fixed += _WORKSPACE_BYTES
        loading += _WORKSPACE_BYTES
    least = max(loading, fixed + each * (wanted or 1))
    if config == DiaConfig():
        least = max(least, FULL_MODEL_BYTES)
    memory = require_room(device, least)
    if wanted is not None:
        return wanted
    most = _MOST_SLOTS if device.type == "cuda" else _CPU_SLOTS
    return max(1, min(most, int((memory.total * _SHARE - memory.used - fixed) // each)))


def weight_bytes(
    config: DiaConfig, codec: CodecConfig, dtype: torch.dtype, quantize: Literal["int8"] | None = None
) -> int:
    """What the weights of model and codec take, the codec's in single precision."""
    size = dtype.itemsize if quantize is None else 1 + dtype.itemsize / 8
    dia = sum(math.prod(shape) for shape in dia_shapes(config).values()) * size
    tables = codec.codebooks * codec.codebook_size * codec.latent_width
    dac = (sum(math.prod(shape) for shape in codec_shapes(codec).values()) + tables) * 4
    return int(dia + dac)
