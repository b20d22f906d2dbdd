"""Places for connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from streaming_server.errors import Draining, Full
from streaming_server.settings import Settings
from streaming_server.web.limits import Limits


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
