"""Which process the processors belong to when there is more to do than they can."""

from __future__ import annotations

import os
import sys

NICENESS = 10
"""A tenth of the time of a core that another wants all of."""


def give_way(process: int = 0, *, wholly: bool = True) -> None:
    """Speech comes first: let a process, by default this one, run only where no other wants the core.

    wholly: false for one that has waited long enough; it gets a small part of a core that others want too.

    Niceness alone is not enough. Beside a child of niceness 10 at work, the server's median first audio grew
    by half on two cores, as who wakes up waits for the end of its turn; in the idle class it did not change.
    Only within a session, where Linux weighs sessions against each other. Raises ProcessLookupError.
    """
    if (
        wholly and sys.platform == "linux"
    ):  # First: to be made nicer could be the moment for the other to take its turn.
        os.sched_setscheduler(process, os.SCHED_IDLE, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, process, NICENESS)
