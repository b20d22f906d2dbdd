"""The native websocket, against a real server."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import anyio
import numpy as np
import pytest
from helpers.servers import Server, until
from helpers.talk import Frame, Talk, talking

pytestmark = pytest.mark.anyio

TEXT = "Hello there. This is the second sentence! And is this the third?"
LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 40

TRIES = 5
"""Attempts to meet a latency limit; one success is enough, as the machine may be busy."""


async def test_ready_describes_the_server(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        ready = talk.ready
    assert ready["type"] == "ready"
    assert ready["protocol"] == 1
    assert ready["engine"] == "espeak"
    assert ready["notice"] is None
    assert ready["sample_rate"] == 22050
    assert ready["encodings"] == ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
    assert [voice["id"] for voice in ready["voices"]] == ["aria", "atlas", "luna", "kai", "zara", "nova"]
    assert ready["cost"] == "low"
    assert ready["options"] == ["language", "pitch", "speed"]
    assert {"en", "de", "ar"} <= set(ready["languages"])
    assert ready["limits"]["contexts"] == ready["limits"]["parallel_contexts"] == 32


async def test_ready_says_how_many_contexts_are_spoken_at_once(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-contexts=500", "--max-workers=1")
    async with talking(server.ws_url) as talk:
        assert talk.ready["limits"]["parallel_contexts"] == server.workers()[0]["slots"] < 500


async def test_speaks_a_whole_text(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        end = await talk.speak(TEXT)
        started = talk.started()
        frames = talk.frames_of()
        await talk.nothing_more()
    assert started["voice"] == "aria"
    assert started["sample_rate"] == 22050
    assert started["encoding"] == "pcm_s16le"
    assert started["channels"] == 1
    assert started["ignored"] == []
    assert end["type"] == "done"
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    at = 0
    for frame in frames:
        assert frame.first_sample == at
        assert 0 < len(frame.data) <= 4410
        at += len(frame.data) // 2
    metrics = end["metrics"]
    assert metrics["audio_ms"] == pytest.approx(1000 * at / 22050, abs=0.1)
    assert metrics["characters"] == len(TEXT)
    assert metrics["realtime_factor"] > 1
    assert 0 <= metrics["queue_ms"] <= metrics["first_audio_ms"] < 1000
    assert np.abs(np.frombuffer(talk.audio(), "<i2")).max() > 3000


async def test_audio_is_sent_while_text_still_arrives(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("text", text="The first sentence is whole. The second is st")
        assert isinstance(await talk.first_frame(), Frame)
        await talk.send("text", text="ill being written.")
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"
        assert [sentence["index"] for sentence in talk.of("sentence")] == [0, 1]


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_audio_does_not_depend_on_how_text_is_split(server: Server, size: int) -> None:
    text = TEXT + " It cost 3.50, said Dr. Smith. 🎉 Well!"
    async with talking(server.ws_url) as talk:
        await talk.speak(text, "whole")
        for at in range(0, len(text), size):
            await talk.send("text", context="cut", text=text[at : at + size])
        await talk.send("finish", context="cut")
        await talk.end("cut")
        assert talk.audio("cut") == talk.audio("whole")
        places = [
            [(s["start"], s["end"], s["first_sample"]) for s in talk.of("sentence", name)]
            for name in ("cut", "whole")
        ]
        assert places[0] == places[1]


async def test_a_surrogate_pair_may_be_split_between_messages(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.socket.send('{"type":"text","text":"A party \\ud83c"}')
        await talk.socket.send('{"type":"text","text":"\\udf89 now. Yes."}')
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"
        assert "".join(sentence["text"] for sentence in talk.of("sentence")) == "A party 🎉 now.Yes."


@pytest.mark.parametrize("ending", ["speak", "finish", "flush"])
async def test_a_lone_surrogate_at_the_end_fails_only_its_context(server: Server, ending: str) -> None:
    half = '"A party \\ud83c"'
    async with talking(server.ws_url) as talk:
        if ending == "speak":
            await talk.socket.send(f'{{"type":"speak","text":{half}}}')
        else:
            await talk.socket.send(f'{{"type":"text","text":{half}}}')
            await talk.send(ending)
        error = await talk.until("error")
        assert (error["context"], error["code"]) == ("default", "bad_value")
        if ending != "speak":
            await talk.send("finish")  # The rest of the turn that failed.
        await talk.speak("Here I am again.", "default")
        assert talk.of("done")


async def test_sentence_events_precede_their_audio_and_hold_text_offsets(server: Server) -> None:
    text = "  Grüße 🎉 to you.   Second one here.\n\nThird."
    async with talking(server.ws_url) as talk:
        await talk.speak(text)
        sentences = talk.of("sentence")
        assert [text[s["start"] : s["end"]] for s in sentences] == [s["text"] for s in sentences]
        assert [s["text"] for s in sentences] == ["Grüße 🎉 to you.", "Second one here.", "Third."]
        sent = 0
        for message in talk.order:
            if isinstance(message, Frame):
                sent = message.first_sample + len(message.data) // 2
            elif message["type"] == "sentence":
                assert message["first_sample"] >= sent


async def test_word_events_precede_their_audio_in_ascending_order(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak(TEXT, words=True)
        sent_ms, last_ms = 0.0, 0.0
        words = []
        for message in talk.order:
            if isinstance(message, Frame):
                sent_ms = 1000 * (message.first_sample + len(message.data) // 2) / 22050
            elif message["type"] == "words":
                for word in message["words"]:
                    assert TEXT[word["start"] : word["end"]] == word["text"]
                    assert word["start_ms"] >= last_ms - 0.1
                    assert word["end_ms"] >= word["start_ms"]
                    assert word["start_ms"] >= sent_ms - 0.1
                    last_ms = word["end_ms"]
                    words.append(word["text"].strip(".!?,"))
        assert words == [word.strip(".!?,") for word in TEXT.split()]
        assert last_ms <= sent_ms + 0.1


async def test_words_are_sent_only_on_request(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak("Hello there.")
        assert talk.of("words") == []


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 32000, 44100, 48000])
async def test_sends_the_requested_sample_rate(server: Server, rate: int) -> None:
    async with talking(server.ws_url) as talk:
        own = await talk.speak(TEXT, "own")
        await talk.speak(TEXT, "asked", sample_rate=rate)
        assert talk.started("asked")["sample_rate"] == rate
        samples = len(talk.audio("asked")) // 2
        assert 1000 * samples / rate == pytest.approx(own["metrics"]["audio_ms"], abs=1)
        assert max(len(frame.data) for frame in talk.frames_of("asked")) <= rate // 10 * 2


@pytest.mark.parametrize(("encoding", "width"), [("pcm_f32le", 4), ("mulaw", 1), ("alaw", 1)])
async def test_encodings_hold_the_same_audio(server: Server, encoding: str, width: int) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak("Hello there.", "plain")
        await talk.speak("Hello there.", "coded", encoding=encoding)
        assert talk.started("coded")["encoding"] == encoding
        plain = np.frombuffer(talk.audio("plain"), "<i2")
        assert len(talk.audio("coded")) == width * len(plain)
        if encoding == "pcm_f32le":
            coded = np.frombuffer(talk.audio("coded"), "<f4")
            assert np.array_equal(np.rint(coded * 32768).astype("<i2"), plain)


async def test_voice_and_speed_change_the_audio(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        sounds = set()
        for voice in talk.ready["voices"]:
            await talk.speak("Hello there.", voice["id"], voice=voice["id"])
            sounds.add(talk.audio(voice["id"]))
        assert len(sounds) == 6
        await talk.speak("Hello there.", "fast", speed=2.0)
        assert len(talk.audio("fast")) < 0.7 * len(talk.audio("aria"))


async def test_started_lists_ignored_options(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak("Hello.", temperature=0.5, cfg_scale=3, speed=1.5, flavour="sweet", seed=4)
        assert talk.started()["ignored"] == ["cfg_scale", "flavour", "seed", "temperature"]


async def test_flushed_follows_the_audio_of_the_flushed_text(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("text", text="No full stop here")
        await talk.send("flush")
        await talk.until("flushed")
        first = len(talk.audio())
        assert first > 10_000
        await talk.send("flush")
        await talk.until("flushed")
        await talk.send("text", text=" and some more")
        await talk.send("finish")
        await talk.end()
        assert len(talk.audio()) > first
        assert len(talk.of("flushed")) == 2


async def test_a_context_without_text_is_done_at_once(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("start")
        await talk.send("finish")
        assert (await talk.end())["metrics"]["audio_ms"] == 0


@pytest.mark.parametrize("text", ["", "   ", "...", "🎉", "?!", "\n\n"])
async def test_text_without_words_ends_in_done(server: Server, text: str) -> None:
    async with talking(server.ws_url) as talk:
        assert (await talk.speak(text))["type"] == "done"


async def test_cancel_is_answered_within_50_ms_and_no_event_follows(server: Server) -> None:
    took_s = []
    for _ in range(TRIES):
        async with talking(server.ws_url) as talk:
            await talk.send("speak", text=LONG[:4000])
            await talk.first_frame()
            asked = time.monotonic()
            await talk.send("cancel")
            cancelled = await talk.end()
            took_s.append(time.monotonic() - asked)
            assert cancelled["type"] == "cancelled"
            await talk.nothing_more()
            assert cancelled["generated_ms"] >= cancelled["played_ms"] >= 0
            assert cancelled["text_spoken"] + cancelled["text_remaining"] == LONG[:4000]
    assert min(took_s) < 0.05


async def test_cancelled_splits_the_text_at_the_playback_position(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=TEXT, words=True)
        while len(talk.of("sentence")) < 2:
            await talk.next()
        await talk.send("played", samples=talk.of("sentence")[1]["first_sample"] + 1)
        await talk.send("cancel")
        cancelled = await talk.end()
        assert cancelled["text_spoken"].startswith("Hello there.")
        assert len(cancelled["text_spoken"]) < len("Hello there. This is ")
        assert cancelled["played_ms"] == pytest.approx(
            1000 * (talk.of("sentence")[1]["first_sample"] + 1) / 22050, abs=0.1
        )


async def test_cancel_all_cancels_every_context(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        for name in "abc":
            await talk.send("speak", context=name, text=LONG[:2000])
        await talk.first_frame()
        await talk.send("cancel", context="*")
        ends = {(await talk.until("cancelled"))["context"] for _ in "abc"}
        assert ends == {"a", "b", "c"}


async def test_a_context_name_can_be_reused_after_its_end_or_cancel(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=LONG[:2000])
        await talk.first_frame()
        await talk.send("cancel")
        await talk.send("speak", text="Next.")
        assert (await talk.end())["type"] == "cancelled"
        assert (await talk.end())["type"] == "done"
        kinds = [event["type"] for event in talk.events if event["type"] in ("started", "cancelled", "done")]
        assert kinds == ["started", "cancelled", "started", "done"]
        assert talk.of("started")[0]["handle"] != talk.of("started")[1]["handle"]


async def test_contexts_of_one_worker_interleave_fairly(start_server: Callable[..., Server]) -> None:
    async with talking(start_server("--max-workers=1").ws_url) as talk:
        names = [f"c{n}" for n in range(4)]
        for name in names:
            await talk.send("speak", context=name, text=LONG[:600], max_lead_ms=600_000)
        ended: list[str] = []
        while len(ended) < len(names):
            ended.append((await talk.until(lambda event: event["type"] == "done"))["context"])
            if len(ended) == 1:
                longest = max(len(talk.audio(name)) for name in names)
                least = min(len(talk.audio(name)) for name in names)
        assert least > 0.5 * longest


async def test_audio_is_sent_at_most_the_lead_ahead_of_real_time(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        begun = time.monotonic()
        await talk.send("speak", text=LONG[:1000], max_lead_ms=500)
        while time.monotonic() - begun < 1.5:
            message = await talk.next()
            if isinstance(message, Frame):
                ahead_s = (message.first_sample + len(message.data) // 2) / 22050 - (message.at - begun)
                assert ahead_s < 0.75
        await talk.send("cancel")
        await talk.end()


async def test_playback_reports_control_the_pace(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=LONG[:1000], max_lead_ms=1000)
        await talk.first_frame()
        await talk.send("played", samples=0)
        with anyio.move_on_after(1.0):
            while True:
                await talk.next()
        stalled = len(talk.audio()) // 2
        assert stalled <= 1.2 * 22050
        await talk.send("played", samples=stalled)
        await talk.first_frame()
        await talk.send("cancel")
        assert (await talk.end())["played_ms"] == pytest.approx(1000 * stalled / 22050, abs=1)


BAD_MESSAGES: list[tuple[str | bytes, str]] = [
    ("not json", "bad_message"),
    ("[1,2]", "bad_message"),
    ('"text"', "bad_message"),
    ("{}", "bad_message"),
    ('{"type":"dance"}', "bad_message"),
    ('{"type":3}', "bad_message"),
    (b"\x01\x02", "bad_message"),
    ("[" * 10_000, "bad_message"),
    ("[" * 10_000 + "\\ud83d", "bad_message"),
    ('{"type":"text"}', "bad_value"),
    ('{"type":"text","text":5}', "bad_value"),
    ('{"type":"text","text":"a\\u0000b"}', "bad_value"),
    ('{"type":"text","text":"\\ude00 alone"}', "bad_value"),
    ('{"type":"text","text":"x","context":""}', "bad_value"),
    ('{"type":"text","text":"x","context":"' + "x" * 65 + '"}', "bad_value"),
    ('{"type":"text","text":"x","context":7}', "bad_value"),
    ('{"type":"start","voice":"nobody"}', "unknown_voice"),
    ('{"type":"start","sample_rate":12345}', "bad_value"),
    ('{"type":"start","encoding":"mp3"}', "bad_value"),
    ('{"type":"start","language":"tlh"}', "bad_value"),
    ('{"type":"text","text":"x","context":"\\ud83d"}', "bad_value"),
    ('{"type":"ping","id":"\\ud83d"}', "bad_value"),
    ('{"type":"ping","id":1.5}', "bad_value"),
    ('{"type":"start","\\ud800":1}', "bad_value"),
    ('{"type":"ping","id":99999999999999999999}', "bad_value"),
    ('{"type":"start","speed":9}', "bad_value"),
    ('{"type":"start","speed":NaN}', "bad_message"),
    ('{"type":"start","speed":"\\ud83d","x":NaN}', "bad_message"),
    ('{"type":"start","speed":1e999}', "bad_message"),
    ('{"type":"start","seed":-1}', "bad_value"),
    ('{"type":"start","context":"*"}', "bad_value"),
    ('{"type":"flush","context":"nowhere"}', "unknown_context"),
    ('{"type":"finish","context":"nowhere"}', "unknown_context"),
    ('{"type":"text","text":"' + "x" * 8193 + '"}', "too_large"),
]


@pytest.mark.parametrize(("raw", "code"), BAD_MESSAGES, ids=[str(n) for n in range(len(BAD_MESSAGES))])
async def test_an_invalid_message_does_not_close_the_socket(
    server: Server, raw: str | bytes, code: str
) -> None:
    async with talking(server.ws_url) as talk:
        await talk.socket.send(raw)
        error = await talk.until("error")
        assert error["code"] == code
        assert error["message"].endswith(".")
        assert not re.search(r"^\W|\[|[a-z]-[a-z]+\(|Value error", error["message"])
        assert error["retryable"] is False
        assert (await talk.speak("Still here.", "after"))["type"] == "done"
    assert "Traceback" not in server.logged()


async def test_an_unsupported_language_ends_its_context(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        assert (await talk.speak("Hello.", language="tlh-none"))["code"] == "bad_value"
        assert (await talk.speak("Still here.", "after"))["type"] == "done"


async def test_a_context_can_be_started_only_once(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("start", voice="kai")
        await talk.send("start", voice="nova")
        error = await talk.until("error")
        assert error["code"] == "duplicate_context"
        await talk.send("text", text="Hello.")
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"
        assert talk.started()["voice"] == "kai"


async def test_text_after_finish_is_rejected_and_earlier_text_spoken(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=LONG[:300], max_lead_ms=500)
        await talk.send("text", text="More.")
        assert (await talk.until("error"))["code"] == "bad_message"
        await talk.send("cancel")
        assert (await talk.end())["type"] == "cancelled"


async def test_messages_of_a_failed_turn_are_ignored_until_its_finish(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("text", text="Bad \0 text.")
        assert (await talk.end())["code"] == "bad_value"
        await talk.send("text", text="The rest of it.")
        await talk.send("flush")
        await talk.send("finish")
        await talk.send("speak", text="Fresh.")
        assert (await talk.end())["type"] == "done"
        assert [sentence["text"] for sentence in talk.of("sentence")] == ["Fresh."]


async def test_a_turn_after_cancel_all_is_spoken(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("text", context="a", text="Bad \0 text.")
        assert (await talk.end("a"))["code"] == "bad_value"
        await talk.send("cancel", context="*")
        await talk.send("text", context="a", text="Hello again.")
        await talk.send("finish", context="a")
        assert (await talk.end("a"))["type"] == "done"


async def test_an_invalid_speak_gets_an_error_with_its_context(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        for wrong in ({"speed": 9}, {"text": 5}, {"voice": 7}):
            await talk.send("speak", **{"context": "a", "text": "Hello.", **wrong})
            assert (await talk.end("a"))["code"] == "bad_value"
        assert (await talk.speak("Hello.", "a"))["type"] == "done"


async def test_emoji_are_spoken_only_without_text_processing(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak("Great! \N{PARTY POPPER}")
        assert [sentence["text"] for sentence in talk.of("sentence")] == ["Great!"]
        alone = await talk.speak("\N{THUMBS UP SIGN}", "alone", text_processing=False)
        sign = await talk.speak("%", "sign")
    assert alone["metrics"]["audio_ms"] > 200
    assert sign["metrics"]["audio_ms"] > 200


async def test_a_turn_after_a_failed_speak_is_spoken(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        assert (await talk.speak("Hello.", voice="nobody"))["code"] == "unknown_voice"
        await talk.send("text", text="Hello again.")
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"


async def test_one_finish_ends_a_turn_that_failed_twice(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        for _ in range(2):
            await talk.send("text", text=5)
            assert (await talk.until("error"))["context"] == "default"
        await talk.send("finish")
        await talk.send("text", text="Hello again.")
        await talk.send("finish")
        assert (await talk.end())["type"] == "done"


async def test_cancelling_an_unknown_context_does_nothing(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.send("cancel", context="nowhere")
        await talk.send("cancel", context="*")
        await talk.send("played", context="nowhere", samples=5)
        await talk.send("ping", id="x")
        assert (await talk.next()) == {"type": "pong", "id": "x"}


async def test_a_disconnect_frees_everything_within_100_ms(server: Server) -> None:
    def nothing_left() -> bool:
        stats = server.get("/queue/stats")[1]
        return not any(stats[kind] for kind in ("contexts", "active", "queued", "connections"))

    took_s = []
    for _ in range(TRIES):
        async with talking(server.ws_url) as talk:
            for n in range(20):
                await talk.send("speak", context=f"c{n}", text=LONG)
            await talk.first_frame()
            talk.socket.transport.abort()
        gone = time.monotonic()
        until(nothing_left)
        took_s.append(time.monotonic() - gone)
    assert min(took_s) < 0.1 + 0.05, took_s  # The asking takes time too.


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_five_hundred_races_of_cancel_finish_and_flush(start_server: Callable[..., Server]) -> None:
    """Whatever the order of its last messages, a turn ends exactly once and no event follows."""
    server = start_server("--messages-per-second=10000")
    chance = random.Random(20)
    async with talking(server.ws_url) as talk:
        for turn in range(500):
            name = f"race-{turn}"
            await _race(talk, name, chance)
            ends = [e["type"] for e in talk.events if e.get("context") == name]
            assert sum(end in ("done", "cancelled", "error") for end in ends) == 1
            talk.events, talk.frames, talk.order = [], [], []
    until(lambda: server.get("/queue/stats")[1]["contexts"] == 0)
    assert "Traceback" not in server.logged()


async def _race(talk: Talk, name: str, chance: random.Random) -> None:
    text = LONG[: chance.randrange(5, 600)]
    await talk.send("start", context=name, max_lead_ms=600_000)
    await talk.send("text", context=name, text=text)
    if ". " in text and chance.random() < 0.7:
        await talk.first_frame()
    moves = chance.choice(
        [["cancel"], ["finish"], ["flush", "cancel"], ["finish", "cancel"], ["flush", "finish", "cancel"]]
    )
    for move in moves:
        await talk.send(move, context=name)
        if chance.random() < 0.5:
            await anyio.sleep(chance.random() * 0.01)
    await talk.end(name)
    await talk.nothing_more(name)
