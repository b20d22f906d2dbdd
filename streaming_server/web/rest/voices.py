"""The voices over HTTP: what there are, and those a user makes."""

from __future__ import annotations

from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.catalogue import Entry
from streaming_server.errors import StorageFailure, UnknownVoice, UnknownVoiceSample
from streaming_server.storage.voices import StoredVoice, StoredVoiceSample
from streaming_server.transcription.transcript import check_said, given, sentence_of
from streaming_server.types import BUILTIN_VOICES, Generation, Speaker, Voice, VoiceSample
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.requests import keyed, read_json
from streaming_server.web.responses import Json, Message
from streaming_server.web.services import Parts, parts_of

VOICE_SAMPLE_NOT_USED = (
    "The running engine does not clone voices: this one is spoken by a built-in voice, and the sample is not "
    "heard."
)


class VoiceFields(BaseModel):
    """What a mapping says of a voice. A field that is absent from a change stays as it is; null clears it."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    name: str | None = Field(None, min_length=1, max_length=64)
    style: str = Field("neutral", min_length=1, max_length=64)
    primary_speaker: Speaker = "S1"
    audio_prompt: str | None = Field(None, max_length=64)
    audio_prompt_transcript: str | None = Field(None, max_length=2000)
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    cfg_scale: float | None = Field(None, ge=1.0, le=10.0)
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    seed: int | None = Field(None, ge=0, lt=2**63)
    speed: float | None = Field(None, ge=0.25, le=4.0)


class NewVoice(VoiceFields):
    voice_id: str = Field(min_length=1, max_length=64)


class ListedVoice(TypedDict):
    """sample_heard: whether the running engine clones the voice from its sample."""

    id: str
    name: str
    style: str
    primary_speaker: Speaker
    has_audio_prompt: bool
    preview_url: str
    builtin: bool
    audio_prompt: str | None
    sample_heard: bool
    warnings: list[str]


class VoiceList(TypedDict):
    voices: list[ListedVoice]


class VoiceConfiguration(TypedDict):
    voice_id: str
    name: str
    style: str
    primary_speaker: Speaker
    audio_prompt: str | None
    audio_prompt_transcript: str | None
    builtin: bool
    temperature: float | None
    cfg_scale: float | None
    top_p: float | None
    seed: int | None
    speed: float | None


class ChangedVoice(TypedDict):
    message: str
    voice_config: VoiceConfiguration
    warnings: list[str]


VOICE_ERRORS = (*BODY_ERRORS, UnknownVoiceSample, StorageFailure)


def routes() -> list[BaseRoute]:
    return [
        Route("/voices", keyed(voices)),
        Route("/api/tts/speakers", keyed(speakers)),
        Route("/voice_mappings", keyed(mappings), methods=["GET"]),
        Route("/voice_mappings", keyed(create), methods=["POST"]),
        Route("/voice_mappings/{voice_id}", keyed(change), methods=["PUT"]),
        Route("/voice_mappings/{voice_id}", keyed(delete), methods=["DELETE"]),
    ]


async def refresh(parts: Parts) -> None:
    """Let the store's voices be the ones that are spoken, from the next context on."""
    async with parts.refreshing:  # What was read first must not be the last to count.
        entries = await anyio.to_thread.run_sync(_entries, parts)
        parts.catalogue.replace(entries)
        parts.pool.prepare(entry.voice for entry in entries if entry.voice.voice_sample is not None)


def entry_of(voice: StoredVoice, voice_samples: dict[str, StoredVoiceSample]) -> Entry:
    """The voice as it is spoken. A sample without a transcript that can be believed conditions nothing."""
    stored = voice_samples.get(voice.voice_sample or "")
    voice_sample = None
    if stored is not None and voice_sample_problem(voice, stored) is None:
        voice_sample = VoiceSample(str(stored.path), voice.transcript or stored.transcript or "")
    return Entry(
        Voice(voice.id, voice.name, voice.style, voice.primary_speaker, voice_sample),
        Generation(
            temperature=voice.temperature,
            cfg_scale=voice.cfg_scale,
            top_p=voice.top_p,
            seed=voice.seed,
            speed=voice.speed,
        ),
    )


def voice_sample_problem(voice: StoredVoice, voice_sample: StoredVoiceSample | None) -> str | None:
    """Why the voice's sample cannot be used, in a sentence; None if it can, or there is none."""
    if voice.voice_sample is None or voice_sample is None:
        return None
    if not voice_sample.exists:
        return "The file of the sample is gone: upload it again."
    if voice.transcript:
        return None
    if voice_sample.trustworthy:
        return None
    if voice_sample.transcript_findings:
        return sentence_of(voice_sample.transcript_findings[0])
    return "The sample has no transcript yet: transcribe it, or write down what is said in it."


def voice_sample_doubts(voice: StoredVoice, voice_sample: StoredVoiceSample | None) -> list[str]:
    """What speaks against the words that a person wrote, and that the voice is cloned with all the same."""
    if voice.voice_sample is None or voice_sample is None:
        return []
    if voice.transcript:
        return list(given(voice.transcript, "manual", voice_sample.duration_s).warnings)
    return [sentence_of(finding) for finding in voice_sample.transcript_findings if voice_sample.trustworthy]


@operation("voices", "List the voices")
async def voices(request: Request) -> Json[VoiceList]:
    """Every voice, as a client chooses among them."""
    parts = parts_of(request)
    return Json({"voices": await anyio.to_thread.run_sync(_each, parts)})


@operation("voices", "List the ids of the voices")
async def speakers(request: Request) -> Json[list[str]]:
    """The ids alone."""
    return Json([voice.id for voice in parts_of(request).catalogue.voices])


@operation("voices", "List the configurations of the voices by id")
async def mappings(request: Request) -> Json[dict[str, VoiceConfiguration]]:
    """Every voice's whole configuration, by id."""
    known, _ = await anyio.to_thread.run_sync(_all, parts_of(request))
    return Json({voice.id: _configuration(voice) for voice in known})


@operation("voices", "Create or replace a voice", body=NewVoice, errors=VOICE_ERRORS)
async def create(request: Request) -> Json[ChangedVoice]:
    """A new voice, or another configuration for one there is."""
    parts = parts_of(request)
    wanted = await read_json(request, NewVoice)
    voice = await anyio.to_thread.run_sync(
        parts.store.put_voice,
        StoredVoice(
            id=wanted.voice_id,
            name=wanted.name or wanted.voice_id,
            style=wanted.style,
            primary_speaker=wanted.primary_speaker,
            voice_sample=wanted.audio_prompt,
            transcript=_own_transcript(wanted.audio_prompt_transcript),
            builtin=False,
            temperature=wanted.temperature,
            cfg_scale=wanted.cfg_scale,
            top_p=wanted.top_p,
            seed=wanted.seed,
            speed=wanted.speed,
        ),
    )
    return await _changed(parts, voice, f"Voice {voice.id!r} is ready.")


@operation(
    "voices",
    "Change some fields of a voice; null clears a field",
    body=VoiceFields,
    errors=(*VOICE_ERRORS, UnknownVoice),
)
async def change(request: Request) -> Json[ChangedVoice]:
    """Some fields of a voice."""
    parts = parts_of(request)
    fields = (await read_json(request, VoiceFields)).model_dump(exclude_unset=True)
    for theirs, ours in (("audio_prompt", "voice_sample"), ("audio_prompt_transcript", "transcript")):
        if theirs in fields:
            fields[ours] = fields.pop(theirs)
    if "transcript" in fields:
        fields["transcript"] = _own_transcript(fields["transcript"])
    voice_id = request.path_params["voice_id"]
    if fields.get("name", "") is None:
        fields["name"] = voice_id
    voice = await anyio.to_thread.run_sync(_change, parts, voice_id, fields)
    return await _changed(parts, voice, f"Voice {voice.id!r} was changed.")


@operation(
    "voices",
    "Delete a voice, or restore a built-in one",
    errors=(UnknownVoice, StorageFailure),
)
async def delete(request: Request) -> Json[Message]:
    parts = parts_of(request)
    voice_id = request.path_params["voice_id"]
    await anyio.to_thread.run_sync(parts.store.delete_voice, voice_id)
    await refresh(parts)
    return Json({"message": f"Voice {voice_id!r} was deleted."})


def _own_transcript(text: str | None) -> str | None:
    """What a voice says of its sample; nothing leaves that to the sample."""
    return check_said(text, "audio_prompt_transcript") if text else None


async def _changed(parts: Parts, voice: StoredVoice, message: str) -> Json[ChangedVoice]:
    """The answer to a change, once it counts."""
    await refresh(parts)
    if any(voice.id == ours.id for ours in BUILTIN_VOICES):
        message += " It stands in for the one that comes with the server, until it is deleted."
    warnings = await anyio.to_thread.run_sync(lambda: _warnings(parts, voice, _all(parts)[1]))
    answer: ChangedVoice = {"message": message, "voice_config": _configuration(voice), "warnings": warnings}
    return Json(answer)


def _change(parts: Parts, voice_id: str, fields: dict[str, Any]) -> StoredVoice:
    """A voice given another sample loses the transcript of the one before, unless it is told of both."""
    other = "voice_sample" in fields and fields["voice_sample"] != parts.store.voice(voice_id).voice_sample
    transcript: dict[str, Any] = {"transcript": None} if other else {}
    return parts.store.change_voice(voice_id, **(transcript | fields))


def _all(parts: Parts) -> tuple[list[StoredVoice], dict[str, StoredVoiceSample]]:
    return parts.store.voices(), {sample.id: sample for sample in parts.store.voice_samples()}


def _entries(parts: Parts) -> list[Entry]:
    known, voice_samples = _all(parts)
    return [entry_of(voice, voice_samples) for voice in known]


def _each(parts: Parts) -> list[ListedVoice]:
    known, voice_samples = _all(parts)
    return [_described(parts, voice, voice_samples) for voice in known]


def _configuration(voice: StoredVoice) -> VoiceConfiguration:
    return {
        "voice_id": voice.id,
        "name": voice.name,
        "style": voice.style,
        "primary_speaker": voice.primary_speaker,
        "audio_prompt": voice.voice_sample,
        "audio_prompt_transcript": voice.transcript,
        "builtin": voice.builtin,
        "temperature": voice.temperature,
        "cfg_scale": voice.cfg_scale,
        "top_p": voice.top_p,
        "seed": voice.seed,
        "speed": voice.speed,
    }


def _described(parts: Parts, voice: StoredVoice, voice_samples: dict[str, StoredVoiceSample]) -> ListedVoice:
    return {
        "id": voice.id,
        "name": voice.name,
        "style": voice.style,
        "primary_speaker": voice.primary_speaker,
        "has_audio_prompt": voice.voice_sample is not None,
        "preview_url": f"/preview/{voice.id}",
        "builtin": voice.builtin,
        "audio_prompt": voice.voice_sample,
        "sample_heard": entry_of(voice, voice_samples).voice.voice_sample is not None and _clones(parts),
        "warnings": _warnings(parts, voice, voice_samples),
    }


def _warnings(parts: Parts, voice: StoredVoice, voice_samples: dict[str, StoredVoiceSample]) -> list[str]:
    if voice.voice_sample is None:
        return []
    voice_sample = voice_samples.get(voice.voice_sample)
    sentences = [None if _clones(parts) else VOICE_SAMPLE_NOT_USED, voice_sample_problem(voice, voice_sample)]
    return [sentence for sentence in sentences if sentence is not None] + voice_sample_doubts(
        voice, voice_sample
    )


def _clones(parts: Parts) -> bool:
    return parts.pool.info is not None and parts.pool.info.can_clone
