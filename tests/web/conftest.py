"""Collection of the tests of the web."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the cases of the OpenAPI document where no slow test is wanted: making them takes seconds."""
    deselected = "not slow" in config.option.markexpr
    return True if deselected and collection_path.name == "test_conformance.py" else None
