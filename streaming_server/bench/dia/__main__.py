"""Measure Dia on this machine beside transformers' `generate` on the same random weights.

    python -m streaming_server.bench.dia [--size tiny|full] [--dtype …] [--out DIR] [--json]

Requires PyTorch and NumPy; without transformers this engine is measured alone. Both sides sample alike and
never end on their own: the row of the head for end of audio is zero. Runs alternate between the sides and
medians are compared, since a shared machine drifts. Speed does not depend on the weights' values.
With --out everything is measured, stage by stage, and the JSON is written after each.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from streaming_server.bench.dia.plan import MINUTES, STAGE_LIMITS_S, STREAMS, Plan
from streaming_server.bench.dia.report import DiaReport
from streaming_server.bench.dia.stages import DeviceLost
from streaming_server.bench.dia.survival import DEVICE_LOST, REFUSED, ReportFile, run_in_child
from streaming_server.engines.dia.model.linear import int8_kernel
from streaming_server.engines.dia.serving.device import pick_device, pick_dtype
from streaming_server.errors import EngineFailure
from streaming_server.ipc.parent import end_with_parent

_EPILOG = """\
Everything there is to measure on a GPU, in one command that takes less than ten minutes on a recent one:

    python -m streaming_server.bench.dia --size full --device cuda --out DIR

It writes DIR/dia.json after every stage, so that a run that is cut short has its results. A stage that fails,
even one that ends the process, is recorded with its error, and the others go on; if the first one finds a
wrong result, the rest is left out.
Progress goes to standard error. On a CPU the full size takes some 17 GB of memory beside transformers in
float32, and its steps may take a second each: use fewer --steps and --rounds."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m streaming_server.bench.dia",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    on_gpu, on_cpu = (",".join(map(str, STREAMS[kind])) for kind in ("cuda", "cpu"))
    add = made.add_argument
    add("--size", choices=["tiny", "full"], default="tiny")
    add("--device", help="cuda, cuda:1 or cpu; the first GPU where there is one")
    add("--dtype", help="bfloat16, float16 or float32; the device's best")
    add("--steps", type=_positive, default=64, help="timed steps per run (default: 64)")
    add("--rounds", type=_positive, default=5, help="runs per side (default: 5)")
    add("--streams", type=_counts, help=f"streams at once (default: {on_gpu} on a GPU, {on_cpu} on a CPU)")
    add("--minutes", type=float, help="begin no stage after this time (default: 8 on a GPU, else no limit)")
    add("--quantize", choices=["int8"], help="8-bit weights on this engine's side")
    add("--threads", type=_positive, help="threads PyTorch may use on a CPU (default: 1 for tiny, else all)")
    add("--alone", action="store_true", help="leave transformers out")
    add("--disable-torch-compile", action="store_true", help="do not use Triton kernels on a GPU")
    add("--out", type=Path, metavar="DIR", help="measure everything and write DIR/dia.json after each stage")
    add("--json", action="store_true", help="print the whole report as JSON")
    add("--resume", type=int, metavar="PID", help=argparse.SUPPRESS)
    return made


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_positive(count) for count in text.split(","))


def plan_of(options: argparse.Namespace) -> Plan:
    """Return what is to be measured. Raises EngineFailure if there is no such device."""
    device = pick_device(options.device)
    minutes = MINUTES[device.type] if options.minutes is None else options.minutes
    disabled = options.disable_torch_compile or os.environ.get("DIA_DISABLE_TORCH_COMPILE", "")
    return Plan(
        size=options.size,
        device=device,
        dtype=pick_dtype(options.dtype, device),
        steps=options.steps,
        rounds=options.rounds,
        streams=options.streams or STREAMS[device.type],
        matmul=int8_kernel(device) if options.quantize else None,
        use_triton=disabled not in (True, "1", "true"),
        reference=not options.alone and importlib.util.find_spec("transformers") is not None,
        limit_s=None if minutes is None else 60 * minutes,
        staged=options.out is not None,
    )


def _rows(report: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in report.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _rows(value, name)
        elif isinstance(value, float):
            yield name, f"{value:.3f}"
        elif not isinstance(value, list):
            yield name, value


def _print_table(report: dict[str, Any]) -> None:
    for name, value in _rows(report):
        print(f"{name:<52} {value}")
    for what in report["not_measured"]:
        print(f"{'not measured':<52} {what}")


def _ignore(_: dict[str, Any]) -> None:
    """Keep nothing of an unfinished report."""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _resume(options: argparse.Namespace) -> int:
    """Run the stages that are not in the report yet; return this process's exit status."""
    end_with_parent(options.resume)
    file = ReportFile(options.out)
    try:
        DiaReport(plan_of(options), _say, file.write).run(file.read())
    except EngineFailure as error:
        _say(error.message)
        return REFUSED
    except DeviceLost:
        return DEVICE_LOST
    return 0


def _report(options: argparse.Namespace, arguments: list[str]) -> dict[str, Any] | None:
    """Return the report, or None if nothing could be measured (the reason was printed).

    Raise EngineFailure.
    """
    plan = plan_of(options)
    if options.out is None:
        return DiaReport(plan, _say, _ignore).run()
    file = ReportFile(options.out)
    file.remove()
    command = [sys.executable, "-m", "streaming_server.bench.dia", *arguments, f"--resume={os.getpid()}"]
    return run_in_child(command, file, STAGE_LIMITS_S[plan.device.type])


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    threads = options.threads or (1 if options.size == "tiny" else None)  # More only wait for each other.
    if threads:
        torch.set_num_threads(threads)
    if options.resume is not None:
        return _resume(options)
    try:
        report = _report(options, arguments)
    except EngineFailure as error:
        _say(error.message)
        return 1
    if report is None:
        return 1
    if options.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        _print_table(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
