"""A file a client sends, counted as it arrives."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from streaming_server.database import storage_errors
from streaming_server.errors import BadMessage, BadValue, TooLarge, TooSlow

FIELD_BYTES = 64 * 1024
MOST_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Upload:
    """A file, as far as it came whole, and the fields sent with it."""

    file: BinaryIO
    filename: str | None
    fields: dict[str, str]

    def save(self, target: Path) -> None:
        """Write it to a file. Blocks. Raises StorageFailure."""
        self.file.seek(0)
        with storage_errors(), target.open("wb") as out:
            shutil.copyfileobj(self.file, out, 1024 * 1024)


@asynccontextmanager
async def receive(request: Request, field: str, *, max_bytes: int, timeout_s: float) -> AsyncIterator[Upload]:
    """The file of a multipart form's field, for as long as it is needed.

    Raises TooLarge as soon as more than max_bytes have come, TooSlow, BadMessage for what is no such form,
    and BadValue where the field is missing.
    """
    counted = Request(request.scope, _counting(request, max_bytes))
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise BadMessage("Send the file as multipart/form-data, as a browser's form or `curl -F` does.")
    with anyio.move_on_after(timeout_s) as limit:
        try:
            form = await counted.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES)
        except HTTPException as error:
            raise BadMessage(f"The form cannot be read: {error.detail}") from None
    if limit.cancelled_caught:
        raise TooSlow("The file did not arrive in time.")
    try:
        sent = form.get(field)
        if not isinstance(sent, UploadFile):
            raise BadValue(f"{field}: a file is needed here.")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        yield Upload(sent.file, sent.filename, fields)
    finally:
        await form.close()


def _counting(request: Request, max_bytes: int) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await request.receive()
        total += len(message.get("body", b""))
        if total > max_bytes:
            raise TooLarge(f"The upload is longer than {max_bytes // 2**20} MiB.")
        return message

    return counted
