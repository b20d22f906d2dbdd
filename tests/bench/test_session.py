"""Simulated conversations: what counts as a stall."""

from __future__ import annotations

import asyncio
import random

import pytest

from streaming_server.bench.client import Address
from streaming_server.bench.script import reply
from streaming_server.bench.session import LoadSession, LoadTurn, Workload
from streaming_server.bench.wires import SAMPLE_RATE, Cartesia, Native, Wire

pytestmark = pytest.mark.anyio

SENTENCE = "Fresh bread keeps longest in a paper bag inside a wooden box."


async def turn_with_all_text_sent(session: LoadSession) -> LoadTurn:
    session.on_message({"type": "ready", "sample_rate": SAMPLE_RATE}, 0.0)
    [turn] = session.turns
    async with asyncio.timeout(20):
        while len(turn.sent_at) < len(turn.reply.messages):
            await asyncio.sleep(0.001)
    return turn


@pytest.mark.parametrize("wire", [Cartesia, Native])
async def test_a_stall_after_all_text_was_sent_counts_at_every_door(wire: type[Wire]) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    session = LoadSession(Workload([reply((SENTENCE,), wire)], 10_000, 0.0, wire), random.Random(1))
    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        await session.connect(Address("127.0.0.1", server.sockets[0].getsockname()[1]))
        turn = await turn_with_all_text_sent(session)
        first = turn.sent_at[-1] + 1.0
        session.on_audio(0, 2 * SAMPLE_RATE, first)
        session.on_audio(SAMPLE_RATE, 2 * SAMPLE_RATE, first + 1.5)
        session.end()
    assert turn.playout.stalls == pytest.approx([0.5])
