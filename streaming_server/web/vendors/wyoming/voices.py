"""The list of voices in Wyoming's format, and a client's choice of voice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from streaming_server.contexts import own_language
from streaming_server.engines.provider import EngineProvider
from streaming_server.errors import UnknownVoice
from streaming_server.types import BUILTIN_VOICES, DEFAULT_VOICE, EngineInfo, Generation
from streaming_server.voices.catalogue import Catalogue, Entry
from streaming_server.web.speech_fields import LanguageField
from streaming_server.web.vendors.model import Model


class VoiceChoice(Model, LanguageField):
    """A choice of voice. If there is a name, the language is ignored, as the protocol requires."""

    name: str | None = Field(None, max_length=256)


def choice(catalogue: Catalogue, voice: VoiceChoice) -> tuple[str, Generation]:
    """Return the voice's id and its generation options. Raise UnknownVoice.

    `aria@de` is Aria speaking German: Home Assistant sends only the name of the chosen voice. Clients have no
    keys, so the error does not list voices and aliases.
    """
    if not voice.name:
        return DEFAULT_VOICE.id, Generation(language=voice.language)
    name, _, language = voice.name.rpartition("@")
    if catalogue.knows(name) and not catalogue.knows(voice.name):
        tag = language.strip().replace("_", "-")
        return catalogue.find(name).voice.id, Generation(language=tag or None)
    try:
        return catalogue.choose(voice.name).voice.id, Generation()
    except UnknownVoice:
        raise UnknownVoice("must be the name of a voice; `describe` lists them.", field="voice") from None


def info(engine: EngineInfo, provider: EngineProvider, entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the data of the `info` event.

    Built-in voices are listed for each language of the engine, users' voices for their own language.
    """
    maker = {"name": provider.author or engine.name, "url": provider.url}
    about = {"attribution": maker, "installed": True, "version": None}
    builtin = {voice.id for voice in BUILTIN_VOICES}
    voices = []
    for entry in entries:
        voice = entry.voice
        description = f"{voice.name} ({voice.style})"
        languages = [own_language(entry, engine)] if "language" in engine.uses else list(engine.languages)
        voices.append({"name": voice.id, "description": description, "languages": languages, **about})
        if voice.id in builtin and "language" in engine.uses:
            voices += [
                {"name": f"{voice.id}@{tag}", "description": description, "languages": [tag], **about}
                for tag in engine.languages
                if tag not in languages
            ]
    program = {
        "name": "streaming-server",
        "description": "Streaming text to speech",
        "voices": voices,
        "supports_synthesize_streaming": True,
        **about,
    }
    others = ("asr", "handle", "intent", "wake", "mic", "snd")
    return {"tts": [program], **{other: [] for other in others}}
