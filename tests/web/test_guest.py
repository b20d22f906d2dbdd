"""The application under ASGI servers that know none of its extensions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.doors import TEXT, WEBSOCKETS, VoiceDoor
from helpers.guests import COMMANDS, running_guest
from helpers.servers import Server
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=COMMANDS)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_guest(request.param, tmp_path_factory.mktemp(request.param) / "log") as server:
        yield server


@pytest.mark.parametrize("door", WEBSOCKETS, ids=lambda door: door.__name__)
async def test_every_websocket_speaks_as_under_its_own_server(
    server: Server, guest: Server, door: VoiceDoor
) -> None:
    spoken = await door(guest, TEXT, {}, "aria")
    assert len(spoken) > 10_000
    assert spoken == await door(server, TEXT, {}, "aria")


@pytest.mark.parametrize(
    ("path", "status"), [("/ws/nowhere", 404), ("/api/tts_streaming?format=unheard_of", 422)]
)
async def test_a_refused_handshake_has_its_status(guest: Server, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(guest.ws_url + path, proxy=None)
    assert refused.value.response.status_code == status
