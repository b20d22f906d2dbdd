"""DAC's encoder: from a voice sample to the codes of a prompt."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from streaming_server.engines.dia.model.codec import (
    DILATIONS,
    KERNEL,
    Convolution,
    ResidualUnit,
    Snake,
    read_convolution,
    read_residual_units,
    read_snake,
)
from streaming_server.engines.dia.model.config import CodecConfig

WINDOW_FRAMES = 86
"""Frames encoded at a time, about a second: bounds memory, and is faster than one pass."""


@dataclass(frozen=True, slots=True)
class EncoderBlock:
    units: tuple[ResidualUnit, ...]
    snake: Snake
    downsample: Convolution
    rate: int


@dataclass(frozen=True, slots=True)
class Quantizer:
    """One codebook. codes: [size, width]. directions: the codes normalized to length one."""

    project: Convolution
    codes: Tensor
    directions: Tensor
    spread: Convolution


class PromptEncoder:
    """A DAC encoder's weights, ready to compute with.

    tensors: by transformers' names, as `loader.read_encoder` returns them, in the dtype and on the device
    to compute with.
    """

    def __init__(self, config: CodecConfig, tensors: dict[str, Tensor]) -> None:
        self.config = config
        self._first = read_convolution(tensors, "encoder.conv1")
        rates = tuple(reversed(config.rates))
        self._blocks = [_block(tensors, index, rate) for index, rate in enumerate(rates)]
        self._last_snake = read_snake(tensors, "encoder.snake1")
        self._last = read_convolution(tensors, "encoder.conv2")
        self._quantizers = [_quantizer(tensors, index) for index in range(config.codebooks)]
        self._reach = math.ceil(encoder_reach(config) / config.hop)

    def encode(self, samples: NDArray[np.float32]) -> Iterator[Tensor]:
        """Yield codes of mono samples in -1 to 1 at the codec's rate, [frames, codebooks], int64, on the CPU.

        They come in windows of `WINDOW_FRAMES` and equal those of encoding everything at once. The last
        frame is padded with silence.
        """
        hop = self.config.hop
        frames = math.ceil(len(samples) / hop)
        weight = self._first.weight
        padded = torch.zeros(1, 1, frames * hop, dtype=weight.dtype)
        padded[0, 0, : len(samples)] = torch.from_numpy(samples)
        for start in range(0, frames, WINDOW_FRAMES):
            stop = min(start + WINDOW_FRAMES, frames)
            before, after = max(0, start - self._reach), min(frames, stop + self._reach)
            with torch.inference_mode():
                window = padded[:, :, before * hop : after * hop].to(weight.device)
                latents = self.latents(window)[:, :, start - before : stop - before]
                codes = self._codes(latents).cpu()
            yield codes

    def latents(self, x: Tensor) -> Tensor:
        """Return latents [1, latent width, frames] of samples [1, 1, frames × hop]."""
        x = functional.conv1d(x, self._first.weight, self._first.bias, padding=KERNEL // 2)
        for block in self._blocks:
            for unit in block.units:
                x = _residual(x, unit)
            weight, bias = block.downsample.weight, block.downsample.bias
            x = functional.conv1d(block.snake(x), weight, bias, stride=block.rate, padding=block.rate // 2)
        return functional.conv1d(self._last_snake(x), self._last.weight, self._last.bias, padding=1)

    def _codes(self, latents: Tensor) -> Tensor:
        """Quantize latents; each codebook encodes the residual of those before it. Returns [frames,
        codebooks].
        """
        chosen: list[Tensor] = []
        for quantizer in self._quantizers:
            wanted = functional.conv1d(latents, quantizer.project.weight, quantizer.project.bias)[0].t()
            nearest = (functional.normalize(wanted) @ quantizer.directions.t()).argmax(dim=1)
            found = quantizer.codes[nearest].t()[None]
            latents = latents - functional.conv1d(found, quantizer.spread.weight, quantizer.spread.bias)
            chosen.append(nearest)
        return torch.stack(chosen, dim=1)


def encoder_reach(config: CodecConfig) -> int:
    """Return the number of samples on either side of a frame that its codes depend on."""
    reach, hop = KERNEL // 2, 1
    for rate in reversed(config.rates):
        reach += hop * (sum(KERNEL // 2 * dilation for dilation in DILATIONS) + rate // 2 + rate)
        hop *= rate
    return reach + hop


def _residual(x: Tensor, unit: ResidualUnit) -> Tensor:
    wide, narrow = unit.wide, unit.narrow
    y = functional.conv1d(
        unit.snake1(x), wide.weight, wide.bias, dilation=unit.dilation, padding=unit.padding
    )
    return functional.conv1d(unit.snake2(y), narrow.weight, narrow.bias).add_(x)


def _block(tensors: dict[str, Tensor], index: int, rate: int) -> EncoderBlock:
    name = f"encoder.block.{index}"
    units, snake = read_residual_units(tensors, name), read_snake(tensors, f"{name}.snake1")
    return EncoderBlock(units, snake, read_convolution(tensors, f"{name}.conv1"), rate)


def _quantizer(tensors: dict[str, Tensor], index: int) -> Quantizer:
    name = f"quantizer.quantizers.{index}"
    codes = tensors[f"{name}.codebook.weight"]
    return Quantizer(
        read_convolution(tensors, f"{name}.in_proj"),
        codes,
        functional.normalize(codes),
        read_convolution(tensors, f"{name}.out_proj"),
    )
