"""The child's side of `child`: exit with the server, and ignore its signals."""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the server dies; exit at once if it has died already.

    parent: the server's process id. Only Linux tells children of a parent's death; elsewhere a child notices
    that its socket or pipe is closed.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM, which reach the whole process group: the server ends its children itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
