"""The engine without a server."""

from __future__ import annotations

import pytest

from streaming_server.bench.engine_alone import BusyEngine, measure_engine, needed_by_session
from streaming_server.bench.recording import RecordedFrames
from streaming_server.bench.script import SENTENCES, reply
from streaming_server.bench.session import Workload
from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.engines.flow_control import FlowControlled
from streaming_server.engines.selection import select_engine
from streaming_server.errors import EngineFailure, Unavailable
from streaming_server.pool.devices import Device
from streaming_server.types import Event, Failed, Utterance

HEADER = 16


def test_measures_all_workers_together() -> None:
    devices = [Device(f"cpu_{number}", {}) for number in range(2)]
    assert measure_engine(select_engine("espeak"), devices, 0.5) > 50


@pytest.mark.slow
def test_an_engine_that_cannot_start_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    engine = select_engine("dia", {"model": "/nowhere"})
    with pytest.raises(Unavailable, match="could not be measured"):
        measure_engine(engine, [Device("cpu_0", {})], 0.5)
    assert "/nowhere" in capfd.readouterr().err


def test_an_engine_that_pauses_utterances_stays_busy() -> None:
    """The window is shorter than a sentence, and only what was taken lets the engine go on."""
    engine = FlowControlled(EspeakEngine())
    busy = BusyEngine(engine, 2, window=20_000)
    assert busy.run(0.3) > 10
    assert engine.active
    engine.close()


def test_an_utterance_that_fails_ends_the_measurement() -> None:
    class Failing(EspeakEngine):
        def step(self) -> list[Event]:
            return [Failed(1, "engine_failure", "No sound.", retryable=False)]

        def submit(self, utterance: Utterance) -> None:
            pass

    engine = Failing()
    with pytest.raises(EngineFailure, match="No sound"):
        BusyEngine(engine, 1).run(1.0)
    engine.close()


def test_a_session_needs_its_share_of_a_second() -> None:
    """A reply of ten seconds is complete after eight tokens, and a pause follows."""
    frames = {SENTENCES[0]: (HEADER + 40_000, HEADER + 40_000), SENTENCES[1]: (HEADER + 80_000,)}
    recording = RecordedFrames(sample_rate=8000, max_lead_ms=10_000, frames=frames)
    spoken = reply(SENTENCES[:2])
    assert recording.seconds_of(spoken.text) == 10.0
    assert recording.seconds_of(SENTENCES[1]) == 5.0
    waiting_s = spoken.complete / 10.0
    assert needed_by_session(Workload([spoken], 10.0, 2.0), recording) == pytest.approx(10 / (12 + waiting_s))
