"""The code that the page offers for a request, made by the page's own script."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "static" / "take" / "snippets.js"
NODE = shutil.which("node")

SETTINGS: dict[str, Any] = {
    "voice": "kai",
    "language": "en",
    "speed": 1.25,
    "pitch": 1,
    "options": {"seed": 7},
}
"""Settings that differ from the defaults."""


def snippet(kind: str, address: str, text: str, *, locked: bool = False) -> str:
    """Return the code of a kind: curl, python, javascript or openai. locked: the server requires a key."""
    if NODE is None:
        pytest.skip("needs Node to make the code")
    request = {"text": text, "settings": SETTINGS, "address": f"{address}/", "locked": locked}
    code = (
        f"import {{ snippetsOf }} from {json.dumps(SCRIPT.as_uri())};"
        f"console.log(snippetsOf({json.dumps(request)}).find(({{ id }}) => id === {json.dumps(kind)}).code);"
    )
    done = subprocess.run(
        [NODE, "--input-type=module", "--eval", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout
