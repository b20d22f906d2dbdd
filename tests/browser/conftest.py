"""A real browser, Debian's Chromium, headless, and a server to create voices on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from helpers.chromium import launch
from helpers.page import note_complaints, open_page
from helpers.servers import Server, running_server
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Launch the browser per module: while it runs, no other event loop can run in this thread."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """Open the page and wait until it is connected. Console errors and warnings fail the test."""
    context = browser.new_context()
    complaints = note_complaints(context)
    yield open_page(context.new_page(), server.url)
    context.close()
    assert not complaints


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server for creating voices. Its Whisper has no weights."""
    with running_server(tmp_path_factory.mktemp("studio") / "log") as server:
        yield server


@pytest.fixture
def client(studio: Server) -> Iterator[httpx.Client]:
    """Connect to the studio; delete all voices, samples and pronunciations afterwards."""
    with httpx.Client(base_url=studio.url, timeout=60) as client:
        yield client
        client.put("/pronunciations", json={"pronunciations": []})
        for voice in client.get("/voices").json()["voices"]:
            if not voice["builtin"]:
                client.delete(f"/voice_mappings/{voice['id']}")
        for voice_sample in client.get("/audio_prompts").json():
            client.delete(f"/audio_prompts/{voice_sample}?force=true")
