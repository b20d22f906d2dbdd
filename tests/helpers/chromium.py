"""Debian's Chromium, headless."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from playwright.sync_api import Browser, BrowserType

from helpers.required import missing

BROWSER = shutil.which("chromium")
SHELL = shutil.which("chromium-headless-shell") or BROWSER
"""The same engine without the browser around it: a page takes half the processor time."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(
    chromium: BrowserType, *flags: str, whole: bool = False, environment: Mapping[str, str] | None = None
) -> Browser:
    """Launch it with further flags and variables. Skip the test where it is not installed; in CI, fail.

    whole: with the browser around the engine, which asks for permissions and listens to media keys.
    """
    path = BROWSER if whole else SHELL
    if path is None:
        missing("the browser tests need: apt-get install chromium chromium-headless-shell")
    variables = {**os.environ, **(environment or {})}
    return chromium.launch(executable_path=path, args=[*FLAGS, *flags], env=dict(variables))
