"""How fast Dia is here, beside transformers' `generate` on the same random weights.

    python -m streaming_server.bench.dia [--size tiny|full] [--dtype …] [--json]

Both sides sample alike and never end of themselves: the row of the head that speaks end of audio is zero.
Runs alternate between the sides and medians are compared, since a shared machine drifts. Without transformers
only this engine is measured. Speed does not depend on what the weights are; how it sounds does, and is not
measured.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from streaming_server.engines.dia.config import TINY_CODEC, TINY_DIA, CodecConfig, DiaConfig
from streaming_server.engines.dia.device import pick_device, pick_dtype
from streaming_server.engines.dia.engine import DiaEngine
from streaming_server.engines.dia.linear import Kernel, Linear, best_kernel
from streaming_server.engines.dia.load import assemble
from streaming_server.engines.dia.runner import Load, Runner
from streaming_server.engines.dia.slots import Recipe
from streaming_server.engines.dia.weights import dia_shapes, locate, random_tensors, read_codec
from streaming_server.types import DEFAULT_VOICE, Audio, Finished, Generation, Utterance

TEXT = (
    "This is a sentence of about one hundred and fifty bytes, which is what a person says in one breath, "
    "and it goes on for a little while until it ends."
)
FRAME_MS = 1000 * 512 / 44100
WARM_STEPS = 32
FIRST_PCM_STEPS = 25
RECIPE = Recipe(temperature=1.2, top_p=0.95, top_k=45, cfg_scale=3.0, cfg_filter_top_k=45)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. steps: timed, per run. rounds: runs per side."""

    size: str
    device: torch.device
    dtype: torch.dtype
    steps: int
    rounds: int
    streams: tuple[int, ...]
    kernel: Kernel | None
    reference: bool

    @property
    def config(self) -> DiaConfig:
        return TINY_DIA if self.size == "tiny" else DiaConfig()

    @property
    def codec(self) -> CodecConfig:
        return TINY_CODEC if self.size == "tiny" else CodecConfig()


class Ours:
    """This engine, with its parts within reach."""

    def __init__(self, plan: Plan, tensors: dict[str, Tensor], slots: int) -> None:
        codec = read_codec(locate(f"random:{plan.size}", "DIA_CODEC"), plan.codec, plan.device, torch.float32)
        self._plan = plan
        self.runner = assemble(plan.config, dict(tensors), plan.codec, codec, slots, plan.kernel)
        self._watched = _Watched(self.runner)
        self.engine = DiaEngine(cast(Runner, self._watched), RECIPE)
        self._ids = 0

    def step_times(self, streams: int) -> tuple[list[float], list[float]]:
        """Milliseconds per step of the model alone, with so many streams: by the clock, and the host's."""
        plan, slots = self._plan, self.runner.slots
        wall: list[float] = []
        host: list[float] = []
        with torch.inference_mode(), self.runner.computing():
            for slot in range(streams):
                self._prepare(slot)
            load = Load(WARM_STEPS + plan.steps + 2, len(TEXT), slots.breadth(RECIPE), True)
            lanes = list(range(streams))
            _wait(plan.device)
            for _ in range(WARM_STEPS + plan.steps):
                start = time.perf_counter()
                self.runner.step(lanes, load)
                host.append((time.perf_counter() - start) * 1e3)
                self.runner.ends()
                wall.append((time.perf_counter() - start) * 1e3)
            _wait(plan.device)
        return wall[WARM_STEPS:], host[WARM_STEPS:]

    def _prepare(self, slot: int) -> None:
        slots = self.runner.slots
        ids = torch.tensor(list(TEXT.encode()), device=self._plan.device)
        encoded = ids
        for layer in slots.model.encode(ids):
            encoded = encoded if layer is None else layer
        for _ in slots.model.remember_text(encoded, slots.caches, slot):
            pass
        slots.begin(slot, torch.zeros(0, 9, dtype=torch.int64, device=self._plan.device), len(ids), RECIPE)

    def utterance(self, frames: int) -> Utterance:
        self._ids += 1
        generation = Generation(max_tokens=frames + 17, seed=self._ids)
        return Utterance(self._ids, self._ids, TEXT, DEFAULT_VOICE, generation, time.monotonic())

    def speak(self, arrivals: dict[int, int], frames: int) -> dict[str, Any]:
        """Utterances arriving at these steps, {step: how many}, to their end; with sound."""
        arrivals = dict(arrivals)
        came: dict[int, float] = {}
        first: dict[int, float] = {}
        steps: list[float] = []
        own: list[float] = []
        done, start = 0, time.perf_counter()
        while arrivals or self.engine.active:
            for _ in range(arrivals.pop(len(steps), 0)):
                utterance = self.utterance(frames)
                came[utterance.id] = time.perf_counter()
                self.engine.submit(utterance)
            at, elsewhere = time.perf_counter(), self._watched.spent_s
            events = self.engine.step()
            took = time.perf_counter() - at
            steps.append(took * 1e3)
            own.append((took - self._watched.spent_s + elsewhere) * 1e6)
            for event in events:
                if isinstance(event, Audio):
                    first.setdefault(event.utterance, time.perf_counter())
                elif isinstance(event, Finished):
                    done += 1
        return {
            "seconds": time.perf_counter() - start,
            "first_pcm_ms": [(first[number] - came[number]) * 1e3 for number in first],
            "step_ms": steps,
            "own_us": own,
            "finished": done,
        }


class _Watched:
    """A runner, and the seconds spent in it."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self.spent_s = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._runner, name)
        if name not in ("step", "ends", "decode", "sound"):
            return found

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return found(*arguments, **named)
            finally:
                self.spent_s += time.perf_counter() - start

        return timed


class Reference:
    """transformers' `generate` on the same tensors."""

    def __init__(self, plan: Plan, tensors: dict[str, Tensor]) -> None:
        import transformers

        quieten: Any = transformers.utils.logging
        quieten.set_verbosity_error()
        self._plan = plan
        self.version = transformers.__version__
        document = plan.config.document()
        sections = {key: document[key] for key in ("encoder_config", "decoder_config", "delay_pattern")}
        with torch.device("meta"):
            model: Any = transformers.DiaForConditionalGeneration(transformers.DiaConfig(**sections))
        model.load_state_dict(tensors, strict=True, assign=True)
        _restore_buffers(model, plan)
        self.model: Any = model.eval()

    def generate(self, steps: int, batch: int = 1) -> list[float]:
        """Milliseconds of each step but the first, which also reads the text."""
        starts: list[float] = []

        def note(*_: Any) -> None:
            _wait(self._plan.device)
            starts.append(time.perf_counter())

        hook = self.model.register_forward_pre_hook(note)
        device = self._plan.device
        ids = torch.tensor([list(TEXT.encode())] * batch, device=device)
        rows = torch.full((batch, 16, 9), 1025, device=device)
        for channel, delay in enumerate(self._plan.config.delays):
            rows[:, : delay + 1, channel] = 1026
        try:
            self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                decoder_input_ids=rows,
                decoder_attention_mask=torch.ones(batch, 16, device=device, dtype=torch.int64),
                do_sample=True,
                temperature=RECIPE.temperature,
                top_p=RECIPE.top_p,
                top_k=RECIPE.top_k,
                guidance_scale=RECIPE.cfg_scale,
                max_new_tokens=steps,
            )
        finally:
            hook.remove()
        _wait(device)
        starts.append(time.perf_counter())
        return [(b - a) * 1e3 for a, b in itertools.pairwise(starts)][1:]

    def use_our_kernels(self) -> None:
        """Give its matrices the kernels this engine uses, and nothing else of it."""
        for module in list(self.model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, torch.nn.Linear):
                    setattr(module, name, _Borrowed(child.weight.detach(), self._plan.kernel))


class _Borrowed(torch.nn.Module):
    def __init__(self, weight: Tensor, kernel: Kernel | None) -> None:
        super().__init__()
        self._linear = Linear(weight, kernel or best_kernel(weight))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        return self._linear(flat).view(*x.shape[:-1], -1)


def _restore_buffers(model: Any, plan: Plan) -> None:
    """What a checkpoint does not hold and building on the meta device leaves out."""
    for module in model.modules():
        name = type(module).__name__
        if name == "DiaRotaryEmbedding":
            frequencies, _ = module.compute_default_rope_parameters(module.config)
            module.inv_freq = frequencies.to(plan.device)
            module.original_inv_freq = frequencies.to(plan.device)
        elif name == "DiaMultiChannelEmbedding":
            d = plan.config.decoder
            module.offsets = torch.arange(d.channels, device=plan.device) * d.vocabulary


def weights(plan: Plan) -> dict[str, Tensor]:
    """Random tensors that never speak end of audio."""
    tensors = dict(random_tensors(dia_shapes(plan.config), plan.device, plan.dtype))
    tensors["logits_dense.weight"][plan.config.eos] = 0
    return tensors


def bandwidth(device: torch.device) -> float:
    """Bytes per second that a copy reads and writes."""
    size = 2**30 if device.type == "cuda" else 2**28
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = math.inf
    for _ in range(6):
        _wait(device)
        start = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size / best


def step_bytes(plan: Plan) -> int:
    """Weights that one step must read."""
    shapes = dia_shapes(plan.config)
    read = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if ".encoder." not in name
        and "embed" not in name
        and not ("cross_attention" in name and (".k_proj" in name or ".v_proj" in name))
    )
    return int(read * (1 if plan.kernel == "int8" else plan.dtype.itemsize))


def eight_bit_error(plan: Plan, tensors: dict[str, Tensor]) -> float:
    """How far 8-bit weights move the logits: norm of the difference, relative."""
    from streaming_server.engines.dia.model import Caches, DiaModel

    logits: list[Tensor] = []
    rows = torch.randint(0, 1024, (24, 9), generator=torch.Generator().manual_seed(0)).to(plan.device)
    ids = torch.tensor(list(TEXT.encode()), device=plan.device)
    for kernel in (None, "int8"):
        with torch.inference_mode():
            model = DiaModel(plan.config, dict(tensors), kernel)
            caches = Caches.empty(plan.config, 1, 64, 256, plan.device, plan.dtype)
            encoded = next(layer for layer in model.encode(ids) if layer is not None)
            for _ in model.remember_text(encoded, caches, 0):
                pass
            pieces = list(model.prefill(rows, 0, len(ids), caches, 0))
            assert pieces[-1] is not None
            logits.append(pieces[-1].float())
        del model, caches
        gc.collect()
    return float((logits[1] - logits[0]).norm() / logits[0].norm())


def measure(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, as one document. Progress goes to `say`."""
    say(f"making random weights ({plan.size}, {plan.dtype})")
    tensors = weights(plan)
    report: dict[str, Any] = {"machine": machine(plan), "plan": _described(plan)}
    if plan.kernel == "int8":
        report["int8_relative_logit_error"] = eight_bit_error(plan, tensors)
    ours = Ours(plan, tensors, max(4, *plan.streams))
    reference = Reference(plan, tensors) if plan.reference else None
    if reference is not None:
        report["machine"]["transformers"] = reference.version
    del tensors
    report["bandwidth_gb_s"] = bandwidth(plan.device) / 1e9
    report["step"] = compare_steps(plan, ours, reference, say)
    share = step_bytes(plan) / (report["bandwidth_gb_s"] * 1e9) / (report["step"]["ours_ms"] / 1e3)
    report["share_of_bandwidth_limit"] = share
    report["streams"] = {str(count): at_scale(plan, ours, count, say) for count in plan.streams}
    report["first_pcm"] = first_pcm(plan, ours, report["step"]["ours_ms"], say)
    report["staggered"] = staggered(plan, ours, reference, say)
    if reference is not None and plan.device.type == "cpu":
        reference.use_our_kernels()
        gc.collect()
        say("the same kernels on both sides")
        report["same_kernels"] = compare_steps(plan, ours, reference, say)
    report["peak_memory_gb"] = peak_memory(plan.device)
    return report


def compare_steps(
    plan: Plan, ours: Ours, reference: Reference | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Milliseconds per step with one stream, the sides in turn."""
    mine: list[float] = []
    host: list[float] = []
    theirs: list[float] = []
    for turn in range(plan.rounds):
        wall, spent = ours.step_times(1)
        mine.append(statistics.median(wall))
        host.append(statistics.median(spent))
        if reference is not None:
            theirs.append(statistics.median(reference.generate(WARM_STEPS + plan.steps)[WARM_STEPS:]))
        theirs_so_far = f", transformers {theirs[-1]:.2f} ms" if theirs else ""
        say(f"round {turn + 1}: {mine[-1]:.2f} ms per step{theirs_so_far}")
    result: dict[str, Any] = {
        "ours_ms": statistics.median(mine),
        "ours_rounds_ms": mine,
        "ours_host_ms": statistics.median(host),
        "ours_times_real_time": FRAME_MS / statistics.median(mine),
    }
    if theirs:
        result |= {
            "transformers_ms": statistics.median(theirs),
            "transformers_rounds_ms": theirs,
            "transformers_times_real_time": FRAME_MS / statistics.median(theirs),
            "times_as_fast": statistics.median(theirs) / statistics.median(mine),
        }
    return result


def at_scale(plan: Plan, ours: Ours, count: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Many streams at once, sound included.

    engine_host_us: what a step takes of the host beside running the model and the codec.
    """
    frames = 860 if plan.device.type == "cuda" else WARM_STEPS + plan.steps
    wall, _ = ours.step_times(count)
    spoken = ours.speak({0: count}, frames)
    say(f"{count} streams: {statistics.median(wall):.2f} ms per step")
    return {
        "step_ms": statistics.median(wall),
        "step_with_sound_ms": {name: _quantile(spoken["step_ms"], q) for name, q in _QUANTILES.items()},
        "engine_host_us": statistics.median(spoken["own_us"]),
        "times_real_time_each": frames * FRAME_MS / 1e3 / spoken["seconds"],
        "times_real_time_together": count * frames * FRAME_MS / 1e3 / spoken["seconds"],
        "first_pcm_ms": {name: _quantile(spoken["first_pcm_ms"], q) for name, q in _QUANTILES.items()},
        "in_real_time": spoken["seconds"] < frames * FRAME_MS / 1e3,
    }


def first_pcm(plan: Plan, ours: Ours, step_ms: float, say: Callable[[str], None]) -> dict[str, Any]:
    """From submitting a text to its first sound, nobody else being there."""
    times = [
        ours.speak({0: 1}, FIRST_PCM_STEPS + 4)["first_pcm_ms"][0]
        for _ in range(20 if plan.device.type == "cuda" else plan.rounds)
    ]
    say(f"first PCM after {statistics.median(times):.1f} ms")
    return {
        **{f"{name}_ms": _quantile(times, q) for name, q in _QUANTILES.items()},
        "in_steps": statistics.median(times) / step_ms,
    }


def staggered(
    plan: Plan, ours: Ours, reference: Reference | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Four requests an eighth of their length apart, against transformers taking them in turn."""
    frames = WARM_STEPS + plan.steps
    arrivals = {index * frames // 8: 1 for index in range(4)}
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(max(1, plan.rounds // 2)):
        mine.append(ours.speak(arrivals, frames)["seconds"])
        if reference is not None:
            start = time.perf_counter()
            for _ in range(4):
                reference.generate(frames + 16)
            theirs.append(time.perf_counter() - start)
    result: dict[str, Any] = {
        "ours_s": statistics.median(mine),
        "frames": frames,
        "ours_includes_sound": True,
    }
    if theirs:
        result["transformers_in_turn_s"] = statistics.median(theirs)
        result["share"] = statistics.median(mine) / statistics.median(theirs)
    say(f"four staggered requests: {result}")
    return result


def peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def machine(plan: Plan) -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    name = torch.cuda.get_device_name(plan.device) if plan.device.type == "cuda" else processor
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def _quantile(values: list[float], q: float) -> float:
    return float(np.quantile(np.asarray(values), q)) if values else math.nan


def _described(plan: Plan) -> dict[str, Any]:
    return {
        "size": plan.size,
        "dtype": str(plan.dtype).removeprefix("torch."),
        "kernel": plan.kernel or "best",
        "steps": plan.steps,
        "rounds": plan.rounds,
        "text_bytes": len(TEXT.encode()),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _rows(report: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in report.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _rows(value, name)
        elif not isinstance(value, list):
            yield name, f"{value:.3f}" if isinstance(value, float) else value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="streaming_server.bench.dia", description=__doc__)
    parser.add_argument("--size", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--device", help="cuda, cuda:1 or cpu; the first GPU where there is one")
    parser.add_argument("--dtype", help="bfloat16, float16 or float32; the device's best")
    parser.add_argument("--steps", type=int, default=64, help="timed steps per run (default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="runs per side (default: 5)")
    parser.add_argument("--streams", default="1,4", help="streams at once (default: 1,4)")
    parser.add_argument("--quantize", choices=["int8"], help="8-bit weights on this engine's side")
    parser.add_argument("--threads", type=int, help="threads PyTorch may use on a CPU")
    parser.add_argument("--alone", action="store_true", help="leave transformers out")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    plan = Plan(
        size=options.size,
        device=device,
        dtype=pick_dtype(options.dtype, device),
        steps=options.steps,
        rounds=options.rounds,
        streams=tuple(int(count) for count in options.streams.split(",")),
        kernel=options.quantize,
        reference=not options.alone and _installed("transformers"),
    )
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for name, value in _rows(report):
            print(f"{name:<44} {value}")
    return 0


def _installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    sys.exit(main())
