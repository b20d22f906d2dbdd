"""Wyoming over TCP, against a real server."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers.events import Events, at_port
from helpers.foreign import ENDLESS, LONG, TEXT, active, contexts, kill_worker, native_audio
from helpers.servers import Server, free_port, running_server, until
from helpers.talk import talking

pytestmark = pytest.mark.anyio

WHOLE_TURN = ["audio-start", "audio-chunk", "audio-stop"]


@dataclass(frozen=True, slots=True)
class Place:
    server: Server
    port: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Start a server with a Wyoming port."""
    port = free_port()
    log = tmp_path_factory.mktemp("wyoming") / "log"
    with running_server(log, "--log-format=json", f"--wyoming-port={port}") as server:
        yield Place(server, port)


def held(place: Place) -> int:
    """Return the number of connections the server counts."""
    metrics: str = place.server.get("/metrics")[1]
    [line] = [line for line in metrics.splitlines() if line.startswith("dia_connections ")]
    return int(float(line.split()[1]))


async def stream(events: Events, *pieces: str, **start: Any) -> None:
    """Stream text as Home Assistant does: the pieces, then the whole text for servers without streaming."""
    await events.send("synthesize-start", **start)
    for piece in pieces:
        await events.send("synthesize-chunk", text=piece)
    await events.send("synthesize", text="".join(pieces), **start)
    await events.send("synthesize-stop")


async def test_audio_equals_the_native_websockets(place: Place) -> None:
    async with at_port(place.port) as events:
        await events.send("synthesize", text=TEXT, voice={"name": "aria"})
        await events.until("audio-stop")
    assert events.types == WHOLE_TURN
    form = events.heard[0].data
    assert (form["width"], form["channels"]) == (2, 1)
    assert events.audio() == await native_audio(place.server, TEXT, sample_rate=form["rate"])
    sent = 0
    for chunk in events.heard[1:-1]:
        assert {name: chunk.data[name] for name in form} == form
        assert chunk.data["timestamp"] == 1000 * sent // form["rate"]
        sent += len(chunk.payload) // 2


@pytest.mark.parametrize(
    "pieces",
    [
        list(TEXT),
        [word + " " for word in TEXT.split()],
        ["Hello there, sa", "id the fo", "x. This is the second sentence! And is this the third?"],
        [TEXT],
    ],
    ids=["characters", "words", "anywhere", "whole"],
)
async def test_streamed_text_is_spoken_once(place: Place, pieces: list[str]) -> None:
    async with at_port(place.port) as events:
        await stream(events, *pieces)
        await events.until("synthesize-stopped")
    assert events.types == [*WHOLE_TURN, "synthesize-stopped"]
    assert events.audio() == await native_audio(place.server, TEXT)


async def test_speech_starts_while_text_still_arrives(place: Place) -> None:
    async with at_port(place.port) as events:
        await events.send("synthesize-start")
        await events.send("synthesize-chunk", text="Hello there, said the fox. This is")
        await events.until("audio-chunk")
        await events.send("synthesize-chunk", text=" the second sentence! And is this the third?")
        await events.send("synthesize-stop")
        await events.until("synthesize-stopped")
    assert events.audio() == await native_audio(place.server, TEXT)


async def test_requests_are_spoken_in_order(place: Place) -> None:
    async with at_port(place.port) as events:
        await events.send("synthesize", text="One.")
        await stream(events, "Tw", "o.", voice={"name": "luna"})
        await events.send("synthesize", text="Three.", voice={"name": "kai"})
        for _ in range(3):
            await events.until("audio-stop")
    assert events.types == [*WHOLE_TURN, *WHOLE_TURN, "synthesize-stopped", *WHOLE_TURN]
    said = [("One.", "aria"), ("Two.", "luna"), ("Three.", "kai")]
    spoken = [await native_audio(place.server, text, voice=voice) for text, voice in said]
    assert events.audio() == b"".join(spoken)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_turn_without_words_ends(place: Place, streamed: bool) -> None:
    async with at_port(place.port) as events:
        if streamed:
            await stream(events, " ")
            await events.until("synthesize-stopped")
        else:
            await events.send("synthesize", text="")
            await events.until("audio-stop")
    assert events.types[:2] == ["audio-start", "audio-stop"]


@pytest.mark.parametrize(
    ("voice", "ours"),
    [
        ({}, {}),
        ({"name": "luna"}, {"voice": "luna"}),
        ({"name": "luna", "speaker": "anyone"}, {"voice": "luna"}),
        ({"name": "alloy"}, {"voice": "aria"}),
        ({"name": "luna@de"}, {"voice": "luna", "language": "de"}),
        ({"language": "de"}, {"language": "de"}),
        ({"language": "pt_BR"}, {"language": "pt-BR"}),
    ],
    ids=str,
)
async def test_voices_and_languages(place: Place, voice: dict[str, str], ours: dict[str, str]) -> None:
    text = "Guten Tag, so ist es."
    async with at_port(place.port) as events:
        await stream(events, text, voice=voice)
        await events.until("synthesize-stopped")
    assert events.audio() == await native_audio(place.server, text, **ours)


async def test_the_server_describes_itself(place: Place) -> None:
    async with httpx.AsyncClient(base_url=place.server.url) as client:
        made = await client.post("/voice_mappings", json={"voice_id": "mine"})
    assert made.status_code == 200
    async with at_port(place.port) as events:
        await events.send("describe")
        told = await events.until("info")
        [program] = told.data["tts"]
        assert program["supports_synthesize_streaming"] is True
        assert program["installed"] is True
        assert program["attribution"].keys() == {"name", "url"}
        voices = {voice["name"]: voice["languages"] for voice in program["voices"]}
        assert voices["aria"] == ["en"]
        assert voices["aria@de"] == ["de"]
        assert voices["mine"] == ["en"]
        assert len(voices) == len(program["voices"])
        await events.send("synthesize", text="One.", voice={"name": "mine"})
        await events.until("audio-stop")


async def test_answers_pings_and_ignores_unrelated_events(place: Place) -> None:
    async with at_port(place.port) as events:
        await events.send("transcribe", language="en")
        await events.send("audio-chunk", rate=16000, width=2, channels=1, payload=bytes(200_000))
        await events.send("detect", names=["x" * 200_000])
        await events.send_raw(b'{"type": "ping", "data": {"text": "there?"}}\n')
        assert (await events.until("pong")).data == {"text": "there?"}
    assert events.types == ["pong"]


async def test_half_of_a_character_in_a_ping_is_not_sent_back(place: Place) -> None:
    async with at_port(place.port) as events:
        await events.send_raw(b'{"type": "ping", "data": {"text": "\\ud83d"}}\n')
        assert (await events.until("pong")).data == {"text": None}
        await events.send_raw(b'{"type": "ping", "data": {"text": "there?"}}\n')
        assert (await events.until("pong")).data == {"text": "there?"}


async def test_a_too_long_whole_text_is_ignored_within_a_stream(place: Place) -> None:
    async with at_port(place.port) as events:
        await events.send("synthesize-start")
        await events.send("synthesize-chunk", text=TEXT)
        await events.send("synthesize", text="a" * 200_000)
        await events.send("synthesize-stop")
        await events.until("synthesize-stopped")
    assert events.audio() == await native_audio(place.server, TEXT)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_text_may_fill_an_event(place: Place, streamed: bool) -> None:
    """Whole replies arrive in one event, longer than a native message may be."""
    text = "One." + " " * 30_000 + "Two."
    async with at_port(place.port) as events:
        if streamed:
            await stream(events, text)
        else:
            await events.send("synthesize", text=text)
        await events.until("audio-stop")
    assert events.audio() == await native_audio(place.server, "One. Two.")


async def test_a_lost_worker_is_reported_after_the_first_audio(start_server: Callable[..., Server]) -> None:
    port = free_port()
    server = start_server(f"--wyoming-port={port}", "--max-workers=1")
    async with at_port(port) as events:
        await events.send("synthesize", text=ENDLESS)
        await events.until("audio-chunk")
        kill_worker(server)
        await events.hung_up()
    assert events.types[-1] == "error"
    assert events.heard[-1].data["code"] == "worker_lost"
    assert "audio-stop" not in events.types


async def test_disconnecting_cancels(place: Place) -> None:
    async with at_port(place.port) as events:
        await stream(events, LONG)
        await events.until("audio-chunk")
        assert contexts(place.server) == 1
    until(lambda: contexts(place.server) == 0 and held(place) == 0)
    until(lambda: active(place.server) == 0)
    async with at_port(place.port) as events:
        await stream(events, LONG)
        await events.until("audio-chunk")
        abruptly = struct.pack("ii", 1, 0)
        events.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abruptly)
    until(lambda: contexts(place.server) == 0 and held(place) == 0)
    async with at_port(place.port) as events:
        await events.send("synthesize", text=TEXT)
        await events.until("audio-stop")
    assert events.audio() == await native_audio(place.server, TEXT)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "bad_message"),
        (b"\n", "bad_message"),
        (b"[]\n", "bad_message"),
        (b'{"type": "describe", "data_length": "9"}\n', "bad_message"),
        (b'{"type": "describe", "payload_length": -1}\n', "bad_message"),
        (b'{"type": "describe", "data_length": ' + b"9" * 500 + b"}\n", "bad_message"),
        (b'{"type": "describe", "data_length": 2}\n[]', "bad_message"),
        (b'{"type": "synthesize"}\n', "bad_value"),
        (b'{"type": "synthesize", "data": {"text": 5}}\n', "bad_value"),
        (b'{"type": "synthesize", "data": {"text": "Hi.", "voice": "aria"}}\n', "bad_value"),
        (b'{"type": "synthesize", "data": {"text": "Hi.", "text_format": "ssml"}}\n', "bad_value"),
        (b'{"type": "synthesize", "data": {"text": "a\\u0000b"}}\n', "bad_value"),
        (b'{"type": "synthesize", "data": {"text": "Hi.", "voice": {"name": "nobody"}}}\n', "unknown_voice"),
        (b'{"type": "synthesize", "data": {"text": "Hi.", "voice": {"name": "aria@xx"}}}\n', "bad_value"),
        (b'{"type": "synthesize-chunk", "data": {"text": "Hi."}}\n', "bad_message"),
        (b'{"type": "synthesize-stop"}\n', "bad_message"),
        (b'{"type": "synthesize-start"}\n' * 2, "bad_message"),
        (b'{"type": "synthesize", "data_length": 200000}\n{"text": "' + b"a" * 199_988 + b'"}', "too_large"),
        (b'{"type": "' + b"a" * 200_000, "too_large"),
    ],
    ids=lambda value: value[:60].decode() if isinstance(value, bytes) else value,
)
async def test_errors_are_sent_before_the_server_disconnects(place: Place, raw: bytes, code: str) -> None:
    async with at_port(place.port) as events:
        await events.send_raw(raw)
        await events.hung_up()
    assert events.types == ["error"]
    assert events.heard[0].data["code"] == code
    assert events.heard[0].data["text"].endswith(".")
    until(lambda: contexts(place.server) == 0 and held(place) == 0)


async def test_silent_clients_and_incomplete_events_time_out(
    start_server: Callable[..., Server],
) -> None:
    port = free_port()
    start_server(f"--wyoming-port={port}", "--header-timeout-s=0.5")
    for raw in (b"", b'{"type": "desc', b'{"type": "describe", "data_length": 9}\n{', b'{"type": "x", '):
        async with at_port(port) as events:
            await events.send_raw(raw)
            await events.hung_up()
        assert [event.data["code"] for event in events.heard] == ["too_slow"]
    async with at_port(port) as events:
        await events.send("ping")
        await events.until("pong")
        await asyncio.sleep(1)  # Longer than an event may take: between events there is no hurry.
        await events.send("ping")
        await events.until("pong")


async def test_a_client_that_does_not_read_is_disconnected(start_server: Callable[..., Server]) -> None:
    port = free_port()
    server = start_server(f"--wyoming-port={port}", "--stall-timeout-s=0.5")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        body = json.dumps({"text": LONG}).encode()
        deaf.sendall(json.dumps({"type": "synthesize", "data_length": len(body)}).encode() + b"\n" + body)
        until(lambda: contexts(server) == 1)
        until(lambda: contexts(server) == 0)
    async with at_port(port) as events:
        await events.send("synthesize", text=TEXT)
        await events.until("audio-stop")
    assert events.audio() == await native_audio(server, TEXT)


async def test_a_full_server_sends_an_error(start_server: Callable[..., Server]) -> None:
    port = free_port()
    start_server(f"--wyoming-port={port}", "--max-connections=1")
    async with at_port(port) as first:
        await first.send("ping")
        await first.until("pong")
        async with at_port(port) as second:
            await second.send("synthesize", text=TEXT)
            await second.hung_up()
        assert [event.data["code"] for event in second.heard] == ["full"]
        await first.send("synthesize", text=TEXT)
        await first.until("audio-stop")


async def test_where_there_are_keys_others_have_places_left(start_server: Callable[..., Server]) -> None:
    port = free_port()
    server = start_server(f"--wyoming-port={port}", "--max-connections=2", DIA_API_KEYS="secret")
    async with at_port(port) as first:
        await first.send("ping")
        await first.until("pong")
        async with at_port(port) as second:
            await second.send("ping")
            await second.hung_up()
        assert [event.data["code"] for event in second.heard] == ["full"]
        async with talking(server.ws_url, query="?token=secret") as talk:
            assert (await talk.speak("I have a place."))["type"] == "done"


async def test_too_many_requests_at_once_are_refused(start_server: Callable[..., Server]) -> None:
    port = free_port()
    start_server(f"--wyoming-port={port}", "--max-contexts=2")
    async with at_port(port) as events:
        for _ in range(3):
            await events.send("synthesize", text=LONG)
        await events.hung_up()
    assert events.heard[-1].data["code"] == "too_large"


async def test_speech_is_finished_before_the_server_stops(start_server: Callable[..., Server]) -> None:
    port = free_port()
    server = start_server(f"--wyoming-port={port}", "--max-lead-ms=500", forked=False)
    async with at_port(port) as events:
        await stream(events, TEXT)  # A whole text is not paced, and would be out too soon.
        await events.until("audio-chunk")
        wanted = await native_audio(server, TEXT, max_lead_ms=60_000)
        server.process.terminate()
        until(lambda: server.logged().count("draining"))
        async with at_port(port) as late:
            await late.hung_up()
        assert late.heard[0].data["code"] == "draining"
        await events.until("synthesize-stopped")
    assert events.audio() == wanted
    assert server.process.wait(10) == 0


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", *options], capture_output=True, text=True, timeout=30, check=False
    )


async def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run("--port=0", f"--wyoming-port={taken.getsockname()[1]}", f"--data-dir={tmp_path / 'data'}")
    assert ended.returncode == 2
    assert "Cannot listen on --wyoming-host 127.0.0.1 --wyoming-port" in ended.stderr
    assert "in use" in ended.stderr
