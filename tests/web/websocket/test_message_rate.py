"""Rate limit of messages."""

from __future__ import annotations

import pytest

from streaming_server.errors import RateLimited
from streaming_server.web.websocket.message_rate import MessageRate


def test_a_burst_is_twice_the_rate() -> None:
    rate = MessageRate(50)
    for _ in range(100):
        rate.count()
    with pytest.raises(RateLimited, match="50 per second"):
        for _ in range(100):  # The time it takes to count allows a few more.
            rate.count()
