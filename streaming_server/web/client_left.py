"""The error for a client that has left, whatever the server raises when it sends to it."""

from __future__ import annotations

from starlette.types import Message, Send


class ClientLeft(Exception):
    """The client has left or its connection is broken."""


def raising_client_left(send: Send) -> Send:
    """Wrap `send` of ASGI so that it raises ClientLeft where the server raises OSError."""

    async def translating(message: Message) -> None:
        try:
            await send(message)
        except OSError as error:
            raise ClientLeft from error

    return translating
