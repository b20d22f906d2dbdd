"""A file in a multipart form, written to disk as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread
from starlette.requests import Request

from streaming_server.errors import BadValue, TooLarge, TooSlow
from streaming_server.storage.database import storage_errors
from streaming_server.storage.files import discard
from streaming_server.web.content_encoding import decoder_of
from streaming_server.web.rest.form import FileForm
from streaming_server.web.services import voice_services

WRITE_BYTES = 512 * 1024
"""Bytes collected before each write: every write wakes a thread and then the event loop."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A complete file, in the data's temporary directory, and the fields sent with it."""

    file: Path
    filename: str | None
    fields: dict[str, str]


@asynccontextmanager
async def receive(
    request: Request, field: str, *, max_bytes: int, timeout_s: float
) -> AsyncIterator[UploadedFile]:
    """Receive the file in `field` of a multipart form; delete it on exit.

    Raises TooLarge as soon as Content-Length or the bytes received exceed max_bytes; Full, TooSlow,
    StorageFailure, BadMessage for a malformed form, and BadValue if the field is missing.
    """
    voices = voice_services(request)
    form = FileForm(request.headers.get("content-type", ""))
    if _content_length(request) > max_bytes:
        raise _too_large(max_bytes)
    async with voices.uploads.hold():
        spool = await to_thread.run_sync(voices.library.store.new_temporary, ".upload")
        try:
            with anyio.move_on_after(timeout_s) as limit:
                await _write_body(request, form, spool, max_bytes)
            if limit.cancelled_caught:
                raise TooSlow("The upload took too long.")
            if form.file_field != field:
                raise BadValue("a file is required.", field=field)
            yield UploadedFile(spool, form.filename, form.fields)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(discard, spool)


async def _write_body(request: Request, form: FileForm, spool: Path, max_bytes: int) -> None:
    decoder = decoder_of(request)
    out = await to_thread.run_sync(_open, spool)
    received = total = 0
    pending = bytearray()
    try:
        async for chunk in request.stream():
            received += len(chunk)
            for content in decoder.feed(chunk):
                total += len(content)
                if max(received, total) > max_bytes:
                    raise _too_large(max_bytes)
                pending += form.feed(content)
                if len(pending) >= WRITE_BYTES:
                    data, pending = pending, bytearray()
                    await to_thread.run_sync(_write, out, data)
        decoder.finish()
        form.finish()
        await to_thread.run_sync(_write, out, pending)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_close, out)


def _content_length(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _too_large(max_bytes: int) -> TooLarge:
    most = f"{max_bytes // 2**20} MiB" if max_bytes >= 2**20 else f"{max_bytes} bytes"
    return TooLarge(f"The upload is longer than {most}.")


def _open(file: Path) -> BinaryIO:
    with storage_errors():
        return file.open("wb", buffering=0)


def _write(out: BinaryIO, data: bytearray) -> None:
    with storage_errors():
        rest = memoryview(data)
        while rest:
            rest = rest[out.write(rest) :]


def _close(out: BinaryIO) -> None:
    with storage_errors():
        out.close()
