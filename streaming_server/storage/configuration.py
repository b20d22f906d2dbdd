"""The stored configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from streaming_server.storage.database import Database, Transaction

TOPIC = "configuration"
"""Announced when it changes."""


class ConfigurationStore:
    """One JSON object. Every call blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> dict[str, Any]:
        """Return what was last stored, or an empty object."""
        with self._database.reading() as transaction:
            return _stored(transaction)

    def change(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Replace the object by the result of `change`, and return that. Raise StorageFailure.

        No other server can change it meanwhile.
        """
        with self._database.exclusive() as transaction:
            config = change(_stored(transaction))
            transaction.execute(
                "INSERT INTO configuration (id, value) VALUES (1, :value)"
                " ON CONFLICT (id) DO UPDATE SET value = excluded.value",
                value=json.dumps(config, ensure_ascii=False, separators=(",", ":")),
            )
            transaction.announce(TOPIC)
        return config


def _stored(transaction: Transaction) -> dict[str, Any]:
    row = transaction.row("SELECT value FROM configuration")
    config: dict[str, Any] = json.loads(row["value"]) if row else {}
    return config
