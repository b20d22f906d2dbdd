"""The Server tab, in a real browser against a real server."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from helpers.axe import serious_violations
from helpers.page import note_complaints
from helpers.servers import Server, running_server, until
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

CHARTS = ["First audio", "Load", "Memory of the machine"]

INKED = """(canvas) => {
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, width, height);
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] > 200) colours.add(data.slice(at, at + 3).join());
    return [...colours];
}"""
"""The opaque colours of a canvas."""

MARKED = """(canvas) => {
    const mark = getComputedStyle(document.querySelector(".moment")).color.match(/\\d+/g).map(Number);
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, width, height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] > 200 && mark.every((value, channel) => data[at + channel] === value)) count += 1;
    return count;
}"""
"""The number of pixels of a canvas in the colour that marks restarts."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server whose workers the tests may kill."""
    log = tmp_path_factory.mktemp("watched") / "log"
    with running_server(log, "--max-workers=2", "--max-contexts=20") as server:
        yield server


@pytest.fixture(scope="module")
def opened(browser: Browser, watched: Server) -> Iterator[tuple[Page, list[str]]]:
    """Open the Server tab once for all tests; note what the browser complains of."""
    page = browser.new_page()
    complaints = note_complaints(page.context, "ERR_INTERNET_DISCONNECTED")
    page.goto(watched.url)
    expect(page.locator("#connection")).to_have_attribute("data-state", "online")
    page.click("#server-tab")
    page.wait_for_selector(".chart canvas")
    yield page, complaints
    page.close()


@pytest.fixture
def panel(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """Show the Server tab in a light theme on a wide screen. Console errors and warnings fail the test."""
    page, complaints = opened
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light", forced_colors="none", reduced_motion="no-preference")
    yield page
    assert not complaints


def colours(page: Page, chart: int = 0) -> list[str]:
    found: list[str] = page.locator(".chart canvas").nth(chart).evaluate(INKED)
    return found


def marked(page: Page) -> int:
    """Return the number of marking pixels of the first chart."""
    count: int = page.locator(".chart canvas").first.evaluate(MARKED)
    return count


def most_at_once(page: Page) -> int:
    """Return the most contexts at once that the chart tells of."""
    found = re.search(
        r"Speaking \d+, at most (\d+)", page.locator(".plot").nth(1).get_attribute("aria-label") or ""
    )
    return int(found[1]) if found else 0


def test_shows_the_state_in_plain_words(panel: Page) -> None:
    expect(panel.locator("#uptime")).to_have_text(re.compile(r" s$|min"))
    assert panel.locator("#devices li").count() == 2
    text = panel.inner_text("#server")
    assert "cpu_0 · CPU" in text
    assert "Memory pressure" in text
    assert not re.search(r"\bpid\b|\bUp\b|Gaps|Being sent", text)


def test_charts_that_cannot_be_loaded_are_reported(browser: Browser, watched: Server) -> None:
    page = browser.new_page()
    page.route("**/charts.js", lambda route: route.abort())
    page.goto(watched.url)
    page.click("#server-tab")
    expect(page.locator("#charts-notice")).to_contain_text("could not be loaded; reload the page")
    expect(page.locator("#uptime")).to_contain_text(" s")
    page.close()


def test_takes_at_once_are_shown_as_they_come(panel: Page) -> None:
    panel.click("#load")
    expect(panel.locator("#load")).to_have_text("Stop")
    expect(panel.locator("#load")).to_have_text("Speak 20 takes at once", timeout=20_000)
    assert panel.inner_text("#load-notice").startswith("20 takes: first audio")
    takes = panel.locator("#load-takes li").all_inner_texts()
    assert len(takes) == 20
    assert all(re.search(r"first audio \S+ m?s, all \S+ m?s", take) for take in takes), takes
    assert {take.split()[0] for take in takes} == {"Aria", "Atlas", "Luna", "Kai", "Zara", "Nova"}
    until(lambda: most_at_once(panel) > 1)


def test_no_more_takes_than_the_server_allows(browser: Browser, server: Server, watched: Server) -> None:
    page = browser.new_page()
    page.route_web_socket(
        re.compile("/ws/speak"),
        lambda socket: socket.connect_to_server().on_message(
            lambda message: socket.send(
                message.replace('"parallel_contexts":20', '"parallel_contexts":3')
                if isinstance(message, str)
                else message
            )
        ),
    )
    page.goto(watched.url)
    page.click("#server-tab")
    expect(page.locator("#load")).to_have_text("Speak 3 takes at once")
    page.click("#load")
    expect(page.locator("#load-notice")).to_contain_text("3 takes: first audio", timeout=60_000)
    assert page.locator("#load-takes li").count() == 3
    page.close()


def test_no_takes_while_no_voice_has_been_fetched(browser: Browser, watched: Server) -> None:
    page = browser.new_page()
    download = {"state": "absent", "received": 0, "size": 1, "error": None}
    absent = {"id": "one", "name": "One", "download": download}
    page.route("**/voices", lambda route: route.fulfill(json={"voices": [absent]}))
    page.goto(watched.url)
    page.click("#server-tab")
    page.click("#load")
    expect(page.locator("#load-notice")).to_contain_text("No voice has been downloaded yet")
    expect(page.locator("#load")).to_be_enabled()
    page.close()


def test_takes_can_be_stopped(panel: Page) -> None:
    panel.click("#load")
    panel.click("#load")
    expect(panel.locator("#load-notice")).to_contain_text(re.compile("Stopped|20 takes"))
    expect(panel.locator("#load")).to_have_text("Speak 20 takes at once")


def test_charts_are_on_one_time_axis_with_a_legend_and_a_summary(panel: Page) -> None:
    assert panel.locator(".chart h3").all_inner_texts() == CHARTS
    legends = panel.locator(".legend").all_inner_texts()
    assert [re.findall("p50|p95|p99|Speaking|Waiting|Connections|In use", legend) for legend in legends] == [
        ["p50", "p95", "p99"],
        ["Speaking", "Waiting", "Connections"],
        ["In use"],
    ]
    for chart in range(len(CHARTS)):
        until(lambda chart=chart: len(colours(panel, chart)) > 2)
    labels = [plot.get_attribute("aria-label") or "" for plot in panel.locator(".plot").all()]
    assert [label.split(":")[0] for label in labels] == CHARTS
    panel.locator(".chart .u-over").nth(1).hover(position={"x": 400, "y": 20})
    assert len(set(panel.locator(".moment").all_inner_texts())) == 1


def test_a_chart_can_be_read_as_a_table(panel: Page) -> None:
    details = panel.locator(".chart details").nth(1)
    details.locator("summary").focus()
    panel.keyboard.press("Enter")
    expect(details.locator("thead th")).to_have_text(["Time", "Speaking", "Waiting", "Connections"])
    assert details.locator("tbody tr").count() >= 1
    panel.keyboard.press("Enter")


def test_the_hour_is_chosen_by_the_keyboard(panel: Page) -> None:
    panel.focus("input[name=span]:checked")
    panel.keyboard.press("ArrowRight")
    assert panel.is_checked("input[value='60']")
    until(lambda: "Speaking" in (panel.locator(".plot").nth(1).get_attribute("aria-label") or ""))
    panel.locator(".chart details").nth(1).locator("summary").click()
    expect(panel.locator(".chart caption")).to_contain_text("4 min 0 s")
    panel.locator(".chart details").nth(1).locator("summary").click()
    panel.check("input[value='15']")


def test_a_restart_is_marked(panel: Page, watched: Server) -> None:
    assert panel.inner_text("#events").count("\n") == 0
    assert "The server started." in panel.inner_text("#events")
    until(lambda: marked(panel) > 0)  # the start of the server is marked, too
    before = marked(panel)
    os.kill(watched.workers()[0]["pid"], signal.SIGKILL)
    expect(panel.locator("#events")).to_contain_text(
        "worker of cpu_0 stopped; it was ready again after", timeout=20_000
    )
    expect(panel.locator("#devices")).to_contain_text("restarted once")
    until(lambda: marked(panel) > 1.5 * before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(panel: Page, scheme: str) -> None:
    panel.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    panel.locator(".chart summary").first.click()
    assert serious_violations(panel) == []
    panel.locator(".chart summary").first.click()


def test_charts_follow_the_theme_and_forced_colours(panel: Page) -> None:
    seen = []
    for scheme, forced in (("light", "none"), ("dark", "none"), ("light", "active")):
        panel.emulate_media(color_scheme=scheme, forced_colors=forced)  # type: ignore[arg-type]
        wanted = panel.locator(".swatch").first.evaluate("(swatch) => getComputedStyle(swatch).color")
        seen.append(wanted)
        until(
            lambda wanted=wanted: (
                wanted in [f"rgb({colour.replace(',', ', ')})" for colour in colours(panel, 1)]
            )
        )
    assert len(set(seen)) == 3


@pytest.mark.parametrize(("width", "height"), [(320, 640), (360, 740), (640, 450)])
def test_fits_a_phone_and_a_page_at_200_percent(panel: Page, width: int, height: int) -> None:
    panel.set_viewport_size({"width": width, "height": height})
    panel.locator(".chart summary").first.click()
    assert panel.evaluate("document.documentElement.scrollWidth") <= width
    until(
        lambda: panel.evaluate(
            "(main => main.scrollWidth <= main.clientWidth)(document.querySelector('main'))"
        )
    )
    until(lambda: panel.evaluate("document.querySelector('.chart canvas')?.clientWidth ?? Infinity") <= width)
    panel.locator(".chart summary").first.click()


def test_reports_no_connection_and_goes_on_afterwards(panel: Page) -> None:
    """The history fills what was missed meanwhile."""
    panel.context.set_offline(True)
    panel.evaluate("dispatchEvent(new Event('offline'))")
    expect(panel.locator("#uptime")).to_have_text("–")
    assert panel.is_disabled("#load")
    panel.context.set_offline(False)
    expect(panel.locator("#uptime")).not_to_have_text("–", timeout=20_000)
    assert panel.is_enabled("#load")
