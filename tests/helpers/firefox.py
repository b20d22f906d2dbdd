"""Debian's Firefox, driven over WebDriver BiDi, which it speaks itself; Playwright drives its own build."""

from __future__ import annotations

import json
import os
import shutil
import socket as socketlib
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from helpers.servers import free_port, until

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

PREFERENCES = """
user_pref("media.autoplay.default", 0);
user_pref("media.cubeb.force_mock_context", true);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("app.update.enabled", false);
user_pref("remote.prefs.recommended", true);
"""
"""The mock is an audio device that plays in real time to nobody."""


class Firefox:
    """One page of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = count(1)
        self._context = ""

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result. Raise AssertionError with the browser's message."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(timeout=30))).get("id") != number:
            pass  # an event
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        if not self._context:
            self.send("session.new", capabilities={})
            self._context = self.send("browsingContext.getTree")["contexts"][0]["context"]
        self.send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or of the promise that it is, as JSON can hold it."""
        result = self.send(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((value) => JSON.stringify(value) ?? 'null')",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        assert result["type"] == "success", result
        return json.loads(result["result"]["value"])

    def until(self, condition: str, timeout_s: float = 20) -> None:
        until(lambda: self.evaluate(condition), timeout_s)

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as a mouse does."""
        x, y = self.evaluate(
            f"""(() => {{
                const {{ x, y, width, height }} = document.querySelector({json.dumps(selector)})
                    .getBoundingClientRect();
                return [Math.round(x + width / 2), Math.round(y + height / 2)];
            }})()"""
        )
        self.click_at(x, y)

    def click_at(self, x: float, y: float) -> None:
        actions = [
            {"type": "pointerMove", "x": round(x), "y": round(y)},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._perform({"type": "pointer", "id": "mouse", "actions": actions})

    def press(self, *keys: str) -> None:
        """Press keys together."""
        down = [{"type": "keyDown", "value": key} for key in keys]
        up = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self._perform({"type": "key", "id": "keys", "actions": [*down, *up]})

    def type(self, text: str) -> None:
        for character in text:
            self.press(character)

    def resize(self, width: int, height: int) -> None:
        viewport = {"width": width, "height": height}
        self.send("browsingContext.setViewport", context=self._context, viewport=viewport)

    def screenshot(self, path: Path) -> None:
        data = self.send("browsingContext.captureScreenshot", context=self._context)["data"]
        path.write_bytes(b64decode(data))

    def _perform(self, source: dict[str, Any]) -> None:
        self.send("input.performActions", context=self._context, actions=[source])


@contextmanager
def running_firefox(profile: Path, **environment: str) -> Iterator[Firefox]:
    """Start a headless Firefox with a new profile in this directory; terminate it afterwards."""
    assert FIREFOX is not None
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "user.js").write_text(PREFERENCES)
    port = free_port()
    process = subprocess.Popen(
        [FIREFOX, "--headless", "--no-remote", f"--profile={profile}", f"--remote-debugging-port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile), **environment},
    )
    try:
        until(lambda: _listens(port), 60)
        with connect(f"ws://127.0.0.1:{port}/session", max_size=None, open_timeout=30) as socket:
            yield Firefox(socket)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _listens(port: int) -> bool:
    with closing(socketlib.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
