"""An HTTP server on this machine that voices are fetched from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """Sends half of the file, and the rest once `resume` is set."""

    url: str
    requests: list[str] = field(default_factory=list)
    resume: threading.Event = field(default_factory=threading.Event)


@contextmanager
def file_server(content: bytes, *, announced: int | None = None) -> Iterator[FileServer]:
    """announced: the length that the header names, if not that of `content`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) if announced is None else announced))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            files.resume.wait(20)
            self.wfile.write(content[len(content) // 2 :])

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        files = FileServer(f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield files
        finally:
            files.resume.set()
            server.shutdown()
            thread.join()
