"""Types that every part of the server uses. No I/O; no imports from other parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
"""Sample formats on the wire; all are mono and little-endian."""

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

SAMPLE_BYTES: Mapping[Encoding, int] = MappingProxyType(
    {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
)
"""Bytes per sample."""

SampleRate = Literal[8000, 16000, 22050, 24000, 32000, 44100, 48000]
SAMPLE_RATES: tuple[SampleRate, ...] = get_args(SampleRate)
"""Sample rates that clients may request, in Hz."""

FLOW_WINDOW = 512 * 1024
"""Bytes of PCM an utterance may be ahead of its listener before the engine may pause it. Twelve seconds at
22.05 kHz, where most utterances are shorter and never pause; six at Dia's 44.1 kHz, beside the lead."""

Speaker = Literal["S1", "S2"]

GpuMode = Literal["auto", "single", "multi", "cpu"]
"""The GPUs that get a worker, see `pool.devices`."""


@dataclass(frozen=True, slots=True)
class VoiceSample:
    """A recording that a voice is cloned from.

    path: a mono 16-bit WAV file at 44.1 kHz. It never changes; another recording has another path.
    transcript: the words spoken in it.
    """

    path: str
    transcript: str


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice to speak with. primary_speaker: the tag of a dialogue that it stands for."""

    id: str
    name: str
    style: str
    primary_speaker: Speaker = "S1"
    voice_sample: VoiceSample | None = None


BUILTIN_VOICES: tuple[Voice, ...] = (
    Voice("aria", "Aria", "neutral", "S1"),
    Voice("atlas", "Atlas", "calm", "S1"),
    Voice("luna", "Luna", "expressive", "S2"),
    Voice("kai", "Kai", "friendly", "S1"),
    Voice("zara", "Zara", "deep", "S2"),
    Voice("nova", "Nova", "bright", "S1"),
)

DEFAULT_VOICE = BUILTIN_VOICES[0]


def nearest_builtin(voice: Voice) -> str:
    """Return the id of a built-in voice: this one, else the one of its style, else the default."""
    if any(voice.id == known.id for known in BUILTIN_VOICES):
        return voice.id
    return next((known.id for known in BUILTIN_VOICES if known.style == voice.style), DEFAULT_VOICE.id)


@dataclass(frozen=True, slots=True)
class VoiceFile:
    """A file that an engine needs to speak with a voice, fetched when the voice is first used.

    path: where it is kept. size: bytes. sha256: in hexadecimal.
    """

    url: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class EngineVoice:
    """A voice that one engine has beside the built-in ones. language: its own, a BCP 47 tag."""

    voice: Voice
    language: str | None = None
    file: VoiceFile | None = None


Preset = Literal["default", "example", "clone"]
"""Names of sampling parameters published with Dia."""

_PRESET_FIELDS = ("temperature", "cfg_scale", "cfg_filter_top_k", "top_p", "top_k")


RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "speed": (0.25, 4.0),
        "pitch": (0.5, 2.0),
        "seed": (0, 2**63 - 1),
        "temperature": (0.0, 2.0),
        "cfg_scale": (1.0, 10.0),
        "cfg_filter_top_k": (1, 1028),
        "top_p": (0.0, 1.0),
        "top_k": (1, 1028),
        "max_tokens": (100, 3072),
    }
)
"""The least and the greatest value of each number in `Generation`."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Options of synthesis, within `RANGES`. `None` leaves the choice to the voice, then to the engine.

    speed: 1.0 is the voice's own pace. pitch: 1.0 is the voice's own, 2.0 an octave above. temperature: 0 is
    greedy. top_p: above 0. max_tokens: frames; a voice sample's come on top. language: a BCP 47 tag; a
    request and a voice may also say `auto`. preset: sampling for those of temperature to top_k that are None.
    """

    language: str | None = None
    speed: float | None = None
    pitch: float | None = None
    seed: int | None = None
    temperature: float | None = None
    cfg_scale: float | None = None
    cfg_filter_top_k: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    preset: Preset | None = None

    def over(self, defaults: Generation) -> Generation:
        """Return these options, with `defaults` for those that are None.

        A preset of these takes the place of the sampling in `defaults`.
        """
        if self.preset is not None:
            defaults = replace(defaults, **dict.fromkeys(_PRESET_FIELDS))
        said = {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        return replace(defaults, **said)


@dataclass(frozen=True, slots=True)
class Pronounced:
    """A part of a text and its pronunciation in IPA. start, end: code points into the text."""

    start: int
    end: int
    ipa: str


@dataclass(frozen=True, slots=True)
class ProsodySpan:
    """A part of a text that is spoken at another speed and pitch. Both are factors on the utterance's own.

    start, end: code points into the text.
    """

    start: int
    end: int
    speed: float
    pitch: float


@dataclass(frozen=True, slots=True)
class LanguageSpan:
    """A part of a text in another language. start, end: code points into the text. language: a BCP 47 tag."""

    start: int
    end: int
    language: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """Text that an engine speaks in one go: a clause, a sentence, or several.

    id: unique in the server's lifetime.
    context: the turn of speech it belongs to; utterances of one context come in order, one at a time.
    deadline: CLOCK_MONOTONIC seconds at which its listener runs dry. Engines serve the earliest first.
    pronounced: parts of the text whose pronunciation is given, in order, for engines that read IPA.
    units: spans of the text, in order, whose words are one word of the client's, such as "three dollars and
    fifty cents" for "$3.50". The marks of a unit come together, or as one.
    prosody: parts of the text with a prosody of their own, in order, for engines that do that.
    foreign: parts of the text in other languages than the utterance's, in order.
    continues: the sentence goes on in the next utterance, after a client's pause or with another speaker.
    window: bytes of PCM that it may be ahead of its listener before the engine may pause it.
    """

    id: int
    context: int
    text: str
    voice: Voice
    generation: Generation
    deadline: float
    pronounced: tuple[Pronounced, ...] = ()
    units: tuple[tuple[int, int], ...] = ()
    prosody: tuple[ProsodySpan, ...] = ()
    foreign: tuple[LanguageSpan, ...] = ()
    continues: bool = False
    window: int = FLOW_WINDOW


@dataclass(frozen=True, slots=True)
class WordMark:
    """The place of a word in the text and in the audio.

    start, end: code points into `Utterance.text`. start_sample, end_sample: samples at the engine's rate
    from the start of the utterance. estimated: whether the times are estimates.
    """

    start: int
    end: int
    start_sample: int
    end_sample: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Audio:
    """The next audio of an utterance: mono 16-bit little-endian PCM at the engine's rate, never empty."""

    utterance: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Words:
    """Word marks in ascending order, each sent before the `Audio` it describes."""

    utterance: int
    marks: tuple[WordMark, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The utterance is complete. busy_s: seconds the engine spent on it."""

    utterance: int
    busy_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The utterance ends with an error. code: one of those in `errors`."""

    utterance: int
    code: str
    message: str
    retryable: bool


Event = Audio | Words | Finished | Failed


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """The lengths of utterances that suit an engine, in characters.

    min_chars: a shorter first sentence waits for the next one, for at most `patience_s` seconds.
    best_chars: complete sentences that wait together are joined up to this length.
    max_chars: the longest utterance; text without a boundary is cut here, at a space if possible.
    """

    min_chars: int
    best_chars: int
    max_chars: int
    patience_s: float


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Properties of an engine.

    sample_rate: Hz. slots: utterances it can keep in real time together. languages: BCP 47 tags. uses: the
    fields of `Generation` it honours; the others are reported to clients as ignored, except speed. speeds:
    the slowest and the fastest speed it speaks at, where it uses speed; the rest is done by stretching its
    audio. notice: a sentence that listeners should read before they listen. dialogue: it reads `[S1]` and
    `[S2]`, and makes sounds such as "(laughs)". cost: of a second of speech; where it is high, a client
    should ask for no more than it is about to play. ipa: it reads IPA. prosody: it changes speed and pitch
    within an utterance.
    """

    name: str
    sample_rate: int
    slots: int
    can_clone: bool
    languages: tuple[str, ...]
    chunking: ChunkPolicy
    uses: frozenset[str]
    notice: str | None = None
    speeds: tuple[float, float] = RANGES["speed"]
    dialogue: bool = False
    cost: Literal["low", "high"] = "low"
    ipa: bool = False
    prosody: bool = False

    def speaks(self, language: str) -> bool:
        """Return whether the engine speaks a language, or the one that a regional tag belongs to."""
        if language in self.languages:
            return True
        known = {tag.lower() for tag in self.languages}
        wanted = language.lower()
        return wanted in known or wanted.split("-")[0] in known


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Memory of a whole device in bytes; `used` includes every program on it.

    model, slots: what this engine's weights and the state of its slots take of it; None if not known.
    """

    used: int
    total: int
    model: int | None = None
    slots: int | None = None
