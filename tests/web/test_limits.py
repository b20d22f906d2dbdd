"""Places for connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from typing import Any

import anyio
import pytest

from streaming_server.errors import Draining, Full
from streaming_server.settings import Settings
from streaming_server.web.limits import BODIES_AT_ONCE, BODIES_PER_ADDRESS, BodyPlaces, Limits


@pytest.mark.parametrize(
    ("place", "places"),
    [
        (lambda limits: limits.speaking(True), 3),
        (lambda limits: limits.watching(), 2),
    ],
    ids=["speaking", "watching"],
)
def test_places_are_limited_and_returned(
    place: Callable[[Limits], AbstractContextManager[None]], places: int
) -> None:
    limits = Limits(Settings(max_connections=3, max_status_connections=2))
    for _ in range(2):
        with ExitStack() as taken:
            for _ in range(places):
                taken.enter_context(place(limits))
            for _ in range(2):
                with pytest.raises(Full), place(limits):
                    pass


@pytest.mark.parametrize(
    ("options", "places"), [({}, 4), ({"api_keys": ["secret"]}, 2)], ids=["no keys", "keys"]
)
def test_clients_without_a_key_leave_places_to_those_with_one(options: dict[str, Any], places: int) -> None:
    limits = Limits(Settings.model_validate({"max_connections": 4, **options}))
    with ExitStack() as taken:
        for _ in range(places):
            taken.enter_context(limits.speaking_without_key(True))
        with pytest.raises(Full), limits.speaking_without_key(True):
            pass
        for _ in range(4 - places):
            taken.enter_context(limits.speaking(True))
        with pytest.raises(Full), limits.speaking(True):
            pass


def test_a_full_pool_takes_no_place() -> None:
    limits = Limits(Settings(max_connections=1))
    with pytest.raises(Full, match="worker"), limits.speaking(False):
        pass
    with limits.speaking(True):
        pass


def test_draining_refuses_new_speech() -> None:
    limits = Limits(Settings())
    limits.draining = True
    with pytest.raises(Draining), limits.speaking(True):
        pass


async def held(places: BodyPlaces, addresses: Iterable[str], stack: AsyncExitStack) -> None:
    for address in addresses:
        await stack.enter_async_context(places.hold(address))


@pytest.mark.anyio
@pytest.mark.parametrize("waits", [False, True], ids=["nobody waits", "one waits"])
async def test_bodies_are_limited_for_each_address(monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    monkeypatch.setattr("streaming_server.web.limits.BODY_WAIT_S", 0.2)
    places = BodyPlaces()
    async with AsyncExitStack() as stack, anyio.create_task_group() as group:
        await held(places, ["192.0.2.1"] * BODIES_PER_ADDRESS, stack)
        if waits:
            group.start_soon(refused, places, "192.0.2.1")
        await refused(places, "192.0.2.1")
        await held(places, ["192.0.2.2"] * BODIES_PER_ADDRESS, stack)
        await refused(places, "192.0.2.2")
    async with AsyncExitStack() as stack:
        await held(places, ["192.0.2.1"] * BODIES_PER_ADDRESS, stack)


@pytest.mark.anyio
async def test_bodies_are_limited_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming_server.web.limits.BODY_WAIT_S", 0.2)
    places = BodyPlaces()
    async with AsyncExitStack() as stack:
        await held(places, [f"192.0.2.{number}" for number in range(BODIES_AT_ONCE)], stack)
        await refused(places, "192.0.3.1")
    async with places.hold("192.0.3.1"):
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("form", ["2001:db8:1:2::{:x}", "2001:db8:1:2:{:x}::1"])
async def test_the_addresses_of_one_network_count_as_one(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A client has at least 2**64 addresses of IPv6."""
    monkeypatch.setattr("streaming_server.web.limits.BODY_WAIT_S", 0.2)
    places = BodyPlaces()
    async with AsyncExitStack() as stack:
        await held(places, [form.format(number) for number in range(BODIES_PER_ADDRESS)], stack)
        await refused(places, form.format(0xFFFF))
        await held(places, ["2001:db8:1:3::1", "192.0.2.1"], stack)


async def refused(places: BodyPlaces, address: str) -> None:
    with pytest.raises(Full):
        async with places.hold(address):
            pass
