"""Train one model on all GPUs of a machine: a process a GPU, which PyTorch's elastic launcher starts and watches.

`on_all` starts this module as a launcher, which starts it once more for each GPU. All processes do the same function of
`worker`; progress and the result come back through a pipe. When one of them dies, the launcher ends the others.
"""

import os
import pickle
import signal
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from infusionlaw.errors import InputError
from infusionlaw.files import write_text
from infusionlaw.processes import end_with
from infusionlaw.runs.record import Progress

MODULE = "infusionlaw.runners.together"
ERROR = "error.txt"
LAST = 20_000  # bytes of what the processes said that are kept where one was killed


def on_all(
    work: Callable[..., Any], args: Sequence[Any], gpus: int, folder: Path, queue: Any, runs: Sequence[str]
) -> Any:
    """Have a process a GPU do a function of `worker`, and return what the first of them returns.

    folder: the study's; queue: where progress goes; runs: what they work on, one after another.
    """
    payload = b64encode(pickle.dumps((folder, work, args))).decode()
    command = [sys.executable, "-m", MODULE, str(os.getpid()), str(gpus), payload]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # what this process can import
    told: dict[str, Any] = {}
    with TemporaryFile() as said, Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=said, env=env) as launcher:
        assert launcher.stdout is not None
        try:
            with suppress(EOFError, pickle.UnpicklingError):  # they have ended, at a word perhaps
                while True:
                    kind, value = pickle.load(launcher.stdout)
                    if kind == "progress":
                        queue.put(value)
                    else:
                        told.setdefault(kind, value)
        finally:
            launcher.terminate()
        if "killed" not in told and "failed" in told:
            raise InputError(told["failed"])
        if "done" not in told:
            places = [folder / "runs" / run for run in runs]
            place = next((place for place in places if not (place / "record.json").exists()), places[-1])
            error = (place if place.exists() else folder) / ERROR
            said.seek(max(0, said.seek(0, os.SEEK_END) - LAST))
            write_text(error, said.read().decode(errors="replace"))
            why = "was killed from outside (out of memory?)" if "killed" in told else "ended"
            raise InputError(
                f"{folder}: one of the {gpus} processes that train run {place.name} together {why}; "
                f"run the same command again to go on; what they said is in {error}"
            ) from ChildProcessError()
    return told["done"]


def launch(parent: int, gpus: int, payload: str) -> None:
    """Start a process a GPU, and end them all when one ends badly."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    end_with(parent)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options = [
        "--standalone",
        f"--nproc-per-node={gpus}",
        "--max-restarts=0",
        "--monitor-interval=0.2",
        f"--log-dir={os.devnull}",
    ]
    try:
        run(parse_args([*options, "-m", MODULE, str(os.getpid()), payload]))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        ended = {failure.exitcode for failure in error.failures.values()}
        if any(code < 0 for code in ended - {-signal.SIGTERM}):  # by which the launcher itself ends the others
            _Out(sys.stdout.buffer).say("killed", None)
        raise


def take_part(parent: int, payload: str) -> None:
    """Be one of the processes."""
    end_with(parent)
    out = _Out(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what libraries print
    folder, work, args = pickle.loads(b64decode(payload))
    try:
        from infusionlaw.runners.worker import serve_folder
        from infusionlaw.training.group import join, leads, leave

        join()
        serve_folder(folder, out)
        value = work(*args)
        if leads():
            out.say("done", value)
        leave()
    except InputError as error:
        out.say("failed", str(error))
        raise


@dataclass(frozen=True)
class _Out:
    """The pipe to the process that waits, as a queue for progress."""

    pipe: BinaryIO

    def put(self, progress: Progress) -> None:
        self.say("progress", progress)

    def say(self, kind: str, value: Any) -> None:
        self.pipe.write(pickle.dumps((kind, value)))
        self.pipe.flush()


if __name__ == "__main__":
    number, *others = sys.argv[1:]
    if len(others) == 2:
        launch(int(number), int(others[0]), others[1])
    else:
        take_part(int(number), others[0])
