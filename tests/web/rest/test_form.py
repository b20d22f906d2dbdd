"""The incremental parser of forms with a file."""

from __future__ import annotations

import pytest

from streaming_server.errors import BadMessage
from streaming_server.web.rest.form import MAX_FIELD_BYTES, MAX_PARTS, FileForm

KIND = "multipart/form-data; boundary=cut"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    more = f'; filename="{filename}"' if filename is not None else ""
    head = f'--cut\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'
    return head.encode() + b"Content-Type: text/plain\r\n\r\n" + data + b"\r\n"


def parsed(body: bytes, size: int = 10_000) -> tuple[FileForm, bytes]:
    form = FileForm(KIND)
    file = b"".join(form.feed(body[at : at + size]) for at in range(0, len(body), size))
    form.finish()
    return form, file


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_file_survives_any_chunking(size: int) -> None:
    data = bytes(range(256)) * 20 + b"\r\n--cu\r\n--"
    body = part("prompt_id", "mine é".encode()) + part("audio_file", data, "a \N{BELL}.wav") + b"--cut--\r\n"
    form, file = parsed(body, size)
    assert file == data
    assert (form.file_field, form.filename) == ("audio_file", "a \N{BELL}.wav")
    assert form.fields == {"prompt_id": "mine é"}


def test_a_file_may_precede_fields_or_be_absent() -> None:
    form, file = parsed(part("audio_file", b"sound", "a.wav") + part("prompt_id", b"mine") + b"--cut--")
    assert (form.fields, file) == ({"prompt_id": "mine"}, b"sound")
    form, file = parsed(part("prompt_id", b"mine") + b"--cut--")
    assert (form.file_field, file) == (None, b"")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "ends before"),
        (part("audio_file", b"sound", "a.wav"), "ends before"),
        (b"no form at all", "do not match"),
        (b"--cut\r\nContent-Disposition: form-data\r\n\r\nx\r\n--cut--", "has no name"),
        (part("field", b"x" * (MAX_FIELD_BYTES + 1)) + b"--cut--", "longer than 64 KiB"),
        (part("field", b"x") * (MAX_PARTS + 1) + b"--cut--", "more than 9 parts"),
        (part("one", b"x", "a.wav") + part("two", b"x", "b.wav") + b"--cut--", "more than one file"),
    ],
)
def test_rejects_a_malformed_form_with_a_reason(body: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        parsed(body)


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 300]
)
def test_rejects_other_content_types(kind: str) -> None:
    with pytest.raises(BadMessage):
        FileForm(kind)
