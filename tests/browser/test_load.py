"""The cost of the page: memory over many takes, and the main thread over a long text."""

from __future__ import annotations

import pytest
from helpers.page import open_page, play, wait_for, write
from helpers.servers import Server
from playwright.sync_api import Browser, CDPSession, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TAKES = 100
LONG = ("The quick brown fox jumps over the lazy dog near the river bank. " * 12 + "\n\n") * 26
WATCHED_MS = 4000
TRIES = 15
"""Attempts at measurements of time; one good one is enough, as the machine may be busy."""
FRAMES_PER_S, SHARE = 55, 0.25
"""The least that the page must draw, and the most of the main thread that it may take."""

FRAMES = """(milliseconds) => new Promise((done) => {
    const text = document.getElementById("text");
    const began = performance.now();
    let frames = 0;
    const step = (now) => {
        frames += 1;
        text.scrollTop += 4;
        if (now - began < milliseconds) requestAnimationFrame(step);
        else done(1000 * frames / (now - began));
    };
    requestAnimationFrame(step);
})"""
"""Scroll the text in every frame; return the frames per second."""


def measured(session: CDPSession, name: str) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == name))


def heap_mb(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    session.send("HeapProfiler.collectGarbage")
    return measured(session, "JSHeapUsedSize") / 1e6


@pytest.mark.timeout(300)
def test_a_hundred_takes_leave_the_memory_as_it_was(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    early = nodes = 0.0
    for number in range(TAKES + 1):
        write(page, f"Take {number}. " + "It is not kept in memory. " * 8)
        page.keyboard.press("Control+Enter")
        wait_for(page, f"app.player.take?.text.startsWith('Take {number}.') && app.player.take.complete")
        if number == 10:
            early, nodes = heap_mb(session), measured(session, "Nodes")
    assert heap_mb(session) < early + 1
    assert measured(session, "Nodes") < nodes + 200


@pytest.mark.timeout(300)
def test_twenty_thousand_characters_scroll_and_light_at_60_frames(browser: Browser, server: Server) -> None:
    page = open_page(browser.new_page(), server.url)
    assert len(LONG) > 20_000
    play(page, LONG)
    wait_for(page, "app.player.take.complete", timeout_s=120)
    session = page.context.new_cdp_session(page)
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")
    tried = []
    while not tried or (len(tried) < TRIES and not is_light(*tried[-1])):
        before = measured(session, "TaskDuration")
        frames = page.evaluate(FRAMES, WATCHED_MS)
        tried.append((frames, (measured(session, "TaskDuration") - before) / (WATCHED_MS / 1000)))
    assert is_light(*tried[-1]), tried
    page.close()


def is_light(frames_per_s: float, share: float) -> bool:
    return frames_per_s > FRAMES_PER_S and share < SHARE
