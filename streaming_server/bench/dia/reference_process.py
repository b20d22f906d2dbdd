"""transformers' `generate` in a process of its own, so that neither side costs the other memory or time.

python -m streaming_server.bench.dia.reference_process '{"size": "tiny", …}'
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any, Final

import torch

from streaming_server.bench.dia.machine import peak_memory
from streaming_server.bench.dia.plan import FRAME_MS, WARM_STEPS, Plan
from streaming_server.bench.dia.reference import Reference
from streaming_server.bench.dia.weights import endless_weights
from streaming_server.errors import EngineFailure
from streaming_server.ipc.parent import end_with_parent

_LIMIT_S: Final = {"cpu": 3600.0, "cuda": 150.0}


def transformers_alone(plan: Plan) -> dict[str, Any]:
    """Return the milliseconds of a step of transformers. Raises EngineFailure with what it said last."""
    given = {
        "size": plan.size,
        "device": str(plan.device),
        "dtype": str(plan.dtype).removeprefix("torch."),
        "steps": plan.steps,
        "rounds": plan.rounds,
        "threads": torch.get_num_threads(),
        "parent": os.getpid(),
    }
    command = [sys.executable, "-m", __name__, json.dumps(given)]
    limit_s = _LIMIT_S[plan.device.type]
    run = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    if run.returncode != 0:
        last = run.stderr.strip().rpartition("\n")[2]
        raise EngineFailure(f"transformers ended with status {run.returncode}: {last}")
    found: dict[str, Any] = json.loads(run.stdout.strip().rpartition("\n")[2])
    return found


def _measured(plan: Plan) -> dict[str, Any]:
    reference = Reference(plan, endless_weights(plan))
    steps = [reference.generate(WARM_STEPS + plan.steps)[WARM_STEPS:] for _ in range(plan.rounds)]
    rounds = [statistics.median(times) for times in steps]
    median = statistics.median(rounds)
    return {
        "step_ms": median,
        "rounds_ms": rounds,
        "times_real_time": FRAME_MS / median,
        "peak_memory_gb": peak_memory(plan.device),
    }


def main(arguments: list[str]) -> int:
    given = json.loads(arguments[0])
    end_with_parent(given["parent"])
    torch.set_num_threads(given["threads"])
    plan = Plan(
        size=given["size"],
        device=torch.device(given["device"]),
        dtype=getattr(torch, given["dtype"]),
        steps=given["steps"],
        rounds=given["rounds"],
        streams=(1,),
        matmul=None,
        use_triton=False,
        reference=True,
        limit_s=None,
        staged=True,
    )
    print(json.dumps(_measured(plan)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
