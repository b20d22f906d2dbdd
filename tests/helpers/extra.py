"""Packages of the extras `clients` and `ray`, each installed in a separate environment."""

from __future__ import annotations

import importlib
import os
import warnings

import pytest


def need(*modules: str, extra: str = "clients") -> None:
    """Import modules of other people's, whose warnings are theirs.

    Without them the tests are skipped, unless NEED_CLIENTS or NEED_RAY is set.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            if os.environ.get(f"NEED_{extra.upper()}"):
                importlib.import_module(module)
            else:
                pytest.importorskip(module, reason=f"the extra `{extra}` is not installed")
