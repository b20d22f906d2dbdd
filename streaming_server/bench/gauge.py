"""What the processes of a server use."""

from __future__ import annotations

import contextlib

import psutil

MIB = 1024 * 1024


class Gauge:
    """Reads a process and all its descendants.

    Memory is the proportional set size, in which a page that several processes share counts once; where the
    system does not tell it, the unique set size, in which shared pages do not count.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Seconds used so far. Cheap."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_mib(self) -> float:
        """Takes the kernel a millisecond or more per process."""
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
