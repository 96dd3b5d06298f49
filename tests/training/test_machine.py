"""What the process may use of the machine, in a container, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genloss.training import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups, of which this process is in `/a/b` of version 2 and `/c` of version 1."""
    own = tmp_path / "own"
    own.write_text("12:cpu,cpuacct:/c\n11:memory:/c\n0::/a/b\n")
    monkeypatch.setattr(machine, "OWN", own)
    monkeypatch.setattr(machine, "TREE", tmp_path / "tree")
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path / "tree"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000\n", 8),
        ("400000 100000\n", 4),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("damaged", 8),
        ("", 8),
    ],
)
@pytest.mark.parametrize("where", ["a/b", "a", "."])
def test_a_quota_of_version_2(groups: Path, where: str, limit: str, cores: int) -> None:
    """Of its own group, of one above it, or of what is the root in a container."""
    write(groups / where, cpu__max=limit)
    assert machine.cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("300000", 3), ("50000", 1)])
@pytest.mark.parametrize("where", ["cpu,cpuacct/c", "cpu,cpuacct", "cpu/c", "cpu"])
def test_a_quota_of_version_1(groups: Path, where: str, quota: str, cores: int) -> None:
    write(groups / where, cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert machine.cores() == cores


def test_the_least_of_several_quotas(groups: Path) -> None:
    write(groups / "a", cpu__max="300000 100000")
    write(groups / "a/b", cpu__max="500000 100000")
    assert machine.cores() == 3


def test_the_memory_of_a_container(groups: Path) -> None:
    whole = machine.memory()
    assert whole is not None
    assert whole > 2**28
    write(groups / "memory" / "c", memory__limit_in_bytes=str(2**40 * 1000))
    write(groups / "a", memory__max="max")
    assert machine.memory() == whole
    write(groups / "a", memory__max=str(2**27))
    assert machine.memory() == 2**27
    write(groups / "memory", memory__limit_in_bytes=str(2**26))
    assert machine.memory() == 2**26


def test_a_machine_without_control_groups(groups: Path) -> None:
    machine.OWN.unlink()
    assert machine.cores() == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS binds no process to cores")
def test_cores_are_those_that_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    before = machine.cores()
    assert 1 <= before <= len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
