"""The list of voices in Wyoming's format, and a client's choice of voice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic import Field

from streaming_server.engines.provider import EngineProvider
from streaming_server.errors import UnknownVoice
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import BUILTIN_VOICES, DEFAULT_VOICE, EngineInfo, Generation
from streaming_server.voices.catalogue import Catalogue, CatalogueEntry
from streaming_server.voices.language import own_language
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.vendors.model import ClientFields


class WyomingVoiceChoice(ClientFields, SpeechFields):
    """A choice of voice. If there is a name, the language is ignored, as the protocol requires."""

    name: str | None = Field(None, max_length=256)

    def over(self, options: SpeechOptions) -> SpeechOptions:
        """Ignore the language if there is a name; `aria@de` is Aria speaking German, see `choice`."""
        chosen = super().over(options)
        if not self.name:
            return chosen
        language = options.generation.language
        return replace(chosen, generation=replace(chosen.generation, language=language))


def choice(catalogue: Catalogue, name: str | None) -> tuple[str, Generation]:
    """Return the id and the language of the voice of a name; of the default voice without one.

    `aria@de` is Aria speaking German: Home Assistant sends only the name of the chosen voice. Raise
    UnknownVoice.
    """
    if not name:
        return DEFAULT_VOICE.id, Generation()
    voice, _, language = name.rpartition("@")
    if catalogue.knows(voice) and not catalogue.knows(name):
        tag = language.strip().replace("_", "-")
        return catalogue.find(voice).voice.id, Generation(language=tag or None)
    return known(catalogue, name), Generation()


def known(catalogue: Catalogue, name: str, field: str = "voice") -> str:
    """Return the id of the voice of a name. Raise UnknownVoice.

    Clients have no keys, so the error does not list voices and aliases.
    """
    try:
        return catalogue.choose(name).voice.id
    except UnknownVoice:
        raise UnknownVoice("must be the name of a voice; `describe` lists them.", field=field) from None


def info(engine: EngineInfo, provider: EngineProvider, entries: Iterable[CatalogueEntry]) -> dict[str, Any]:
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
