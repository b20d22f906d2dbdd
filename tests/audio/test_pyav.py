"""PyAV is imported whole."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from threading import Thread
from streaming_server.audio.formats import ContainerWriter
from streaming_server.audio.tempo import Tempo

def encode():
    with ContainerWriter("mp3", 24000) as writer:
        for _ in range(200):
            writer.push(bytes(480))

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
