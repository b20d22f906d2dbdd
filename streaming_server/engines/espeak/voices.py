"""The voices as eSpeak NG speaks them: variant, pitch, volume and pace."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from types import MappingProxyType

from streaming_server.types import Voice, nearest_builtin

SLOWEST_WPM = 80
"""The library's slowest pace. Slower speech is this pace with pauses between the words."""

COMPRESSED_WPM = 450
"""Pace above which the library compresses time, so that its word positions are approximate."""

COMPRESSION_ALLOWANCE = 1.06
"""Compressed speech is up to 5 % longer than requested; requesting this much more speed makes up for it."""

GAP_PER_SECOND = 27.0
"""Units of the word gap that lengthen a word by one second at the slowest pace; measured on English."""

STEPS_PER_OCTAVE = 72.0
"""Steps of the library's pitch scale per octave; measured, as the median over a sentence."""

MAX_PITCH = 99
"""The top of the library's pitch scale, which starts at 0."""


@dataclass(frozen=True, slots=True)
class EspeakTimbre:
    """The sound of a voice, in the library's units.

    variant: one of `VARIANTS`.
    pitch, inflection: 0 to 99; 50 is the variant's own. volume: 0 to 200; 100 is the variant's own.
    words_per_minute: the pace at speed 1.
    """

    variant: str
    pitch: int
    inflection: int
    volume: int
    words_per_minute: int


TIMBRES = MappingProxyType(
    {
        "aria": EspeakTimbre("aria", pitch=50, inflection=50, volume=70, words_per_minute=165),
        "atlas": EspeakTimbre("atlas", pitch=50, inflection=40, volume=93, words_per_minute=155),
        "luna": EspeakTimbre("luna", pitch=50, inflection=60, volume=66, words_per_minute=168),
        "kai": EspeakTimbre("kai", pitch=50, inflection=60, volume=80, words_per_minute=178),
        "zara": EspeakTimbre("zara", pitch=50, inflection=45, volume=73, words_per_minute=155),
        "nova": EspeakTimbre("nova", pitch=50, inflection=55, volume=62, words_per_minute=176),
    }
)
"""The built-in voices, by id."""


@dataclass(frozen=True, slots=True)
class VoiceParameters:
    """The library's parameters for speech, in its own units.

    voice: the library's name of language and variant, as `de+aria`. rate: words per minute. gap: pause
    between words.
    """

    voice: str
    rate: int
    gap: int
    volume: int
    pitch: int
    inflection: int

    @property
    def compressed(self) -> bool:
        """True if the library compresses time, which makes its word positions approximate."""
        return self.rate >= COMPRESSED_WPM


def parameters_for(voice: Voice, language: str, speed: float = 1.0, pitch: float = 1.0) -> VoiceParameters:
    """Return the library's parameters for a voice.

    language: the library's own name. speed: 1.0 is the voice's own. pitch: a factor on the voice's own,
    clamped to the library's scale.
    """
    timbre = TIMBRES[nearest_builtin(voice)]
    pace = timbre.words_per_minute * speed
    missing_s = max(0.0, 60.0 / pace - 60.0 / SLOWEST_WPM)
    rate = pace if round(pace) < COMPRESSED_WPM else pace * COMPRESSION_ALLOWANCE
    return VoiceParameters(
        voice=f"{language}+{timbre.variant}",
        rate=max(SLOWEST_WPM, round(rate)),
        gap=round(missing_s * GAP_PER_SECOND),
        volume=timbre.volume,
        pitch=min(MAX_PITCH, max(0, round(timbre.pitch + STEPS_PER_OCTAVE * log2(pitch)))),
        inflection=timbre.inflection,
    )
