"""The page in a browser, as its tests use it."""

from __future__ import annotations

import json

from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from helpers.servers import Server, until

LIT_WORD = "[...CSS.highlights.get('word')].map(String).join('')"
"""The word that is highlighted."""


EXPOSE_APP = """import('./static/app.js').then((module) => {
    window.app = module.app;
    window.highlighted = [];
    for (const name of ["sentence", "word"]) {
        const highlight = CSS.highlights.get(name);
        highlight.add = (range) => {
            highlighted.push(`${name}: ${range}`);
            return Highlight.prototype.add.call(highlight, range);
        };
    }
})"""
"""Give the page's scripts to the test as `app`, and note what is highlighted in `highlighted`."""


def highlighted(what: str, text: str) -> str:
    """Return a condition: this word or sentence was highlighted since the last one that was waited for.

    A word may be heard for a tenth of a second, too short to be seen by a test that looks now and then.
    """
    return f"highlighted.splice(0, 1 + highlighted.indexOf({json.dumps(f'{what}: {text}')})).length > 0"


def note_complaints(context: BrowserContext, *handled: str) -> list[str]:
    """Note the console's errors and warnings in the list that is returned.

    handled: parts of messages of the browser about what the page handles, which are left out.
    """
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in handled):
            complaints.append(message.text)

    context.on("console", note)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    return complaints


def open_page(page: Page, url: str) -> Page:
    """Open the page, wait until it is connected, and give its scripts to the test as `app`."""
    page.goto(url)
    page.wait_for_selector("#play:enabled")
    page.evaluate(EXPOSE_APP)
    return page


def ended(server: Server, how: str) -> float:
    """Return the number of contexts that ended this way."""
    return server.metric("dia_contexts_ended_total", end=how)


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


def click_word(page: Page, word: str) -> None:
    """Click in the middle of a word of the text. Forget what was highlighted before."""
    x, y = page.evaluate(
        """(word) => {
            highlighted.length = 0;
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
