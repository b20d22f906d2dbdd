"""Ways to the server that are compared, and the order in which they are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streaming_server.bench.wires import DoorName

NATIVE = "native"
"""The native websocket at the sample rate requested of the other protocols."""
PLAIN = "native, own rate"
"""The native websocket at the engine's sample rate, for protocols that support no other."""
DIRECT = "direct"
GATEWAY = "gateway"
"""The native websocket without and with a gateway before the server."""


def reference_of(name: str) -> str:
    """Return the name of the run that another is compared with; its own if it is compared with none."""
    if name in (DIRECT, GATEWAY):
        return DIRECT
    return PLAIN if name in (PLAIN, "wyoming") else NATIVE


def names_of(doors: Sequence[DoorName]) -> list[str]:
    """Return what to measure for these protocols: their references, and themselves."""
    references = dict.fromkeys(reference_of(door) for door in doors)
    return [*references, *(door for door in doors if door != NATIVE)]


def in_turn(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield the windows to measure as (round, name): each name once a round.

    Each round starts one name later, so that none always follows the same other one.
    """
    names = list(names)
    for round_ in range(rounds):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            yield round_, name
