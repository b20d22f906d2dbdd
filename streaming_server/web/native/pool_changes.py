"""Changes of workers and of their memory as messages to clients."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from streaming_server.pool.pool import Change, Pool, PressureChanged


def message_of(change: Change) -> dict[str, Any]:
    """Return a change as a message to clients."""
    kind = "memory_pressure" if isinstance(change, PressureChanged) else "worker"
    return {"type": kind, **asdict(change)}


def pressures(pool: Pool) -> list[PressureChanged]:
    """Return the devices that are short of memory now, as changes."""
    return [
        PressureChanged(worker.device.id, worker.gauge.level, round(worker.gauge.pressure, 4))
        for worker in pool.workers
        if worker.gauge.level != "normal"
    ]
