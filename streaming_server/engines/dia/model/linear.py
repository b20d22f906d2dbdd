"""A weight matrix and the fastest kernel the device has for multiplying by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Kernel = Literal["dense", "packed", "separate", "int8", "float8", "library", "converted", "converted_float8"]
"""Storage and kernel of a matrix; see `Linear`."""

Product = Callable[[Tensor, Tensor, Tensor], Tensor]

_SMALL = 2**18
"""Below this many elements, reading the weight costs less than calling the packed kernel."""

_FLOAT8_MOST = 448.0
"""The greatest number in float8_e4m3fn."""

_FUSED_ROWS = 8
"""Up to this many rows, the fused int8 kernel is faster than converting the weight first."""


class Linear:
    """y = x Wᵀ for x [streams, rows, inputs] and W [outputs, inputs], without bias.

    kernel: `dense` is the device's own matrix product; `FusedStep` may compute it with Triton where there
    are few rows, but not `library`, which is otherwise the same. `packed` reorders W for oneDNN, which on a
    CPU reads it up to four times faster. `separate` multiplies each stream's rows on their own, for small W.
    `int8` keeps W as 8-bit integers with one scale per output, `float8` as float8_e4m3fn; Triton multiplies
    by weights of 8 bits with `converted` and `converted_float8`. With `packed` and `separate`, the result of
    a row does not depend on the rest of the batch, bit for bit.
    """

    __slots__ = (
        "_fused",
        "_packed",
        "_product",
        "_scale",
        "_small",
        "_transposed",
        "inputs",
        "kernel",
        "outputs",
        "weight",
    )

    def __init__(self, weight: Tensor, kernel: Kernel = "dense") -> None:
        self.outputs, self.inputs = weight.shape
        self.kernel: Kernel = kernel
        empty = weight.new_empty(0)
        self.weight = self._transposed = self._packed = self._scale = self._small = empty
        self._fused = False
        self._product: Product | None = None
        if kernel in ("converted", "converted_float8"):
            from streaming_server.engines.dia.kernels.quantized_matmul import product

            self._product = product
        match kernel:
            case "packed":
                self._packed = _mkldnn()._reorder_linear_weight(weight.contiguous(), 2)
            case "int8":
                self._small, self._scale = quantize(weight)
                self._fused = _fused_int8_works(self._small, self._scale)
            case "converted":
                self._small, self._scale = quantize(weight)
            case "float8" | "converted_float8":
                self._small, self._scale = quantize_float8(weight)
            case _:
                self.weight = weight.contiguous()
                self._transposed = self.weight.t()

    def __call__(self, rows: Tensor) -> Tensor:
        match self.kernel:
            case "dense" | "library":
                return functional.linear(rows, self.weight)
            case "separate":
                return torch.matmul(rows, self._transposed.expand(rows.shape[0], -1, -1))
            case "packed":
                return _packed_product(rows, self._packed)
            case "int8" | "float8":
                return _small_weight_product(rows, self._small, self._scale, self._fused)
            case "converted" | "converted_float8":
                assert self._product is not None
                return self._product(rows.contiguous(), self._small, self._scale)

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        """Add rows Wᵀ to `total`, [streams, rows, outputs], in place."""
        if self.kernel == "separate":
            total.baddbmm_(rows, self._transposed.expand(rows.shape[0], -1, -1))
        else:
            total.add_(self(rows))


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return symmetric 8-bit integers [outputs, inputs] and one scale per output, in the weight's dtype."""
    wide = weight.float()
    scale = wide.abs().amax(dim=1).clamp(min=1e-12) / 127
    integers = (wide / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8)
    return integers.contiguous(), scale.to(weight.dtype)


def quantize_float8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return float8_e4m3fn numbers [outputs, inputs] and one scale per output, in the weight's dtype."""
    wide = weight.float()
    scale = (wide.abs().amax(dim=1).clamp(min=1e-12) / _FLOAT8_MOST).to(weight.dtype)
    small = (wide / scale.float()[:, None]).clamp_(-_FLOAT8_MOST, _FLOAT8_MOST).to(torch.float8_e4m3fn)
    return small.contiguous(), scale


def best_kernel(weight: Tensor) -> Kernel:
    """Return the fastest kernel on this device that does not quantize."""
    if weight.device.type != "cpu":
        return "dense"
    if weight.numel() < _SMALL or weight.dtype not in (torch.float32, torch.bfloat16):
        return "separate"
    return "packed" if _packing_works(weight.dtype) else "dense"


def int8_kernel(device: torch.device) -> Kernel:
    """Return the kernel for 8-bit weights. On CUDA PyTorch's own is slower than bfloat16."""
    return "int8" if device.type == "cpu" else "converted"


def float8_kernel(device: torch.device) -> Kernel:
    """Return the kernel for weights in float8."""
    return "float8" if device.type == "cpu" else "converted_float8"


def _packing_works(dtype: torch.dtype) -> bool:
    """Return whether this build of PyTorch packs weights and multiplies correctly with them."""
    probe = torch.linspace(-1, 1, 64 * 32).view(64, 32).to(dtype)
    rows = torch.linspace(1, -1, 2 * 32).view(1, 2, 32).to(dtype)
    try:
        packed = Linear(probe, "packed")(rows)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(packed.float(), functional.linear(rows, probe).float(), rtol=2e-2, atol=1e-2)


def _mkldnn() -> Any:
    """Return oneDNN's operators. They belong to PyTorch's compiler; `_packing_works` guards their use."""
    return torch.ops.mkldnn


def _packed_product(rows: Tensor, packed: Tensor) -> Tensor:
    pointwise = _mkldnn()._linear_pointwise.default
    if rows.shape[0] * rows.shape[1] == 1:
        # The kernel for a single row sums in another order, so one row is computed as two.
        pair: Tensor = pointwise(rows.expand(2, 1, -1).contiguous(), packed, None, "none", [], "")
        return pair[:1]
    product: Tensor = pointwise(rows, packed, None, "none", [], "")
    return product


def _fused_int8_works(integers: Tensor, scale: Tensor) -> bool:
    """Return whether this device multiplies by 8-bit weights directly. On a CPU only bfloat16 profits."""
    if integers.device.type == "cpu" and scale.dtype != torch.bfloat16:
        return False
    rows = torch.ones(2, integers.shape[1], device=integers.device, dtype=scale.dtype)
    try:
        torch._weight_int8pack_mm(rows, integers[:64], scale[:64])
    except (AttributeError, RuntimeError):
        return False
    return True


def _small_weight_product(rows: Tensor, integers: Tensor, scale: Tensor, fused: bool) -> Tensor:
    streams, count, inputs = rows.shape
    if fused and streams * count <= _FUSED_ROWS:
        flat = torch._weight_int8pack_mm(rows.reshape(streams * count, inputs), integers, scale)
        return flat.view(streams, count, -1)
    return functional.linear(rows, integers.to(rows.dtype)) * scale
