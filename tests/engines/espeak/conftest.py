"""One engine for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.espeak import Speaker


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    speaker = Speaker()
    yield speaker
    speaker.engine.close()
