"""A reverse proxy that serves a server under a path prefix, as nginx does with `location /tts/`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

CHUNK = 65536


@contextmanager
def prefix_proxy(port: int, prefix: str) -> Iterator[int]:
    """Forward connections to a local port; yield the proxy's own. Each connection carries one request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, port, prefix), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, port: int, prefix: str) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_forward, args=(client, port, prefix), daemon=True).start()


def _forward(client: socket.socket, port: int, prefix: str) -> None:
    with closing(client), suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := client.recv(CHUNK)):
                return
            head += more
        method, path, rest = head.split(b" ", 2)
        if not path.startswith(prefix.encode()):
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if b"upgrade: websocket" not in head.lower():  # one request only: the next may come from elsewhere
            rest = rest.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            rest = rest.replace(b"\r\nConnection: keep-alive", b"")
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(b" ".join((method, b"/" + path[len(prefix) :], rest)))
            threading.Thread(target=_pipe, args=(client, server), daemon=True).start()
            _pipe(server, client)


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
