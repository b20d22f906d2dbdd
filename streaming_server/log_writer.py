"""Writes log records in a separate thread, so that logging never blocks the event loop."""

from __future__ import annotations

import io
import logging
import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import IO, cast

CAPACITY = 4096
"""Records that may wait to be written."""

FLUSH_S = 1.0
"""Seconds that `close` waits for the records still in the queue."""


class LogWriter(QueueHandler):
    """Formats records where they are logged and passes them to another handler in a thread.

    The other handler may block for as long as its destination does, such as a pipe that nobody reads. Records
    that do not fit into the queue are dropped and counted; the count is logged once the queue is empty again.
    """

    def __init__(self, target: logging.Handler, capacity: int = CAPACITY) -> None:
        # SimpleQueue is reentrant: a finalizer may log while one of its methods runs.
        self._records: SimpleQueue[logging.LogRecord | threading.Event | None] = SimpleQueue()
        super().__init__(self._records)
        self._target = target
        self._capacity = capacity
        self._dropped = 0
        self._closed = False
        threading.Thread(target=self._run, name="log writer", daemon=True).start()

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._records.qsize() < self._capacity:
            self._records.put(record)
        else:
            self._dropped += 1  # `handle` holds the handler's lock.

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Count a record that cannot be formatted. The standard library would write to standard error."""
        self._dropped += 1

    def close(self) -> None:
        """Write what is in the queue, for at most `FLUSH_S`, and end the thread. Idempotent."""
        if not self._closed:
            self._closed = True  # `logging.shutdown` closes it again, when the thread may not have ended yet.
            written = threading.Event()
            self._records.put(written)
            written.wait(FLUSH_S)
            self._records.put(None)
        super().close()

    def _run(self) -> None:
        while (item := self._records.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            self._emit(item, counts=1)
            if self._dropped and self._records.empty():
                dropped = self._take_dropped()
                self._emit(self.prepare(_drop_report(dropped)), counts=dropped)

    def _emit(self, record: logging.LogRecord, counts: int) -> None:
        """Write a record. One that cannot be written must not end the log: add `counts` to the dropped ones.

        `handle` would hold a lock that `logging.shutdown` needs, for as long as the write blocks.
        """
        try:
            self._target.emit(record)
        except Exception:
            with self._locked():
                self._dropped += counts

    def _take_dropped(self) -> int:
        with self._locked():
            dropped, self._dropped = self._dropped, 0
            return dropped

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the handler's lock, which `enqueue` is called with."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _drop_report(dropped: int) -> logging.LogRecord:
    message = "log messages dropped (log not read, or not writable): %d"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (dropped,), None)


class DescriptorStream(io.TextIOBase):
    """A text stream that writes to a file descriptor at once.

    `sys.stderr` has a buffer whose lock the interpreter needs at exit, and a write that blocks would hold it.
    What cannot be written because the other end is closed is lost.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # Another process has made the pipe non-blocking.
                select.select([], [self._descriptor], [])
            except OSError:
                break
        return len(text)

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor


def standard_error() -> IO[str]:
    """Return an unbuffered stream to standard error."""
    return cast(IO[str], DescriptorStream(2))
