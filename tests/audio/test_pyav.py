"""PyAV is imported whole, and starts no threads."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from threading import Thread
from streaming_server.audio.body import open_body
from streaming_server.audio.tempo import Tempo

def encode():
    body = open_body("mp3", 24000)
    for _ in range(200):
        body.push(bytes(480))
    body.close()

sys.setswitchinterval(1e-5)
threads = [Thread(target=encode) for _ in range(4)]
for thread in threads:
    thread.start()
Tempo(24000, 0.5)
for thread in threads:
    thread.join()
"""


def test_one_thread_encodes_while_another_needs_a_filter() -> None:
    """PyAV crashed one such program in six when a part of it was imported during the encoding."""
    for _ in range(5):
        subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=20)


def test_encoders_and_filters_start_no_threads() -> None:
    """FFmpeg started up to fifteen for each, on a machine of many cores."""
    code = (
        "import psutil\n"
        "from streaming_server.audio.body import open_body\n"
        "from streaming_server.audio.tempo import Tempo\n"
        "def opened():\n"
        "    codecs = [open_body(form, 24000) for form in ('mp3', 'opus', 'aac', 'flac')]\n"
        "    for one in (stages := [*codecs, Tempo(24000, 0.5)]):\n"
        "        one.push(bytes(48000))\n"
        "    return stages\n"
        "first = opened()\n"
        "before = psutil.Process().num_threads()\n"
        "second = opened()\n"
        "print(psutil.Process().num_threads() - before)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(told.stdout) == 0
