"""A run of the whole engine, audio included."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, field

from streaming_server.bench.dia.engine_under_test import EngineUnderTest
from streaming_server.bench.dia.plan import TEXT
from streaming_server.bench.playout import Playout
from streaming_server.types import DEFAULT_VOICE, Audio, Event, Finished, Generation, Utterance, Voice

_SAMPLES_PER_S = 44100


@dataclass(slots=True)
class HeardUtterance:
    """One utterance as it is heard. Times are `time.perf_counter`'s, steps the model's.

    first_steps: steps from its arrival until its first audio. heard_s: audio so far, played as it comes.
    """

    came: float
    came_step: int
    first_steps: int = 0
    heard_s: float = 0.0
    playout: Playout = field(default_factory=Playout)

    @property
    def first_pcm_ms(self) -> float:
        """Time until its first audio, which it must have heard."""
        return (self.playout.first_at - self.came) * 1e3

    def hear(self, audio: Audio, now: float, steps: int) -> None:
        if not self.playout.started:
            self.first_steps = steps - self.came_step
        lasts_s = len(audio.pcm) / 2 / _SAMPLES_PER_S
        self.heard_s += lasts_s
        self.playout.push(now, lasts_s, text_at=-math.inf)


@dataclass(slots=True)
class Run:
    """started, seconds: of the whole run. step_ms: per step of the engine. host_us: the host's part of these
    steps.

    newcomers_step_ms, host_newcomers_us: of steps that also ran a prefill. prepared_s: until the last
    prefill. cut: whether the time limit ended the run.
    """

    started: float = 0.0
    seconds: float = 0.0
    prepared_s: float = 0.0
    cut: bool = False
    step_ms: list[float] = field(default_factory=list)
    host_us: list[float] = field(default_factory=list)
    host_newcomers_us: list[float] = field(default_factory=list)
    newcomers_step_ms: list[float] = field(default_factory=list)
    listeners: dict[int, HeardUtterance] = field(default_factory=dict)

    @property
    def heard_s(self) -> float:
        return sum(listener.heard_s for listener in self.listeners.values())

    @property
    def first_pcm_ms(self) -> list[float]:
        return [each.first_pcm_ms for each in self._heard]

    @property
    def first_pcm_steps(self) -> list[float]:
        return [each.first_steps for each in self._heard]

    @property
    def silent_ms(self) -> list[float]:
        return [listener.playout.total * 1e3 for listener in self.listeners.values()]

    @property
    def _heard(self) -> list[HeardUtterance]:
        return [listener for listener in self.listeners.values() if listener.playout.started]


def speak(ours: EngineUnderTest, arrivals: dict[int, int], frames: int, limit_s: float | None = None) -> Run:
    """Generate utterances of `frames` frames, to their end or for `limit_s`; arrivals: {step: number}."""
    run, numbers = Run(), itertools.count(1)
    start = time.perf_counter()
    for number in itertools.count():
        for _ in range(arrivals.get(number, 0)):
            arrive(ours, run, next(numbers), frames)
        if number >= max(arrivals) and not ours.engine.active:
            break
        if limit_s is not None and time.perf_counter() - start > limit_s:
            run.cut = True
            break
        listen(ours, run)
    run.seconds = time.perf_counter() - start
    run.prepared_s = ours.watched.prepared_at - start
    cancel_all(ours, run)
    return run


def listen(ours: EngineUnderTest, run: Run) -> None:
    """Step the engine and let the listeners hear what came of it."""
    for event in step(ours, run):
        if isinstance(event, Audio):
            run.listeners[event.utterance].hear(event, time.perf_counter(), ours.runner.steps)
        elif isinstance(event, Finished):
            ours.engine.release(event.utterance)


def cancel_all(ours: EngineUnderTest, run: Run) -> None:
    """Cancel what is left of a run, and step until the engine is idle."""
    for number in run.listeners:
        ours.engine.cancel(number)
        ours.engine.release(number)
    while ours.engine.active:
        ours.engine.step()


def arrive(
    ours: EngineUnderTest, run: Run, number: int, frames: int, text: str = TEXT, voice: Voice = DEFAULT_VOICE
) -> None:
    """Submit an utterance that is `frames` frames long."""
    generation = Generation(max_tokens=frames + 17, seed=number)
    run.listeners[number] = HeardUtterance(time.perf_counter(), ours.runner.steps)
    ours.engine.submit(Utterance(number, number, text, voice, generation, time.monotonic()))


def step(ours: EngineUnderTest, run: Run) -> list[Event]:
    """Step the engine and record what it took."""
    elsewhere_s, metered = ours.watched.elsewhere_s, ours.watched.metered
    start = time.perf_counter()
    events = ours.engine.step()
    took = time.perf_counter() - start
    run.step_ms.append(took * 1e3)
    if ours.watched.metered != metered:
        run.newcomers_step_ms.append(took * 1e3)
    own = run.host_us if ours.watched.metered == metered else run.host_newcomers_us
    own.append((took - ours.watched.elsewhere_s + elsewhere_s) * 1e6)
    return events
