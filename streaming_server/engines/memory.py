"""The memory of the machine, as an engine on the CPU reports it."""

from __future__ import annotations

import sys
from pathlib import Path

from streaming_server.engines.cgroup import group_memory, smallest
from streaming_server.types import MemoryReport


def machine_memory() -> MemoryReport:
    """Return the used and total memory of the machine or, if less, of this process's control groups."""
    if sys.platform == "linux":  # psutil would double what a small worker takes to start.
        memory = parse_meminfo(Path("/proc/meminfo").read_text())
        return smallest(memory, group_memory(memory.total))
    import psutil

    machine = psutil.virtual_memory()
    return MemoryReport(used=machine.total - machine.available, total=machine.total)


def parse_meminfo(text: str) -> MemoryReport:
    """Parse /proc/meminfo, whose numbers are in KiB. Memory that the kernel can free at once is not used."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    total, available = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return MemoryReport(used=total - available, total=total)
