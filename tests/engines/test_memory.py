"""Memory of the machine and of the control groups this process runs in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.engines.cgroup import (
    V1,
    V2,
    group_memory,
    memory_groups,
    parse_limit,
    parse_stat,
    smallest,
)
from streaming_server.engines.memory import machine_memory, parse_meminfo
from streaming_server.types import MemoryReport

MIB = 2**20
GIB = 2**30
MACHINE = MemoryReport(used=6 * GIB, total=16 * GIB)

MEMINFO = """\
MemTotal:       16384000 kB
MemFree:          123456 kB
MemAvailable:   12288000 kB
Buffers:          234567 kB
HugePages_Total:       0
"""

V2_MEMBERSHIP = "0::/system.slice/speech.service\n"
V2_MOUNTS = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V2_STAT = (
    "anon 104857600\nfile 734003200\ninactive_anon 4096\ninactive_file 629145600\nactive_file 104857600\n"
)

V1_MEMBERSHIP = "12:pids:/docker/abc\n4:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n"
V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory
34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
CONTAINER_MOUNTS = "33 31 0:30 /docker/abc /sys/fs/cgroup/memory ro master:5 - cgroup cgroup rw,memory\n"
V1_STAT = "cache 734003200\ninactive_file 1\ntotal_cache 734003200\ntotal_inactive_file 629145600\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def folders(membership: str, mounts: str) -> list[str]:
    return [str(folder) for folder, _ in memory_groups(membership, mounts)]


def test_meminfo() -> None:
    assert parse_meminfo(MEMINFO) == MemoryReport(used=4_096_000 * 1024, total=16_384_000 * 1024)


def test_limits() -> None:
    assert parse_limit("max\n") is None
    assert parse_limit("1073741824\n") == GIB
    with pytest.raises(ValueError, match="invalid literal"):
        parse_limit("")


def test_stat() -> None:
    assert parse_stat(V2_STAT, "inactive_file") == 600 * MIB
    assert parse_stat(V1_STAT, "total_inactive_file") == 600 * MIB
    assert parse_stat("", "inactive_file") == 0


def test_groups_are_found_up_to_the_mount_point() -> None:
    assert folders(V2_MEMBERSHIP, V2_MOUNTS) == [
        "/sys/fs/cgroup/system.slice/speech.service",
        "/sys/fs/cgroup/system.slice",
        "/sys/fs/cgroup",
    ]


def test_only_the_hierarchy_with_the_memory_controller_counts_in_version_1() -> None:
    assert [(str(folder), version) for folder, version in memory_groups(V1_MEMBERSHIP, V1_MOUNTS)] == [
        ("/sys/fs/cgroup/memory/docker/abc", V1),
        ("/sys/fs/cgroup/memory/docker", V1),
        ("/sys/fs/cgroup/memory", V1),
        ("/sys/fs/cgroup/unified/docker/abc", V2),
        ("/sys/fs/cgroup/unified/docker", V2),
        ("/sys/fs/cgroup/unified", V2),
    ]


def test_a_container_sees_its_own_group_as_the_mount_point() -> None:
    assert folders(V1_MEMBERSHIP, CONTAINER_MOUNTS) == ["/sys/fs/cgroup/memory"]
    assert folders("4:memory:/somewhere/else\n", CONTAINER_MOUNTS) == ["/sys/fs/cgroup/memory"]
    assert folders("0::/\n", V2_MOUNTS) == ["/sys/fs/cgroup"]


def test_mount_points_may_hold_spaces() -> None:
    mounts = V2_MOUNTS.replace("/sys/fs/cgroup", "/sys/fs/c\\040group")
    assert folders("0::/\n", mounts) == ["/sys/fs/c group"]


def test_nothing_is_mounted() -> None:
    assert folders(V2_MEMBERSHIP, "") == []
    assert folders("", V2_MOUNTS) == []


def test_reads_version_2(tmp_path: Path) -> None:
    """Page cache that the kernel drops first is not used memory."""
    group = "sys/fs/cgroup/system.slice/speech.service"
    files = {
        "proc/self/cgroup": V2_MEMBERSHIP,
        "proc/self/mountinfo": V2_MOUNTS,
        f"{group}/memory.max": "1073741824\n",
        f"{group}/memory.current": "943718400\n",
        f"{group}/memory.stat": V2_STAT,
        "sys/fs/cgroup/system.slice/memory.max": "max\n",
        "sys/fs/cgroup/system.slice/memory.current": "943718400\n",
    }
    assert group_memory(MACHINE.total, write(tmp_path, files)) == [MemoryReport(used=300 * MIB, total=GIB)]


def test_reads_version_1(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": V1_MEMBERSHIP,
        "proc/self/mountinfo": CONTAINER_MOUNTS,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "943718400\n",
        "sys/fs/cgroup/memory/memory.stat": V1_STAT,
    }
    assert group_memory(MACHINE.total, write(tmp_path, files)) == [MemoryReport(used=300 * MIB, total=GIB)]


@pytest.mark.parametrize("limit", ["9223372036854771712", str(MACHINE.total)])
def test_a_limit_above_the_machines_memory_is_none(limit: str, tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": V1_MEMBERSHIP,
        "proc/self/mountinfo": CONTAINER_MOUNTS,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{limit}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "943718400\n",
        "sys/fs/cgroup/memory/memory.stat": V1_STAT,
    }
    assert group_memory(MACHINE.total, write(tmp_path, files)) == []


def test_missing_or_unreadable_files_are_ignored(tmp_path: Path) -> None:
    assert group_memory(MACHINE.total, tmp_path) == []
    files = {"proc/self/cgroup": V2_MEMBERSHIP, "proc/self/mountinfo": V2_MOUNTS}
    files["sys/fs/cgroup/memory.max"] = "many\n"
    assert group_memory(MACHINE.total, write(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], MACHINE),
        ([MemoryReport(3 * GIB, 4 * GIB)], MemoryReport(3 * GIB, 4 * GIB)),
        ([MemoryReport(GIB, 12 * GIB)], MemoryReport(2 * GIB, 12 * GIB)),
        ([MemoryReport(GIB, 4 * GIB), MemoryReport(7 * GIB, 8 * GIB)], MemoryReport(3 * GIB, 4 * GIB)),
        ([MemoryReport(5 * GIB, 4 * GIB)], MemoryReport(4 * GIB, 4 * GIB)),
    ],
    ids=["none", "below", "machine has less free", "parent has less free", "over the limit"],
)
def test_the_smallest_bound_counts(groups: list[MemoryReport], expected: MemoryReport) -> None:
    assert smallest(MACHINE, groups) == expected


@given(st.lists(st.builds(MemoryReport, st.integers(0, 2**63), st.integers(1, MACHINE.total))))
def test_a_report_is_within_its_total(groups: list[MemoryReport]) -> None:
    report = smallest(MACHINE, groups)
    assert 0 <= report.used <= report.total <= MACHINE.total


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine() -> None:
    report = machine_memory()
    assert 0 < report.used < report.total
