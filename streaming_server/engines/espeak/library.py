"""The C library, from the `espeakng-loader` wheel, through ctypes.

Declarations follow espeak-ng/speak_lib.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import espeakng_loader

from streaming_server.engines.espeak.ipa import PhonemeTable, phoneme_names
from streaming_server.engines.espeak.variants import DataFolder
from streaming_server.engines.espeak.voices import VoiceParameters
from streaming_server.errors import EngineFailure
from streaming_server.types import Pronounced

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PHONEMES = 0x100
_IPA = 2
_ENDPAUSE = 0x1000
_RATE, _VOLUME, _PITCH, _RANGE, _WORDGAP = 1, 2, 3, 4, 7
_EVENT_LIST_TERMINATED, _EVENT_WORD, _EVENT_END = 0, 1, 5

COMMAND = "\x01"
"""Starts a command in the text, which changes parameters for what follows."""

_BUFFER_MS = 60
"""Audio per callback, in milliseconds."""

EventKind = Literal["word", "clause end"]

_EVENT_KINDS = MappingProxyType[int, EventKind]({_EVENT_WORD: "word", _EVENT_END: "clause end"})


@dataclass(frozen=True, slots=True)
class LibraryEvent:
    """Something the library reports about a place in the audio.

    position: of a word in the text, in code points from 1. length: of the word, 0 if unknown. sample: counted
    from the start of the text.
    """

    kind: EventKind
    position: int
    length: int
    sample: int


ChunkHandler = Callable[[bytes, list[LibraryEvent]], bool]
"""Receives a chunk of PCM and its events; returns whether the library should continue."""


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


class Library:
    """The opened library. Its state is global: open it once per process, call it from one thread at a time.

    sample_rate: Hz.
    """

    def __init__(self) -> None:
        """Raises EngineFailure if the library or its data cannot be loaded, or no folder can be written."""
        self._current: VoiceParameters | None = None
        self._on_chunk: ChunkHandler | None = None
        self._error: BaseException | None = None
        self._tables: dict[str, PhonemeTable] = {}
        try:
            self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
            original = Path(espeakng_loader.get_data_path())
        except (OSError, RuntimeError) as error:
            raise EngineFailure("eSpeak NG could not be loaded; reinstall espeakng-loader.") from error
        try:
            self._folder = DataFolder(original)
        except OSError as error:
            raise EngineFailure(
                f"eSpeak NG's voices could not be written ({error.strerror}); "
                "set XDG_CACHE_HOME or TMPDIR to a folder with some room."
            ) from error
        _declare(self._lib)
        self._callback = _Callback(self._on_callback)
        self._data = self._folder.path
        path = str(self._data).encode()
        self.sample_rate = int(
            self._lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, path, _INITIALIZE_DONT_EXIT)
        )
        if self.sample_rate <= 0:
            self._folder.close()
            raise EngineFailure("eSpeak NG did not accept its data files; reinstall espeakng-loader.")
        self._lib.espeak_SetSynthCallback(self._callback)

    def languages(self) -> dict[str, str]:
        """Return the name of the voice that speaks each language best, by lower-case language tag."""
        best: dict[str, tuple[int, str]] = {}
        for entry in self._voice_entries():
            tags = _language_tags(entry.languages)
            if not any((self._data / f"{tag.split('-')[0]}_dict").exists() for _, tag in tags):
                continue
            name = entry.identifier.decode().rsplit("/", 1)[-1].lower()
            for priority, tag in tags:
                if tag not in best or priority < best[tag][0]:
                    best[tag] = (priority, name)
        return {tag: name for tag, (_, name) in best.items()}

    def spell(
        self, pronounced: Sequence[Pronounced], parameters: VoiceParameters
    ) -> list[tuple[Pronounced, str]]:
        """Return the pronunciations that the language can say, each in the library's notation.

        Raises EngineFailure.
        """
        self._apply(parameters)
        language = parameters.voice.partition("+")[0]  # Our variants change no phonemes.
        if language not in self._tables:
            self._synthesize(" ", _PHONEMES)  # The library goes on reading phonemes until the next text.
            self._tables[language] = PhonemeTable(phoneme_names(self._data), self._ipa_of)
        table = self._tables[language]
        parts = [(part, table.spelled(part.ipa)) for part in pronounced]
        return [(part, spelling) for part, spelling in parts if spelling is not None]

    def speak(
        self,
        text: str,
        parameters: VoiceParameters,
        on_chunk: ChunkHandler,
        *,
        phonemes: bool = False,
    ) -> None:
        """Speak plain text; block until it is spoken or `on_chunk` stops it.

        phonemes: whether the text holds phonemes in the library's notation. Raises EngineFailure, or whatever
        `on_chunk` raised.
        """
        self._apply(parameters)
        self._on_chunk = on_chunk
        status = self._synthesize(text, _ENDPAUSE | (_PHONEMES if phonemes else 0))
        self._on_chunk = None
        if COMMAND in text:
            self._current = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if status != 0:
            raise EngineFailure(f"eSpeak NG returned status {status} for a text.")

    def _synthesize(self, text: str, flags: int) -> int:
        data = text.encode() + b"\0"
        return int(self._lib.espeak_Synth(data, len(data), 0, 1, 0, _CHARS_UTF8 | flags, None, None))

    def _ipa_of(self, phonemes: str) -> str:
        """Return the IPA of phonemes in the library's notation, which it must be reading."""
        text = ctypes.c_char_p(f"[[{phonemes}]]".encode())
        spoken: bytes | None = self._lib.espeak_TextToPhonemes(ctypes.byref(text), _CHARS_UTF8, _IPA)
        return (spoken or b"").decode(errors="replace").strip()

    def close(self) -> None:
        self._lib.espeak_Terminate()
        self._folder.close()

    def _voice_entries(self) -> Iterator[Any]:
        entries: Any = self._lib.espeak_ListVoices(None)
        index = 0
        while entries[index]:
            yield entries[index].contents
            index += 1

    def _apply(self, parameters: VoiceParameters) -> None:
        if parameters != self._current:
            self._current = None
            if self._lib.espeak_SetVoiceByName(parameters.voice.encode()) != 0:
                raise EngineFailure(f"eSpeak NG has no voice {parameters.voice}.")
            for parameter, value in (
                (_RATE, parameters.rate),
                (_VOLUME, parameters.volume),
                (_PITCH, parameters.pitch),
                (_RANGE, parameters.inflection),
                (_WORDGAP, parameters.gap),
            ):
                self._lib.espeak_SetParameter(parameter, value, 0)
            self._current = parameters
        # Breath noise is random; the same text must sound the same each time.
        self._lib.espeak_ng_SetRandSeed(1)

    def _on_callback(self, wave: int | None, samples: int, events: Any) -> int:
        # An exception cannot pass through C. It is kept here and raised when the library has returned.
        try:
            if self._on_chunk is None:
                return 1
            pcm = ctypes.string_at(wave, 2 * samples) if wave and samples > 0 else b""
            return 0 if self._on_chunk(pcm, list(_events(events))) else 1
        except BaseException as error:
            self._error = error
            return 1


def _declare(lib: Any) -> None:
    """Declare the functions in use."""
    lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    lib.espeak_SetSynthCallback.argtypes = [_Callback]
    lib.espeak_SetSynthCallback.restype = None
    lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    lib.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    lib.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    lib.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceEntry))
    lib.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
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


def _events(events: Any) -> Iterator[LibraryEvent]:
    """Yield the events of interest from the library's list."""
    index = 0
    while (number := events[index].type) != _EVENT_LIST_TERMINATED:
        if kind := _EVENT_KINDS.get(number):
            event = events[index]
            yield LibraryEvent(kind, event.text_position, event.length, event.sample)
        index += 1


def _language_tags(address: int) -> list[tuple[int, str]]:
    """Return priority and tag of each of a voice's languages.

    Each is a priority byte and a string; a priority of zero ends the list.
    """
    tags = []
    while priority := ctypes.c_ubyte.from_address(address).value:
        tag = ctypes.string_at(address + 1)
        tags.append((priority, tag.decode().lower()))
        address += len(tag) + 2
    return tags
