"""Predict the time of a step on a GPU from the model's dimensions before any is measured.

    python -m streaming_server.bench.dia.predictions

prints a table in Markdown. A step is bound by memory: it reads the weights once, and each stream's live keys
and values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from streaming_server.bench.dia.plan import FRAME_MS
from streaming_server.engines.dia.model.config import DiaConfig
from streaming_server.engines.dia.weights.shapes import dia_shapes

LIVE_FRAMES = 430
"""Frames of a stream on average, half of ten seconds."""

TEXT_BYTES = 150

CARDS = {"H100": 3.0e12, "H200": 4.3e12}
"""Bytes per second that a copy reads and writes."""

STREAMS = (1, 8, 32, 64, 96, 128, 160, 192, 216, 256)

_ITEM = 2
"""Bytes of a bfloat16."""

_EFFICIENCY = 0.75
"""Share of that bandwidth that matrix products and attention are assumed to reach."""

_GAP_S = 1.2e-6
"""Assumed time from the end of one kernel of a graph to the beginning of the next."""

_FIXED_LAUNCHES = 5
"""Embedding, head, sampling, update of the state, copy of the progress."""

_PRODUCTS = 6
"""Matrix products of a layer: qkv, out, cross q, cross out, gate and up, down."""

_FUSED = 6
"""Triton kernels of a layer: two attentions, three norms, SiLU."""


@dataclass(frozen=True, slots=True)
class Step:
    """launches: kernels, if every product is one. weight_bytes, cache_bytes: read."""

    launches: int
    weight_bytes: int
    cache_bytes: int

    def seconds(self, bandwidth: float) -> float:
        read = (self.weight_bytes + self.cache_bytes) / (bandwidth * _EFFICIENCY)
        return read + self.launches * _GAP_S

    def least_seconds(self, bandwidth: float) -> float:
        """The limit: reading everything once, and nothing else."""
        return (self.weight_bytes + self.cache_bytes) / bandwidth


def predict(streams: int, config: DiaConfig | None = None) -> Step:
    config = config or DiaConfig()
    d = config.decoder
    self_frame = d.layers * 2 * 2 * d.kv_heads * d.head_width * _ITEM
    cross_byte = d.layers * 2 * d.cross_heads * d.cross_head_width * _ITEM
    cache = streams * (LIVE_FRAMES * self_frame + TEXT_BYTES * cross_byte)
    return Step(_FIXED_LAUNCHES + d.layers * (_PRODUCTS + _FUSED + _merges(streams)), _weights(config), cache)


def _merges(streams: int) -> int:
    """Kernels of a layer that merge parts of attention: for self-attention always, for the text if few."""
    return 2 if streams <= 16 else 1


def _weights(config: DiaConfig) -> int:
    read = sum(
        math.prod(shape)
        for name, shape in dia_shapes(config).items()
        if ".encoder." not in name
        and "embed" not in name
        and not ("cross_attention" in name and (".k_proj" in name or ".v_proj" in name))
    )
    return int(read * _ITEM)


def table() -> str:
    lines = [
        "| streams | kernels | weights, GB | cache, GB | "
        + " | ".join(f"{card}, ms (limit)" for card in CARDS)
        + " | times real time on an H200, codec aside |",
        "|" + "---|" * (5 + len(CARDS)),
    ]
    for streams in STREAMS:
        step = predict(streams)
        times = [
            f"{step.seconds(speed) * 1e3:.2f} ({step.least_seconds(speed) * 1e3:.2f})"
            for speed in CARDS.values()
        ]
        real_time = FRAME_MS / 1e3 / step.seconds(CARDS["H200"])
        lines.append(
            f"| {streams} | {step.launches} | {step.weight_bytes / 1e9:.2f} | {step.cache_bytes / 1e9:.2f} | "
            + " | ".join(times)
            + f" | {real_time:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
