"""Memory limits that Linux control groups, those of containers and of systemd, set for this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from streaming_server.types import MemoryReport


@dataclass(frozen=True, slots=True)
class _Version:
    """The names of a control group's files.

    inactive_file: the line of `memory.stat` with the bytes of page cache that the kernel drops first. They
    count as usage, but a group full of them has memory to spare (Kubernetes' "working set" leaves them out).
    """

    limit: str
    usage: str
    inactive_file: str


V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = _Version("memory.max", "memory.current", "inactive_file")


def group_memory(machine: int, root: Path = Path("/")) -> list[MemoryReport]:
    """Read the limit and usage of this process's control groups, the innermost first.

    machine: bytes of memory the machine has; groups that may use as much or more are left out, as are those
    whose files cannot be read. root: where `proc` and `sys` lie.
    """
    try:
        membership = (root / "proc/self/cgroup").read_text()
        mounts = (root / "proc/self/mountinfo").read_text()
    except OSError:
        return []
    reports = []
    for folder, version in memory_groups(membership, mounts):
        with suppress(OSError, ValueError):
            if (report := _read(root / folder.relative_to("/"), version, machine)) is not None:
                reports.append(report)
    return reports


def memory_groups(membership: str, mounts: str) -> Iterator[tuple[PurePosixPath, _Version]]:
    """Yield the folders of the groups that bound a process's memory, each before its parent.

    membership: /proc/self/cgroup. mounts: /proc/self/mountinfo. Formats: cgroups(7), proc(5).
    """
    for line in membership.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = V2 if (hierarchy, controllers) == ("0", "") else V1
        if version is V1 and "memory" not in controllers.split(","):
            continue
        for mount_root, mount_point in _mounts(mounts, version):
            inside = PurePosixPath("/")
            with suppress(
                ValueError
            ):  # A container may see only its own group, mounted as if it were the root.
                inside /= PurePosixPath(path).relative_to(mount_root)
            group = mount_point / inside.relative_to("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(mount_point):
                    yield folder, version


def smallest(machine: MemoryReport, groups: list[MemoryReport]) -> MemoryReport:
    """Return the memory a process may use: the smallest total, and the least that is free anywhere."""
    bounds = [machine, *groups]
    total = min(bound.total for bound in bounds)
    free = min(bound.total - bound.used for bound in bounds)
    return MemoryReport(used=min(total, max(0, total - free)), total=total)


def _mounts(mounts: str, version: _Version) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Yield the root, within the hierarchy, and the mount point of each mount of the memory controller."""
    for line in mounts.splitlines():
        mount, _, file_system = line.partition(" - ")
        fields, (kind, *_, options) = mount.split(), file_system.split()
        if kind == "cgroup2" if version is V2 else kind == "cgroup" and "memory" in options.split(","):
            yield PurePosixPath(fields[3]), PurePosixPath(fields[4].replace("\\040", " "))


def _read(folder: Path, version: _Version, machine: int) -> MemoryReport | None:
    """Raises OSError and ValueError."""
    limit = parse_limit((folder / version.limit).read_text())
    if limit is None or limit >= machine:
        return None
    usage = int((folder / version.usage).read_text())
    spare = parse_stat((folder / "memory.stat").read_text(), version.inactive_file)
    return MemoryReport(used=max(0, usage - spare), total=limit)


def parse_limit(text: str) -> int | None:
    """Return a limit in bytes, None for none. Raises ValueError."""
    return None if text.strip() == "max" else int(text)


def parse_stat(text: str, name: str) -> int:
    """Return a value of `memory.stat`, 0 if it is not there. Raises ValueError."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
