"""Cartesia's websocket, against a real server."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from helpers.foreign import ENDLESS, LONG, TEXT, Exchange, contexts, exchanging, kill_worker
from helpers.foreign import native_audio as native
from helpers.servers import Server, until
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio


def request(context: str, text: str, *, more: bool = False, **options: Any) -> dict[str, Any]:
    """Return a message as the vendor's clients send it."""
    return {
        "context_id": context,
        "model_id": "sonic-3",
        "transcript": text,
        "continue": more,
        "voice": {"mode": "id", "id": "aria"},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
        "language": "en",
        "add_timestamps": True,
        **options,
    }


async def native_audio(server: Server, text: str, **options: Any) -> bytes:
    return await native(server, text, language="en", **{"sample_rate": 24000, **options})


def url(server: Server) -> str:
    return f"{server.ws_url}/tts/websocket?cartesia_version=2025-04-16"


def audio(exchange: Exchange, context: str = "one") -> bytes:
    chunks = [m for m in exchange.told if m["type"] == "chunk" and m["context_id"] == context]
    return b"".join(b64decode(chunk["data"]) for chunk in chunks)


def words(exchange: Exchange, context: str = "one") -> list[tuple[str, float, float]]:
    stamps = [
        m["word_timestamps"]
        for m in exchange.told
        if m["type"] == "timestamps" and m["context_id"] == context
    ]
    return [word for s in stamps for word in zip(s["words"], s["start"], s["end"], strict=True)]


async def end(exchange: Exchange, context: str = "one") -> dict[str, Any]:
    ends: dict[str, Any] = await exchange.until(
        lambda m: m["type"] in ("done", "error") and m["context_id"] == context
    )
    return ends


async def say(exchange: Exchange, pieces: Sequence[str], context: str = "one", **options: Any) -> None:
    for piece in pieces:
        await exchange.send(**request(context, piece, more=True, **options))
    await exchange.send(**request(context, "", **options))


async def test_audio_equals_the_native_websockets(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", TEXT))
        assert await end(exchange) == {
            "type": "done",
            "context_id": "one",
            "done": True,
            "status_code": 200,
        }
    assert audio(exchange) == await native_audio(server, TEXT)
    for message in exchange.told[:-1]:
        assert message["context_id"] == "one"
        assert message["done"] is False
        assert message["status_code"] == 206


@pytest.mark.parametrize(
    ("encoding", "ours"),
    [("pcm_s16le", "pcm_s16le"), ("pcm_f32le", "pcm_f32le"), ("pcm_mulaw", "mulaw"), ("pcm_alaw", "alaw")],
)
@pytest.mark.parametrize("rate", [8000, 22050, 44100])
async def test_sends_the_requested_format(server: Server, encoding: str, ours: str, rate: int) -> None:
    output = {"container": "raw", "encoding": encoding, "sample_rate": rate}
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", "A short one.", output_format=output))
        await end(exchange)
    assert audio(exchange) == await native_audio(server, "A short one.", sample_rate=rate, encoding=ours)


@pytest.mark.parametrize(
    ("pieces", "options"),
    [
        (list(TEXT), {}),
        ([word + " " for word in TEXT.split()], {}),
        (
            ["Hello there, said the fox.", "This is the second sentence!", "And is this the third?"],
            {"max_buffer_delay_ms": 0},
        ),
        (
            ["Hello there, said the fox. ", "This is the second sentence! ", "And is this the third? "],
            {"max_buffer_delay_ms": 0},
        ),
    ],
    ids=["characters", "words", "sentences", "spaced sentences"],
)
async def test_audio_does_not_depend_on_how_text_is_split(
    server: Server, pieces: list[str], options: dict[str, Any]
) -> None:
    async with exchanging(url(server)) as exchange:
        await say(exchange, pieces, **options)
        assert (await end(exchange))["type"] == "done"
    assert audio(exchange) == await native_audio(server, TEXT)
    assert [word for word, _, _ in words(exchange)] == TEXT.split()


async def test_words_quote_the_text_and_lie_within_the_audio(server: Server) -> None:
    text = 'He said "Hello, there!" (really) for $3.50... Yes?'
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", text))
        await end(exchange)
    heard = words(exchange)
    assert [word for word, _, _ in heard] == text.split()
    times = [time for _, start, stop in heard for time in (start, stop)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= len(audio(exchange)) / 2 / 24000 + 0.001


async def test_word_times_are_sent_before_their_audio(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", TEXT))
        await end(exchange)
    sent = 0
    for message in exchange.told:
        if message["type"] == "timestamps":
            assert message["word_timestamps"]["start"][0] >= sent / 2 / 24000 - 0.001
        elif message["type"] == "chunk":
            sent += len(b64decode(message["data"]))


async def test_timestamps_are_sent_only_on_request(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", TEXT, add_timestamps=False))
        await end(exchange)
    assert {message["type"] for message in exchange.told} == {"chunk", "done"}


async def test_a_sentence_is_spoken_while_the_context_stays_open(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", "A sentence without more", more=True, max_buffer_delay_ms=0))
        await exchange.until(lambda m: m["type"] == "chunk")
        await exchange.send(**request("one", "", more=False))
        assert (await end(exchange))["type"] == "done"


async def test_flush_done_follows_its_audio(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", "Not a whole sentence", more=True, flush=True))
        first = await exchange.until(lambda m: m["type"] == "flush_done")
        assert (first["flush_id"], first["flush_done"]) == (1, True)
        heard = audio(exchange)
        await exchange.send(**request("one", "and its end.", more=True, flush=True))
        second = await exchange.until(lambda m: m["type"] == "flush_done")
        assert second["flush_id"] == 2
        await exchange.send(**request("one", ""))
        await end(exchange)
    assert heard == await native_audio(server, "Not a whole sentence")
    assert [m["type"] for m in exchange.told].count("flush_done") == 2


async def test_contexts_share_a_connection(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        for name in ("one", "two", "three"):
            await exchange.send(**request(name, f"This is {name}."))
        done = 0
        while done < 3:
            done += (await exchange.next())["type"] == "done"  # type: ignore[call-overload]
    for name in ("one", "two", "three"):
        assert audio(exchange, name) == await native_audio(server, f"This is {name}.")


async def test_a_cancelled_context_is_silent_and_the_next_one_speaks(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", LONG, more=True))
        await exchange.until(lambda m: m["type"] == "chunk")
        await exchange.send(context_id="one", cancel=True)
        await exchange.send(**request("two", TEXT))
        await end(exchange, "two")
        until(lambda: contexts(server) == 0)
    names = [message["context_id"] for message in exchange.told]
    assert names == sorted(names)
    assert {m["type"] for m in exchange.told if m["context_id"] == "one"} == {"chunk", "timestamps"}
    assert audio(exchange, "two") == await native_audio(server, TEXT)


async def test_a_context_id_can_be_reused_at_once(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", LONG, more=True, add_timestamps=False))
        await exchange.until(lambda m: m["type"] == "chunk")
        await exchange.send(context_id="one", cancel=True)
        await exchange.send(**request("one", TEXT))
        seen = len(exchange.heard)
        while (await exchange.next())["type"] == "chunk":  # type: ignore[call-overload]
            seen = len(exchange.heard)
        await end(exchange)
    again = Exchange(exchange.socket, exchange.heard[seen:])
    assert audio(again) == await native_audio(server, TEXT)


async def test_options_of_the_first_message_apply(server: Server) -> None:
    """A client's last message may name a default voice of the vendor."""
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", TEXT, more=True))
        await exchange.send(**request("one", "", voice="6ccbfb76-1fc6-48f7-b71d-91ac6298247b"))
        assert (await end(exchange))["type"] == "done"
        await exchange.send(**request("two", "", voice="6ccbfb76-1fc6-48f7-b71d-91ac6298247b"))
        assert (await end(exchange, "two"))["type"] == "done"
    assert audio(exchange) == await native_audio(server, TEXT)


@pytest.mark.parametrize(("word", "speed"), [("slow", 0.8), ("normal", 1.0), ("fast", 1.2)])
async def test_a_speed_may_be_a_word_of_earlier_versions(server: Server, word: str, speed: float) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", TEXT, speed=word))
        await end(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, speed=speed)


async def test_disconnecting_cancels(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", LONG, more=True))
        await exchange.until(lambda m: m["type"] == "chunk")
        assert contexts(server) == 1
    until(lambda: contexts(server) == 0)


async def test_an_end_without_text_is_done(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", " "))
        assert (await end(exchange))["type"] == "done"
        await exchange.send(context_id="nobody", cancel=True)
        await exchange.send(**request("two", "Still here."))
        assert (await end(exchange, "two"))["type"] == "done"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"voice": {"mode": "id", "id": "nobody"}}, "unknown_voice"),
        ({"voice": {"mode": "embedding", "embedding": [0.1]}}, "unknown_voice"),
        ({"output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 11000}}, "bad_value"),
        ({"output_format": {"container": "mp3", "sample_rate": 44100}}, "bad_value"),
        ({"language": "tlh"}, "bad_value"),
        ({"generation_config": {"speed": 9}}, "bad_value"),
    ],
)
async def test_an_error_of_a_context_is_sent_once(server: Server, options: dict[str, Any], code: str) -> None:
    async with exchanging(url(server)) as exchange:
        await say(exchange, ["Some text. ", "And more. "], **options)
        error = await end(exchange)
        assert error["type"] == "error"
        assert error["error_code"] == code
        assert 400 <= error["status_code"] < 500
        assert error["title"]
        assert error["message"]
        await exchange.send(**request("two", "The next one speaks."))
        assert (await end(exchange, "two"))["type"] == "done"
    assert len([m for m in exchange.told if m["type"] == "error"]) == 1


async def test_a_too_long_text_ends_only_its_context(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("two", "Slowly, ", more=True))
        await say(exchange, ["a" * 9000, "and more."])
        error = await end(exchange)
        assert (error["type"], error["error_code"], error["status_code"]) == ("error", "too_large", 413)
        await exchange.send(**request("two", "it goes on."))
        assert (await end(exchange, "two"))["type"] == "done"
    assert len([m for m in exchange.told if m["type"] == "error"]) == 1


@pytest.mark.parametrize("more", [True, False], ids=["input open", "input ended"])
async def test_a_lost_worker_is_reported_after_the_first_audio(
    start_server: Callable[..., Server], more: bool
) -> None:
    """The error must not be `done`: LiveKit would treat the turn as complete."""
    server = start_server("--max-workers=1")
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", ENDLESS, more=more))
        await exchange.until(lambda m: m["type"] == "chunk")
        kill_worker(server)
        error = await end(exchange)
        assert (error["type"], error["error_code"], error["status_code"]) == ("error", "worker_lost", 503)
        assert error["done"] is False
        assert contexts(server) == 0
        if more:  # The rest of the turn is ignored.
            await exchange.send(**request("one", "And more. ", more=True))
            await exchange.send(**request("one", ""))
        until(server.ready, 30)
        await exchange.send(**request("one", TEXT))
        seen = len(exchange.heard)
        assert (await end(exchange))["type"] == "done"
    again = Exchange(exchange.socket, exchange.heard[seen:])
    assert audio(again) == await native_audio(server, TEXT)


async def test_an_invalid_message_does_not_affect_contexts(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**{**request("one", "", more=True), "transcript": 5})
        assert (await end(exchange))["error_code"] == "bad_value"
        await exchange.send(**request("one", TEXT))
        assert (await end(exchange))["type"] == "done"
    assert audio(exchange) == await native_audio(server, TEXT)


async def test_messages_above_the_rate_are_delayed(start_server: Callable[..., Server]) -> None:
    """Language models send tokens in bursts."""
    server = start_server("--messages-per-second=20")
    began = anyio.current_time()
    async with exchanging(url(server)) as exchange:
        await say(exchange, list(TEXT))
        assert (await end(exchange))["type"] == "done"
    assert anyio.current_time() - began > (len(TEXT) - 2 * 20) / 20 - 0.5
    assert audio(exchange) == await native_audio(server, TEXT)


async def test_a_voice_may_be_an_id_and_null_counts_as_absent(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", TEXT, voice="aria", generation_config=None, flush=None))
        assert (await end(exchange))["type"] == "done"
    assert audio(exchange) == await native_audio(server, TEXT)


@pytest.mark.parametrize("raw", ["no JSON", "[]", '{"context_id": 5}'])
async def test_reports_unreadable_messages(server: Server, raw: str) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.socket.send(raw)
        error = await exchange.until(lambda m: m["type"] == "error")
        assert "context_id" in error
        assert 400 <= error["status_code"] < 500


async def test_accepts_keys_in_the_vendors_places(start_server: Callable[..., Server]) -> None:
    server = start_server(DIA_API_KEYS="secret")
    for query, headers in [
        ("", {"X-API-Key": "secret"}),
        ("", {"Authorization": "Bearer secret"}),
        ("&access_token=secret", {}),
        ("&api_key=secret", {}),
    ]:
        async with exchanging(url(server) + query, additional_headers=headers) as exchange:
            await exchange.send(**request("one", "Hi."))
            assert (await end(exchange))["type"] == "done"
    for headers in ({}, {"X-API-Key": "wrong"}):
        with pytest.raises(InvalidStatus) as refused:
            async with exchanging(url(server), additional_headers=headers):
                pass
        assert refused.value.response.status_code == 401
        assert b'"error_code":"unauthorized"' in refused.value.response.body


async def test_a_full_server_refuses_the_handshake(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-connections=1")
    async with exchanging(url(server)) as exchange:
        with pytest.raises(InvalidStatus) as refused:
            async with exchanging(url(server)):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"]
        await exchange.send(**request("one", "Hi."))
        assert (await end(exchange))["type"] == "done"
    with anyio.fail_after(20):
        while True:
            try:
                async with exchanging(url(server)):
                    break
            except InvalidStatus:
                await anyio.sleep(0.01)


async def test_a_message_that_is_refused_is_no_error_of_a_context_that_goes_on(server: Server) -> None:
    """Clients take an error with the context's id for its end, and hear no more of it."""
    async with exchanging(url(server)) as exchange:
        await exchange.send(**request("one", "Hello there, said the fox. ", more=True))
        await exchange.send(**{**request("one", "", more=True), "transcript": 5})
        warning = await exchange.until(lambda m: m["type"] == "warning")
        assert (warning["context_id"], warning["error_code"], warning["done"]) == ("one", "bad_value", False)
        await exchange.send(**request("one", "This is the second sentence! And is this the third?"))
        assert (await end(exchange))["type"] == "done"
    assert audio(exchange) == await native_audio(server, TEXT)
