"""A multipart form with one file, parsed as it arrives."""

from __future__ import annotations

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from streaming_server.errors import BadMessage

MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 9
"""Enough for a file and a few fields."""


class FileForm:
    """`multipart/form-data` (RFC 7578) with one file, whose bytes `feed` returns. No I/O.

    Starlette's parser would spool the file in memory and then to the system's temporary directory, with a
    thread for every chunk. An upload must be on the disk of the data directory, where it is stored.

    fields: the other parts, as text. file_field, filename: of the file; None until it arrives. Raises
    BadMessage for anything that is not such a form.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise BadMessage("Send the file as multipart/form-data, as a browser's form or `curl -F` does.")
        if not options.get(b"boundary"):
            raise BadMessage("Malformed form: the Content-Type has no boundary.")
        self.fields: dict[str, str] = {}
        self.file_field: str | None = None
        self.filename: str | None = None
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._name = ""
        self._in_file = False
        self._field = bytearray()
        self._file = bytearray()
        self._parts = 0
        self._complete = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _malformed() from None

    def feed(self, data: bytes) -> bytes:
        """Parse more of the body and return the part of it that belongs to the file. Raise BadMessage."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise _malformed() from None
        file = bytes(self._file)
        self._file.clear()
        return file

    def finish(self) -> None:
        """Raise BadMessage unless the form is complete."""
        if not self._complete:
            raise BadMessage("Malformed form: it ends before its last boundary.")

    # Callbacks of the parser.

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadMessage(f"Malformed form: it has more than {MAX_PARTS} parts.")
        self._disposition = b""
        self._field.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadMessage("Malformed form: a part has no name.")
        self._name = _decode(options[b"name"])
        self._in_file = b"filename" in options
        if self._in_file:
            if self.file_field is not None:
                raise BadMessage("The form has more than one file.")
            self.file_field, self.filename = self._name, _decode(options[b"filename"])

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file += data[start:end]
            return
        self._field += data[start:end]
        if len(self._field) > MAX_FIELD_BYTES:
            raise BadMessage(f"A field of the form is longer than {MAX_FIELD_BYTES // 1024} KiB.")

    def _part_end(self) -> None:
        if not self._in_file:
            self.fields[self._name] = _decode(bytes(self._field))

    def _end(self) -> None:
        self._complete = True


def _decode(raw: bytes) -> str:
    """Decode UTF-8, or Latin-1 as old clients write it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _malformed() -> BadMessage:
    return BadMessage("Malformed form: its parts do not match its boundary.")
