"""Clients of protocols that do not use one websocket for all turns."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import orjson

from streaming_server.bench.client import BINARY, HEAD_END, Address, Client, frame
from streaming_server.bench.wires import Kyutai, Listener, OpenAI, Wire, Wyoming


class PlainClient(Client):
    """A client without a websocket handshake."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._wire.on_open(time.perf_counter())

    def end(self) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.close()


class HttpClient(PlainClient):
    """Pipelines HTTP requests on one connection; responses are chunked."""

    _wire: OpenAI

    def __init__(self, listener: Listener, address: Address) -> None:
        super().__init__(listener, address, OpenAI)
        self._feed = self._head
        self._status = 0

    def _encode(self, payload: bytes) -> bytes:
        self._wire.on_request()
        where = self._address
        lines = [
            f"POST {where.prefix}{self._wire.path} HTTP/1.1",
            f"Host: {where.authority}",
            "Content-Type: application/json",
            f"Content-Length: {len(payload)}",
        ]
        lines += [f"{name}: {value}" for name, value in where.headers.items()]
        return "\r\n".join(lines).encode() + HEAD_END + payload

    def _head(self, data: bytes, now: float) -> int:
        end = data.find(HEAD_END)
        if end < 0:
            return 0
        self._status = int(data.split(b" ", 2)[1])
        if b"chunked" not in data[:end].lower():
            self._wire.on_response(self._status, now)
            self._close("refused")
            return len(data)
        self._feed = self._chunks
        begin = end + len(HEAD_END)
        return begin + self._chunks(data[begin:], now)

    def _chunks(self, data: bytes, now: float) -> int:
        at = 0
        while (line := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line], 16)
            end = line + 2 + size + 2
            if end > len(data):
                break
            if not size:
                self._feed = self._head
                self._wire.on_response(self._status, now)
                return end + (self._head(data[end:], now) if data[end:] else 0)
            self._wire.binary(data[line + 2 : line + 2 + size], now)
            at = end
        return at


class WyomingClient(PlainClient):
    """Wyoming events on one TCP connection."""

    _wire: Wyoming

    def __init__(self, listener: Listener, address: Address) -> None:
        super().__init__(listener, address, Wyoming)
        self._feed = self._events

    def _encode(self, payload: bytes) -> bytes:
        return payload

    def _events(self, data: bytes, now: float) -> int:
        """Read the complete events. Return the number of bytes consumed."""
        at = 0
        while (line := data.find(b"\n", at)) >= 0:
            header = orjson.loads(data[at:line])
            body = line + 1 + header.get("data_length", 0)
            end = body + header.get("payload_length", 0)
            if end > len(data):
                break
            said = orjson.loads(data[line + 1 : body]) if body > line + 1 else {}
            self._wire.event(header["type"], said, data[body:end], now)
            at = end
        return at


class KyutaiClient(Client):
    """Opens a websocket for every turn; the server closes it after the last audio."""

    _wire: Kyutai

    def __init__(self, listener: Listener, address: Address) -> None:
        super().__init__(listener, address, Kyutai)
        self._waiting: list[bytes] = []
        self._between = False
        self._hanging_up = 0
        self._connecting: asyncio.Task[None] | None = None

    def write(self, payload: bytes, *, last: bool = False) -> None:
        if self._between:
            self._between, self._rest = False, b""
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        if self._transport is not None and self._feed == self._frames:
            super().write(payload, last=last)
            return
        if last:
            self._wire.before_last()
        if payload:
            self._waiting.append(self._encode(payload))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._hanging_up:
            self._hanging_up -= 1
        else:
            super().connection_lost(exc)

    def _encode(self, payload: bytes) -> bytes:
        return frame(BINARY, payload)

    def _read_handshake(self, data: bytes, now: float) -> int:
        read = super()._read_handshake(data, now)
        if self._transport is not None and self._feed == self._frames:
            self._transport.write(b"".join(self._waiting))
            self._waiting.clear()
        return read

    def _close(self, reason: str) -> None:
        if reason != "lost" or self._ended or not self._wire.on_close(time.perf_counter()):
            super()._close(reason)
            return
        self._between = True
        self._feed = self._read_handshake
        transport, self._transport = self._transport, None
        if transport is not None:
            self._hanging_up += 1
            transport.close()

    async def _connect(self) -> None:
        loop, where = asyncio.get_running_loop(), self._address
        try:
            await loop.create_connection(lambda: self, where.host, where.port, ssl=where.secure or None)
        except OSError:
            self._close("refused")


def client_for(listener: Listener, address: Address, wire: type[Wire]) -> Client:
    """Return a client for a protocol."""
    clients: dict[type[Wire], type[HttpClient | WyomingClient | KyutaiClient]] = {
        OpenAI: HttpClient,
        Wyoming: WyomingClient,
        Kyutai: KyutaiClient,
    }
    made = clients.get(wire)
    return Client(listener, address, wire) if made is None else made(listener, address)
