"""A log without a reader never blocks the server."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.servers import Server, free_port, until
from helpers.talk import talking

from streaming_server import log_writer
from streaming_server.log_writer import DescriptorStream, LogWriter

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Pipe:
    reading: int
    writing: int

    def fill(self) -> int:
        """Write until it is full; return the number of bytes."""
        size = 0
        os.set_blocking(self.writing, False)
        for block in (b"x" * 4096, b"x"):
            try:
                while True:
                    size += os.write(self.writing, block)
            except BlockingIOError:
                continue
        os.set_blocking(self.writing, True)
        return size

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (part := os.read(self.reading, size - len(data))):
            data += part
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    yield Pipe(reading, writing)
    for descriptor in (reading, writing):
        os.close(descriptor)


def writer_to(pipe: Pipe, capacity: int) -> LogWriter:
    writer = LogWriter(logging.StreamHandler(DescriptorStream(pipe.writing)), capacity)
    writer.setFormatter(logging.Formatter("%(message)s"))
    return writer


def log(writer: LogWriter, message: str) -> None:
    writer.handle(logging.LogRecord("test", logging.INFO, __file__, 0, message, (), None))


def test_records_that_do_not_fit_are_dropped_and_counted(pipe: Pipe) -> None:
    filled = pipe.fill()
    writer = writer_to(pipe, capacity=10)
    for number in range(100):
        log(writer, f"message {number:02}")
    pipe.read(filled)
    report = ""
    lines: list[str] = []
    with os.fdopen(os.dup(pipe.reading)) as reader:
        while not report:
            line = reader.readline().rstrip()
            if "dropped" in line:
                report = line
            else:
                lines.append(line)
    assert lines[:10] == [f"message {number:02}" for number in range(10)]
    assert len(lines) + int(report.rpartition(" ")[2]) == 100
    writer.close()


def test_close_writes_what_is_left(pipe: Pipe) -> None:
    writer = writer_to(pipe, capacity=1000)
    for _ in range(500):
        log(writer, "message")
    writer.close()
    writer.close()
    assert pipe.read(500 * 8) == b"message\n" * 500


def test_closing_again_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "FLUSH_S", 1000.0)
    for _ in range(20):
        writer = LogWriter(logging.NullHandler())
        writer.close()
        writer.close()


def test_a_closed_reader_is_not_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = writer_to(Pipe(reading, writing), capacity=10)
    log(writer, "message")
    writer.close()
    os.close(writing)


def test_a_non_blocking_pipe_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read(1_000_000)))
    reader.start()
    assert DescriptorStream(pipe.writing).write("x" * 1_000_000) == 1_000_000
    reader.join()
    assert received == [b"x" * 1_000_000]


@pytest.fixture
def unread_server(pipe: Pipe, tmp_path: Path) -> Iterator[Server]:
    """Start a server whose log goes to a full pipe."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "run.py", f"--port={port}", "--debug", "--log-format=json", "--max-workers=1"],
        cwd=ROOT,
        env={**os.environ, "DIA_DATA_DIR": str(tmp_path / "data")},
        stdout=pipe.writing,
        stderr=pipe.writing,
    )
    server = Server(process, port, tmp_path / "log")
    try:
        until(server.ready, 30)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def filled(pipe: Pipe) -> int:
    return pipe.fill()


@pytest.mark.anyio
async def test_a_server_with_an_unread_log_speaks_and_exits(
    filled: int, pipe: Pipe, unread_server: Server
) -> None:
    for _ in range(3):
        async with talking(unread_server.ws_url) as talk:
            assert (await talk.speak("Hello there."))["type"] == "done"
    assert unread_server.get("/livez")[0] == 200
    pipe.read(filled)
    with os.fdopen(os.dup(pipe.reading)) as log_file:
        while json.loads(log_file.readline())["event"] != "listening":
            pass
    pipe.fill()
    unread_server.process.send_signal(signal.SIGTERM)
    assert unread_server.process.wait(15) == 0


def test_an_unread_start_up_error_does_not_block_the_exit(filled: int, pipe: Pipe) -> None:
    process = subprocess.Popen([sys.executable, "run.py", "--engine=magic"], cwd=ROOT, stderr=pipe.writing)
    assert process.wait(20) == 2


def test_a_record_that_cannot_be_written_does_not_end_the_log() -> None:
    written: list[str] = []

    class Fragile(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "bad":
                raise RuntimeError("cannot be rendered")
            written.append(record.getMessage())

    writer = LogWriter(Fragile())
    for message in ("first", "bad", "last"):
        writer.handle(logging.LogRecord("name", logging.INFO, "path", 1, message, (), None))
    until(lambda: any("log messages dropped" in message for message in written))
    writer.close()
    assert [message for message in written if "dropped" not in message] == ["first", "last"]


def test_a_report_of_dropped_records_that_cannot_be_written_does_not_end_the_log() -> None:
    written: list[str] = []
    refused: list[str] = []

    class Fragile(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if message == "bad" or ("dropped" in message and len(refused) < 2):
                refused.append(message)
                raise RuntimeError("cannot be rendered")
            written.append(message)

    writer = LogWriter(Fragile())
    log(writer, "bad")
    until(lambda: len(refused) == 2)
    log(writer, "last")
    until(lambda: "last" in written and any(message.endswith("not writable): 1") for message in written))
    writer.close()
