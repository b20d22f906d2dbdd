"""The configuration is stored as one JSON object."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from streaming_server.storage.configuration import ConfigurationStore
from streaming_server.storage.sqlite import SqliteDatabase


def test_the_configuration_is_replaced_and_survives(tmp_path: Path) -> None:
    with closing(SqliteDatabase(tmp_path)) as database:
        store = ConfigurationStore(database)
        assert store.get() == {}
        store.put({"debug_mode": True, "whisper_model_size": "base"})
        store.put({"output_retention_hours": 24, "läuft": [1, None, 0.5]})
    with closing(SqliteDatabase(tmp_path)) as database:
        assert ConfigurationStore(database).get() == {"output_retention_hours": 24, "läuft": [1, None, 0.5]}
