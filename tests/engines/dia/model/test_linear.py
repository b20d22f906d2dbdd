"""A row times a matrix has the same bits whatever rows it is multiplied with."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.model.linear import Linear, best_kernel, quantize, quantize_float8  # noqa: E402

SHAPES = [(3072, 2048), (2048, 2048), (2048, 4096), (512, 64)]
"""Outputs and inputs, some of the published model's and one that is small."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_linear_is_batch_invariant(shape, dtype):
    torch.manual_seed(1)
    weight = torch.randn(shape, dtype=dtype)
    linear = Linear(weight, best_kernel(weight))
    rows = torch.randn(9, 2, shape[1], dtype=dtype)
    alone = [linear(rows[index : index + 1]) for index in range(9)]
    for size in (1, 2, 3, 4, 8, 9):
        together = linear(rows[:size].contiguous())
        for index in range(size):
            assert torch.equal(together[index : index + 1], alone[index])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_best_kernel_computes_the_product(dtype):
    torch.manual_seed(2)
    weight, rows = torch.randn(2048, 1024, dtype=dtype), torch.randn(3, 2, 1024, dtype=dtype)
    wanted = rows.double() @ weight.double().t()
    error = (Linear(weight, best_kernel(weight))(rows).double() - wanted).abs().max() / wanted.abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("rows", [1, 4, 40])
@torch.inference_mode()
def test_int8_is_close_for_few_and_many_rows(rows):
    torch.manual_seed(3)
    weight, given = torch.randn(512, 256), torch.randn(rows, 2, 256)
    wanted = given @ weight.t()
    assert (Linear(weight, "int8")(given) - wanted).abs().max() / wanted.abs().max() < 0.02


@torch.inference_mode()
def test_float8_is_close_and_loses_no_more_than_its_mantissa():
    torch.manual_seed(5)
    weight, given = torch.randn(512, 256), torch.randn(4, 2, 256)
    wanted = given @ weight.t()
    found = Linear(weight, "float8")(given)
    assert 0 < (found - wanted).norm() / wanted.norm() < 0.04
    small, scale = quantize_float8(weight)
    relative = (small.float() * scale[:, None] - weight).abs() / weight.abs()
    assert relative[weight.abs() > 0.05].max() <= 2**-4 + 1e-6


def test_quantization_error_is_at_most_half_a_step():
    torch.manual_seed(4)
    weight = torch.randn(32, 64)
    integers, scale = quantize(weight)
    assert integers.dtype == torch.int8
    assert ((integers * scale[:, None] - weight).abs() <= scale[:, None] / 2 + 1e-6).all()
