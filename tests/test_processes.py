"""How many cores there are to use, in a container too; and processes that end with the one that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infusionlaw import processes


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups in which this process is in /docker/one; 8 cores."""
    monkeypatch.setattr(processes, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processes, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cgroup" / "docker" / "one").mkdir(parents=True)
    (tmp_path / "cgroup" / "cpu,cpuacct" / "docker").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/docker/one\n")
    return tmp_path


@pytest.mark.parametrize(("quota", "cores"), [("max", 8), ("50000", 1), ("200000", 2), ("250000", 3), ("9900000", 8)])
def test_a_quota_bounds_the_cores(container: Path, quota: str, cores: int) -> None:
    (container / "cgroup" / "docker" / "one" / "cpu.max").write_text(f"{quota} 100000\n")
    assert processes.cores() == cores


def test_the_least_quota_of_all_groups_above_counts(container: Path) -> None:
    (container / "cgroup" / "docker" / "one" / "cpu.max").write_text("max 100000\n")
    (container / "cgroup" / "docker" / "cpu.max").write_text("300000 100000\n")
    assert processes.cores() == 3


def test_quotas_of_the_first_version_count(container: Path) -> None:
    (container / "own").write_text("4:memory:/\n3:cpu,cpuacct:/docker/one\n")
    (container / "cgroup" / "cpu,cpuacct" / "docker" / "cpu.cfs_quota_us").write_text("150000\n")
    (container / "cgroup" / "cpu,cpuacct" / "docker" / "cpu.cfs_period_us").write_text("100000\n")
    assert processes.cores() == 2


def test_without_control_groups_the_affinity_counts(container: Path) -> None:
    (container / "own").unlink()
    assert processes.cores() == 8


@pytest.mark.parametrize(
    ("own", "file"),
    [
        ("0::/docker/one\n", "docker/one/memory.max"),
        ("0::/docker/one\n", "docker/memory.max"),
        ("0::/docker/one\n", "memory.max"),
        ("3:memory:/docker/one\n0::/\n", "memory/docker/memory.limit_in_bytes"),
    ],
)
def test_the_least_limit_of_all_groups_above_bounds_the_memory(container: Path, own: str, file: str) -> None:
    (container / "own").write_text(own)
    whole = processes.memory()
    path = container / "cgroup" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("max\n")
    assert processes.memory() == whole
    path.write_text("123456789\n")
    assert processes.memory() == 123_456_789 < whole


PARENT = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from infusionlaw.processes import serve
pool = ProcessPoolExecutor(1, get_context("spawn"), serve)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends when it wakes")
def test_a_worker_that_is_stopped_ends_with_the_process_that_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        os.kill(worker, signal.SIGSTOP)
        parent.terminate()
    deadline = time.time() + 10
    while time.time() < deadline and not ended(worker):
        time.sleep(0.02)
    assert ended(worker)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="there are no such signals")
def test_a_process_that_is_only_starting_does_not_hear_ctrl_c() -> None:
    asks = "import signal; print(*sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"
    with processes.deaf():
        out = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True).stdout
    assert out.split() == [str(int(signal.SIGHUP)), str(int(signal.SIGINT))]
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_that_python_starts_for_locks_does_not_hear_the_end_of_the_terminal() -> None:
    code = (
        "from multiprocessing.resource_tracker import _resource_tracker as tracker\n"
        "from infusionlaw.processes import check_shared_memory\n"
        "check_shared_memory()\n"
        "print(open(f'/proc/{tracker._pid}/status').read())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (blocked,) = (int(row.split()[1], 16) for row in out.splitlines() if row.startswith("SigBlk"))
    assert blocked & (1 << (signal.SIGHUP - 1))
