"""The page in a browser, as its tests use it."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from helpers.servers import Server, until

LIT = "[...CSS.highlights.get('{}')].map(String).join('')"
"""The text that is lit as the word or the sentence heard."""


def open_page(page: Page, url: str) -> Page:
    """Open the page, wait until it is connected, and give its scripts to the test as `app`."""
    page.goto(url)
    page.wait_for_selector("#play:enabled")
    page.evaluate("import('./static/app.js').then((module) => { window.app = module.app; })")
    return page


def ended(server: Server, how: str) -> float:
    """Return the number of contexts that ended this way."""
    found = re.search(
        rf'^dia_contexts_ended_total{{end="{how}"}} (\S+)$', server.get("/metrics")[1], re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def wait_for(page: Page, condition: str, timeout_s: float = 20) -> None:
    until(lambda: page.evaluate(condition), timeout_s)


def write(page: Page, text: str) -> None:
    """Replace the text, as a user would."""
    if page.is_visible("#edit"):
        page.click("#edit")
    page.fill("#text", text)


def play(page: Page, text: str) -> None:
    write(page, text)
    page.click("#play")
    wait_for(page, "app.player.state === 'playing'")


def lit(page: Page, what: str = "word") -> str:
    text: str = page.evaluate(LIT.format(what))
    return text


def click_word(page: Page, word: str) -> None:
    """Click in the middle of a word of the text."""
    x, y = page.evaluate(
        """(word) => {
            const node = document.getElementById("text").firstChild;
            const range = new Range();
            range.setStart(node, node.data.indexOf(word));
            range.setEnd(node, node.data.indexOf(word) + word.length);
            const { x, y, width, height } = range.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }""",
        word,
    )
    page.mouse.click(x, y)
