"""What outlives a request: started, seen to, and ended with the server."""

from __future__ import annotations

import anyio
import pytest

from streaming_server.web.background import Background

pytestmark = pytest.mark.anyio


class Work:
    """Something to do, which takes until it is let go on."""

    def __init__(self) -> None:
        self.runs = 0
        self.at_once = 0
        self.go_on = anyio.Event()

    async def __call__(self) -> None:
        self.runs += 1
        self.at_once += 1
        assert self.at_once == 1
        try:
            await self.go_on.wait()
        finally:
            self.at_once -= 1


async def test_what_is_seen_to_runs_once_more_for_all_that_asked_meanwhile() -> None:
    background, work = Background(), Work()
    async with background.running():
        for _ in range(3):
            background.see_to(work)
        await anyio.wait_all_tasks_blocked()
        assert work.runs == 1
        background.see_to(work)
        background.see_to(work)
        work.go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert work.runs == 2
        background.see_to(work)
        await anyio.wait_all_tasks_blocked()
        assert work.runs == 3


async def test_two_things_are_seen_to_at_once() -> None:
    background, first, second = Background(), Work(), Work()
    async with background.running():
        background.see_to(first)
        background.see_to(second)
        await anyio.wait_all_tasks_blocked()
        assert first.at_once == second.at_once == 1


async def test_when_the_server_ends_everything_ends_and_nothing_begins() -> None:
    background, work = Background(), Work()
    background.see_to(work)
    async with background.running():
        background.start(work)
        await anyio.wait_all_tasks_blocked()
        assert work.at_once == 1
    assert work.at_once == 0
    background.see_to(work)
    background.start(work)
    assert work.runs == 1
    async with background.running():
        background.see_to(work)
        await anyio.wait_all_tasks_blocked()
        assert work.runs == 2
