"""A form with a file in it, taken apart as it arrives."""

from __future__ import annotations

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from streaming_server.errors import BadMessage

FIELD_BYTES = 64 * 1024
MOST_PARTS = 9
"""A file and a few fields."""


class FileForm:
    """`multipart/form-data` (RFC 7578) with one file. Pure: the file's bytes go back to whoever feeds it.

    fields: what was sent beside the file, as text. file_field, filename: what the file was sent as; None
    before it came. Raises BadMessage for what is no such form.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise BadMessage("Send the file as multipart/form-data, as a browser's form or `curl -F` does.")
        if not options.get(b"boundary"):
            raise BadMessage("The form cannot be read: its header does not say what divides its parts.")
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
        self._whole = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._take_header,
                    "on_header_value": self._take_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_content,
                    "on_part_data": self._take,
                    "on_part_end": self._end,
                    "on_end": self._conclude,
                },
            )
        except FormParserError:
            raise _unreadable() from None

    def feed(self, data: bytes) -> bytes:
        """More of the body; what of it is the file's. Raises BadMessage."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise _unreadable() from None
        taken = bytes(self._file)
        self._file.clear()
        return taken

    def finish(self) -> None:
        """That was all. Raises BadMessage where it was not."""
        if not self._whole:
            raise BadMessage("The form cannot be read: it ends too early.")

    # As the parser calls them.

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise BadMessage(f"The form cannot be read: it has more than {MOST_PARTS} parts.")
        self._disposition = b""
        self._field.clear()

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadMessage("The form cannot be read: a part of it has no name.")
        self._name = _text(options[b"name"])
        self._in_file = b"filename" in options
        if self._in_file:
            if self.file_field is not None:
                raise BadMessage("The form cannot be read: one file is enough.")
            self.file_field, self.filename = self._name, _text(options[b"filename"])

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file += data[start:end]
            return
        self._field += data[start:end]
        if len(self._field) > FIELD_BYTES:
            raise BadMessage(f"The form cannot be read: a field is longer than {FIELD_BYTES // 1024} KiB.")

    def _end(self) -> None:
        if not self._in_file:
            self.fields[self._name] = _text(bytes(self._field))

    def _conclude(self) -> None:
        self._whole = True


def _text(raw: bytes) -> str:
    """Clients write UTF-8; those that do not write one byte a letter."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _unreadable() -> BadMessage:
    return BadMessage("The form cannot be read: its parts are not divided as its header says.")
