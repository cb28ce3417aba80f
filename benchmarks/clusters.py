"""A Ray cluster of several nodes on this machine, of which any can be killed, and that need not see a folder.

The head is that of Ray's own test cluster. Every other node is a process of its own, as on a machine of its own; where
a folder is hidden from it, an empty one lies over it, as `mount` and `unshare` allow it. Linux only.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
JOINS = 180.0  # seconds within which a node must have joined


class Nodes:
    """A head and `count` - 1 other nodes of one core each, from which `hidden` is hidden if given; close it."""

    def __init__(self, count: int, hidden: Path | None = None) -> None:
        self._hidden = hidden
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": port}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        self.client = f"ray://127.0.0.1:{port}"  # where machines outside reach it
        self._nodes: list[subprocess.Popen[bytes]] = []
        for _ in range(count - 1):
            self.add()

    def close(self) -> None:
        """Kill all nodes, and end the head."""
        for number in range(len(self._nodes) - 1, -1, -1):
            self.kill(number)
        ray.shutdown()
        self._cluster.shutdown()

    def add(self, full: Path | None = None, cores: int = 1, gpus: int = 0) -> None:
        """Start one more node, which joins within seconds.

        full: a folder whose disk has room for 64 kB there; gpus: that it says it has, so that workers are placed by
        them; they train on cores.
        """
        has = [f"--num-cpus={cores}", f"--num-gpus={gpus}"]
        command = [*RAY, "start", f"--address={self.address}", *has, "--block", "--disable-usage-stats"]
        covered = [f"mount -t tmpfs none {shlex.quote(str(self._hidden))}"] if self._hidden else []
        covered += [f"mount -t tmpfs -o size=64k none {shlex.quote(str(full))}"] if full else []
        if covered:
            command = ["unshare", "-Urm", "sh", "-c", " && ".join([*covered, f"exec {shlex.join(command)}"])]
        self._nodes.append(_started(command))

    def wait(self) -> None:
        """Wait until all nodes have joined."""
        ray.init(self.address, log_to_driver=False, ignore_reinit_error=True)
        deadline = time.monotonic() + JOINS
        while sum(node["Alive"] for node in ray.nodes()) <= len(self._nodes):
            if time.monotonic() > deadline:
                raise TimeoutError("a node of the Ray cluster did not join")
            for number, node in enumerate(self._nodes):
                if node.poll() is not None:  # Ray gives up where a machine is busy
                    self._nodes[number] = _started(node.args)
            time.sleep(0.1)
        ray.shutdown()

    @property
    def count(self) -> int:
        """How many nodes there are beside the head."""
        return len(self._nodes)

    def kill(self, number: int) -> None:
        """Kill a node that is not the head, with all that runs on it."""
        node = self._nodes.pop(number)
        for raylet in _raylets(node.pid):
            for pid in [*_children(raylet), raylet]:
                _kill(pid)
        with suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def actors(self) -> list[int]:
        """Return the processes that work for a study, on all nodes."""
        raylets = [raylet for node in self._nodes for raylet in _raylets(node.pid)]
        raylets += [process.process.pid for process in self._cluster.head_node.all_processes["raylet"]]
        return [pid for raylet in raylets for pid in _children(raylet, "ray::_Actor")]


def _started(command: Any) -> subprocess.Popen[bytes]:
    none = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=none, stderr=none, stdin=none, start_new_session=True)


def _raylets(session: int) -> list[int]:
    out = subprocess.run(["ps", "-s", str(session), "-o", "pid=,args="], capture_output=True, text=True).stdout
    rows = [row.split(maxsplit=2) for row in out.splitlines()]
    return [int(row[0]) for row in rows if row[1].endswith("/raylet")]


def _children(process: int, name: str = "") -> list[int]:
    out = subprocess.run(["ps", "--ppid", str(process), "-o", "pid=,args="], capture_output=True, text=True).stdout
    rows = [row.split(maxsplit=1) for row in out.splitlines()]
    return [int(row[0]) for row in rows if len(row) > 1 and row[1].startswith(name)]


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
