"""Processes beside this one: how many the machine has room for, and how they end."""

import ctypes
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from math import ceil
from multiprocessing import current_process, get_context, parent_process
from pathlib import Path
from typing import Any, TypeVar

from infusionlaw.errors import InputError

CGROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # of Linux
T = TypeVar("T")
_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
PROCESS = 200_000_000  # bytes that a training process takes beside its model
NO_THREAD = "can't start new thread"  # as Python says it
TOO_MANY = (
    "no more threads or processes may be started; close other programs, raise the limit (ulimit -u) or set fewer "
    "[run] devices, and run the same command again"
)
NO_MEMORY = "memory was too short; set fewer [run] devices or smaller sizes and run the same command again"
_NO_MEMORY_WORDS = ("allocate memory", "out of memory", "not enough memory", "alloc_cpu", "failed to map segment")


def machine_too_small(error: BaseException) -> str:
    """Say what to do where an error means too little memory or too few threads; "": it means neither."""
    said = str(error).lower()
    if isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY_WORDS):
        return NO_MEMORY
    return TOO_MANY if NO_THREAD in said else ""


def keep_memory(largest: int, free: int) -> None:
    """Keep the memory of freed arrays up to a size, and so much of it in all, in bytes; without `mallopt` do nothing.

    glibc maps fresh pages for each large array and gives them back at once; the kernel then has to zero them again,
    thousands of times where the same arrays are freed and taken again (docs/speed.md has the figures).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, largest)
        mallopt(_TRIM_THRESHOLD, free)


def cores() -> int:
    """How many cores this process may use: those it may run on, or fewer where a container has a quota."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([there, *(ceil(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """CPU quotas, in cores, of the control groups that this process is in, of either version of them."""
    for folder, first_version in _groups("cpu"):
        try:
            if first_version:
                quota, period = ((folder / f"cpu.cfs_{part}_us").read_text() for part in ("quota", "period"))
            else:
                quota, period = (folder / "cpu.max").read_text().split()
            if quota.strip() not in ("max", "-1"):
                yield int(quota) / int(period)
        except (OSError, ValueError):
            continue


def _groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """The folders of the control groups that this process is in, and of those above them, and if of version 1."""
    try:
        own = [line.split(":", 2) for line in OWN_GROUPS.read_text(encoding="utf8").splitlines()]
    except OSError:
        return  # not Linux
    for _, controllers, name in own:
        root = CGROUPS if not controllers else CGROUPS / controllers
        if controllers and controller not in controllers.split(","):
            continue
        # A container may see its own group as the root, or the name that it has outside.
        for folder in (root / name.lstrip("/"), *(root / name.lstrip("/")).parents):
            if folder == CGROUPS.parent:
                break
            yield folder, bool(controllers)


def memory() -> int:
    """How many bytes of memory this process may use: the machine's, or fewer where a container has a limit."""
    there = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for folder, first_version in _groups("memory"):
        try:
            there.append(int((folder / ("memory.limit_in_bytes" if first_version else "memory.max")).read_text()))
        except (OSError, ValueError):  # no limit
            continue
    return min(there, default=2**63)


def room_for(bytes_each: int, there: int = 0) -> int:
    """How many training processes that hold so many bytes each there is memory for, at least 1. there: the memory."""
    return max(1, (there or memory()) // (bytes_each + PROCESS))


def check_guard() -> None:
    """InputError where a process that was started to work is still importing the script that started it, and would
    do that script's work once more."""
    if getattr(current_process(), "_inheriting", False):  # what multiprocessing itself asks
        raise InputError(
            'a script that runs a study must do so under `if __name__ == "__main__":`, since the processes that do the '
            "work import it"
        )


def check_shared_memory() -> None:
    """InputError where processes cannot share locks, for lack of the shared memory that these lie in."""
    try:
        with deaf():  # Python starts a process for the first lock
            get_context("spawn").Lock()
    except (ImportError, OSError) as error:
        raise InputError(
            f"training processes share locks in /dev/shm, and nothing can be written there ({error}); "
            "mount it writable and run the same command again"
        ) from error


@contextmanager
def told_if_too_many() -> Iterator[None]:
    """Say in a sentence that the machine starts no more threads or processes."""
    try:
        yield
    except RuntimeError as error:
        if not (said := machine_too_small(error)):
            raise
        raise InputError(said) from error
    except BlockingIOError as error:  # of fork
        raise InputError(TOO_MANY) from error


@contextmanager
def deaf() -> Iterator[None]:
    """Start processes here that hear neither Ctrl-C nor the end of the terminal, which both reach all processes.

    The one that starts them hears it afterwards, and ends them. Windows has no such signals.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pool(ProcessPoolExecutor):
    """Processes that serve this one; see `serve` and `deaf`."""

    def __init__(self, count: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()):
        with deaf():
            super().__init__(count, get_context("spawn"), initializer or serve, arguments)

    def submit(self, work: Callable[..., T], /, *args: Any, **more: Any) -> "Future[T]":
        """Have a process do it; the first call starts them all."""
        with deaf():
            return super().submit(work, *args, **more)


def serve() -> None:
    """Make this a process that ends with the one that started it, and that leaves Ctrl-C to it.

    On Linux the kernel sees to it, so that it ends even while it is stopped.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        return
    if not end_with(parent.pid):
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def processor() -> str:
    """Return what this machine's processor is called."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def end_with(parent: int | None) -> bool:
    """Have the kernel end this process with the one that started it; False where it cannot, elsewhere than on Linux."""
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL):
        return False
    if os.getppid() != parent:  # it has ended before
        os._exit(1)
    return True


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Meet SIGTERM and SIGHUP as Ctrl-C is met, so that the processes begun here are stopped before this one ends.

    The KeyboardInterrupt carries the signal. One that is ignored, as under nohup, stays so; a second one ends at once.
    """
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt(number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
