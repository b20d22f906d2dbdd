"""The thread the library runs in."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from queue import SimpleQueue

from streaming_server.engines.espeak.library import Library, LibraryEvent
from streaming_server.engines.espeak.pieces import PieceCutter, SpokenPiece
from streaming_server.engines.espeak.spelled_text import Insertion, SpelledText
from streaming_server.engines.espeak.timeline import WordTimeline
from streaming_server.engines.espeak.voices import VoiceParameters
from streaming_server.errors import EngineFailure
from streaming_server.types import Pronounced


@dataclass(frozen=True, slots=True)
class LibraryCall:
    """A text to speak. pronounced, units: as in `Utterance`. insertions: in order."""

    text: str
    parameters: VoiceParameters
    pronounced: tuple[Pronounced, ...] = ()
    units: tuple[tuple[int, int], ...] = ()
    insertions: tuple[Insertion, ...] = ()


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The library has returned.

    busy_s: seconds it ran. rest: the last piece, if anything is left. error: what it raised.
    """

    busy_s: float
    rest: SpokenPiece | None
    error: BaseException | None


class LibraryThread:
    """Runs the library in strict alternation with the caller.

    The library speaks a text in one blocking call. Its thread runs only while `start`, `resume` or `stop`
    waits for it, and is otherwise parked inside the library's audio callback.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._commands: SimpleQueue[LibraryCall | bool | None] = SimpleQueue()  # bool: whether to continue
        self._results: SimpleQueue[SpokenPiece | CallEnd] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="espeak", daemon=True)
        self._thread.start()

    def start(self, call: LibraryCall) -> SpokenPiece | CallEnd:
        """Start speaking. Return the first piece, or the end of the text."""
        self._commands.put(call)
        return self._results.get()

    def resume(self) -> SpokenPiece | CallEnd:
        """Continue after a piece. Return the next one, or the end of the text."""
        self._commands.put(True)
        return self._results.get()

    def stop(self) -> None:
        """Abandon the text after a piece. Raises what the library raised, except an EngineFailure."""
        self._commands.put(False)
        result = self._results.get()
        error = result.error if isinstance(result, CallEnd) else None
        if error is not None and not isinstance(error, EngineFailure):
            raise error

    def close(self) -> None:
        """End the thread. Nothing may be being spoken."""
        self._commands.put(None)
        self._thread.join()

    def _run(self) -> None:
        while isinstance(call := self._commands.get(), LibraryCall):
            self._results.put(self._speak(call))

    def _speak(self, call: LibraryCall) -> CallEnd:
        timeline = WordTimeline(call.text, call.units, estimated=call.parameters.compressed)
        cutter = PieceCutter(timeline, self._library.sample_rate)
        parked_s = 0.0
        stopped = False
        spelled: SpelledText | None = None

        def on_chunk(pcm: bytes, events: list[LibraryEvent]) -> bool:
            nonlocal parked_s, stopped
            if spelled is not None:
                events = [_written(event, spelled) for event in events]
            if (piece := cutter.take(pcm, events)) is None:
                return True
            parked_at = time.perf_counter()
            self._results.put(piece)
            stopped = not self._commands.get()
            parked_s += time.perf_counter() - parked_at
            return not stopped

        started_at = time.perf_counter()
        rest: SpokenPiece | None = None
        failure: BaseException | None = None
        try:
            spelled = self._spelled(call)
            text = call.text if spelled is None else spelled.spoken
            phonemes = spelled is not None and spelled.phonemes
            self._library.speak(text, call.parameters, on_chunk, phonemes=phonemes)
            rest = None if stopped else cutter.rest()
        except BaseException as error:
            failure = error
        return CallEnd(time.perf_counter() - started_at - parked_s, rest, failure)

    def _spelled(self, call: LibraryCall) -> SpelledText | None:
        """Return the text with what is inserted; None if that is nothing. Raises EngineFailure."""
        sayable = self._library.spell(call.pronounced, call.parameters) if call.pronounced else []
        return SpelledText(call.text, sayable, call.insertions) if sayable or call.insertions else None


def _written(event: LibraryEvent, spelled: SpelledText) -> LibraryEvent:
    """Return an event with its place in the written text."""
    position, length = spelled.written(event.position, event.length)
    return replace(event, position=position, length=length)
