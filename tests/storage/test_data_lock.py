"""One server at a time uses a data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streaming_server.errors import EngineFailure
from streaming_server.storage.data_lock import DataLock


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lock = DataLock(folder)
    with pytest.raises(EngineFailure, match="Another server uses the data directory"):
        DataLock(folder)
    lock.close()
    DataLock(folder).close()


def test_a_killed_owner_releases_the_directory(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from streaming_server.storage.data_lock import DataLock;"
        "lock = DataLock(pathlib.Path(sys.argv[1])); print('owned', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"owned\n"
        with pytest.raises(EngineFailure):
            DataLock(tmp_path)
        owner.kill()
        owner.wait()
        DataLock(tmp_path).close()


def test_children_do_not_inherit_the_ownership(tmp_path: Path) -> None:
    """A worker that outlives the server for a moment must not prevent the next start."""
    lock = DataLock(tmp_path)
    command = [sys.executable, "-c", "print('begun', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        lock.close()
        DataLock(tmp_path).close()
        child.communicate(b"\n")
