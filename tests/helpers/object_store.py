"""An S3-compatible object store of the tests' own, on loopback: moto's server."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from helpers.servers import free_port, until


class ObjectStore:
    """A running store. It keeps its objects in memory: they are gone after `stop`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._buckets = count(1)
        self.port = free_port()

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which a server finds the store."""
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdout=log,
                stderr=log,
            )
        until(self._answers, 60)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Inside the block, the store takes requests and answers none."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def new_bucket(self, name: str | None = None) -> str:
        """Create an empty bucket and return its URL."""
        name = name or f"speech-{next(self._buckets)}"
        self._ask("PUT", f"/{name}")
        return f"s3://{name}/of/a/cluster"

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            self._ask("GET", "/")
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str) -> None:
        url = f"http://127.0.0.1:{self.port}{path}"
        data = b"" if method == "PUT" else None
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10):
            pass


@contextmanager
def running_object_store(log: Path) -> Iterator[ObjectStore]:
    one = ObjectStore(log)
    one.start()
    try:
        yield one
    finally:
        one.stop()
