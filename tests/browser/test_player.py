"""The worklet's processor, driven one render quantum at a time in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from helpers.servers import Server
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

RATE = 24000

BENCH = """async (rate) => {
    globalThis.sampleRate = rate;
    globalThis.AudioWorkletProcessor = class { port = { postMessage: (report) => reports.push(report) }; };
    globalThis.registerProcessor = (name, made) => { globalThis.Processor = made; };
    globalThis.reports = [];
    await import("/static/audio/player-worklet.js");
    globalThis.player = new Processor();
    globalThis.say = (message) => player.port.onmessage({ data: message });
    globalThis.begin = (handle, rate = sampleRate) => say({ type: "begin", handle, rate });
    globalThis.audio = (handle, seconds, value = 0.5, rate = sampleRate) =>
        say({ type: "audio", handle, samples: new Float32Array(Math.round(seconds * rate)).fill(value) });
    globalThis.run = (seconds) => {
        const heard = [];
        for (let left = seconds * sampleRate; left > 0; left -= 128) {
            const channel = new Float32Array(128);
            player.process([], [[channel]]);
            heard.push(...channel);
        }
        return heard;
    };
    globalThis.last = () => reports.at(-1);
    globalThis.jump = (heard) => Math.max(...heard.slice(1).map((value, at) => Math.abs(value - heard[at])));
}"""

SMOOTH = 0.5 / (0.005 * RATE) + 1e-4
"""The largest step between samples in a 5 ms fade from a level of 0.5."""


@pytest.fixture
def bench(browser: Browser, server: Server) -> Iterator[Page]:
    """Open an empty page with the processor loaded."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url + "/static/icon.svg")
    page.evaluate(BENCH, RATE)
    yield page
    context.close()


def test_starts_when_120_ms_are_buffered(bench: Page) -> None:
    early, loud, late = bench.evaluate(
        """() => {
            begin(1);
            audio(1, 0.1);
            const early = run(0.02);
            audio(1, 0.03);
            return [Math.max(...early), Math.max(...run(0.05)), last().state];
        }"""
    )
    assert early == 0
    assert loud == pytest.approx(0.5)
    assert late == "playing"


def test_a_short_context_starts_at_its_end(bench: Page) -> None:
    state, played, underruns = bench.evaluate(
        """() => {
            begin(1);
            audio(1, 0.05);
            say({ type: "end", handle: 1 });
            run(0.2);
            return [last().state, last().played, last().underruns];
        }"""
    )
    assert (state, played, underruns) == ("idle", round(0.05 * RATE), 0)


def test_an_underrun_fades_and_raises_the_start_level_by_half(bench: Page) -> None:
    steepest, gap, held, state = bench.evaluate(
        """() => {
            begin(1);
            audio(1, 0.2);
            const heard = run(0.4);
            const gap = last();
            audio(1, 0.15);
            const held = run(0.02);
            audio(1, 0.2);
            heard.push(...held, ...run(0.1));
            return [jump(heard), gap, Math.max(...held), last().state];
        }"""
    )
    assert steepest < SMOOTH
    assert (gap["state"], gap["underruns"]) == ("buffering", 1)
    assert held == 0
    assert state == "playing"


def test_repeated_underruns_delay_speech_only_briefly(bench: Page) -> None:
    waits = bench.evaluate(
        """() => {
            begin(1);
            const waits = [];
            for (let sentence = 0; sentence < 20; sentence++) {
                audio(1, 0.3);
                let waited = 0;
                while (last().state !== "playing" && waited < 10) { run(0.05); waited += 0.05; }
                waits.push(waited);
                run(1);
            }
            return waits;
        }"""
    )
    assert max(waits) <= 2


def test_a_flush_is_silent_after_a_smooth_5_ms(bench: Page) -> None:
    steepest, sounding, report = bench.evaluate(
        """() => {
            begin(1);
            audio(1, 3);
            const heard = run(0.5);
            say({ type: "flush", handle: 1 });
            const after = run(0.1);
            return [jump([...heard, ...after]), after.findLastIndex((value) => value !== 0) + 1, last()];
        }"""
    )
    assert steepest < SMOOTH
    assert sounding / RATE <= 0.006
    assert report["state"] == "idle"


def test_flushed_samples_do_not_count_as_played(bench: Page) -> None:
    report = bench.evaluate(
        """() => {
            begin(1);
            audio(1, 3);
            run(0.5);
            say({ type: "flush", handle: 1 });
            run(0.1);
            return last();
        }"""
    )
    assert report["played"] / RATE == pytest.approx(0.5, abs=0.02)
    assert report["buffered"] == 0


def test_the_next_context_overlaps_the_fade_of_the_last(bench: Page) -> None:
    steepest, played = bench.evaluate(
        """() => {
            begin(1);
            audio(1, 3);
            const heard = run(0.5);
            say({ type: "flush", handle: 1 });
            begin(2);
            audio(2, 0.2);
            say({ type: "end", handle: 2 });
            heard.push(...run(0.5));
            return [jump(heard.slice(0, 0.6 * sampleRate)), last().played];
        }"""
    )
    assert steepest < 2 * SMOOTH
    assert played == round(0.2 * RATE)


def test_late_audio_of_a_flushed_context_is_ignored(bench: Page) -> None:
    heard, buffered = bench.evaluate(
        """() => {
            begin(1);
            audio(1, 1);
            run(0.3);
            say({ type: "flush", handle: 1 });
            run(0.05);
            audio(1, 1);
            begin(2);
            audio(1, 1);
            return [Math.max(...run(0.5)), last().buffered];
        }"""
    )
    assert (heard, buffered) == (0, 0)


def test_no_audio_is_dropped_however_far_ahead_the_server_is(bench: Page) -> None:
    levels, played = bench.evaluate(
        """() => {
            begin(1);
            for (let second = 0; second < 70; second++) audio(1, 1, (second + 1) / 100);
            say({ type: "end", handle: 1 });
            const heard = run(71);
            const middle = (_, second) => heard[Math.round((second + 0.5) * sampleRate)];
            return [Array.from({ length: 70 }, middle), last().played];
        }"""
    )
    assert levels == pytest.approx([(second + 1) / 100 for second in range(70)], abs=1e-6)
    assert played == 70 * RATE


def test_resamples_other_rates_and_counts_in_their_samples(bench: Page) -> None:
    report: dict[str, Any]
    seconds, report = bench.evaluate(
        """() => {
            begin(1, 16000);
            audio(1, 1, 0.5, 16000);
            say({ type: "end", handle: 1 });
            const heard = run(1.2);
            return [heard.filter((value) => value > 0).length / sampleRate, last()];
        }"""
    )
    assert seconds == pytest.approx(1, abs=0.01)
    assert (report["played"], report["state"]) == (16000, "idle")
