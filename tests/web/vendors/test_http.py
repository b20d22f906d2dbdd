"""Other vendors' speech over HTTP, against a real server."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile
from helpers.foreign import ENDLESS, LONG, TEXT, contexts, kill_worker, native_audio
from helpers.servers import Server, until

pytestmark = pytest.mark.anyio

RATE = 22050
"""The engine's own."""


async def post(server: Server, path: str, body: Any, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        return await client.post(path, json=body, headers=headers)


def openai(**fields: Any) -> dict[str, Any]:
    return {"model": "tts-1", "input": TEXT, "voice": "aria", **fields}


def cartesia(container: str = "raw", encoding: str = "pcm_s16le", rate: int = 24000) -> dict[str, Any]:
    form = {"container": container, "encoding": encoding, "sample_rate": rate}
    return {
        "model_id": "any",
        "transcript": TEXT,
        "voice": {"mode": "id", "id": "aria"},
        "output_format": form,
    }


def seconds(data: bytes) -> float:
    """Return the duration of encoded audio as a player decodes it."""
    with av.open(BytesIO(data)) as container:
        frames = list(container.decode(audio=0))
    return sum(frame.samples / frame.sample_rate for frame in frames)


ELEVENLABS = "/v1/text-to-speech/aria/stream?output_format="
DEEPGRAM = "/v1/speak?model=aria&"


@pytest.mark.parametrize(
    ("path", "body", "ours", "rate"),
    [
        ("/v1/audio/speech", openai(response_format="pcm"), "pcm_s16le", 24000),
        *((f"{ELEVENLABS}pcm_{rate}", {"text": TEXT}, "pcm_s16le", rate) for rate in (8000, 22050, 48000)),
        (f"{ELEVENLABS}ulaw_8000", {"text": TEXT}, "mulaw", 8000),
        (f"{DEEPGRAM}encoding=linear16&container=none&sample_rate=24000", {"text": TEXT}, "pcm_s16le", 24000),
        (f"{DEEPGRAM}encoding=alaw&container=none&sample_rate=16000", {"text": TEXT}, "alaw", 16000),
        (f"{DEEPGRAM}encoding=mulaw&container=none", {"text": TEXT}, "mulaw", 8000),
        ("/tts/bytes", cartesia(), "pcm_s16le", 24000),
        ("/tts/bytes", cartesia(encoding="pcm_f32le", rate=44100), "pcm_f32le", 44100),
        ("/tts/bytes", cartesia(encoding="pcm_mulaw", rate=8000), "mulaw", 8000),
    ],
)
async def test_audio_equals_the_native_websockets(
    server: Server, path: str, body: Any, ours: str, rate: int
) -> None:
    answer = await post(server, path, body)
    assert answer.status_code == 200
    assert answer.content == await native_audio(server, TEXT, sample_rate=rate, encoding=ours)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/audio/speech", openai(response_format="wav")),
        ("/v1/audio/speech", openai(response_format="flac")),
        (f"{DEEPGRAM}encoding=linear16&sample_rate={RATE}", {"text": TEXT}),
        (f"{DEEPGRAM}encoding=flac&sample_rate={RATE}", {"text": TEXT}),
        ("/tts/bytes", cartesia("wav", rate=RATE)),
        ("/generate", {"text": TEXT, "voice_id": "aria"}),
        ("/generate", {"text": TEXT, "voice_id": "aria", "response_format": "flac"}),
    ],
)
async def test_lossless_files_equal_the_native_websocket(server: Server, path: str, body: Any) -> None:
    answer = await post(server, path, body)
    with av.open(BytesIO(answer.content)) as container:
        assert container.streams.audio[0].rate == RATE
        pcm = b"".join(frame.to_ndarray().astype("<i2").tobytes() for frame in container.decode(audio=0))
    assert pcm == await native_audio(server, TEXT)


WAVE_TAGS = {"PCM_16": 1, "FLOAT": 3, "ALAW": 6, "ULAW": 7}


@pytest.mark.parametrize(
    ("path", "body", "ours", "subtype", "rate"),
    [
        ("/tts/bytes", cartesia("wav"), "pcm_s16le", "PCM_16", 24000),
        ("/tts/bytes", cartesia("wav", "pcm_f32le", 44100), "pcm_f32le", "FLOAT", 44100),
        ("/tts/bytes", cartesia("wav", "pcm_mulaw", 8000), "mulaw", "ULAW", 8000),
        ("/tts/bytes", cartesia("wav", "pcm_alaw", 8000), "alaw", "ALAW", 8000),
        (f"{ELEVENLABS}wav_44100", {"text": TEXT}, "pcm_s16le", "PCM_16", 44100),
        (f"{DEEPGRAM}encoding=linear16", {"text": TEXT}, "pcm_s16le", "PCM_16", 24000),
        (f"{DEEPGRAM}encoding=mulaw", {"text": TEXT}, "mulaw", "ULAW", 8000),
        (f"{DEEPGRAM}encoding=alaw&container=wav", {"text": TEXT}, "alaw", "ALAW", 8000),
    ],
)
async def test_a_wav_header_describes_its_audio(
    server: Server, path: str, body: Any, ours: str, subtype: str, rate: int
) -> None:
    answer = await post(server, path, body)
    assert answer.headers["content-type"] == "audio/wav"
    native = await native_audio(server, TEXT, sample_rate=rate, encoding=ours)
    assert answer.content.endswith(b"data\xff\xff\xff\xff" + native)
    assert int.from_bytes(answer.content[20:22], "little") == WAVE_TAGS[subtype]
    with soundfile.SoundFile(BytesIO(answer.content)) as file:
        assert (file.subtype, file.samplerate, file.channels) == (subtype, rate, 1)
        samples = file.read()
    width = {"PCM_16": 2, "FLOAT": 4}.get(subtype, 1)
    assert len(samples) == len(native) // width
    assert seconds(answer.content) == pytest.approx(len(samples) / rate)


@pytest.mark.parametrize(
    ("path", "body", "media_type"),
    [
        ("/v1/audio/speech", openai(), "audio/mpeg"),
        ("/v1/audio/speech", openai(response_format="opus"), "audio/ogg"),
        ("/v1/audio/speech", openai(response_format="aac"), "audio/aac"),
        ("/v1/text-to-speech/aria", {"text": TEXT}, "audio/mpeg"),
        (f"{ELEVENLABS}opus_48000_64", {"text": TEXT}, "audio/ogg"),
        (f"{DEEPGRAM}encoding=mp3", {"text": TEXT}, "audio/mpeg"),
        ("/tts/bytes", cartesia("mp3", rate=44100), "audio/mpeg"),
    ],
)
async def test_an_encoded_file_has_the_same_duration_and_its_content_type(
    server: Server, path: str, body: Any, media_type: str
) -> None:
    answer = await post(server, path, body)
    assert answer.headers["content-type"] == media_type
    heard = len(await native_audio(server, TEXT)) / 2 / RATE
    assert seconds(answer.content) == pytest.approx(heard, rel=0.02, abs=0.15)


async def test_audio_is_streamed_and_disconnecting_cancels(server: Server) -> None:
    before = contexts(server)
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        body = openai(input=LONG[:4096], response_format="pcm")
        async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
            first = await anext(answer.aiter_raw())
            assert 0 < len(first) < 24000 * 2 * 30
            assert contexts(server) == before + 1
    until(lambda: contexts(server) == before, 5)


async def test_openai_events_hold_the_same_file(server: Server) -> None:
    answer = await post(server, "/v1/audio/speech", openai(response_format="pcm", stream_format="sse"))
    assert answer.headers["content-type"] == "text/event-stream"
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert [event["type"] for event in events[:-1]] == ["speech.audio.delta"] * (len(events) - 1)
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"] == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    sound = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert sound == await native_audio(server, TEXT, sample_rate=24000)


@pytest.fixture
def alone(start_server: Callable[..., Server]) -> Server:
    """Start a server with one worker that a test may kill."""
    return start_server("--max-workers=1")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/audio/speech", openai(input=ENDLESS[:4000], speed=0.25, response_format="pcm")),
        ("/v1/audio/speech", openai(input=ENDLESS[:4000], speed=0.25, stream_format="sse")),
        ("/v1/text-to-speech/aria/stream", {"text": ENDLESS}),
        ("/v1/text-to-speech/aria/stream/with-timestamps", {"text": ENDLESS}),
        (f"{DEEPGRAM}encoding=mulaw", {"text": ENDLESS}),
        ("/tts/bytes", cartesia() | {"transcript": ENDLESS}),
    ],
)
async def test_a_lost_worker_aborts_the_response(alone: Server, path: str, body: Any) -> None:
    """A normal end would make it look complete."""
    async with httpx.AsyncClient(base_url=alone.url, timeout=60) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            async with client.stream("POST", path, json=body) as answer:
                assert answer.status_code == 200
                sound = answer.aiter_raw()
                assert await anext(sound)
                kill_worker(alone)
                async for _ in sound:
                    pass
    until(lambda: contexts(alone) == 0)


def events_of(answer: str) -> list[dict[str, Any]]:
    """Return the server-sent events of a response; check their names."""
    events = []
    for block in filter(None, answer.split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


async def test_cartesia_events_hold_audio_and_words(server: Server) -> None:
    body = cartesia() | {"add_timestamps": True, "context_id": "mine"}
    answer = await post(server, "/tts/sse", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    assert {event["context_id"] for event in events} == {"mine"}
    assert [event["done"] for event in events] == [False] * (len(events) - 1) + [True]
    sound = b"".join(base64.b64decode(event["data"]) for event in events if event["type"] == "chunk")
    assert sound == await native_audio(server, TEXT, sample_rate=24000)
    stamps = [event["word_timestamps"] for event in events if event["type"] == "timestamps"]
    assert [word for stamp in stamps for word in stamp["words"]] == TEXT.split()
    times = [time for s in stamps for pair in zip(s["start"], s["end"], strict=True) for time in pair]
    assert times == sorted(times)
    assert times[-1] <= len(sound) / 2 / 24000 + 0.001


async def test_cartesia_events_report_errors(alone: Server) -> None:
    async with httpx.AsyncClient(base_url=alone.url, timeout=60) as client:
        async with client.stream("POST", "/tts/sse", json=cartesia() | {"transcript": ENDLESS}) as answer:
            told = answer.aiter_text()
            first = await anext(told)
            kill_worker(alone)
            events = events_of("".join([first, *[more async for more in told]]))
    assert events[0]["type"] == "chunk"
    assert (events[-1]["type"], events[-1]["error_code"]) == ("error", "worker_lost")
    assert events[-1]["done"] is False


async def get(server: Server, path: str, **headers: str) -> Any:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_cartesia_voices_depend_on_the_api_version(server: Server) -> None:
    new, old = {"Cartesia-Version": "2025-04-16"}, {"Cartesia-Version": "2024-06-10"}
    page = await get(server, "/voices", **new)
    assert page.keys() == {"data", "has_more", "next_page"}
    assert await get(server, "/voices", **old) == page["data"]
    assert await get(server, "/voices/") == page
    assert (await get(server, "/voices/aria", **new)) in page["data"]
    assert "voices" in await get(server, "/voices")  # The server's own format, for other clients.


async def test_cartesia_voices_are_paginated(server: Server) -> None:
    ids = [voice["id"] for voice in (await get(server, "/voices/"))["data"]]
    first = await get(server, "/voices/?limit=2")
    assert [voice["id"] for voice in first["data"]] == ids[:2]
    assert (first["has_more"], first["next_page"]) == (True, ids[1])
    rest = await get(server, f"/voices/?starting_after={ids[1]}")
    assert [voice["id"] for voice in rest["data"]] == ids[2:]
    assert (rest["has_more"], rest["next_page"]) == (False, None)
    assert (await get(server, f"/voices/?starting_after={ids[-1]}"))["data"] == []
    assert (await get(server, "/voices/?starting_after=gone"))["data"] == []
    before = await get(server, f"/voices/?limit=1&ending_before={ids[2]}")
    assert [voice["id"] for voice in before["data"]] == [ids[1]]


async def test_elevenlabs_voices_are_listed_in_both_versions(server: Server) -> None:
    listed = (await get(server, "/v1/voices"))["voices"]
    page = await get(server, "/v2/voices")
    assert page == {
        "voices": listed,
        "has_more": False,
        "total_count": len(listed),
        "next_page_token": None,
    }
    assert await get(server, "/v1/voices/aria") in listed


async def test_openai_voices_and_models_are_listed(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        models = (await client.get("/v1/models")).json()
        assert {"tts-1", "gpt-4o-mini-tts"} <= {model["id"] for model in models["data"]}
        assert (await client.get("/v1/models/tts-1")).json()["object"] == "model"
        unknown = await client.get("/v1/models/other")
        assert unknown.status_code == 404
        assert unknown.json()["error"]["code"] == "model_not_found"
        assert {"id": "tts-1"} in (await client.get("/v1/audio/models")).json()["models"]
        voices = (await client.get("/v1/audio/voices")).json()["voices"]
        assert {"aria", "alloy", "verse"} <= {voice["id"] for voice in voices}
        assert "alloy" in (await client.get("/v1/audio/voices?legacy=true")).json()["voices"]


async def test_without_a_key_only_built_in_names_are_listed(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=1", "--api-keys=secret")
    ours = {"authorization": "Bearer secret"}
    async with httpx.AsyncClient(base_url=server.url) as client:
        made = await client.post("/voice_mappings", json={"voice_id": "grandmother"}, headers=ours)
        assert made.status_code == 200, made.text
        told = (await client.get("/v1/audio/voices")).json()["voices"]
        all_of_them = (await client.get("/v1/audio/voices", headers=ours)).json()["voices"]
    assert {"aria", "alloy"} <= {voice["id"] for voice in told}
    assert [voice["id"] for voice in all_of_them if voice not in told] == ["grandmother"]


async def test_openai_voice_may_be_an_object_or_an_alias(server: Server) -> None:
    named = await post(server, "/v1/audio/speech", openai(voice="onyx", response_format="pcm"))
    wrapped = await post(server, "/v1/audio/speech", openai(voice={"id": "zara"}, response_format="pcm"))
    assert named.content == wrapped.content != b""


async def test_openai_treats_null_as_absent(server: Server) -> None:
    nothing = dict.fromkeys(("speed", "stream_format", "seed", "instructions"))
    answer = await post(server, "/v1/audio/speech", openai(response_format="pcm", **nothing))
    assert answer.content == await native_audio(server, TEXT, sample_rate=24000)
    mp3 = await post(server, "/v1/audio/speech", openai(response_format=None))
    assert mp3.headers["content-type"] == "audio/mpeg"


async def test_accepts_the_earlier_servers_query(server: Server) -> None:
    path = "/v1/audio/speech?model=dia&input=Hello%20there.&voice=aria"
    answer = await post(server, path, None)
    assert answer.headers["content-type"] == "audio/wav"
    samples, rate = soundfile.read(BytesIO(answer.content), dtype="int16")
    assert rate == RATE
    assert np.asarray(samples).tobytes() == await native_audio(server, "Hello there.")


async def test_elevenlabs_times_cover_the_text_within_the_audio(server: Server) -> None:
    path = f"/v1/text-to-speech/aria/stream/with-timestamps?output_format=pcm_{RATE}"
    lines = [json.loads(line) for line in (await post(server, path, {"text": TEXT})).text.splitlines()]
    sound = b"".join(base64.b64decode(line["audio_base64"]) for line in lines)
    assert sound == await native_audio(server, TEXT)
    told = [line["alignment"] for line in lines if line["alignment"]]
    assert "".join("".join(alignment["characters"]) for alignment in told) == TEXT
    times = [
        time
        for alignment in told
        for pair in zip(
            alignment["character_start_times_seconds"],
            alignment["character_end_times_seconds"],
            strict=True,
        )
        for time in pair
    ]
    assert times == sorted(times)
    assert times[-1] <= len(sound) / 2 / RATE + 0.001
    whole = await post(server, path.replace("/stream", ""), {"text": TEXT})
    assert "".join(whole.json()["alignment"]["characters"]) == TEXT


UNKNOWN = [
    ("/v1/audio/speech", openai(voice="nobody"), 404, lambda told: told["error"]["code"] == "unknown_voice"),
    ("/v1/audio/speech", openai(speed=9), 400, lambda told: told["error"]["param"] == "speed"),
    ("/v1/audio/speech", {"model": "tts-1"}, 400, lambda told: told["error"]["param"] == "input"),
    ("/v1/audio/speech", openai(input="..."), 400, lambda told: told["error"]["param"] == "input"),
    (
        "/v1/text-to-speech/nobody",
        {"text": "Hi."},
        404,
        lambda told: told["detail"]["status"] == "unknown_voice",
    ),
    (f"{ELEVENLABS}pcm_1", {"text": "Hi."}, 422, lambda told: told["detail"]["status"] == "bad_value"),
    ("/v1/speak?model=nobody", {"text": "Hi."}, 404, lambda told: told["err_code"] == "UNKNOWN_VOICE"),
    ("/v1/speak?sample_rate=1", {"text": "Hi."}, 400, lambda told: "sample_rate" in told["err_msg"]),
    ("/v1/speak?sample_rate=0", {"text": "Hi."}, 400, lambda told: "sample_rate" in told["err_msg"]),
    (
        "/v1/speak?encoding=opus&container=none",
        {"text": "Hi."},
        400,
        lambda told: "container" in told["err_msg"],
    ),
    (
        "/v1/speak?encoding=mp3&container=wav",
        {"text": "Hi."},
        400,
        lambda told: "container" in told["err_msg"],
    ),
    ("/tts/sse", cartesia("wav"), 400, lambda told: "container" in told["message"]),
    ("/tts/sse", cartesia() | {"transcript": "..."}, 400, lambda told: told["error_code"] == "bad_value"),
    ("/tts/bytes", {"transcript": "Hi."}, 400, lambda told: told["error_code"] == "bad_value"),
    ("/tts/bytes", cartesia(rate=1), 400, lambda told: "sample_rate" in told["message"]),
]


@pytest.mark.parametrize(("path", "body", "status", "told"), UNKNOWN)
async def test_errors_have_the_vendors_format(
    server: Server, path: str, body: Any, status: int, told: Callable[[Any], bool]
) -> None:
    answer = await post(server, path, body)
    assert answer.status_code == status
    assert told(answer.json()), answer.text


async def test_accepts_keys_in_each_vendors_place(start_server: Callable[..., Server]) -> None:
    strict = start_server("--max-workers=1", DIA_API_KEYS="secret")
    places = [
        ("/v1/audio/speech", openai(), {"Authorization": "Bearer secret"}),
        ("/v1/text-to-speech/aria", {"text": "Hi."}, {"xi-api-key": "secret"}),
        ("/v1/speak", {"text": "Hi."}, {"Authorization": "Token secret"}),
        ("/tts/bytes", cartesia(), {"X-API-Key": "secret"}),
        ("/tts/bytes?access_token=secret", cartesia(), {}),
    ]
    for path, body, headers in places:
        assert (await post(strict, path, body, **headers)).status_code == 200, path
        assert (await post(strict, path.partition("?")[0], body)).status_code == 401, path
