"""Sockets that have not sent their key yet."""

from __future__ import annotations

from contextlib import ExitStack

import anyio
import pytest

from streaming_server.web.websocket.waiting_room import WaitingRoom

pytestmark = pytest.mark.anyio


async def test_the_oldest_socket_of_the_busiest_address_is_dropped() -> None:
    room = WaitingRoom(places=3)
    with ExitStack() as stack:
        quiet = stack.enter_context(room.place("10.0.0.1", 60))
        first = stack.enter_context(room.place("10.0.0.2", 60))
        second = stack.enter_context(room.place("10.0.0.2", 60))
        stack.enter_context(room.place("10.0.0.3", 60))
        assert len(room) == 3
        assert (quiet.cancel_called, first.cancel_called, second.cancel_called) == (False, True, False)
    assert len(room) == 0


async def test_a_dropped_socket_stops_waiting() -> None:
    room = WaitingRoom(places=1)
    gone = anyio.Event()

    async def wait() -> None:
        with room.place("10.0.0.1", 60):
            await anyio.sleep_forever()
        gone.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with room.place("10.0.0.2", 60):
                await gone.wait()
