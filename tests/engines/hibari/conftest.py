"""The model and its front end, loaded once."""

from __future__ import annotations

import pytest

from streaming_server.engines.hibari.network import Network
from streaming_server.engines.hibari.phonemes import ASSETS, PhonemeReader


@pytest.fixture(scope="session")
def network() -> Network:
    return Network(ASSETS / "hibari.onnx")


@pytest.fixture(scope="session")
def reader() -> PhonemeReader:
    return PhonemeReader()
