"""Processes beside this one: how many the machine has room for, and how they end."""

import os
import signal
import threading
from multiprocessing import current_process, parent_process

from infusionlaw.errors import InputError


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
