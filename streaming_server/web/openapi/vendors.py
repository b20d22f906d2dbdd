"""The routes of other vendors' protocols."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from streaming_server.audio.formats import CONTENT_TYPES
from streaming_server.errors import BadMessage, UnknownVoice
from streaming_server.web.openapi.words import (
    NUMBER,
    SPOKEN,
    TEXT,
    WHOLE,
    YES_OR_NO,
    Errors,
    Operation,
    Paths,
    a_list,
    an_object,
    answer,
    by_id,
    in_query,
    json_answer,
    one_of,
    operation,
    or_null,
    sound_answer,
    taken_by,
    takes,
)
from streaming_server.web.vendors import openai
from streaming_server.web.vendors.cartesia import http as cartesia_http
from streaming_server.web.vendors.deepgram import http as deepgram_http
from streaming_server.web.vendors.elevenlabs import http as elevenlabs_http
from streaming_server.web.vendors.elevenlabs.formats import output_formats


def openai_routes() -> Paths:
    wrong = an_object({"message": TEXT, "type": TEXT, "param": or_null(TEXT), "code": TEXT})
    form = an_object({"error": wrong})
    model = an_object({"id": TEXT, "object": TEXT, "created": WHOLE, "owned_by": TEXT})
    listed = an_object({"object": TEXT, "data": a_list(model)})
    legacy = in_query("legacy", YES_OR_NO, "The ids alone.")
    known = a_list({"anyOf": [TEXT, an_object({"id": TEXT, "name": TEXT})]})
    query = [
        in_query("input", TEXT, "As the earlier server had it: the text and all else here, and no body."),
        in_query("voice", TEXT, "Beside input."),
    ]
    request = takes(taken_by(openai.SpeechRequest), required=False)
    return {
        "/v1/audio/speech": {
            "post": operation(
                "OpenAI",
                "Speak a text",
                sound_answer(*sorted(set(CONTENT_TYPES.values())), "text/event-stream"),
                body=request,
                query=query,
                errors=_as_400(SPOKEN),
                error=form,
            )
        },
        "/v1/models": {"get": operation("OpenAI", "The models", json_answer(listed), keyed=False)},
        "/v1/models/{model}": {
            "get": operation(
                "OpenAI", "A model", json_answer(model), keyed=False, errors=(UnknownVoice,), error=form
            )
        },
        "/v1/audio/models": {
            "get": operation(
                "OpenAI",
                "The models",
                json_answer(an_object({"models": a_list(an_object({"id": TEXT}))})),
                keyed=False,
            )
        },
        "/v1/audio/voices": {
            "get": operation(
                "OpenAI", "The voices", json_answer(an_object({"voices": known})), query=[legacy], keyed=False
            )
        },
    }


def elevenlabs_routes() -> Paths:
    form = an_object({"detail": an_object({"status": TEXT, "message": TEXT})})
    voice = an_object({"voice_id": TEXT, "name": TEXT, "category": TEXT, "labels": by_id(TEXT)})
    pages = {"has_more": YES_OR_NO, "total_count": WHOLE, "next_page_token": or_null(TEXT)}
    paged = an_object({"voices": a_list(voice), **pages})
    characters = an_object(
        {
            "characters": a_list(TEXT),
            "character_start_times_seconds": a_list(NUMBER),
            "character_end_times_seconds": a_list(NUMBER),
        }
    )
    timed = an_object(
        {
            "audio_base64": TEXT,
            "alignment": or_null(characters),
            "normalized_alignment": or_null(characters),
        }
    )
    sound = sound_answer("audio/mpeg", "audio/ogg", "audio/pcm", "audio/basic", "audio/x-alaw-basic")
    lines = answer("Lines of JSON, as they are made.", {"application/x-ndjson": TEXT})

    def speech(summary: str, answer: dict[str, Any]) -> dict[str, Operation]:
        chosen = [in_query("output_format", one_of(output_formats()), "mp3_44100_128 unless said.")]
        body = takes(taken_by(elevenlabs_http.SpeechRequest))
        return {
            "post": operation(
                "ElevenLabs", summary, answer, body=body, query=chosen, errors=SPOKEN, error=form
            )
        }

    path = "/v1/text-to-speech/{voice}"
    return {
        path: speech("Speak a text", sound),
        f"{path}/stream": speech("Speak a text, sent while it is made", sound),
        f"{path}/with-timestamps": speech("Speak a text, with its timing", json_answer(timed)),
        f"{path}/stream/with-timestamps": speech("Speak a text, with its timing, while it is made", lines),
        "/v1/voices": {
            "get": operation(
                "ElevenLabs", "The voices", json_answer(an_object({"voices": a_list(voice)})), error=form
            )
        },
        "/v1/voices/{voice}": {
            "get": operation("ElevenLabs", "A voice", json_answer(voice), errors=(UnknownVoice,), error=form)
        },
        "/v2/voices": {"get": operation("ElevenLabs", "The voices", json_answer(paged), error=form)},
    }


def deepgram_routes() -> Paths:
    form = an_object({"err_code": TEXT, "err_msg": TEXT, "request_id": TEXT})
    query = [
        in_query(name, schema, "As Deepgram's.")
        for name, schema in taken_by(deepgram_http.Query)["properties"].items()
    ]
    sound = sound_answer(*sorted({*CONTENT_TYPES.values(), "audio/mulaw", "audio/alaw"}))
    return {
        "/v1/speak": {
            "post": operation(
                "Deepgram",
                "Speak a text",
                sound,
                body=takes(taken_by(deepgram_http.Body)),
                query=query,
                errors=_as_400(SPOKEN),
                error=form,
            )
        }
    }


def cartesia_routes() -> Paths:
    form = an_object({"error_code": TEXT, "title": TEXT, "message": TEXT, "request_id": TEXT})
    told = dict.fromkeys(("id", "name", "tagline", "description", "language", "created_at"), TEXT)
    sorts = {"access": TEXT, "visibility": TEXT, "is_public": YES_OR_NO, "is_owner": YES_OR_NO}
    voice = an_object({**told, **sorts, "locales": a_list(TEXT), "gender": or_null(TEXT)})
    page = an_object({"data": a_list(voice), "has_more": YES_OR_NO, "next_page": or_null(TEXT)})
    listed = {"anyOf": [page, a_list(voice)]}
    query = [
        in_query("limit", {"type": "integer", "minimum": 1}, "All, unless said."),
        in_query("starting_after", TEXT, "The voice that the page comes after."),
        in_query("ending_before", TEXT, "The voice that the page comes before."),
    ]
    kinds = ("audio/wav", "audio/mpeg", "audio/pcm", "audio/f32le", "audio/mulaw", "audio/alaw")

    def speech(summary: str, answer: dict[str, Any], request: type[BaseModel]) -> dict[str, Operation]:
        body = takes(taken_by(request))
        return {"post": operation("Cartesia", summary, answer, body=body, errors=_as_400(SPOKEN), error=form)}

    return {
        "/tts/bytes": speech("Speak a text", sound_answer(*kinds), cartesia_http.SpeechRequest),
        "/tts/sse": speech(
            "Speak a text, as events", sound_answer("text/event-stream"), cartesia_http.EventRequest
        ),
        "/voices/": {
            "get": operation(
                "Cartesia",
                "The voices, as at /voices too for those who send Cartesia-Version",
                json_answer(listed),
                query=query,
                errors=(BadMessage,),
                error=form,
            )
        },
        "/voices/{voice}": {
            "get": operation("Cartesia", "A voice", json_answer(voice), errors=(UnknownVoice,), error=form)
        },
    }


def kyutai_routes() -> Paths:
    told = json_answer(an_object({"name": TEXT}))
    return {"/api/build_info": {"get": operation("Kyutai", "Whether the server is there", told, keyed=False)}}


def _as_400(errors: Errors) -> Errors:
    """As the vendors that tell of bad values with 400."""
    return tuple(kind for kind in errors if kind.http_status != 422)
