"""Debian's Chromium, headless."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import Browser, BrowserType

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
"""The shell is the same engine without the browser around it; a page takes half the processor time."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(chromium: BrowserType, *flags: str) -> Browser:
    """Launch it with further flags. Skip the test where it is not installed; in CI, fail."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("the browser tests need Debian's chromium-headless-shell or chromium")
        pytest.skip("no chromium here: apt-get install chromium-headless-shell")
    return chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
