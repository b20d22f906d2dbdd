"""The files of the page, compressed for browsers that accept gzip: a third of the bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

COMPRESSIBLE = frozenset({".html", ".js", ".css", ".svg", ".json"})
"""Endings of files that are compressed."""
LEVEL = 6
"""zlib's default level of compression."""


class PageFiles(StaticFiles):
    """Each file is compressed once, in a thread, and kept; there are few."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._compressed: dict[str, tuple[str, bytes]] = {}

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if Path(path).suffix in COMPRESSIBLE:
            response.headers["Vary"] = "Accept-Encoding"
            if isinstance(response, FileResponse) and _wants_gzip(scope):
                return await to_thread.run_sync(self._compress, response)
        return response

    def _compress(self, response: FileResponse) -> Response:
        """Return the compressed file. Its ETag is weak: the same content, not the same bytes. Blocks."""
        path, etag = str(response.path), response.headers["etag"]
        known, body = self._compressed.get(path, ("", b""))
        if known != etag:
            body = gzip.compress(Path(path).read_bytes(), LEVEL, mtime=0)
            self._compressed[path] = etag, body
        headers = {
            "Content-Encoding": "gzip",
            "Vary": "Accept-Encoding",
            "ETag": f"W/{etag}",
            "Last-Modified": response.headers["last-modified"],
        }
        return Response(body, headers=headers, media_type=response.media_type)


def _wants_gzip(scope: Scope) -> bool:
    """Return whether a request may be answered with the whole file, compressed."""
    headers = Headers(scope=scope)
    codings = [coding.strip().lower() for coding in headers.get("accept-encoding", "").split(",")]
    return scope["method"] == "GET" and "gzip" in codings and "range" not in headers
