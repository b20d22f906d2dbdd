"""transformers' `generate` in a process of its own, so that neither side's memory or faults touch the other.

    python -m streaming_server.bench.dia.apart SIZE DEVICE DTYPE STEPS ROUNDS

prints the milliseconds of each step, a list per round, as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from streaming_server.bench.dia.plan import FRAME_MS, WARM_STEPS, Plan, reference_plan
from streaming_server.bench.dia.reference import Reference
from streaming_server.bench.dia.weights import endless_weights

_LIMIT_S = 180


def transformers_apart(plan: Plan) -> dict[str, Any]:
    """Median ms per step, over rounds."""
    dtype = str(plan.dtype).removeprefix("torch.")
    arguments = [plan.size, str(plan.device), dtype, str(plan.steps), str(plan.rounds)]
    command = [sys.executable, "-m", "streaming_server.bench.dia.apart", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S)
    if run.returncode:
        raise RuntimeError(run.stderr.strip()[-2000:])
    rounds = [statistics.median(times) for times in json.loads(run.stdout.splitlines()[-1])]
    median = statistics.median(rounds)
    return {"step_ms": median, "rounds_ms": rounds, "times_real_time": FRAME_MS / median}


def main(arguments: list[str]) -> None:
    size, device, dtype, steps, rounds = arguments
    plan = reference_plan(size, device, dtype)
    reference = Reference(plan, endless_weights(plan))
    times = [reference.generate(WARM_STEPS + int(steps))[WARM_STEPS:] for _ in range(int(rounds))]
    print(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1:])
