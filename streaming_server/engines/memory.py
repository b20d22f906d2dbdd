"""The memory of the machine, as an engine on the CPU reports it."""

from __future__ import annotations

import sys

from streaming_server.types import MemoryReport


def machine_memory() -> MemoryReport:
    """Return the used and total memory of the machine."""
    if sys.platform == "linux":  # psutil would double what a small worker takes to start.
        total, available = _linux_memory()
        return MemoryReport(used=total - available, total=total)
    import psutil

    machine = psutil.virtual_memory()
    return MemoryReport(used=machine.total - machine.available, total=machine.total)


def _linux_memory() -> tuple[int, int]:
    """Return total and available bytes."""
    fields = {}
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            fields[name] = value
    return int(fields["MemTotal"].split()[0]) * 1024, int(fields["MemAvailable"].split()[0]) * 1024
