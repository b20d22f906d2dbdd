"""The codec made of Triton kernels: 48 launches a call, masks and activations included, and 8 of PyTorch's.

It computes what `Codec` computes, in 16 bits where those weights are. With the published dimensions float16
moves the audio by 0.11 % of its level (-59 dB) against float32, see `tests/results/dia-gpu.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streaming_server.engines.dia.kernels.codec_window import Calls, ConvolutionPlace, window
from streaming_server.engines.dia.kernels.convolution import convolve
from streaming_server.engines.dia.model.codec import KERNEL, Block, Codec, ResidualUnit, Snake
from streaming_server.engines.dia.model.config import CodecConfig
from streaming_server.engines.dia.model.kv_cache import SlotIndex


@dataclass(frozen=True, slots=True)
class _Unit:
    """The weights of a residual unit as the kernels take them."""

    alpha1: tuple[Tensor, Tensor]
    wide: Tensor
    wide_bias: Tensor
    alpha2: tuple[Tensor, Tensor]
    narrow: Tensor
    narrow_bias: Tensor
    dilation: int


@dataclass(frozen=True, slots=True)
class _Upsampling:
    """upsample: [rate × outputs, 2, inputs], the outputs of each phase together."""

    alpha: tuple[Tensor, Tensor]
    upsample: Tensor
    bias: Tensor
    rate: int
    units: tuple[_Unit, ...]


class FusedCodec(Codec):
    """A Codec whose layers run as Triton kernels.

    tensors: as for `Codec`, converted to `dtype`, in which activations are kept, too.
    """

    def __init__(
        self, config: CodecConfig, tensors: dict[str, Tensor], slots: int, dtype: torch.dtype
    ) -> None:
        super().__init__(config, {name: tensor.to(dtype) for name, tensor in tensors.items()}, slots)
        self._first_weight = _last_channels(self._first.weight)
        self._upsamplings = [_upsampling(block) for block in self._blocks]
        self._final = _pair(self._last_snake)
        self._last_weight = _last_channels(self._last.weight)
        self._last_bias = self._last.bias.float()

    def decode(
        self, codes: Tensor, slot_ids: SlotIndex, first: Tensor, length: Tensor, edges: bool = True
    ) -> Tensor:
        """Decode like `Codec`. slot_ids: a tensor. edges: ignored, since masks cost nothing here."""
        assert isinstance(slot_ids, Tensor)
        count = codes.shape[0]
        kept = self._state.new_empty(count, self._state.shape[1])
        calls = Calls(self._state, kept, slot_ids, first, length)
        places = self._places()
        x = functional.embedding(codes + self._offsets, self._codes).sum(dim=2)
        whole, _ = window(x, calls, next(places), KERNEL - 1)
        x, bias, residual = convolve(whole, self._first_weight), self._first.bias, None
        for block in self._upsamplings:
            whole, _ = window(x, calls, next(places), 1, bias=bias, residual=residual, activation=block.alpha)
            x = convolve(whole, block.upsample).reshape(count, -1, block.bias.shape[0])
            bias, residual = block.bias, None
            for unit in block.units:
                reach = (KERNEL - 1) * unit.dilation
                whole, middle = window(
                    x,
                    calls,
                    next(places),
                    reach,
                    bias=bias,
                    residual=residual,
                    activation=unit.alpha1,
                    middle=True,
                )
                y = convolve(whole, unit.wide, unit.dilation, bias=unit.wide_bias, activation=unit.alpha2)
                x, bias, residual = convolve(y, unit.narrow), unit.narrow_bias, middle
        whole, _ = window(
            x, calls, next(places), KERNEL - 1, bias=bias, residual=residual, activation=self._final
        )
        x = convolve(whole, self._last_weight)
        self._state[slot_ids] = kept
        return torch.tanh(x[:, :, 0].float() + self._last_bias)

    def _places(self) -> Iterator[ConvolutionPlace]:
        """Yield where each convolution's inputs lie, in order."""
        offset, scale, lag = 0, 1, 0
        shapes = iter(self._shapes)

        def place() -> ConvolutionPlace:
            nonlocal offset
            before = offset
            channels, reach = next(shapes)
            offset += channels * reach
            return ConvolutionPlace(before, scale, lag)

        yield place()
        lag += KERNEL // 2
        for block in self._upsamplings:
            yield place()
            scale, lag = scale * block.rate, lag * block.rate + block.rate // 2
            for unit in block.units:
                yield place()
                lag += (KERNEL - 1) * unit.dilation // 2
        yield place()


def _last_channels(weight: Tensor) -> Tensor:
    """Turn [outputs, inputs, taps] into [outputs, taps, inputs]."""
    return weight.transpose(1, 2).contiguous()


def _pair(snake: Snake) -> tuple[Tensor, Tensor]:
    return snake.alpha.flatten(), snake.inverse.flatten()


def _upsampling(block: Block) -> _Upsampling:
    weight, bias, rate = block.upsample.weight, block.upsample.bias, block.rate
    outputs = weight.shape[0] // rate
    phases = weight.view(outputs, rate, *weight.shape[1:]).transpose(0, 1).reshape(weight.shape)
    units = tuple(_unit(unit) for unit in block.units)
    return _Upsampling(_pair(block.snake), _last_channels(phases), bias[::rate].contiguous(), rate, units)


def _unit(unit: ResidualUnit) -> _Unit:
    return _Unit(
        alpha1=_pair(unit.snake1),
        wide=_last_channels(unit.wide.weight),
        wide_bias=unit.wide.bias,
        alpha2=_pair(unit.snake2),
        narrow=_last_channels(unit.narrow.weight),
        narrow_bias=unit.narrow.bias,
        dilation=unit.dilation,
    )
