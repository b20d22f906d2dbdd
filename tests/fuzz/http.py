"""Reading HTTP answers from a raw connection."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from fuzz.target import UNAVAILABLE, Finding, Line, check_told


@dataclass(frozen=True, slots=True)
class Answer:
    """aborted: whether the connection ended before a chunked body did, as when speech fails in its course."""

    status: int
    headers: dict[str, str]
    body: bytes
    aborted: bool = False

    @property
    def json(self) -> Any:
        """The body, or None if it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def check(self, *, what: str) -> None:
        """Raise Finding if the status blames the server without a reason a client can act on."""
        excused = self.status == UNAVAILABLE and "retry-after" in self.headers
        if self.status >= 500 and not excused:
            raise Finding(f"{what}: {self.status} {self.body[:500]!r}")
        if self.headers.get("content-type", "").startswith("application/json"):
            if self.body and self.json is None:
                raise Finding(f"{what}: the body is no JSON: {self.body[:200]!r}")
            if self.status >= 400 and not excused:
                check_told(self.json)


async def read_answer(line: Line, *, has_body: bool = True, most_s: float | None = None) -> Answer | None:
    """Read one answer; return None if the server hangs up instead. Raise Finding if it is malformed.

    The client leaves a body that takes longer than `most_s` seconds.
    """
    try:
        head = await line.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Finding(f"an answer ends in its head: {error.partial[:200]!r}") from None
        return None
    except OSError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    try:
        status = int(first.split(" ")[1])
    except (IndexError, ValueError):
        raise Finding(f"no answer of HTTP: {head[:200]!r}") from None
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
    }
    if status < 200 and status != 101:
        return await read_answer(line, has_body=has_body, most_s=most_s)
    empty = not has_body or status in (101, 204, 304)
    if empty:
        return Answer(status, headers, b"")
    try:
        async with asyncio.timeout(most_s):  # It may be an hour of speech.
            body, aborted = await _body(line, headers)
            return Answer(status, headers, body, aborted)
    except TimeoutError:
        line.reset()
        return Answer(status, {}, b"")


async def _body(line: Line, headers: dict[str, str]) -> tuple[bytes, bool]:
    """Return the body, and whether it has no end."""
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        try:
            while size := int(await line.reader.readuntil(b"\r\n"), 16):
                body += await line.read(size)
                await line.read(2)
            await line.read(2)
        except ValueError as error:
            raise Finding(f"a chunk is malformed after {len(body)} bytes") from error
        except (EOFError, OSError):
            return body, True
        return body, False
    if "content-length" in headers:
        try:
            return await line.read(int(headers["content-length"])), False
        except (EOFError, ValueError) as error:
            raise Finding(f"the body is not as long as announced: {error!r}") from error
    while piece := await line.read():
        body += piece
    return body, False
