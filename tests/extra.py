"""Packages of the extra `clients`, which not every environment has."""

from __future__ import annotations

import importlib
import os
import warnings

import pytest


def need(*modules: str) -> None:
    """Import modules of other people's, whose warnings are theirs; without them skip, except in CI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            if os.environ.get("CI"):
                importlib.import_module(module)
            else:
                pytest.importorskip(module, reason="the extra `clients` is not installed")
