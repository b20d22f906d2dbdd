"""A file a client sends: counted as it arrives, and written to the disk at once."""

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
from streaming_server.web.rest.form import FileForm
from streaming_server.web.services import parts_of

WRITTEN_AT_ONCE = 512 * 1024
"""Bytes kept in memory of each: every write is a wake-up of a thread, and of the event loop after it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came whole, and the fields sent with it. file: among the data's temporary ones."""

    file: Path
    filename: str | None
    fields: dict[str, str]


@asynccontextmanager
async def receive(request: Request, field: str, *, max_bytes: int, timeout_s: float) -> AsyncIterator[Upload]:
    """The file of a multipart form's field, for as long as it is needed.

    Raises TooLarge before a byte is read where the request says its length, and otherwise as soon as more
    than max_bytes have come; Full, TooSlow, StorageFailure, BadMessage for what is no such form, and BadValue
    where the field is missing.
    """
    parts = parts_of(request)
    form = FileForm(request.headers.get("content-type", ""))
    if _said_length(request) > max_bytes:
        raise _too_large(max_bytes)
    async with parts.uploads.place():
        spool = await to_thread.run_sync(parts.store.new_temporary, ".upload")
        try:
            with anyio.move_on_after(timeout_s) as limit:
                await _write_down(request, form, spool, max_bytes)
            if limit.cancelled_caught:
                raise TooSlow("The file did not arrive in time.")
            if form.file_field != field:
                raise BadValue("a file is needed here.", field=field)
            yield Upload(spool, form.filename, form.fields)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(discard, spool)


async def _write_down(request: Request, form: FileForm, spool: Path, max_bytes: int) -> None:
    """Write the form's file to the disk as it arrives."""
    out = await to_thread.run_sync(_open, spool)
    total, unwritten = 0, bytearray()
    try:
        async for chunk in request.stream():
            total += len(chunk)
            if total > max_bytes:
                raise _too_large(max_bytes)
            unwritten += form.feed(chunk)
            if len(unwritten) >= WRITTEN_AT_ONCE:
                data, unwritten = unwritten, bytearray()
                await to_thread.run_sync(_write, out, data)
        form.finish()
        await to_thread.run_sync(_write, out, unwritten)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_close, out)


def _said_length(request: Request) -> int:
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else 0


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
