"""Compile Triton kernels for GPUs that are not there, in the shapes they are launched in.

Launches are recorded on meta tensors: a kernel gets the types, constants and alignment it would get on a GPU.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

SHARED_BYTES = {80: 166_912, 89: 101_376, 90: 232_448}
"""Shared memory that a block may use, by compute capability: A100, L4 and RTX 4090, H100 and H200."""

TYPES = {
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.float32: "fp32",
    torch.int8: "i8",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.complex64: "fp32",
}
OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion", "maxnreg", "launch_pdl")


@dataclass(frozen=True)
class Launch:
    """One kernel with the types and constants of one launch; equal launches compile to the same code."""

    kernel: Any
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, Any], ...]
    aligned: tuple[int, ...]
    options: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        return f"{self.kernel.fn.__name__} {dict(self.constants)}"

    @classmethod
    def of(cls, kernel: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Launch:
        options = {key: given.pop(key) for key in OPTIONS if key in given}
        values = dict(zip(kernel.arg_names, args, strict=False)) | given
        signature, constants, aligned = {}, {}, []
        for index, parameter in enumerate(kernel.params):
            value = values[parameter.name]
            if parameter.is_constexpr or value is None:
                signature[parameter.name], constants[parameter.name] = "constexpr", value
            elif isinstance(value, torch.Tensor):
                signature[parameter.name] = f"*{TYPES[value.dtype]}"
                if value.storage_offset() * value.element_size() % 16 == 0:
                    aligned.append(index)
            elif isinstance(value, float):
                signature[parameter.name] = "fp32"
            elif parameter.do_not_specialize:
                signature[parameter.name] = "i32"
            elif value == 1:
                signature[parameter.name], constants[parameter.name] = "constexpr", 1
            else:
                signature[parameter.name] = "i32"
                if value % 16 == 0:
                    aligned.append(index)
        return cls(
            kernel, tuple(signature.items()), tuple(constants.items()), tuple(aligned), tuple(options.items())
        )


@contextmanager
def recorded_launches() -> Iterator[Counter[Launch]]:
    """Count the launches made within, in place of making them."""
    launches: Counter[Launch] = Counter()
    run = JITFunction.run

    def record(self: Any, *args: Any, grid: Any, warmup: bool, **given: Any) -> None:
        launches[Launch.of(self, args, given)] += 1

    JITFunction.run = record
    try:
        yield launches
    finally:
        JITFunction.run = run


@dataclass(frozen=True)
class Usage:
    """Resources of a compiled kernel: registers per thread, bytes of stack and of shared memory per block."""

    registers: int
    stack: int
    shared: int


def compiled(launch: Launch, capability: int) -> Any:
    source = ASTSource(
        fn=launch.kernel,
        signature=dict(launch.signature),
        constexprs=dict(launch.constants),
        attrs={(index,): [["tt.divisibility", 16]] for index in launch.aligned},
    )
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=dict(launch.options))


def compile_offline(launch: Launch, capability: int) -> Usage:
    kernel = compiled(launch, capability)
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [tool, "--dump-resource-usage", file.name]
        dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.search(rf"\b{key}:(\d+)", dump)[1]) for key in ("REG", "STACK"))
    return Usage(registers, stack, kernel.metadata.shared)
