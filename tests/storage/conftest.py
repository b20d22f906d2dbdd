"""Fixtures of the stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.databases import Place
from helpers.voice_store import opened

from streaming_server.storage.voices import VoiceStore


@pytest.fixture
def store(place: Place) -> Iterator[VoiceStore]:
    with opened(place) as one:
        yield one
