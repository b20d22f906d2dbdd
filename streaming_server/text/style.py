"""Options for turning written text into spoken text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streaming_server.text.pronunciations import Pronunciations


@dataclass(frozen=True, slots=True)
class SpeakingStyle:
    """Options of `SpokenText`.

    enabled: False speaks the text as it stands, tags and marks included.
    language: BCP 47 tag of the voice's own language. English text is also normalised: numbers, dates, money,
    abbreviations; the engine reads these in other languages.
    speak_code: speak fenced code blocks instead of a pause.
    name_emoji: speak the English names of emoji instead of leaving them out.
    speaker_tags: pass `[S1]` and `[S2]` on to an engine that reads them; otherwise each is a SpeakerChange.
    nonverbals: pass "(laughs)" and the like on to an engine that makes these sounds.
    ipa: the engine reads IPA.
    pitch: the engine changes pitch; otherwise neither pitch nor emphasis is applied.
    pronunciations: returns the list in force now; it may change while text arrives.
    """

    enabled: bool = True
    language: str = "en"
    speak_code: bool = False
    name_emoji: bool = False
    speaker_tags: bool = False
    nonverbals: bool = False
    ipa: bool = False
    pitch: bool = False
    pronunciations: Callable[[], Pronunciations] = Pronunciations

    @property
    def english(self) -> bool:
        return self.language.lower().replace("_", "-").split("-")[0] == "en"
