"""The routes of voices, built in or made by users."""

from __future__ import annotations

from anyio import to_thread
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import StorageFailure, UnknownVoice, UnknownVoiceSample
from streaming_server.storage.voice_records import StoredVoice, StoredVoiceSample
from streaming_server.transcription.transcript import check_transcript
from streaming_server.types import Preset, Speaker
from streaming_server.voices.downloads import DownloadProgress
from streaming_server.voices.language import check_language
from streaming_server.voices.library import (
    VoiceLibrary,
    entry_of,
    voice_sample_problem,
    voice_sample_warnings,
)
from streaming_server.web.generation_fields import (
    PRESET,
    TEMPERATURE,
    CfgScale,
    Seed,
    Speed,
    Temperature,
    TopP,
)
from streaming_server.web.keyed import admin_keyed, check_may_replace, keyed
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Confirmation, Json
from streaming_server.web.services import speech_services, voice_services
from streaming_server.web.speech_fields import LanguageField

VOICE_SAMPLE_NOT_USED = (
    "The running engine does not clone voices: a built-in voice speaks, and the sample is not used."
)


class VoiceFields(LanguageField):
    """A voice's configuration. When a voice is changed, absent fields are kept and null clears a field."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    name: str | None = Field(None, min_length=1, max_length=64)
    style: str = Field("neutral", min_length=1, max_length=64)
    primary_speaker: Speaker = "S1"
    audio_prompt: str | None = Field(None, max_length=64)
    audio_prompt_transcript: str | None = Field(None, max_length=2000)
    temperature: Temperature | None = Field(None, description=TEMPERATURE)
    cfg_scale: CfgScale | None = None
    top_p: TopP | None = None
    seed: Seed | None = None
    speed: Speed | None = None
    preset: Preset | None = Field(None, description=PRESET)


class NewVoice(VoiceFields):
    voice_id: str = Field(min_length=1, max_length=64)


class ListedVoice(TypedDict):
    """sample_heard: whether the running engine clones the voice from its sample.

    download: of the file that the voice needs, if it needs one.
    """

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
    language: str | None
    download: DownloadProgress | None


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
    preset: Preset | None
    speed: float | None
    language: str | None


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
        Route("/voice_mappings/{voice_id}", admin_keyed(delete), methods=["DELETE"]),
    ]


@operation("voices", "List the voices")
async def voices(request: Request) -> Json[VoiceList]:
    """List all voices."""
    clones, library = _can_clone(request), voice_services(request).library
    described = await to_thread.run_sync(_descriptions, library, clones)
    files = speech_services(request).voice_files
    for voice in described:
        if (progress := files.progress(voice["id"])) is not None:
            voice["download"] = progress
    return Json({"voices": described})


@operation("voices", "List the ids of the voices")
async def speakers(request: Request) -> Json[list[str]]:
    """List the ids only."""
    return Json([voice.id for voice in speech_services(request).catalogue.voices])


@operation("voices", "List the configurations of the voices by id")
async def mappings(request: Request) -> Json[dict[str, VoiceConfiguration]]:
    """Return every voice's whole configuration, by id."""
    stored = await to_thread.run_sync(voice_services(request).library.store.voices)
    return Json({voice.id: _configuration(voice) for voice in stored})


@operation("voices", "Create or replace a voice", body=NewVoice, errors=VOICE_ERRORS)
async def create(request: Request) -> Json[ChangedVoice]:
    """Store a voice, replacing the one with the same id."""
    wanted = await read_json(request, NewVoice)
    _check_language(request, wanted.language)
    check_may_replace(request, speech_services(request).catalogue.knows(wanted.voice_id), "a voice")
    voice = await voice_services(request).library.put_voice(
        StoredVoice(
            id=wanted.voice_id,
            name=wanted.name or wanted.voice_id,
            style=wanted.style,
            primary_speaker=wanted.primary_speaker,
            voice_sample=wanted.audio_prompt,
            transcript=_checked_transcript(wanted.audio_prompt_transcript),
            builtin=False,
            temperature=wanted.temperature,
            cfg_scale=wanted.cfg_scale,
            top_p=wanted.top_p,
            seed=wanted.seed,
            speed=wanted.speed,
            language=wanted.language,
            preset=wanted.preset,
        )
    )
    return await _changed(request, voice, f"Voice {voice.id!r} is ready.")


@operation(
    "voices",
    "Change some fields of a voice; null clears a field",
    body=VoiceFields,
    errors=(*VOICE_ERRORS, UnknownVoice),
)
async def change(request: Request) -> Json[ChangedVoice]:
    """Change some fields of a voice."""
    check_may_replace(request, True, "what is stored of a voice")
    wanted = await read_json(request, VoiceFields)
    _check_language(request, wanted.language)
    fields = wanted.model_dump(exclude_unset=True)
    for theirs, ours in (("audio_prompt", "voice_sample"), ("audio_prompt_transcript", "transcript")):
        if theirs in fields:
            fields[ours] = fields.pop(theirs)
    if "transcript" in fields:
        fields["transcript"] = _checked_transcript(fields["transcript"])
    voice_id = request.path_params["voice_id"]
    if fields.get("name", "") is None:
        fields["name"] = voice_id
    voice = await voice_services(request).library.change_voice(voice_id, fields)
    return await _changed(request, voice, f"Voice {voice.id!r} was changed.")


@operation(
    "voices",
    "Delete a voice, or restore a built-in one",
    errors=(UnknownVoice, StorageFailure),
)
async def delete(request: Request) -> Json[Confirmation]:
    voice_id = request.path_params["voice_id"]
    await voice_services(request).library.delete_voice(voice_id)
    return Json({"message": f"Voice {voice_id!r} was deleted."})


def _check_language(request: Request, language: str | None) -> None:
    """Raise BadValue for a language that the engine does not speak, as far as the engine is known yet."""
    if (info := speech_services(request).pool.info) is not None:
        check_language(language, info)


def _checked_transcript(text: str | None) -> str | None:
    """Return a voice's own transcript, or None to use the voice sample's. Raise BadValue."""
    return check_transcript(text, "audio_prompt_transcript") if text else None


async def _changed(request: Request, voice: StoredVoice, message: str) -> Json[ChangedVoice]:
    if voice.id in voice_services(request).library.store.builtin_ids:
        message += " It replaces the built-in voice until you delete it."
    clones, library = _can_clone(request), voice_services(request).library
    warnings = await to_thread.run_sync(lambda: _warnings(voice, library.all()[1], clones))
    return Json({"message": message, "voice_config": _configuration(voice), "warnings": warnings})


def _descriptions(library: VoiceLibrary, clones: bool) -> list[ListedVoice]:
    stored, voice_samples = library.all()
    return [_describe(voice, voice_samples, clones) for voice in stored]


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
        "preset": voice.preset,
        "seed": voice.seed,
        "speed": voice.speed,
        "language": voice.language,
    }


def _describe(voice: StoredVoice, voice_samples: dict[str, StoredVoiceSample], clones: bool) -> ListedVoice:
    return {
        "id": voice.id,
        "name": voice.name,
        "style": voice.style,
        "primary_speaker": voice.primary_speaker,
        "has_audio_prompt": voice.voice_sample is not None,
        "preview_url": f"/preview/{voice.id}",
        "builtin": voice.builtin,
        "audio_prompt": voice.voice_sample,
        "sample_heard": entry_of(voice, voice_samples).voice.voice_sample is not None and clones,
        "warnings": _warnings(voice, voice_samples, clones),
        "language": voice.language,
        "download": None,
    }


def _warnings(voice: StoredVoice, voice_samples: dict[str, StoredVoiceSample], clones: bool) -> list[str]:
    if voice.voice_sample is None:
        return []
    stored = voice_samples.get(voice.voice_sample)
    problems = [None if clones else VOICE_SAMPLE_NOT_USED, voice_sample_problem(voice, stored)]
    return [problem for problem in problems if problem is not None] + voice_sample_warnings(voice, stored)


def _can_clone(request: Request) -> bool:
    info = speech_services(request).pool.info
    return info is not None and info.can_clone
