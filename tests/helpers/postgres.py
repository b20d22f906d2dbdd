"""A PostgreSQL server of the tests' own, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import psycopg

from helpers.required import missing
from helpers.servers import free_port, until

USER = "speech"


class Postgres:
    """A running server. `stop` and `start` it again; its data stays."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._schemas = count(1)
        self.port = free_port()
        # PostgreSQL refuses to run as root.
        owner = "nobody" if os.getuid() == 0 else None
        self._owner = {"user": owner, "group": "nogroup", "extra_groups": []} if owner else {}
        if owner:
            shutil.chown(folder, owner, "nogroup")
        initdb = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", USER, "-E", "UTF8"]
        self._run([*initdb, "--locale=C.UTF-8", "--no-sync"])

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port)),
                    *("-h", "127.0.0.1", "-k", self._folder, "-c", "fsync=off", "-c", "max_connections=60"),
                ],
                cwd="/",
                stdout=subprocess.DEVNULL,
                stderr=log,
                **self._owner,
            )
        until(self._answers, 30)

    def stop(self, *, carefully: bool = True) -> None:
        """End all connections and the server, `carefully` after writing everything to the disk."""
        self._process.send_signal(signal.SIGINT if carefully else signal.SIGQUIT)
        self._process.wait(30)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside the block, connections are accepted and nothing is answered."""
        main = psutil.Process(self._process.pid)
        stopped = [main, *main.children(recursive=True)]
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                process.resume()

    def schema_url(self) -> str:
        """Return the URL of a new, empty schema."""
        name = f"test_{next(self._schemas)}"
        with psycopg.connect(self._url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{self._url()}?options=-csearch_path%3D{name}"

    def _url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            psycopg.connect(self._url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, command: list[str | Path]) -> None:
        subprocess.run(command, cwd="/", check=True, capture_output=True, timeout=60, **self._owner)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server. Skip the test where PostgreSQL is not installed, except in continuous integration."""
    if (programs := _programs()) is None:
        missing("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    # Not in pytest's folder, which only its own user can enter.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        one = Postgres(programs, Path(folder))
        one.start()
        try:
            yield one
        finally:
            one.stop(carefully=False)


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).parent if elsewhere else None
