"""Statements on a connection of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, CursorResult, text

from streaming_server.storage.database import Row


class ConnectionTransaction:
    """The transaction that is open on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, **values: Any) -> int:
        return self._result(statement, values).rowcount

    def execute_many(self, statement: str, values: Sequence[Row]) -> None:
        if values:
            self._connection.execute(text(statement), list(values))

    def row(self, statement: str, **values: Any) -> Row | None:
        return cast("Row | None", self._result(statement, values).mappings().first())

    def rows(self, statement: str, **values: Any) -> list[Row]:
        return cast("list[Row]", list(self._result(statement, values).mappings()))

    def announce(self, topic: str, *, counted: bool = True) -> None:
        """There is no other server."""

    def _result(self, statement: str, values: dict[str, Any]) -> CursorResult[Any]:
        return self._connection.execute(text(statement), values)
