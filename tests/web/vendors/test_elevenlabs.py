"""ElevenLabs' websockets, against a real server."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import pytest
import soundfile
from helpers.foreign import ENDLESS, LONG, TEXT, Exchange, contexts, exchanging, kill_worker, native_audio
from helpers.servers import Server, until
from helpers.talk import talking
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio

BOTH = ("alignment", "normalizedAlignment")


def url(server: Server, output: str = "pcm_24000", *, path: str = "multi-stream-input", **query: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"{server.ws_url}/v1/text-to-speech/aria/{path}?model_id=x&output_format={output}{more}"


def of(exchange: Exchange, context: str | None) -> list[dict[str, Any]]:
    return [m for m in exchange.told if m.get("contextId") == context]


def audio(exchange: Exchange, context: str | None = "one") -> bytes:
    return b"".join(b64decode(m["audio"]) for m in of(exchange, context) if m.get("audio"))


async def final(exchange: Exchange, context: str | None = "one") -> None:
    await exchange.until(lambda m: m.get("isFinal") is True and m.get("contextId") == context)


async def open_context(exchange: Exchange, context: str = "one", **options: Any) -> None:
    await exchange.send(text=" ", context_id=context, **options)


async def turn(exchange: Exchange, pieces: Iterable[str] = (TEXT,), context: str = "one") -> None:
    """Send a turn as voice frameworks do: open, text, flush, close."""
    await open_context(exchange, context, voice_settings={"stability": 0.5})
    for piece in pieces:
        await exchange.send(text=piece, context_id=context)
    await exchange.send(context_id=context, flush=True)
    await exchange.send(context_id=context, close_context=True)


def accumulated(messages: Iterable[dict[str, Any]]) -> list[tuple[str, float]]:
    """Return words and start times as read by a client that accumulates the durations of `alignment`."""
    clock = 0.0
    words: list[tuple[str, float]] = []
    word, since = "", 0.0
    for message in messages:
        if not (alignment := message.get("alignment")):
            continue
        starts, durations = alignment["charStartTimesMs"], alignment["charDurationsMs"]
        for char, start in zip(alignment["chars"], starts, strict=True):
            if char != " ":
                since = since if word else clock + start
                word += char
            elif word:
                words.append((word, since))
                word = ""
        clock += starts[-1] + durations[-1]
    return words


def absolute(messages: Iterable[dict[str, Any]]) -> list[tuple[str, float]]:
    """Return words and start times as read by a client that uses `normalizedAlignment` unchanged."""
    text, starts = "", []
    for message in messages:
        if alignment := message.get("normalizedAlignment"):
            text += "".join(alignment["chars"])
            starts += alignment["charStartTimesMs"]
    return [
        (word, starts[sum(len(w) + 1 for w in text.split(" ")[:index])])
        for index, word in enumerate(text.split(" "))
        if word
    ]


async def test_audio_equals_the_native_websockets(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await turn(exchange)
        await final(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize(
    ("pieces", "auto_mode"),
    [
        (list(TEXT), "false"),
        ([word + " " for word in TEXT.split()], "false"),
        (["Hello there, said the fox.", "This is the second sentence!", "And is this the third?"], "true"),
        (["Hello there, said the fox. ", "This is the second sentence! ", "And is this the third? "], "true"),
        (["Hello there, said the fox. This is the sec", "ond sentence! And is this the third?"], "true"),
    ],
    ids=["characters", "words", "sentences", "spaced sentences", "a word in two pieces"],
)
async def test_audio_does_not_depend_on_how_text_is_split(
    server: Server, pieces: list[str], auto_mode: str
) -> None:
    async with exchanging(url(server, auto_mode=auto_mode)) as exchange:
        await turn(exchange, pieces)
        await final(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)
    assert [word for word, _ in absolute(of(exchange, "one"))] == TEXT.split()


@pytest.mark.parametrize(
    "output",
    [
        *(f"pcm_{rate}" for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)),
        "ulaw_8000",
        "alaw_8000",
    ],
)
async def test_sends_the_requested_format(server: Server, output: str) -> None:
    kind, rate = output.split("_")
    encoding = {"pcm": "pcm_s16le", "ulaw": "mulaw", "alaw": "alaw"}[kind]
    async with exchanging(url(server, output)) as exchange:
        await turn(exchange)
        await final(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=int(rate), encoding=encoding)


@pytest.mark.parametrize(
    "output",
    [
        *("mp3_22050_32", "mp3_24000_48", "mp3_44100_32", "mp3_44100_64", "mp3_44100_96", "mp3_44100_128"),
        *("mp3_44100_192", "opus_48000_32", "opus_48000_64", "opus_48000_96", "opus_48000_128"),
        "opus_48000_192",
    ],
)
async def test_compressed_formats_have_the_same_duration(server: Server, output: str) -> None:
    _, rate, kbits = output.split("_")
    async with exchanging(url(server, output)) as exchange:
        await turn(exchange)
        await final(exchange)
    samples, sample_rate = soundfile.read(io.BytesIO(audio(exchange)))
    native = await native_audio(server, TEXT, sample_rate=int(rate))
    assert sample_rate == int(rate)
    assert len(samples) / sample_rate == pytest.approx(len(native) / 2 / int(rate), abs=0.15)
    if output.startswith("mp3"):
        bits_per_second = 8 * len(audio(exchange)) / (len(samples) / sample_rate)
        assert bits_per_second == pytest.approx(1000 * int(kbits), rel=0.05)
    assert [word for word, _ in absolute(of(exchange, "one"))] == TEXT.split()


async def test_both_interpretations_of_the_alignment_agree(server: Server) -> None:
    text = 'He said "Hello, there!" (really) for $3.50... ' + LONG[:90]
    async with exchanging(url(server)) as exchange:
        await turn(exchange, [text])
        await final(exchange)
    added, taken = accumulated(of(exchange, "one")), absolute(of(exchange, "one"))
    assert [word for word, _ in added] == text.split()
    assert added == taken
    times = [time for _, time in added]
    assert times == sorted(times)
    assert times[-1] < 1000 * len(audio(exchange)) / 2 / 24000


async def test_character_times_count_from_their_message(server: Server) -> None:
    """The vendor documents that times count from the start of the message's audio."""
    async with exchanging(url(server)) as exchange:
        await turn(exchange, [LONG[:130]])
        await final(exchange)
    at = 0
    for message in of(exchange, "one")[:-1]:
        if message["alignment"]:
            relative, whole = (message[name]["charStartTimesMs"][0] for name in BOTH)
            assert whole - relative == pytest.approx(1000 * at / 2 / 24000, abs=1)
        at += len(b64decode(message["audio"]))
        assert len(b64decode(message["audio"])) <= 24000


async def test_closing_a_flushed_context_speaks_the_rest(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await open_context(exchange)
        await exchange.send(text=TEXT, context_id="one", flush=True)
        await exchange.send(context_id="one", close_context=True)
        await final(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize("flushed", [False, True])
async def test_an_interruption_stops_speech_and_the_next_turn_is_spoken(
    server: Server, flushed: bool
) -> None:
    """Closing discards unflushed text; closing a closed turn again ends it."""
    async with exchanging(url(server)) as exchange:
        await open_context(exchange)
        await exchange.send(text=LONG, context_id="one")
        if flushed:
            await exchange.send(context_id="one", flush=True)
            await exchange.send(context_id="one", close_context=True)
        await exchange.until(lambda m: m.get("audio"))
        await exchange.send(context_id="one", close_context=True)
        await final(exchange)
        until(lambda: contexts(server) == 0)
        await exchange.send(context_id="one", close_context=True)
        seen = len(exchange.heard)
        await turn(exchange, context="two")
        await final(exchange, "two")
        assert {m["contextId"] for m in exchange.told[seen:]} == {"two"}
    assert audio(exchange, "two") == await native_audio(server, TEXT, sample_rate=24000)


async def test_a_close_interrupts_sentences_flushed_one_by_one(
    server: Server,
) -> None:
    """LiveKit does this; at the end of a turn it flushes once more, without text."""
    async with exchanging(url(server, auto_mode="true")) as exchange:
        await open_context(exchange)
        for _ in range(10):
            await exchange.send(text=LONG[:260], context_id="one", flush=True)
        await exchange.until(lambda m: m.get("audio"))
        await exchange.send(context_id="one", close_context=True)
        await final(exchange)
        until(lambda: contexts(server) == 0)
        await open_context(exchange, "two")
        await exchange.send(text=TEXT + " ", context_id="two", flush=True)
        await exchange.send(text="", context_id="two", flush=True)
        await exchange.send(context_id="two", close_context=True)
        await final(exchange, "two")
    assert audio(exchange, "two") == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize("auto_mode", ["false", "true"])
@pytest.mark.parametrize("before", ["", "Hello there, said the fox. "], ids=["alone", "after others"])
async def test_text_in_the_message_that_closes_is_heard(server: Server, before: str, auto_mode: str) -> None:
    async with exchanging(url(server, auto_mode=auto_mode)) as exchange:
        if before:
            await exchange.send(text=before, context_id="one")
        await exchange.send(text=TEXT.removeprefix(before), context_id="one", close_context=True)
        await final(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


async def test_a_context_id_can_be_reused_at_once(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await open_context(exchange)
        await exchange.send(text=LONG, context_id="one")
        await exchange.until(lambda m: m.get("audio"))
        await exchange.send(context_id="one", close_context=True)
        await turn(exchange)
        await final(exchange)
        seen = len(exchange.heard)
        await final(exchange)
    again = Exchange(exchange.socket, exchange.heard[seen:])
    assert audio(again) == await native_audio(server, TEXT, sample_rate=24000)


async def test_keep_alive_has_no_other_effect(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(text="")
        await exchange.send(text="", context_id="nobody")
        await open_context(exchange)
        for piece in (TEXT[:20], TEXT[20:]):
            await exchange.send(text=piece, context_id="one")
            await exchange.send(text="", context_id="one")
            await exchange.send(text="")
        await exchange.send(text="", context_id="one", flush=True)
        await exchange.send(text="", context_id="one")
        await exchange.send(context_id="one", close_context=True)
        await final(exchange)
    assert {m["contextId"] for m in exchange.told} == {"one"}
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


async def test_a_single_context_needs_no_id(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(text=TEXT, flush=True)
        await exchange.send(close_context=True)
        await final(exchange, None)
    assert audio(exchange, None) == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize("auto_mode", ["false", "true"])
async def test_closing_the_socket_speaks_flushed_text(server: Server, auto_mode: str) -> None:
    async with exchanging(url(server, auto_mode=auto_mode)) as exchange:
        await open_context(exchange, "two")
        await exchange.send(text=LONG, context_id="two")
        await open_context(exchange, "one")
        await exchange.send(text=TEXT, context_id="one", flush=True)
        await exchange.send(close_socket=True)
        assert (await exchange.closed())[0] == 1000
    flushed = await native_audio(server, TEXT, sample_rate=24000)
    assert audio(exchange) == flushed
    assert len(audio(exchange, "two")) < len(flushed) * len(LONG) / len(TEXT) / 2


async def test_disconnecting_cancels(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await turn(exchange, [LONG])
        await exchange.until(lambda m: m.get("audio"))
        assert contexts(server) == 1
    until(lambda: contexts(server) == 0)


async def test_voice_settings_and_seed_are_applied(server: Server) -> None:
    async with exchanging(url(server, seed="4", language_code="de")) as exchange:
        await open_context(exchange, voice_settings={"speed": 1.2, "stability": 0.4, "style": None})
        await exchange.send(text="Guten Tag.", context_id="one", flush=True)
        await exchange.send(context_id="one", close_context=True)
        await final(exchange)
    assert audio(exchange) == await native_audio(
        server, "Guten Tag.", sample_rate=24000, language="de", speed=1.2
    )


# stream-input


@pytest.mark.parametrize("pieces", [[TEXT], list(TEXT), [word + " " for word in TEXT.split()]])
async def test_a_stream_is_spoken_and_closed(server: Server, pieces: list[str]) -> None:
    async with exchanging(url(server, path="stream-input")) as exchange:
        await exchange.send(text=" ", voice_settings={"stability": 0.5}, generation_config={})
        for piece in pieces:
            await exchange.send(text=piece, try_trigger_generation=True)
        await exchange.send(text="")
        assert (await exchange.closed())[0] == 1000
    assert exchange.told[-1] == {"audio": None, "isFinal": True}
    assert audio(exchange, None) == await native_audio(server, TEXT, sample_rate=24000)
    assert [word for word, _ in absolute(exchange.told)] == TEXT.split()


async def test_a_stream_without_text_is_closed(server: Server) -> None:
    async with exchanging(url(server, path="stream-input")) as exchange:
        await exchange.send(text=" ")
        await exchange.send(text="")
        assert (await exchange.closed())[0] == 1000
    assert exchange.told == [{"audio": None, "isFinal": True}]


async def test_a_flush_speaks_buffered_text(server: Server) -> None:
    async with exchanging(url(server, path="stream-input")) as exchange:
        await exchange.send(text="Not a whole sentence", flush=True)
        await exchange.until(lambda m: m.get("audio"))


# Errors


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/text-to-speech/nobody/multi-stream-input", 404),
        ("/v1/text-to-speech/nobody/stream-input", 404),
        ("/v1/text-to-speech/aria/multi-stream-input?output_format=pcm_11000", 422),
        ("/v1/text-to-speech/aria/stream-input?output_format=wav", 422),
        ("/v1/text-to-speech/aria/stream-input?output_format=wav_24000", 422),
    ],
)
async def test_unsupported_options_refuse_the_handshake(server: Server, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with exchanging(server.ws_url + path):
            pass
    assert refused.value.response.status_code == status
    assert refused.value.response.body.startswith(b'{"detail":{"status":')


async def test_an_error_is_sent_once_and_ends_its_context(server: Server) -> None:
    """It is sent as an error and as an end: some clients understand only one of them."""
    async with exchanging(url(server, language_code="tlh")) as exchange:
        await turn(exchange, ["Some text. ", "And more."])
        await turn(exchange, ["Some text. ", "And more."], "two")
        await final(exchange, "two")
    told = [(m["contextId"], m.get("code"), m.get("isFinal")) for m in exchange.told]
    assert told == [(n, *what) for n in ("one", "two") for what in (("bad_value", None), (None, True))]


async def test_a_lost_worker_is_reported_after_the_first_audio(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    async with exchanging(url(server)) as exchange:
        await turn(exchange, [ENDLESS])
        await exchange.until(lambda m: m.get("audio"))
        kill_worker(server)
        await final(exchange)
        error = exchange.told[-2]
        assert (error["contextId"], error["code"]) == ("one", "worker_lost")
        assert error["error"] == error["message"] != ""
        assert contexts(server) == 0
        until(server.ready, 30)
        await turn(exchange)
        seen = len(exchange.heard)
        await final(exchange)
    again = Exchange(exchange.socket, exchange.heard[seen:])
    assert audio(again) == await native_audio(server, TEXT, sample_rate=24000)


async def test_messages_after_a_failure_are_ignored_until_the_context_reopens(
    start_server: Callable[..., Server],
) -> None:
    """Frameworks that saw the end reopen the context for the rest of the turn."""
    server = start_server("--max-workers=1")
    async with exchanging(url(server)) as exchange:
        await open_context(exchange)
        await exchange.send(text=ENDLESS, context_id="one", flush=True)
        await exchange.until(lambda m: m.get("audio"))
        kill_worker(server)
        await final(exchange)
        seen = len(exchange.heard)
        await exchange.send(text="The rest.", context_id="one")
        until(server.ready, 30)
        await turn(exchange)
        await final(exchange)
    again = Exchange(exchange.socket, exchange.heard[seen:])
    assert audio(again) == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize("name", [{}, {"context_id": "one"}])
async def test_an_invalid_message_does_not_affect_contexts(server: Server, name: dict[str, str]) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.send(text=5, **name)
        await exchange.until(lambda m: m.get("error"))
        await exchange.send(text=TEXT, flush=True, **name)
        await exchange.send(close_context=True, **name)
        await exchange.until(lambda m: m.get("audio"))
        await final(exchange, name.get("context_id"))
    assert audio(exchange, name.get("context_id")) == await native_audio(server, TEXT, sample_rate=24000)


async def test_a_message_that_is_refused_is_no_error_of_a_context_that_goes_on(server: Server) -> None:
    """Clients take an error with a context's id for its end."""
    async with exchanging(url(server)) as exchange:
        await open_context(exchange)
        await exchange.send(text=5, context_id="one")
        error = await exchange.until(lambda m: m.get("error"))
        assert (error["contextId"], error["code"]) == (None, "bad_value")
        await turn(exchange)
        await final(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize(
    ("text", "query", "code", "closed_with"),
    [
        (5, {}, "bad_value", 1008),
        ("Hi. ", {"language_code": "tlh"}, "bad_value", 1008),
        ("a" * 9000, {}, "too_large", 1009),
    ],
    ids=["no text", "language", "length"],
)
async def test_an_error_of_a_stream_closes_it_with_a_reason(
    server: Server, text: Any, query: dict[str, str], code: str, closed_with: int
) -> None:
    async with exchanging(url(server, path="stream-input", **query)) as exchange:
        await exchange.send(text=" ")
        await exchange.send(text=text)
        await exchange.send(text="")
        closed = await exchange.closed()
    assert [m["code"] for m in exchange.told] == [code]
    assert closed == (closed_with, exchange.told[0]["message"])


async def test_a_lost_worker_closes_a_stream_after_the_first_audio(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=1")
    async with exchanging(url(server, path="stream-input")) as exchange:
        await exchange.send(text=ENDLESS, flush=True)
        await exchange.until(lambda m: m.get("audio"))
        kill_worker(server)
        assert (await exchange.closed())[0] == 1011
    assert exchange.told[-1]["code"] == "worker_lost"
    assert not [m for m in exchange.told if m.get("isFinal")]
    until(lambda: contexts(server) == 0)


async def test_a_too_long_text_ends_only_its_context(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await turn(exchange, ["Well. ", "a" * 9000, "And more."])
        await exchange.until(lambda m: m.get("error"))
        await turn(exchange, context="two")
        await final(exchange, "two")
    assert len([m for m in exchange.told if m.get("error")]) == 1
    assert audio(exchange, "two") == await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize("name", [{}, {"context_id": "one"}])
async def test_a_flush_ends_the_turn_that_failed_just_before(server: Server, name: dict[str, str]) -> None:
    """The next text of the same context is a new turn, not the rest of the failed one."""
    context = name.get("context_id")
    async with exchanging(url(server)) as exchange:
        for _ in range(5):
            await exchange.send(text="a" * 9000, **name)
            await exchange.send(flush=True, **name)
            await exchange.send(text=TEXT, flush=True, **name)
            await exchange.send(close_context=True, **name)
            await exchange.until(lambda m: m.get("audio"))
            await final(exchange, context)
    assert len([m for m in exchange.told if m.get("error")]) == 5
    assert audio(exchange, context) == 5 * await native_audio(server, TEXT, sample_rate=24000)


@pytest.mark.parametrize("raw", ["no JSON", "[]", '{"context_id": 5}', '{"text": 5}'])
async def test_reports_unreadable_messages(server: Server, raw: str) -> None:
    async with exchanging(url(server)) as exchange:
        await exchange.socket.send(raw)
        assert (await exchange.until(lambda m: m.get("error")))["code"] in ("bad_message", "bad_value")


async def test_accepts_keys_in_the_vendors_places(start_server: Callable[..., Server]) -> None:
    server = start_server(DIA_API_KEYS="secret")
    async with exchanging(url(server), additional_headers={"xi-api-key": "secret"}) as exchange:
        await turn(exchange)
        await final(exchange)
    for name in ("xi_api_key", "xi-api-key"):
        async with exchanging(url(server)) as exchange:
            await open_context(exchange, **{name: "secret"})
            await exchange.send(text=TEXT, context_id="one", flush=True)
            await exchange.send(context_id="one", close_context=True)
            await final(exchange)
            assert audio(exchange) == await native_audio_with_key(server)
    with pytest.raises(InvalidStatus) as refused:
        async with exchanging(url(server), additional_headers={"xi-api-key": "wrong"}):
            pass
    assert refused.value.response.status_code == 401
    async with exchanging(url(server)) as exchange:
        await open_context(exchange)
        assert (await exchange.closed())[0] == 1008
    assert exchange.told[0]["code"] == "unauthorized"


async def native_audio_with_key(server: Server) -> bytes:
    async with talking(server.ws_url, query="?token=secret") as talk:
        await talk.speak(TEXT, sample_rate=24000)
        return talk.audio()


async def test_a_full_server_refuses_the_handshake(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-connections=1")
    async with exchanging(url(server)):
        with pytest.raises(InvalidStatus) as refused:
            async with exchanging(url(server)):
                pass
        assert refused.value.response.status_code == 503
    with anyio.fail_after(20):
        while True:
            try:
                async with exchanging(url(server)):
                    break
            except InvalidStatus:
                await anyio.sleep(0.01)


async def test_tags_are_not_spoken(server: Server) -> None:
    tagged = 'Hello there, said <phoneme alphabet="ipa" ph="x">the</phoneme> fox.<break time="0.5s" />Yes.'
    for pieces in ([tagged], list(tagged), ["Hello there, said the fox.", '<break time="1s"/>', "Yes."]):
        async with exchanging(url(server)) as exchange:
            await turn(exchange, pieces)
            await final(exchange)
        assert audio(exchange) == await native_audio(server, "".join(pieces), sample_rate=24000)
        assert not any("=" in word or "<" in word for word, _ in absolute(of(exchange, "one")))


async def test_a_flush_speaks_an_incomplete_tag(server: Server) -> None:
    async with exchanging(url(server)) as exchange:
        await turn(exchange, ["Two <"])
        await final(exchange)
    assert audio(exchange) == await native_audio(server, "Two <", sample_rate=24000)


@pytest.mark.parametrize("path", ["multi-stream-input", "stream-input"])
async def test_a_silent_client_is_disconnected(server: Server, path: str) -> None:
    """By the code of the closing alone: a message would be logged as an error by those who keep a connection
    between turns."""
    async with exchanging(url(server, path=path, inactivity_timeout="0.3")) as exchange:
        assert await exchange.closed() == (1008, "No message received for 0.3 seconds.")
    assert exchange.told == []


@pytest.mark.parametrize("path", ["multi-stream-input", "stream-input"])
async def test_a_client_silent_during_a_turn_gets_an_error(server: Server, path: str) -> None:
    async with exchanging(url(server, path=path, inactivity_timeout="0.5")) as exchange:
        await exchange.send(text="Some of a sentence")
        assert (await exchange.closed())[0] == 1008
    assert exchange.told[-1]["code"] == "too_slow"


async def test_an_active_or_listening_client_stays_connected(server: Server) -> None:
    async with exchanging(url(server, inactivity_timeout="2")) as exchange:
        for _ in range(8):  # As frameworks do between turns.
            await anyio.sleep(0.3)
            await exchange.send(text="")
        began = anyio.current_time()
        await turn(exchange, [LONG[:130]])
        await final(exchange)
        heard_s = len(audio(exchange)) / 2 / 24000
        assert heard_s > 6
        assert anyio.current_time() - began < 4, "sent ahead of real time"
        assert (await exchange.closed())[0] == 1008
        assert anyio.current_time() - began > heard_s + 1.5


@pytest.mark.parametrize("first", [True, False], ids=["the first", "the last"])
async def test_cancelled_audio_is_not_waited_for(server: Server, first: bool) -> None:
    """A client that interrupts drops what it was sent; it hears nothing more."""
    async with exchanging(url(server, inactivity_timeout="1")) as exchange:
        if not first:
            await turn(exchange)
            await final(exchange)
        await exchange.send(text=f"{LONG} ", context_id="long")
        await exchange.send(flush=True, context_id="long")
        await exchange.until(lambda m: len(audio(exchange, "long")) > 2 * 24000 * 20)
        await exchange.send(text="more ", context_id="long")
        began = anyio.current_time()
        await exchange.send(close_context=True, context_id="long")
        assert (await exchange.closed())[0] == 1008
        assert anyio.current_time() - began < 12


async def test_the_inactivity_timeout_may_exceed_the_vendors(server: Server) -> None:
    async with exchanging(url(server, inactivity_timeout="300")) as exchange:
        await turn(exchange)
        await final(exchange)
    assert audio(exchange) == await native_audio(server, TEXT, sample_rate=24000)


async def test_rejects_an_inactivity_timeout_of_zero(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with exchanging(url(server, inactivity_timeout="0")):
            pass
    assert refused.value.response.status_code == 422
