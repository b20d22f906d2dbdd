"""transformers' `generate` on the same tensors."""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch
from torch import Tensor

from streaming_server.bench.dia.machine import wait
from streaming_server.bench.dia.plan import SAMPLING, TEXT, Plan
from streaming_server.engines.dia.model.config import DiaConfig
from streaming_server.engines.dia.model.linear import Kernel, Linear, best_kernel
from streaming_server.engines.dia.serving.device import avoid_cudnn_attention


def reference_model(config: DiaConfig, tensors: dict[str, Tensor]) -> Any:
    """Build transformers' DiaForConditionalGeneration around these tensors, without a copy."""
    import transformers

    document = config.document()
    sections = {key: document[key] for key in ("encoder_config", "decoder_config", "delay_pattern")}
    with torch.device("meta"):
        model: Any = transformers.DiaForConditionalGeneration(transformers.DiaConfig(**sections))
    model.load_state_dict(tensors, strict=True, assign=True)
    _restore_buffers(model, config, tensors["logits_dense.weight"].device)
    return model.eval()


def _restore_buffers(model: Any, config: DiaConfig, device: torch.device) -> None:
    """Restore buffers that a checkpoint does not hold and the meta device leaves out."""
    for module in model.modules():
        name = type(module).__name__
        if name == "DiaRotaryEmbedding":
            frequencies, _ = module.compute_default_rope_parameters(module.config)
            module.inv_freq = frequencies.to(device)
            module.original_inv_freq = frequencies.to(device)
        elif name == "DiaMultiChannelEmbedding":
            d = config.decoder
            module.offsets = torch.arange(d.channels, device=device) * d.vocabulary


class Reference:
    def __init__(self, plan: Plan, tensors: dict[str, Tensor]) -> None:
        import transformers

        avoid_cudnn_attention()
        quieten: Any = transformers.utils.logging
        quieten.set_verbosity_error()
        self._plan = plan
        self._model = reference_model(plan.config, tensors)

    def generate(self, steps: int) -> list[float]:
        """Return the milliseconds of each step but the first, which also encodes the text."""
        starts: list[float] = []

        def note(*_: Any) -> None:
            wait(self._plan.device)
            starts.append(time.perf_counter())

        hook = self._model.register_forward_pre_hook(note)
        try:
            self._model.generate(
                **self._inputs(),
                do_sample=True,
                temperature=SAMPLING.temperature,
                top_p=SAMPLING.top_p,
                top_k=SAMPLING.top_k,
                guidance_scale=SAMPLING.cfg_scale,
                max_new_tokens=steps,
            )
        finally:
            hook.remove()
        wait(self._plan.device)
        starts.append(time.perf_counter())
        return [(b - a) * 1e3 for a, b in itertools.pairwise(starts)][1:]

    def _inputs(self) -> dict[str, Tensor]:
        config, device = self._plan.config, self._plan.device
        ids = torch.tensor([list(TEXT.encode())], device=device)
        rows = torch.full((1, config.last_delay + 1, config.decoder.channels), config.pad, device=device)
        for channel, delay in enumerate(config.delays):
            rows[:, : delay + 1, channel] = config.bos
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "decoder_input_ids": rows,
            "decoder_attention_mask": torch.ones(rows.shape[:2], device=device, dtype=torch.int64),
        }

    def use_our_kernels(self) -> None:
        """Replace its matrix products by this engine's, and nothing else."""
        for module in list(self._model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, torch.nn.Linear):
                    setattr(module, name, _Borrowed(child.weight.detach(), self._plan.matmul))


class _Borrowed(torch.nn.Module):
    def __init__(self, weight: Tensor, kernel: Kernel | None) -> None:
        super().__init__()
        self._linear = Linear(weight, kernel or best_kernel(weight))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        return self._linear(flat).view(*x.shape[:-1], -1)
