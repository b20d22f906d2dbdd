"""DAC's decoder, fed a few frames at a time, for many streams at once.

Its convolutions look both ways, so a sample is final only when the frames it looks ahead to are known: output
lags 4757 samples behind them. Every convolution keeps the inputs it will need again, nothing is computed
twice, and the samples are those of decoding everything at once. A stream ends by being fed frames beyond its
end, whose content does not matter.

Exact is what float32 is: on a GPU, PyTorch lets cuDNN multiply in TF32, of ten bits of mantissa, unless
`torch.backends.cudnn.allow_tf32` is set to False. The codec leaves that as it finds it, since it is the
default that transformers' codec runs with too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming_server.engines.dia.model.config import CodecConfig
from streaming_server.engines.dia.model.transformer import Lanes

ENDLESS = 2**40
"""The length, in frames, of a stream whose end is not known yet."""

KERNEL = 7
DILATIONS = (1, 3, 9)


@dataclass(frozen=True, slots=True)
class Snake:
    """x + sin²(αx) / α"""

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
    """The weights of a DAC decoder, ready to compute with, and what its streams have to keep.

    tensors: by transformers' names, in the dtype and on the device to compute with.
    """

    def __init__(self, config: CodecConfig, tensors: dict[str, Tensor], slots: int) -> None:
        self.config = config
        self.lag = codec_lag(config)
        self._codes = torch.cat([_spoken_codes(tensors, index) for index in range(config.codebooks)])
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
        """Frames that must be known beyond a frame for all of it to be final."""
        return math.ceil(self.lag / self.config.hop)

    def begin(self, slot: int) -> None:
        """Forget the stream that had this slot."""
        self._state[slot] = 0

    def decode(
        self, codes: Tensor, lanes: Lanes, first: Tensor, length: Tensor, edges: bool = True
    ) -> Tensor:
        """Feed the next frames of some streams; returns samples in -1 to 1, [B, frames × hop].

        codes: [B, frames, codebooks], int64; what is fed beyond a stream's end is ignored. lanes: the slots
        of the streams. first: [B], frames each was fed before. length: [B], how many it has, or `ENDLESS`.
        Sample i of stream b is sample first[b] × hop − lag + i of all its audio; those outside it are not
        meaningful. edges: whether any stream is within `lag_frames` of its beginning or end.
        """
        states = iter(self._kept(lanes))
        keep: list[Tensor] = []
        frames = codes.shape[1]
        scale, lag = 1, 0

        def inside(x: Tensor) -> Tensor:
            """Silence what lies before a stream's beginning or behind its end."""
            if not edges:
                return x
            position = torch.arange(frames * scale, device=x.device) + (first[:, None] * scale - lag)
            within = (position >= 0) & (position < length[:, None] * scale)
            return x * within[:, None]

        def window(x: Tensor, reach: int) -> Tensor:
            """x with the `reach` inputs before it."""
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
        self._state[lanes] = torch.cat([kept.flatten(1) for kept in keep], dim=1)
        return torch.tanh(x)[:, 0]

    def _kept(self, lanes: Lanes) -> Iterator[Tensor]:
        state, start = self._state[lanes], 0
        for shape in self._shapes:
            size = math.prod(shape)
            yield state[:, start : start + size].view(-1, *shape)
            start += size


def codec_lag(config: CodecConfig) -> int:
    """Samples by which output is behind the frames fed."""
    lag = KERNEL // 2
    for rate in config.rates:
        lag = lag * rate + rate // 2 + sum((KERNEL - 1) * dilation // 2 for dilation in DILATIONS)
    return lag + KERNEL // 2


def state_shapes(config: CodecConfig) -> Iterator[tuple[int, int]]:
    """Channels and inputs that each convolution keeps, in order."""
    yield config.latent_width, KERNEL - 1
    width = config.decoder_width
    for _ in config.rates:
        yield width, 1
        width //= 2
        for dilation in DILATIONS:
            yield width, (KERNEL - 1) * dilation
    yield width, KERNEL - 1


def codec_slot_bytes(config: CodecConfig, dtype: torch.dtype) -> int:
    """What one stream keeps."""
    return sum(math.prod(shape) for shape in state_shapes(config)) * dtype.itemsize


def to_pcm(samples: Tensor) -> Tensor:
    """-1 to 1 → 16-bit integers."""
    return (samples.float() * 32767).round_().clamp_(-32768, 32767).to(torch.int16)


def _upsample(x: Tensor, block: Block) -> Tensor:
    """x: the input before and n inputs; returns the n × rate outputs that the last of them complete."""
    phases = functional.conv1d(x, block.upsample.weight, block.upsample.bias)
    streams, _, count = phases.shape
    phases = phases.view(streams, -1, block.rate, count).transpose(2, 3)
    return phases.reshape(streams, -1, count * block.rate)


def _residual(x: Tensor, unit: ResidualUnit) -> Tensor:
    """x: 2 × padding inputs before and n inputs; returns n outputs, `padding` behind."""
    count = x.shape[2] - 2 * unit.padding
    y = functional.conv1d(unit.snake1(x), unit.wide.weight, unit.wide.bias, dilation=unit.dilation)
    y = functional.conv1d(unit.snake2(y), unit.narrow.weight, unit.narrow.bias)
    return y.add_(x[:, :, unit.padding : unit.padding + count])


def _spoken_codes(tensors: dict[str, Tensor], index: int) -> Tensor:
    """What each code of a codebook adds to the latent, [codebook size, latent width]."""
    name = f"quantizer.quantizers.{index}"
    projection = tensors[f"{name}.out_proj.weight"][:, :, 0]
    bias = tensors[f"{name}.out_proj.bias"]
    return functional.linear(tensors[f"{name}.codebook.weight"], projection, bias)


def read_convolution(tensors: dict[str, Tensor], name: str) -> Convolution:
    return Convolution(tensors[f"{name}.weight"].contiguous(), tensors[f"{name}.bias"])


def read_snake(tensors: dict[str, Tensor], name: str) -> Snake:
    alpha = tensors[f"{name}.alpha"]
    return Snake(alpha, (alpha + 1e-9).reciprocal())


def read_residual_unit(tensors: dict[str, Tensor], name: str, dilation: int) -> ResidualUnit:
    return ResidualUnit(
        snake1=read_snake(tensors, f"{name}.snake1"),
        wide=read_convolution(tensors, f"{name}.conv1"),
        snake2=read_snake(tensors, f"{name}.snake2"),
        narrow=read_convolution(tensors, f"{name}.conv2"),
        dilation=dilation,
    )


def _upsampling(tensors: dict[str, Tensor], name: str, rate: int) -> Convolution:
    """A transposed convolution of kernel 2 × rate as a plain one over two inputs, a channel per phase.

    Output t × rate + j is input t through tap j and input t − 1 through tap j + rate.
    """
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    inputs, outputs, _ = weight.shape
    late, early = weight.view(inputs, outputs, 2, rate).unbind(2)
    taps = torch.stack([early, late], dim=-1).permute(1, 2, 0, 3).reshape(outputs * rate, inputs, 2)
    return Convolution(taps.contiguous(), bias.repeat_interleave(rate))


def _block(tensors: dict[str, Tensor], index: int, rate: int) -> Block:
    name = f"decoder.block.{index}"
    units = tuple(
        read_residual_unit(tensors, f"{name}.res_unit{number}", dilation)
        for number, dilation in enumerate(DILATIONS, start=1)
    )
    return Block(
        read_snake(tensors, f"{name}.snake1"), _upsampling(tensors, f"{name}.conv_t1", rate), rate, units
    )
