"""The code that the page offers for OpenAI's SDK, run as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.extra import need
from helpers.servers import Server
from helpers.snippets import snippet

need("openai")

TEXT = "It's 5 o'clock, \"Grüße\" 🎉 & more."


def test_writes_an_mp3(server: Server, tmp_path: Path) -> None:
    code = snippet("openai", server.url, TEXT)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    begin = (tmp_path / "speech.mp3").read_bytes()[:3]
    assert begin == b"ID3" or begin[0] == 0xFF
