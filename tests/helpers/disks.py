"""Full and read-only disks."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from helpers.servers import Server


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Limit files of this process to `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[None]:
    """Mount a disk of 320 KiB at `folder`; skip the test if this user may not mount."""
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(("size=320k", *options)), "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full_disk(server: Server, room: int = 1) -> Iterator[None]:
    """Make every disk look full to this process by limiting file size; children are not limited."""
    process = psutil.Process(server.process.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)


def make_read_only(folder: Path) -> None:
    """Remount a `small_disk` so that it can only be read."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
