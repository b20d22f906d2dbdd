"""The stored configuration."""

from __future__ import annotations

import json
from typing import Any

from streaming_server.storage.database import Database

TOPIC = "configuration"
"""Announced when it is put."""


class ConfigurationStore:
    """One JSON object. Every call blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> dict[str, Any]:
        """Return what was last put, or an empty object."""
        with self._database.reading() as transaction:
            row = transaction.row("SELECT value FROM configuration")
        config: dict[str, Any] = json.loads(row["value"]) if row else {}
        return config

    def put(self, config: dict[str, Any]) -> None:
        """Replace the object. Raise StorageFailure."""
        value = json.dumps(config, ensure_ascii=False, separators=(",", ":"))
        with self._database.transaction() as transaction:
            transaction.execute(
                "INSERT INTO configuration (id, value) VALUES (1, :value)"
                " ON CONFLICT (id) DO UPDATE SET value = excluded.value",
                value=value,
            )
            transaction.announce(TOPIC)
