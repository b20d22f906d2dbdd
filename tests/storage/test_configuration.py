"""The configuration is stored as one JSON object."""

from __future__ import annotations

from helpers.databases import Place

from streaming_server.storage.configuration import ConfigurationStore


def test_the_configuration_is_replaced_and_survives(place: Place) -> None:
    with place.opened() as database:
        store = ConfigurationStore(database)
        assert store.get() == {}
        store.change(lambda _: {"debug_mode": True, "whisper_model_size": "base"})
        store.change(lambda _: {"output_retention_hours": 24, "läuft": [1, None, 0.5]})
    with place.opened() as database:
        assert ConfigurationStore(database).get() == {"output_retention_hours": 24, "läuft": [1, None, 0.5]}
