"""The engine without a server: an upper bound of the sessions that a server can hold.

Run as `python -m streaming_server.bench.engine_alone`, it takes the place of one worker: it prints a line
once its engine speaks, waits for one on standard input, and prints the seconds of audio it made per second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, cycle

from streaming_server.bench.recording import RecordedFrames
from streaming_server.bench.script import SENTENCES
from streaming_server.bench.session import Workload
from streaming_server.engines.base import Engine
from streaming_server.engines.selection import SelectedEngine
from streaming_server.errors import EngineFailure, SpeechError, Unavailable
from streaming_server.pool.devices import Device
from streaming_server.types import DEFAULT_VOICE, FLOW_WINDOW, Audio, Failed, Finished, Generation, Utterance
from streaming_server.worker import create_engine

WARM_UP_S = 1.0

STEP_S = 60.0
"""Time for the last step to end."""

CPU_CONTEXTS = 8
"""Contexts that keep an engine on the CPU busy. One on a GPU needs one for each slot of its batch."""


@dataclass(frozen=True, slots=True)
class EngineAlone:
    """audio_s_per_s: audio that the engine makes. session_audio_s_per_s: audio that a session needs."""

    audio_s_per_s: float
    session_audio_s_per_s: float

    @property
    def sessions(self) -> float:
        """The number of sessions that the engine could serve if everything else cost nothing."""
        return self.audio_s_per_s / self.session_audio_s_per_s


def needed_by_session(workload: Workload, recording: RecordedFrames) -> float:
    """Return the seconds of audio per second that a session needs when the server is never late."""
    audio_s = sum(recording.seconds_of(reply.text) for reply in workload.replies)
    silent_s = sum(
        workload.think_s + reply.complete / workload.tokens_per_second for reply in workload.replies
    )
    return audio_s / (audio_s + silent_s)


def measure_engine(engine: SelectedEngine, devices: Sequence[Device], seconds: float) -> float:
    """Return the seconds of audio that the engine makes per second on all devices together.

    Raise Unavailable if it does not speak.
    """
    options = [*engine.worker_arguments]
    if not engine.provider.uses_gpus:
        options.append(f"--contexts={CPU_CONTEXTS}")
    with ExitStack() as stack:
        limit_s = engine.provider.start_timeout_s + seconds + WARM_UP_S + STEP_S
        workers = [stack.enter_context(_started(device, seconds, options, limit_s)) for device in devices]
        for worker in workers:
            _line(worker)
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
            worker.stdin.flush()
        return sum(float(_line(worker)) for worker in workers)


@contextmanager
def _started(
    device: Device, seconds: float, options: list[str], limit_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker that is killed after `limit_s` if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "streaming_server.bench.engine_alone", f"--seconds={seconds}", *options],
        env=os.environ | device.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line
    raise Unavailable("The engine alone could not be measured; its error is above.")


class BusyEngine:
    """An engine whose contexts speak one sentence after another."""

    def __init__(self, engine: Engine, contexts: int | None = None, window: int = FLOW_WINDOW) -> None:
        """contexts: as many as the engine has slots, if it is None. window: of each utterance."""
        self._engine = engine
        self._window = window
        self._texts = cycle(SENTENCES)
        self._ids = count(1)
        self._context_of: dict[int, int] = {}
        self._received: Counter[int] = Counter()
        for context in range(contexts or engine.info.slots):
            self._speak(context)

    def run(self, seconds: float) -> float:
        """Speak for a time; return the seconds of audio made per second. Raise EngineFailure."""
        began = time.perf_counter()
        samples = 0
        while (passed_s := time.perf_counter() - began) < seconds:
            samples += self._step()
        return samples / self._engine.info.sample_rate / passed_s

    def _speak(self, context: int) -> None:
        number = next(self._ids)
        self._context_of[number] = context
        text, deadline = next(self._texts), time.monotonic()
        self._engine.submit(
            Utterance(number, context, text, DEFAULT_VOICE, Generation(), deadline, window=self._window)
        )

    def _step(self) -> int:
        """Return the number of samples that a step made."""
        samples = 0
        for event in self._engine.step():
            if isinstance(event, Audio):
                samples += len(event.pcm) // 2
                self._received[event.utterance] += len(event.pcm)
                self._engine.taken(event.utterance, self._received[event.utterance])
            elif isinstance(event, Finished):
                del self._received[event.utterance]
                self._speak(self._context_of.pop(event.utterance))
            elif isinstance(event, Failed):
                raise EngineFailure(event.message)
        return samples


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="streaming_server.bench.engine_alone", description=__doc__)
    parser.add_argument("--engine", required=True, help="the engine's provider, as package.module:object")
    parser.add_argument("--settings", default="{}", help="the engine's settings, as a JSON object")
    parser.add_argument("--seconds", type=float, required=True, help="how long to measure")
    parser.add_argument("--contexts", type=int, help="contexts that speak at once; by default one per slot")
    options = parser.parse_args(arguments)
    try:
        engine = create_engine(options.engine, options.settings)
        try:
            busy = BusyEngine(engine, options.contexts)
            busy.run(WARM_UP_S)
            print("ready", flush=True)
            sys.stdin.readline()
            print(busy.run(options.seconds), flush=True)
        finally:
            engine.close()
    except SpeechError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
