"""CPU time and memory of a server's processes."""

from __future__ import annotations

import contextlib

import psutil

MIB = 1024 * 1024


class Gauge:
    """Measures a process and all its descendants.

    Memory is the proportional set size, which counts each shared page once in total; if the system does not
    report it, the unique set size, which omits shared pages.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Return the CPU seconds used so far. Cheap."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_mib(self) -> float:
        """Return the memory in use. Costs the kernel a millisecond or more per process."""
        total = 0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                full = process.memory_full_info()
                total += getattr(full, "pss", full.uss)
        return total / MIB

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
