"""Create an engine: find the weights, check memory, choose slots and precision."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

import torch
from torch import Tensor

from streaming_server.engines.dia.kernels import has_triton, supports
from streaming_server.engines.dia.model.codec import Codec, codec_slot_bytes
from streaming_server.engines.dia.model.config import CodecConfig, DiaConfig
from streaming_server.engines.dia.model.kv_cache import slot_bytes
from streaming_server.engines.dia.model.linear import Kernel, int8_kernel
from streaming_server.engines.dia.model.paged_cache import PAGE_FRAMES, PageLayout, page_bytes
from streaming_server.engines.dia.model.transformer import DiaModel
from streaming_server.engines.dia.serving.capacity import MOST_SLOTS, SHARE, Capacity, fit
from streaming_server.engines.dia.serving.cuda import Cuda
from streaming_server.engines.dia.serving.device import (
    FULL_MODEL_BYTES,
    avoid_cudnn_attention,
    device_memory,
    pick_device,
    pick_dtype,
    require_room,
    use_device,
)
from streaming_server.engines.dia.serving.engine import DiaEngine
from streaming_server.engines.dia.serving.graphs import GraphRunner
from streaming_server.engines.dia.serving.runner import Runner
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots
from streaming_server.engines.dia.serving.stream import CHUNK_SIZES
from streaming_server.engines.dia.voices.cache import VoicePromptCache
from streaming_server.engines.dia.voices.encoder import PromptEncoder
from streaming_server.engines.dia.weights.hub import (
    DEFAULT_CODEC,
    DEFAULT_MODEL,
    RANDOM,
    WeightsLocation,
    locate,
)
from streaming_server.engines.dia.weights.loader import (
    has_encoder,
    read_codec,
    read_codec_config,
    read_dia,
    read_dia_config,
    read_encoder,
)
from streaming_server.engines.dia.weights.shapes import codec_shapes, dia_shapes
from streaming_server.errors import EngineFailure
from streaming_server.types import MemoryReport

log = logging.getLogger(__name__)

NOISE = "The weights are random: Dia produces noise with them, for tests and benchmarks only."
"""Shown where weights are random."""

_WORKSPACE_BYTES = 1_000_000_000
"""GPU memory that CUDA, its libraries, graphs and temporaries take at least beside weights and streams."""

_SEVERAL = 8
"""Streams whose step consists of the kernels that steps of many streams do."""

_FATAL: tuple[type[BaseException], ...] = (
    torch.OutOfMemoryError,
    getattr(torch, "AcceleratorError", torch.OutOfMemoryError),
)
"""Errors after which the device is of no more use, or that say nothing of the kernels."""

_CPU_SLOTS = 4
"""Slots on a CPU."""


def create_engine(
    model: str = DEFAULT_MODEL,
    codec: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    slots: int | None = None,
    quantize: Literal["int8"] | None = None,
    use_triton: bool = True,
    defaults: SamplingParams | None = None,
    paced: bool = False,
    memory: Callable[[torch.device], MemoryReport] = device_memory,
) -> DiaEngine:
    """Load Dia and its codec and return an engine that is ready to generate.

    model, codec: a directory, a hub id, `random:tiny` or `random:full`; the codec defaults to the
    published one, or to random weights beside a random model. device: `cuda`, `cuda:1`, `cpu`; by default
    the first GPU, if any. dtype: `bfloat16`, `float16`, `float32`; by default the device's best. slots:
    utterances at once; by default as many as a GPU generates in real time and has memory for.
    use_triton: use Triton kernels on a GPU where they work. paced: whether an utterance pauses while it is
    ahead of its listener by its window. memory: reports a device's memory.

    Raises EngineFailure if a model cannot be found, read or held in memory.
    """
    where = pick_device(device)
    use_device(where)
    if quantize is not None and where.type == "cuda" and not (use_triton and has_triton()):
        raise EngineFailure("On a GPU int8 weights need Triton: pip install triton, or leave out --quantize.")
    precision = pick_dtype(dtype, where)
    source = _Source.find(model, codec)
    sizes = source.config, source.codec_config, precision
    require_room(where, _least_bytes(*sizes, where, quantize, slots), memory(where))
    matmul = int8_kernel(where) if quantize else None
    with _advice_when_memory_runs_out(where):
        tensors = read_dia(source.location, source.config, where, precision)
        sound = torch.float64 if precision == torch.float64 else torch.float32
        codec_tensors = read_codec(source.codec_location, source.codec_config, where, sound)
        runner = assemble(
            source.config, tensors, source.codec_config, codec_tensors, slots, matmul, use_triton, memory
        )
        max_active = runner.slots.count if slots else _realtime_limit(runner)
    voice_prompts = _voice_prompts(source.codec_location, source.codec_config)
    model_bytes = weight_bytes(*sizes, quantize)
    return DiaEngine(runner, defaults, voice_prompts, paced, max_active, source.notice(), model_bytes)


@dataclass(frozen=True, slots=True)
class _Source:
    """The weights of the model and of the codec, and their dimensions."""

    location: WeightsLocation
    config: DiaConfig
    codec_location: WeightsLocation
    codec_config: CodecConfig

    @classmethod
    def find(cls, model: str, codec: str | None) -> Self:
        """Find both, as named for `create_engine`. Raises EngineFailure."""
        if codec is None:
            codec = model if model.startswith(RANDOM) else DEFAULT_CODEC
        location = locate(model, "--model (DIA_MODEL)")
        config = read_dia_config(location)
        codec_location = locate(codec, "--codec (DIA_CODEC)")
        return cls(location, config, codec_location, read_codec_config(codec_location))

    def notice(self) -> str | None:
        """Return, and log, what users must know of these weights."""
        if not (self.location.is_random or self.codec_location.is_random):
            return None
        log.warning(NOISE)
        return NOISE


@contextmanager
def _advice_when_memory_runs_out(device: torch.device) -> Iterator[None]:
    """Raise EngineFailure, with what to do, in place of OutOfMemoryError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineFailure(
            f"Out of memory on {device} while loading the model; lower --slots, use --quantize int8 or stop"
            f" other programs on it ({str(error).partition('. ')[0]})."
        ) from error


def _realtime_limit(runner: Runner) -> int:
    """Limit the utterances at once to what is generated in real time."""
    max_active = runner.realtime_streams()
    if max_active < runner.slots.count:
        log.info(
            "limited to %d concurrent utterances, the most this GPU generates in real time; memory would hold"
            " %d (--slots %d frees the rest)",
            max_active,
            runner.slots.count,
            max_active,
        )
    return max_active


def assemble(
    config: DiaConfig,
    tensors: dict[str, Tensor],
    codec: CodecConfig,
    codec_tensors: dict[str, Tensor],
    slots: int | None,
    matmul: Kernel | None = None,
    use_triton: bool = False,
    memory: Callable[[torch.device], MemoryReport] = device_memory,
    fused_codec: bool = True,
) -> Runner:
    """Return a runner of these weights, which are on the device and in the precision to compute in.

    The model's tensors are removed from their dictionary. matmul: for the matrices read in every step;
    None for the fastest exact one. fused_codec: where Triton kernels are used and the model computes in 16
    bits, let the codec do so, too, in float16. The rest as for `create_engine`.
    """
    avoid_cudnn_attention()
    with torch.inference_mode():
        model = DiaModel(config, tensors, matmul)
        if model.device.type == "cuda":
            cuda = Cuda(model.device)
            return assemble_on_gpu(model, codec, codec_tensors, cuda, slots, use_triton, memory, fused_codec)
        count = slots or plain_slots(config, codec, model.dtype, memory(model.device), 0, _CPU_SLOTS)
        return Runner(Slots(model, count), Codec(codec, codec_tensors, count + 1))


@torch.inference_mode()
def assemble_on_gpu(
    model: DiaModel,
    codec: CodecConfig,
    codec_tensors: dict[str, Tensor],
    cuda: Cuda,
    slots: int | None,
    use_triton: bool,
    memory: Callable[[torch.device], MemoryReport],
    fused_codec: bool = True,
) -> GraphRunner:
    """Return a runner with CUDA graphs, of Triton kernels where they work. The rest as for `assemble`."""
    config, report = model.config, partial(memory, model.device)
    fused_codec = fused_codec and model.dtype.itemsize == 2

    def make(capacity: Capacity) -> GraphRunner:
        paged = Slots(model, capacity.slots, pages=capacity.pages)
        decoder = make_codec(codec, codec_tensors, capacity.slots + 1, fused_codec)
        return GraphRunner(paged, decoder, CHUNK_SIZES, cuda)

    if use_triton and _kernels_work(model, cuda):
        layout = PageLayout.of(config, config.decoder.positions, config.encoder.positions)
        return fit(make, report, layout, page_bytes(config, model.dtype), slots)
    count = slots or plain_slots(config, codec, model.dtype, report(), _WORKSPACE_BYTES, MOST_SLOTS)
    return GraphRunner(Slots(model, count), Codec(codec, codec_tensors, count + 1), CHUNK_SIZES, cuda)


def make_codec(config: CodecConfig, tensors: dict[str, Tensor], slots: int, fused: bool) -> Codec:
    """Return the plain codec or, on a GPU with triton, the fused one in float16."""
    if not fused:
        return Codec(config, tensors, slots)
    from streaming_server.engines.dia.serving.fused_codec import FusedCodec

    return FusedCodec(config, tensors, slots, torch.float16)


def _kernels_work(model: DiaModel, cuda: Cuda) -> bool:
    """Return whether Triton's kernels cover this model and run here; log why not."""
    if not has_triton() or not supports(model.config, model.dtype):
        log.info("Triton kernels are not used: triton is missing, or they do not cover this model")
        return False
    try:
        run_kernels_once(model)
        cuda.synchronize()
    except _FATAL:
        raise
    except Exception as error:  # Compiling them can fail in many ways, for want of a C compiler for one.
        log.warning("Triton kernels are not used: %s: %s", type(error).__name__, error)
        return False
    return True


def run_kernels_once(model: DiaModel) -> None:
    """Compile and run the kernels of prefill and of a step, in a slot made for it."""
    from streaming_server.engines.dia.serving.fused_prefill import FusedPrefill
    from streaming_server.engines.dia.serving.fused_step import FusedStep

    slots = Slots(model, 1, frames=PAGE_FRAMES, text=PAGE_FRAMES, pages=4)
    FusedPrefill(slots).feed_rows(torch.tensor([0, 1, 1, 1], device=model.device))
    step = FusedStep(slots)
    # One stream has kernels of its own.
    for size in (1, _SEVERAL):
        step(torch.tensor([[0], [0], [-1], [0]], device=model.device).repeat(1, size))


def _voice_prompts(location: WeightsLocation, config: CodecConfig) -> VoicePromptCache | None:
    """Return the cache of cloned voices; None for a codec without an encoder.

    It computes on the CPU, where it takes nothing from the streams on a GPU.
    """
    if not has_encoder(location):
        log.warning("the codec has no encoder, so voices cannot be cloned")
        return None
    cpu = torch.device("cpu")
    return VoicePromptCache(lambda: PromptEncoder(config, read_encoder(location, config, cpu, torch.float32)))


def _least_bytes(
    config: DiaConfig,
    codec: CodecConfig,
    dtype: torch.dtype,
    device: torch.device,
    quantize: Literal["int8"] | None,
    slots: int | None,
) -> int:
    """Return the free memory that the weights and a stream need; on a CPU, which has no pages, all slots."""
    each = _stream_bytes(config, codec, dtype)
    if device.type == "cpu":
        each *= slots or 1
    # Weights are quantized one after another, once all of them are loaded.
    least = max(weight_bytes(config, codec, dtype), weight_bytes(config, codec, dtype, quantize) + each)
    if device.type == "cuda":
        least += _WORKSPACE_BYTES
    return max(least, FULL_MODEL_BYTES) if config == DiaConfig() else least


def _stream_bytes(config: DiaConfig, codec: CodecConfig, dtype: torch.dtype) -> int:
    """Return the size of a slot that has room for the longest stream."""
    longest = slot_bytes(config, config.decoder.positions, config.encoder.positions, dtype)
    return longest + codec_slot_bytes(codec, torch.float32)


def plain_slots(
    config: DiaConfig, codec: CodecConfig, dtype: torch.dtype, memory: MemoryReport, needed: int, most: int
) -> int:
    """Return how many slots without pages fit beside `needed` more bytes than are used now; 1 to `most`."""
    room = memory.total * SHARE - memory.used - needed
    return max(1, min(most, int(room // _stream_bytes(config, codec, dtype))))


def weight_bytes(
    config: DiaConfig, codec: CodecConfig, dtype: torch.dtype, quantize: Literal["int8"] | None = None
) -> int:
    """Return the size of the model's and the codec's weights in bytes, the codec's in float32."""
    size = dtype.itemsize if quantize is None else 1 + dtype.itemsize / 8
    dia = sum(math.prod(shape) for shape in dia_shapes(config).values()) * size
    tables = codec.codebooks * codec.codebook_size * codec.latent_width
    dac = (sum(math.prod(shape) for shape in codec_shapes(codec).values()) + tables) * 4
    return int(dia + dac)
