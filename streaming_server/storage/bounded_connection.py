"""A connection to PostgreSQL that does not wait forever for an answer."""

from __future__ import annotations

import time
from typing import Any, TypeVar

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen
from psycopg.waiting import Ready

ANSWER_TIMEOUT_S = 7.0
"""Seconds without an answer after which a connection is closed; longer than the database's own limit of a
statement."""

Value = TypeVar("Value")


class BoundedConnection(Connection[Any]):
    """Closes itself and raises OperationalError if the database does not answer.

    A frozen database does not keep its own time limits, and those of TCP do not count while its machine, or a
    proxy, acknowledges everything.
    """

    def wait(self, gen: PQGen[Value], *arguments: Any, **options: Any) -> Value:
        return super().wait(self._bounded(gen), *arguments, **options)

    def _bounded(self, gen: PQGen[Value]) -> PQGen[Value]:
        """Run a generator of the driver, which is told `Ready.NONE` several times a second while it waits."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready == Ready.NONE and time.monotonic() > deadline:
                    self.close()
                    raise OperationalError("the database does not answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            value: Value = end.value
            return value
