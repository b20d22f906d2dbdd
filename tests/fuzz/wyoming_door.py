"""Sessions of the Wyoming protocol."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fuzz.dice import Dice
from fuzz.target import PATIENCE_S, Finding, Line, Target, check_told


class Wyoming:
    """Events over TCP. The server may hang up after an error, never without a word."""

    name = "wyoming"

    async def session(self, dice: Dice, target: Target) -> None:
        async with target.connected(target.wyoming_port) as line:
            ending = dice.choice(("probe", "probe", "probe", "half", "reset", "wait"))
            events = dice.disturbed(self._script(dice))
            broken = False
            for event in events:
                raw, valid = self._encoded(dice, event)
                broken = broken or not valid
                for piece in dice.cut(raw) if dice.chance(0.2) else [raw]:
                    await line.send(piece)
            match ending:
                case "reset":
                    line.reset()
                case "wait":
                    await asyncio.sleep(dice.random())
                case "half":
                    line.half_close()
                    await self._read(line, until=None)
                case "probe":
                    await line.send(_event("ping", {"text": "alive?"}))
                    if broken:  # The ping may have become part of an event that was announced.
                        line.half_close()
                    await self._read(line, until=None if broken else "alive?")

    async def _read(self, line: Line, until: str | None) -> None:
        """Read until the answer to a ping, or until the server has told an error and hung up."""
        errors = 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                while event := await _next(line):
                    kind, data = event
                    errors += kind == "error"
                    if kind == "error":
                        check_told(data)
                    if kind == "pong" and data.get("text") == until:
                        return
        except TimeoutError:
            if until is not None:
                raise Finding("dead socket: a ping was not answered") from None
            return  # Speech that is paced may go on for longer.
        except EOFError:
            return
        if until is not None and not errors:
            raise Finding("the server hung up without an error")

    def _script(self, dice: Dice) -> list[tuple[str, dict[str, Any]]]:
        voice = {"name": dice.choice(("aria", "nobody", dice.name())), **dice.own_options()}
        start = {"voice": voice, **dice.own_options()}
        if dice.chance(0.3):
            return [("describe", {}), ("synthesize", {"text": dice.text(), **start})]
        script: list[tuple[str, dict[str, Any]]] = [("synthesize-start", start)]
        script += [("synthesize-chunk", {"text": dice.text()}) for _ in range(dice.randint(0, 4))]
        if dice.chance(0.5):
            script.append(("synthesize", {"text": dice.text()}))
        return [*script, ("synthesize-stop", {}), ("ping", {"text": dice.name()})]

    def _encoded(self, dice: Dice, event: tuple[str, dict[str, Any]]) -> tuple[bytes, bool]:
        """Return the bytes of an event and whether its lengths are true."""
        kind, data = event
        if dice.chance(0.25):
            mutated = dice.mutated(data)
            body = dice.encoded(mutated)
            header = json.dumps({"type": kind, "version": "1.8.0", "data_length": len(body)}).encode()
            return header + b"\n" + body, True
        if dice.chance(0.1):
            header = dice.encoded(
                dice.mutated({"type": kind, "data_length": 2, "payload_length": 3, "data": data})
            )
            return header + b"\n{}abc", False
        if dice.chance(0.05):
            return dice.damaged(_event(kind, data)), False
        if dice.chance(0.1):
            raw = json.dumps({"type": kind, "data": data, "payload_length": 70_000}).encode()
            return raw + b"\n" + b"x" * 70_000, True
        return _event(kind, data), True


def _event(kind: str, data: dict[str, Any]) -> bytes:
    body = json.dumps(data).encode()
    return json.dumps({"type": kind, "data_length": len(body)}).encode() + b"\n" + body


async def _next(line: Line) -> tuple[str, dict[str, Any]] | None:
    """Read an event; None if the server has hung up. Raise Finding if it is malformed."""
    header = await line.reader.readline()
    if not header:
        return None
    try:
        head = json.loads(header)
        data = json.loads(await line.read(head.get("data_length", 0)) or b"{}")
        await line.read(head.get("payload_length", 0))
        return head["type"], data
    except (ValueError, KeyError) as error:
        raise Finding(f"the server sent a malformed event: {header[:200]!r}: {error!r}") from None
