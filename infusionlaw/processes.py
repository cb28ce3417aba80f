"""Processes beside this one: how many the machine has room for, and how they end."""

import os
import signal
import threading
from collections.abc import Iterator
from math import ceil
from multiprocessing import current_process, parent_process
from pathlib import Path

from infusionlaw.errors import InputError

CGROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # of Linux


def cores() -> int:
    """How many cores this process may use: those it may run on, or fewer where a container has a quota."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([there, *(ceil(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """CPU quotas, in cores, of the control groups that this process is in, of either version of them."""
    try:
        own = [line.split(":", 2) for line in OWN_GROUPS.read_text(encoding="utf8").splitlines()]
    except OSError:
        return  # not Linux
    for _, controllers, name in own:
        root = CGROUPS if not controllers else CGROUPS / controllers
        if controllers and "cpu" not in controllers.split(","):
            continue
        # A container may see its own group as the root, or the name that it has outside.
        for folder in (root / name.lstrip("/"), *(root / name.lstrip("/")).parents):
            if folder == CGROUPS.parent:
                break
            try:
                if controllers:
                    quota, period = ((folder / f"cpu.cfs_{part}_us").read_text() for part in ("quota", "period"))
                else:
                    quota, period = (folder / "cpu.max").read_text().split()
                if quota.strip() not in ("max", "-1"):
                    yield int(quota) / int(period)
            except (OSError, ValueError):
                continue


def check_guard() -> None:
    """InputError where a process that was started to work is still importing the script that started it, and would
    do that script's work once more."""
    if getattr(current_process(), "_inheriting", False):  # what multiprocessing itself asks
        raise InputError(
            'a script that runs a study must do so under `if __name__ == "__main__":`, since the processes that do the '
            "work import it"
        )


def serve() -> None:
    """Make this a process that ends with the one that started it, and that leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
