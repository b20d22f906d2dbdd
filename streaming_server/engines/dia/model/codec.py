"""DAC's decoder, streaming: fed a few frames at a time, for many streams at once.

DAC's convolutions are not causal, so a sample is final only once the frames it looks ahead to are known:
the output lags the input by 4757 samples. Every convolution keeps the inputs it still needs; nothing is
computed twice, and the samples equal those of decoding the whole stream at once. A stream ends by being
fed frames beyond its end, whose content is ignored.

"Equal" means float32 rounding. On a GPU, PyTorch lets cuDNN multiply in TF32 (10 bits of mantissa) unless
`torch.backends.cudnn.allow_tf32` is False. The codec does not change that setting: transformers' codec
runs with the same default.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming_server.engines.dia.model.config import CodecConfig
from streaming_server.engines.dia.model.kv_cache import SlotIndex

UNKNOWN_LENGTH = 2**40
"""Length, in frames, of a stream whose end is not known yet."""

KERNEL = 7
"""Kernel size of every convolution but the pointwise ones."""
DILATIONS = (1, 3, 9)
"""Dilations of the residual units in each block."""


@dataclass(frozen=True, slots=True)
class Snake:
    """The snake activation: x + sin²(αx) / α."""

    alpha: Tensor
    inverse: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addcmul(x, (x * self.alpha).sin_().square_(), self.inverse)


@dataclass(frozen=True, slots=True)
class Convolution:
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class ResidualUnit:
    snake1: Snake
    wide: Convolution
    snake2: Snake
    narrow: Convolution
    dilation: int

    @property
    def padding(self) -> int:
        return (KERNEL - 1) * self.dilation // 2


@dataclass(frozen=True, slots=True)
class Block:
    snake: Snake
    upsample: Convolution
    rate: int
    units: tuple[ResidualUnit, ...]


class Codec:
    """A DAC decoder's weights and the state of its streams.

    tensors: by transformers' names, in the dtype and on the device to compute with.
    """

    def __init__(self, config: CodecConfig, tensors: dict[str, Tensor], slots: int) -> None:
        self.config = config
        self.lag = codec_lag(config)
        self._codes = torch.cat([_code_embeddings(tensors, index) for index in range(config.codebooks)])
        self.device, self.dtype = self._codes.device, self._codes.dtype
        self._offsets = torch.arange(config.codebooks, device=self.device) * config.codebook_size
        self._first = read_convolution(tensors, "decoder.conv1")
        self._blocks = [_block(tensors, index, rate) for index, rate in enumerate(config.rates)]
        self._last_snake = read_snake(tensors, "decoder.snake1")
        self._last = read_convolution(tensors, "decoder.conv2")
        self._shapes = list(state_shapes(config))
        size = sum(math.prod(shape) for shape in self._shapes)
        self._state = torch.zeros(slots, size, device=self.device, dtype=self.dtype)

    @property
    def lag_frames(self) -> int:
        """Frames that must be fed beyond a frame before all its samples are final."""
        return math.ceil(self.lag / self.config.hop)

    def reset(self, slot: int) -> None:
        """Clear the state of a slot for a new stream."""
        self._state[slot] = 0

    def decode(
        self, codes: Tensor, slot_ids: SlotIndex, first: Tensor, length: Tensor, edges: bool = True
    ) -> Tensor:
        """Feed the next frames of some streams; return samples in -1 to 1, [B, frames × hop].

        codes: [B, frames, codebooks], int64; frames beyond a stream's end are ignored. slot_ids: the
        streams' slots. first: [B], frames fed before. length: [B], frames in all, or `UNKNOWN_LENGTH`.
        edges: whether any stream is within `lag_frames` of its beginning or end.

        Output sample i of stream b is sample first[b] × hop − lag + i of the stream; samples outside the
        stream are undefined.
        """
        states = iter(self._kept(slot_ids))
        keep: list[Tensor] = []
        frames = codes.shape[1]
        scale, lag = 1, 0

        def inside(x: Tensor) -> Tensor:
            """Zero what lies before a stream's beginning or beyond its end."""
            if not edges:
                return x
            position = torch.arange(frames * scale, device=x.device) + (first[:, None] * scale - lag)
            within = (position >= 0) & (position < length[:, None] * scale)
            return x * within[:, None]

        def window(x: Tensor, reach: int) -> Tensor:
            """Prepend the `reach` inputs kept from the last call."""
            whole = torch.cat([next(states), x], dim=2)
            keep.append(whole[:, :, -reach:])
            return whole

        x = inside(functional.embedding(codes + self._offsets, self._codes).sum(dim=2).transpose(1, 2))
        x = functional.conv1d(window(x, KERNEL - 1), self._first.weight, self._first.bias)
        lag += KERNEL // 2
        x = inside(x)
        for block in self._blocks:
            x = _upsample(window(block.snake(x), 1), block)
            scale, lag = scale * block.rate, lag * block.rate + block.rate // 2
            x = inside(x)
            for unit in block.units:
                x = _residual(window(x, 2 * unit.padding), unit)
                lag += unit.padding
                x = inside(x)
        x = window(self._last_snake(x), KERNEL - 1)
        x = functional.conv1d(x, self._last.weight, self._last.bias)
        self._state[slot_ids] = torch.cat([kept.flatten(1) for kept in keep], dim=1)
        return torch.tanh(x)[:, 0]

    def _kept(self, slot_ids: SlotIndex) -> Iterator[Tensor]:
        state, start = self._state[slot_ids], 0
        for shape in self._shapes:
            size = math.prod(shape)
            yield state[:, start : start + size].view(-1, *shape)
            start += size


def codec_lag(config: CodecConfig) -> int:
    """Return the number of samples by which output lags the frames fed."""
    lag = KERNEL // 2
    for rate in config.rates:
        lag = lag * rate + rate // 2 + sum((KERNEL - 1) * dilation // 2 for dilation in DILATIONS)
    return lag + KERNEL // 2


def state_shapes(config: CodecConfig) -> Iterator[tuple[int, int]]:
    """Yield channels and number of inputs that each convolution keeps, in order."""
    yield config.latent_width, KERNEL - 1
    width = config.decoder_width
    for _ in config.rates:
        yield width, 1
        width //= 2
        for dilation in DILATIONS:
            yield width, (KERNEL - 1) * dilation
    yield width, KERNEL - 1


def codec_slot_bytes(config: CodecConfig, dtype: torch.dtype) -> int:
    """Return the size of one stream's state in bytes."""
    return sum(math.prod(shape) for shape in state_shapes(config)) * dtype.itemsize


def to_pcm(samples: Tensor) -> Tensor:
    """Convert samples in -1 to 1 to int16."""
    return (samples.float() * 32767).round_().clamp_(-32768, 32767).to(torch.int16)


def _upsample(x: Tensor, block: Block) -> Tensor:
    """Return the n × rate outputs completed by the last n of n + 1 inputs."""
    phases = functional.conv1d(x, block.upsample.weight, block.upsample.bias)
    streams, _, count = phases.shape
    phases = phases.view(streams, -1, block.rate, count).transpose(2, 3)
    return phases.reshape(streams, -1, count * block.rate)


def _residual(x: Tensor, unit: ResidualUnit) -> Tensor:
    """Return n outputs for 2 × padding + n inputs; they lag by `padding`."""
    count = x.shape[2] - 2 * unit.padding
    y = functional.conv1d(unit.snake1(x), unit.wide.weight, unit.wide.bias, dilation=unit.dilation)
    y = functional.conv1d(unit.snake2(y), unit.narrow.weight, unit.narrow.bias)
    return y.add_(x[:, :, unit.padding : unit.padding + count])


def _code_embeddings(tensors: dict[str, Tensor], index: int) -> Tensor:
    """Return what each code of a codebook adds to the latent, [codebook size, latent width]."""
    name = f"quantizer.quantizers.{index}"
    projection = tensors[f"{name}.out_proj.weight"][:, :, 0]
    bias = tensors[f"{name}.out_proj.bias"]
    return functional.linear(tensors[f"{name}.codebook.weight"], projection, bias)


def read_convolution(tensors: dict[str, Tensor], name: str) -> Convolution:
    return Convolution(tensors[f"{name}.weight"].contiguous(), tensors[f"{name}.bias"])


def read_snake(tensors: dict[str, Tensor], name: str) -> Snake:
    alpha = tensors[f"{name}.alpha"]
    return Snake(alpha, (alpha + 1e-9).reciprocal())


def read_residual_units(tensors: dict[str, Tensor], block: str) -> tuple[ResidualUnit, ...]:
    """Return the residual units of a block, one for each of `DILATIONS`."""
    return tuple(
        ResidualUnit(
            snake1=read_snake(tensors, f"{block}.res_unit{number}.snake1"),
            wide=read_convolution(tensors, f"{block}.res_unit{number}.conv1"),
            snake2=read_snake(tensors, f"{block}.res_unit{number}.snake2"),
            narrow=read_convolution(tensors, f"{block}.res_unit{number}.conv2"),
            dilation=dilation,
        )
        for number, dilation in enumerate(DILATIONS, start=1)
    )


def _upsampling(tensors: dict[str, Tensor], name: str, rate: int) -> Convolution:
    """Express a transposed convolution of kernel 2 × rate as a plain one over two inputs.

    Each phase has its own channels. Output t × rate + j is input t through tap j plus input t − 1 through
    tap j + rate.
    """
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    inputs, outputs, _ = weight.shape
    late, early = weight.view(inputs, outputs, 2, rate).unbind(2)
    taps = torch.stack([early, late], dim=-1).permute(1, 2, 0, 3).reshape(outputs * rate, inputs, 2)
    return Convolution(taps.contiguous(), bias.repeat_interleave(rate))


def _block(tensors: dict[str, Tensor], index: int, rate: int) -> Block:
    name = f"decoder.block.{index}"
    upsample = _upsampling(tensors, f"{name}.conv_t1", rate)
    return Block(read_snake(tensors, f"{name}.snake1"), upsample, rate, read_residual_units(tensors, name))
