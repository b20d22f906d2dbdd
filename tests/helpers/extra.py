"""Packages of the extra `clients`, installed in a separate environment."""

from __future__ import annotations

import importlib
import os
import warnings

import pytest


def need(*modules: str) -> None:
    """Import modules of other people's, whose warnings are theirs.

    Without them the tests are skipped, unless NEED_CLIENTS is set.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            if os.environ.get("NEED_CLIENTS"):
                importlib.import_module(module)
            else:
                pytest.importorskip(module, reason="the extra `clients` is not installed")
