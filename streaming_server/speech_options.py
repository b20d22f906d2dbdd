"""How a text is to be spoken: the options of a context, as every door gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streaming_server.audio.encoder import AudioOptions
from streaming_server.settings import Settings
from streaming_server.text.pronunciations import Pronunciations
from streaming_server.text.style import SpeakingStyle
from streaming_server.types import EngineInfo, Generation, Speaker

UNPACED_MS = 24 * 3600 * 1000
"""A lead that never holds audio back, for clients that write it to a file."""


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """Options of a context.

    voice: an id or an alias. max_lead_ms: audio sent ahead of real time; None for the door's default.
    attended: whether a client waits for the audio; background work yields to such contexts. name: the
    client's name for the context. text_processing: False speaks the text unchanged. voices: the voices that
    `[S1]` and `[S2]` in the text change to, with an engine that does not read these tags.
    """

    voice: str
    generation: Generation = field(default_factory=Generation)
    audio: AudioOptions = field(default_factory=AudioOptions)
    max_lead_ms: int | None = None
    attended: bool = True
    door: str = "native"
    name: str | None = None
    text_processing: bool = True
    voices: Mapping[Speaker, str] = field(default_factory=dict)

    def style(
        self,
        language: str,
        engine: EngineInfo,
        settings: Settings,
        pronunciations: Callable[[], Pronunciations],
    ) -> SpeakingStyle:
        """Return the style of spoken text for an engine. language: of text in Latin letters."""
        return SpeakingStyle(
            enabled=self.text_processing,
            language=language,
            speak_code=settings.speak_code,
            name_emoji=settings.name_emoji,
            speaker_tags=engine.dialogue,
            nonverbals=engine.dialogue,
            ipa=engine.ipa,
            pitch="pitch" in engine.uses,
            pronunciations=pronunciations,
        )
