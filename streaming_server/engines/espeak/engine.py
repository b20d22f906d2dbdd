"""The embedded default engine: eSpeak NG, from the `espeakng-loader` wheel, through ctypes.

The library keeps global state and speaks a text in one blocking call, so it lives in a thread of its own
that runs only while a call of `step` or `cancel` waits for it. In between it is parked inside its audio
callback. Utterances are spoken one after another, the earliest deadline first.

Only the standard library is imported, so that the process stays small.
"""

from __future__ import annotations

import ctypes
import heapq
import re
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any

import espeakng_loader

from streaming_server.engines.base import Engine
from streaming_server.engines.memory import machine_memory
from streaming_server.errors import BadValue, EngineFailure
from streaming_server.text.speakable import first_sound
from streaming_server.types import (
    BUILTIN_VOICES,
    DEFAULT_VOICE,
    Audio,
    ChunkPolicy,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
    Voice,
    WordMark,
    Words,
)

DEFAULT_LANGUAGE = "en-US"

SLOTS = 400
"""Utterances kept in real time together: one second of audio takes the library one or two milliseconds."""

LONGEST_WAIT_S = 2.0
"""Audio of a word that has not ended yet is let go after this much of it."""

SECOND_PIECE_S = 1.5
LARGEST_PIECE_S = 3.0
"""The first piece is one word. The second holds at least so much, each later one twice the one before, up to
the largest: handing a piece over costs a switch of threads, and the server a wake-up."""

SLOWEST_WPM = 80
"""The library's slowest pace. Slower ones are made of it with pauses between words."""

COMPRESSED_WPM = 450
"""From this pace on the library compresses time, and its word positions are approximate."""

COMPRESSED_HASTE = 1.06
"""Compressed speech is up to 5 % longer than the library's own just below; so much faster is asked for."""

GAP_PER_SECOND = 27.0
"""Units of the word gap that lengthen a word by a second at the slowest pace; measured on English."""

# espeak-ng/speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_ENDPAUSE = 0x1000
_RATE, _VOLUME, _PITCH, _RANGE, _WORDGAP = 1, 2, 3, 4, 7
_EVENT_LIST_TERMINATED, _EVENT_WORD, _EVENT_END = 0, 1, 5
_BUFFER_MS = 60


@dataclass(frozen=True, slots=True)
class Timbre:
    """How one voice is made. Units are the library's.

    variant: a file of the library's voices/!v. Only variants without flutter and periodic roughness serve
    here: those two run on through the library's life, and the same text would never sound the same twice.
    pitch, inflection: 0 to 99, 50 is the variant's own. volume: 0 to 200, 100 is the variant's own.
    words_per_minute: the pace at speed 1.
    """

    variant: str
    pitch: int
    inflection: int
    volume: int
    words_per_minute: int


TIMBRES = MappingProxyType(
    {
        "aria": Timbre("shelby", pitch=55, inflection=50, volume=100, words_per_minute=175),
        "atlas": Timbre("Storm", pitch=52, inflection=35, volume=65, words_per_minute=158),
        "luna": Timbre("Denis", pitch=97, inflection=95, volume=140, words_per_minute=178),
        "kai": Timbre("miguel", pitch=62, inflection=60, volume=75, words_per_minute=185),
        "zara": Timbre("shelby", pitch=22, inflection=45, volume=110, words_per_minute=165),
        "nova": Timbre("shelby", pitch=80, inflection=70, volume=90, words_per_minute=188),
    }
)


@dataclass(frozen=True, slots=True)
class Setting:
    """All that the library is told before it speaks. `voice` is its own name of language and variant."""

    voice: str
    rate: int
    gap: int
    volume: int
    pitch: int
    inflection: int


STEPS_PER_OCTAVE = 95.0
"""Of the library's pitch scale; measured, as the median over a sentence."""

STYLES = MappingProxyType({voice.style: voice.id for voice in BUILTIN_VOICES})


def timbre_of(voice: Voice) -> Timbre:
    """A voice of the user's sounds like the built-in one of its style, or the default one."""
    return TIMBRES.get(voice.id) or TIMBRES[STYLES.get(voice.style, DEFAULT_VOICE.id)]


def setting_for(voice: Voice, language: str, speed: float = 1.0, pitch: float = 1.0) -> Setting:
    """The library's setting. `language` is its own name; the pitch goes as far as its scale does."""
    timbre = timbre_of(voice)
    pace = timbre.words_per_minute * speed
    missing_s = max(0.0, 60.0 / pace - 60.0 / SLOWEST_WPM)
    return Setting(
        voice=f"{language}+{timbre.variant}",
        rate=max(SLOWEST_WPM, round(pace if round(pace) < COMPRESSED_WPM else pace * COMPRESSED_HASTE)),
        gap=round(missing_s * GAP_PER_SECOND),
        volume=timbre.volume,
        pitch=min(99, max(0, round(timbre.pitch + STEPS_PER_OCTAVE * log2(pitch)))),
        inflection=timbre.inflection,
    )


_UNSPOKEN = re.compile(
    r"\[S[0-9]\]"  # Dia's speakers
    r"|\((?:laughs|clears throat|sighs|gasps|coughs|singing|sings|mumbles|beep|groans|sniffs|claps|screams"
    r"|inhales|exhales|applause|burps|humming|sneezes|chuckle|whistles)\)"  # and its sounds
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # \x01 starts a command to the library
    r"|[\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff]",  # halves of pairs; private use
    re.IGNORECASE,
)


def spoken_form(text: str) -> str:
    """The text with what must not be read aloud blanked. As many code points as before."""
    return _UNSPOKEN.sub(lambda match: " " * len(match[0]), text)


def is_speakable(spoken: str) -> bool:
    """Whether there is more than punctuation in a spoken form."""
    return first_sound(spoken, 0, len(spoken)) < len(spoken)


_WRITTEN_WORD = re.compile(r"[^\s\u2012-\u2015\u2026]+")
_TRIMMED = " .,;:!?\"'()[]{}<>*_`«»‹›“”„‘’¿¡、。，！？：；「」『』（）"
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(slots=True)
class WordTimeline:
    """Turns the library's word positions into one mark for each written word.

    The library counts characters from 1 and may report a written word several times (a number), with no
    length, or a little behind. Scripts without spaces are marked as the library divides them. Words that it
    runs together ("in the") it reports as one: those share the time by their lengths, as an estimate.
    """

    text: str
    estimated: bool = False
    _spans: list[tuple[int, int]] = field(init=False)
    _starts: list[int] = field(init=False)
    _open: tuple[int, int] | None = field(init=False, default=None)
    _open_since: int = field(init=False, default=0)
    _clause_end: int | None = field(init=False, default=None)
    _marked_text: int = field(init=False, default=0)
    _marked_sample: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._spans = [match.span() for match in _WRITTEN_WORD.finditer(self.text)]
        self._starts = [start for start, _ in self._spans]

    @property
    def open_since(self) -> int | None:
        """The sample at which the word started that has not ended yet, if there is one."""
        return None if self._open is None else self._open_since

    def word(self, position: int, length: int, sample: int) -> tuple[WordMark, ...]:
        """A word starts at this sample. Returns the marks of the words before it that end here."""
        span = self._written(position - 1, length)
        if span is None or span[0] < self._marked_text:
            return ()
        closed = self.close(sample, before=span[0])
        self._open, self._open_since = span, max(sample, self._marked_sample)
        self._marked_text = span[1]
        return closed

    def clause_end(self, sample: int) -> None:
        """The words so far end at this sample."""
        self._clause_end = sample

    def close(self, sample: int, before: int = 0, estimated: bool = False) -> tuple[WordMark, ...]:
        """The open word ends at this sample, or where its clause did. Returns its mark.

        With it end the words unheard of that lie behind it and in front of `before` in the text.
        """
        if self._open is None:
            return ()
        end = sample if self._clause_end is None else min(sample, self._clause_end)
        end = max(end, self._open_since)
        spans = [self._open, *self._unheard(self._open[1], before)]
        marks = self._share(spans, end, self.estimated or estimated or len(spans) > 1)
        self._marked_text = spans[-1][1]
        self._open, self._clause_end, self._marked_sample = None, None, end
        return marks

    def _unheard(self, start: int, before: int) -> list[tuple[int, int]]:
        """The whole written words between two places of the text that can be heard."""
        first = bisect_right(self._starts, start - 1)
        between = [span for span in self._spans[first:] if span[1] <= before]
        trimmed = [_trim(self.text, *span) for span in between]
        return [span for span in trimmed if any(letter.isalnum() for letter in self.text[span[0] : span[1]])]

    def _share(self, spans: list[tuple[int, int]], end: int, estimated: bool) -> tuple[WordMark, ...]:
        """Marks of words that share the time since the open one began, by their lengths."""
        letters = sum(last - first for first, last in spans)
        marks: list[WordMark] = []
        at, read = self._open_since, 0
        for first, last in spans:
            read += last - first
            until = self._open_since + (end - self._open_since) * read // letters
            marks.append(WordMark(first, last, at, until, estimated))
            at = until
        return tuple(marks)

    def _written(self, index: int, length: int) -> tuple[int, int] | None:
        place = bisect_right(self._starts, index) - 1
        if place < 0 or index >= self._spans[place][1]:
            place += 1
        if place >= len(self._spans):
            return None
        start, end = self._spans[place]
        if _UNSPACED.search(self.text, start, end):
            first = max(start, index)
            return first, min(end, first + max(1, length))
        return _trim(self.text, start, end)


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    word = text[start:end]
    left = len(word) - len(word.lstrip(_TRIMMED))
    right = len(word.rstrip(_TRIMMED))
    return (start + left, start + right) if left < right else (start, end)


@dataclass(frozen=True, slots=True)
class Piece:
    """Words and the audio they are in. `marks` may be empty, and so may `pcm`."""

    marks: tuple[WordMark, ...]
    pcm: bytes


class PieceCutter:
    """Cuts the library's chunks where words end: the first word by itself, later ones in company."""

    def __init__(self, timeline: WordTimeline, sample_rate: int) -> None:
        self._timeline = timeline
        self._longest_wait = round(LONGEST_WAIT_S * sample_rate)
        self._least = round(SECOND_PIECE_S * sample_rate)
        self._largest = round(LARGEST_PIECE_S * sample_rate)
        self._held = bytearray()
        self._heard = 0
        self._marks: list[WordMark] = []
        self._worded = False

    def take(self, pcm: bytes, events: list[tuple[int, int, int, int]]) -> Piece | None:
        """Add a chunk and its events (type, position, length, sample). Returns what is ready."""
        self._held += pcm
        total = self._heard + len(self._held) // 2
        for kind, position, length, sample in events:
            at = min(max(sample, self._heard), total)
            if kind == _EVENT_END:
                self._timeline.clause_end(at)
            elif kind == _EVENT_WORD:
                self._worded = True
                self._add(self._timeline.word(position, length, at))
        end = self._marks[-1].end_sample if self._marks else self._heard
        if end > self._heard and (self._heard == 0 or end - self._heard >= self._least):
            return self._cut(end)
        open_since = self._timeline.open_since
        if open_since is None:
            least = self._least if self._worded else self._longest_wait
            return self._cut(total) if total - self._heard >= least else None
        if total - open_since >= self._longest_wait:
            self._add(self._timeline.close(total, estimated=True))
            return self._cut(total)
        return None

    def rest(self) -> Piece | None:
        """What is left at the end. Silence without a word in it is not worth sending."""
        if not self._worded and not any(self._held):
            return None
        total = self._heard + len(self._held) // 2
        self._add(self._timeline.close(total, before=len(self._timeline.text)))
        return self._cut(total)

    def _add(self, marks: tuple[WordMark, ...]) -> None:
        self._marks.extend(marks)

    def _cut(self, end: int) -> Piece:
        piece = Piece(tuple(self._marks), bytes(self._held[: 2 * (end - self._heard)]))
        del self._held[: 2 * (end - self._heard)]
        self._marks.clear()
        if self._heard:
            self._least = min(self._largest, 2 * self._least)
        self._heard = end
        return piece


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _SpeechEvent(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


class _VoiceEntry(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_SpeechEvent))

Chunk = Callable[[bytes, list[tuple[int, int, int, int]]], bool]
"""Takes a chunk of PCM and its events; returns whether to go on."""


class Library:
    """The C library, opened. Its state belongs to the process: open it once, and call it from one thread
    at a time."""

    def __init__(self) -> None:
        """Raises EngineFailure where the library or its data cannot be loaded."""
        self._current: Setting | None = None
        self._on_chunk: Chunk | None = None
        self._broken: BaseException | None = None
        try:
            self._data = Path(espeakng_loader.get_data_path())
            self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        except (OSError, RuntimeError) as error:
            raise EngineFailure("eSpeak NG could not be loaded; reinstall espeakng-loader.") from error
        self._declare()
        self._callback = _Callback(self._called)
        path = str(self._data).encode()
        self.sample_rate = int(
            self._lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, path, _INITIALIZE_DONT_EXIT)
        )
        if self.sample_rate <= 0:
            raise EngineFailure("eSpeak NG did not accept its data files; reinstall espeakng-loader.")
        self._lib.espeak_SetSynthCallback(self._callback)

    def _declare(self) -> None:
        lib = self._lib
        lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        lib.espeak_SetSynthCallback.argtypes = [_Callback]
        lib.espeak_SetSynthCallback.restype = None
        lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        lib.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
        lib.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        lib.espeak_ListVoices.argtypes = [ctypes.c_void_p]
        lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceEntry))
        lib.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]

    def languages(self) -> dict[str, str]:
        """Lower-case language tag to the library's name of the voice that speaks it best."""
        best: dict[str, tuple[int, str]] = {}
        entries: Any = self._lib.espeak_ListVoices(None)
        index = 0
        while entries[index]:
            entry = entries[index].contents
            index += 1
            tags = _tags(entry.languages)
            if not any((self._data / f"{tag.split('-')[0]}_dict").exists() for _, tag in tags):
                continue
            name = entry.identifier.decode().rsplit("/", 1)[-1].lower()
            for priority, tag in tags:
                if tag not in best or priority < best[tag][0]:
                    best[tag] = (priority, name)
        return {tag: name for tag, (_, name) in best.items()}

    def speak(self, text: str, setting: Setting, on_chunk: Chunk) -> None:
        """Speak a text without markup of any kind. Blocks. Raises EngineFailure, or what `on_chunk` did."""
        self._apply(setting)
        self._on_chunk = on_chunk
        data = text.encode() + b"\0"
        status = self._lib.espeak_Synth(data, len(data), 0, 1, 0, _CHARS_UTF8 | _ENDPAUSE, None, None)
        self._on_chunk = None
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken
        if status != 0:
            raise EngineFailure(f"eSpeak NG answered {status} to a text.")

    def close(self) -> None:
        self._lib.espeak_Terminate()

    def _apply(self, setting: Setting) -> None:
        if setting != self._current:
            self._current = None
            if self._lib.espeak_SetVoiceByName(setting.voice.encode()) != 0:
                raise EngineFailure(f"eSpeak NG has no voice {setting.voice}.")
            for parameter, value in (
                (_RATE, setting.rate),
                (_VOLUME, setting.volume),
                (_PITCH, setting.pitch),
                (_RANGE, setting.inflection),
                (_WORDGAP, setting.gap),
            ):
                self._lib.espeak_SetParameter(parameter, value, 0)
            self._current = setting
        # Breath noise is random; the same text must sound the same each time.
        self._lib.espeak_ng_SetRandSeed(1)

    def _called(self, wave: int | None, samples: int, events: Any) -> int:
        # An exception cannot pass through C, so it waits here until the library has returned.
        try:
            if self._on_chunk is None:
                return 1
            found = []
            index = 0
            while (kind := events[index].type) != _EVENT_LIST_TERMINATED:
                if kind in (_EVENT_WORD, _EVENT_END):
                    event = events[index]
                    found.append((kind, event.text_position, event.length, event.sample))
                index += 1
            pcm = ctypes.string_at(wave, 2 * samples) if wave and samples > 0 else b""
            return 0 if self._on_chunk(pcm, found) else 1
        except BaseException as error:
            self._broken = error
            return 1


def _tags(address: int) -> list[tuple[int, str]]:
    """A voice's languages: a priority byte and a string each, ended by a priority of zero."""
    tags = []
    while priority := ctypes.c_ubyte.from_address(address).value:
        tag = ctypes.string_at(address + 1)
        tags.append((priority, tag.decode().lower()))
        address += len(tag) + 2
    return tags


def _bcp47(tag: str) -> str:
    """A lower-case tag in its customary case: `zh-hant-tw` is `zh-Hant-TW`."""
    first, *rest = tag.split("-")
    written = [first]
    private = False
    for part in rest:
        private = private or len(part) == 1
        if not private and len(part) == 2:
            written.append(part.upper())
        elif not private and len(part) == 4 and part.isalpha():
            written.append(part.title())
        else:
            written.append(part)
    return "-".join(written)


@dataclass(frozen=True, slots=True)
class _Order:
    """An utterance for the library's thread."""

    text: str
    setting: Setting


@dataclass(frozen=True, slots=True)
class _Returned:
    """The library has returned. `rest` is what was left to hand over, `error` what it raised."""

    busy_s: float
    rest: Piece | None
    error: BaseException | None


class _LibraryThread:
    """Runs the library in strict hand-off: it moves only inside `start`, `go_on` and `stop`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._orders: SimpleQueue[_Order | bool | None] = SimpleQueue()
        self._pieces: SimpleQueue[Piece | _Returned] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="espeak", daemon=True)
        self._thread.start()

    def start(self, order: _Order) -> Piece | _Returned:
        self._orders.put(order)
        return self._pieces.get()

    def go_on(self) -> Piece | _Returned:
        """Only after a Piece."""
        self._orders.put(True)
        return self._pieces.get()

    def stop(self) -> None:
        """Only after a Piece. Returns when the library has dropped the utterance."""
        self._orders.put(False)
        result = self._pieces.get()
        if isinstance(result, _Returned) and result.error is not None:
            raise result.error

    def end(self) -> None:
        """Only while nothing is being spoken."""
        self._orders.put(None)
        self._thread.join()

    def _run(self) -> None:
        while isinstance(order := self._orders.get(), _Order):
            self._pieces.put(self._speak(order))

    def _speak(self, order: _Order) -> _Returned:
        timeline = WordTimeline(order.text, estimated=order.setting.rate >= COMPRESSED_WPM)
        cutter = PieceCutter(timeline, self._library.sample_rate)
        parked_s = 0.0
        stopped = False

        def hand_over(piece: Piece | None) -> bool:
            nonlocal parked_s, stopped
            if piece is None:
                return True
            parked = time.perf_counter()
            self._pieces.put(piece)
            stopped = not self._orders.get()
            parked_s += time.perf_counter() - parked
            return not stopped

        began = time.perf_counter()
        rest: Piece | None = None
        error: BaseException | None = None
        try:
            on_chunk: Chunk = lambda pcm, events: hand_over(cutter.take(pcm, events))  # noqa: E731
            self._library.speak(order.text, order.setting, on_chunk)
            rest = None if stopped else cutter.rest()
        except BaseException as raised:
            error = raised
        return _Returned(time.perf_counter() - began - parked_s, rest, error)


class EspeakEngine(Engine):
    """The `Engine` of eSpeak NG. One to a process."""

    def __init__(self) -> None:
        """Raises EngineFailure where the library cannot be used."""
        library = Library()
        self._library = library
        self._languages = library.languages()
        if DEFAULT_LANGUAGE.lower() not in self._languages:
            raise EngineFailure("eSpeak NG's data files lack English; reinstall espeakng-loader.")
        self._info = EngineInfo(
            name="espeak",
            sample_rate=library.sample_rate,
            slots=SLOTS,
            can_clone=False,
            languages=tuple(sorted(map(_bcp47, self._languages))),
            chunking=ChunkPolicy(min_chars=0, best_chars=1, max_chars=400, patience_s=0.0),
            uses=frozenset({"language", "speed", "pitch"}),
        )
        self._waiting: dict[int, Utterance] = {}
        self._order: list[tuple[float, int, int]] = []
        self._arrivals = 0
        self._speaking: int | None = None
        self._thread: _LibraryThread | None = _LibraryThread(library)

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def active(self) -> int:
        return len(self._waiting) + (self._speaking is not None)

    def submit(self, utterance: Utterance) -> None:
        self._waiting[utterance.id] = utterance
        self._arrivals += 1
        heapq.heappush(self._order, (utterance.deadline, self._arrivals, utterance.id))

    def cancel(self, utterance_id: int) -> None:
        if self._speaking == utterance_id:
            self._running().stop()
            self._speaking = None
        elif self._waiting.pop(utterance_id, None) and len(self._order) > 2 * len(self._waiting) + 64:
            self._order = [entry for entry in self._order if entry[2] in self._waiting]
            heapq.heapify(self._order)

    def step(self) -> list[Event]:
        """The next words of the utterance being spoken, or the first of the most urgent one waiting."""
        if self._speaking is not None:
            return self._events(self._speaking, self._running().go_on())
        utterance = self._most_urgent()
        if utterance is None:
            return []
        spoken = spoken_form(utterance.text)
        try:
            setting = self._setting(utterance.voice, utterance.generation)
        except BadValue as error:
            return [Failed(utterance.id, error.code, error.message, error.retryable)]
        if not is_speakable(spoken):
            return [Finished(utterance.id, 0.0)]
        return self._events(utterance.id, self._running().start(_Order(spoken, setting)))

    def memory(self) -> MemoryReport:
        return machine_memory()

    def close(self) -> None:
        """Idempotent."""
        if self._thread is None:
            return
        if self._speaking is not None:
            self.cancel(self._speaking)
        self._waiting.clear()
        self._order.clear()
        self._thread.end()
        self._thread = None
        self._library.close()

    def _running(self) -> _LibraryThread:
        if self._thread is None:
            raise EngineFailure("The engine is closed.")
        return self._thread

    def _most_urgent(self) -> Utterance | None:
        while self._order:
            _, _, utterance_id = heapq.heappop(self._order)
            if (utterance := self._waiting.pop(utterance_id, None)) is not None:
                return utterance
        return None

    def _setting(self, voice: Voice, generation: Generation) -> Setting:
        tag = (generation.language or DEFAULT_LANGUAGE).lower().replace("_", "-")
        if tag == DEFAULT_LANGUAGE.partition("-")[0]:  # Said where nobody chose a country.
            tag = DEFAULT_LANGUAGE.lower()
        while tag not in self._languages:
            tag, separator, _ = tag.rpartition("-")
            if not separator:
                raise BadValue(f"This engine does not speak the language {generation.language!r:.40}.")
        return setting_for(voice, self._languages[tag], generation.speed or 1.0, generation.pitch or 1.0)

    def _events(self, utterance_id: int, result: Piece | _Returned) -> list[Event]:
        if isinstance(result, Piece):
            self._speaking = utterance_id
            return _sounds(utterance_id, result)
        self._speaking = None
        if result.error is not None:
            raise result.error
        rest = _sounds(utterance_id, result.rest) if result.rest else []
        return [*rest, Finished(utterance_id, result.busy_s)]


def _sounds(utterance_id: int, piece: Piece) -> list[Event]:
    events: list[Event] = []
    if piece.marks:
        events.append(Words(utterance_id, piece.marks))
    if piece.pcm:
        events.append(Audio(utterance_id, piece.pcm))
    return events
