"""CPU time, memory, open files and threads of a server's processes."""

from __future__ import annotations

import contextlib

import psutil

MIB = 1024 * 1024


class Gauge:
    """Measures processes and all their descendants.

    Memory is the proportional set size, which counts each shared page once in total; if the system does not
    report it, the unique set size, which omits shared pages.
    """

    def __init__(self, *pids: int) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]

    def with_process(self, pid: int) -> Gauge:
        """Return a gauge that measures one more process."""
        return Gauge(*(root.pid for root in self._roots), pid)

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

    def files_and_threads(self) -> tuple[int, int]:
        """Return the number of open files and of threads."""
        files = threads = 0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                files += process.num_fds()
                threads += process.num_threads()
        return files, threads

    def _processes(self) -> list[psutil.Process]:
        found = []
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [root, *root.children(recursive=True)]
        return found
