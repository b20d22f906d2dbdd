"""The longest text, with its timing, as one JSON object: what it costs the server, and the others."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median, quantiles

import anyio
import psutil
import pytest
from helpers.foreign import LONG
from helpers.servers import Server
from helpers.talk import talking

TEXT = (LONG * 40)[:100_000]
READER = """
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=120)
path = "/v1/text-to-speech/aria/with-timestamps?output_format=pcm_48000"
connection.request("POST", path, sys.stdin.buffer.read(), {"Content-Type": "application/json"})
answer = connection.getresponse()
assert answer.status == 200, answer.read()
assert answer.read(17) == b'{"audio_base64":"'
audio, rest = 0, b""
while not rest:
    data = answer.read(1 << 16)
    assert data, "no end of the audio"
    part, quote, rest = data.partition(b'"')
    audio += len(part)
    if quote:
        rest = b"{" + (rest + answer.read()).lstrip(b",")
told = json.loads(rest)
times = [len(told[name]["characters"]) for name in ("alignment", "normalized_alignment")]
print(json.dumps([audio, *times]))
"""


def reading(server: Server) -> subprocess.Popen[bytes]:
    """Start a client of its own process, as it takes most of a core."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdin is not None
    reader.stdin.write(json.dumps({"text": TEXT}).encode())
    reader.stdin.close()
    return reader


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.anyio
async def test_the_longest_timed_speech_takes_little_memory_and_delays_nobody(
    start_server: Callable[..., Server],
) -> None:
    """It gathered 683 MB, was unfinished after five minutes, and others waited half a second for sound."""
    server = start_server("--max-workers=2")
    process = psutil.Process(server.process.pid)
    before = most = process.memory_info().rss
    waits: list[float] = []
    with reading(server) as reader:
        assert reader.stdout is not None
        async with talking(server.ws_url) as talk:
            while reader.poll() is None:
                asked = time.monotonic()
                await talk.send("speak", text="Hello there.")
                await talk.first_frame()
                waits.append(time.monotonic() - asked)
                await talk.end()
                most = max(most, process.memory_info().rss)
                await anyio.sleep(0.1)
        assert reader.returncode == 0
        audio, characters, normalized = json.loads(reader.stdout.read())
    assert audio > 48000 * 2 * 4000 / 3 * 4, "over an hour of audio"
    assert characters == normalized == len(TEXT.rstrip())
    assert most - before < 100_000_000
    print(f"{len(waits)} turns, first audio {median(waits):.3f} s, {max(waits):.3f} s at worst")
    assert median(waits) < 0.15
    assert quantiles(waits, n=20)[-1] < 0.5
