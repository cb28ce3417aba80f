"""The lock of a study's folder: one run at a time, and nobody who only looks stops it."""

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infusionlaw.errors import InputError
from infusionlaw.study.study import is_held, locked

HOLD = """
import sys, time
from pathlib import Path
from infusionlaw.study.study import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(folder: Path, seconds: float) -> "subprocess.Popen[str]":
    """A process that holds the lock, once it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_another_process_is_seen_and_kept_out_until_it_is_killed(tmp_path) -> None:
    process = holder(tmp_path, 60)
    assert is_held(tmp_path)
    with pytest.raises(InputError, match="another process is running this study"), locked(tmp_path):
        pass
    process.kill()
    process.wait()
    assert not is_held(tmp_path)
    with locked(tmp_path):
        pass


def test_a_look_at_the_moment_a_run_begins_does_not_stop_it(tmp_path) -> None:
    process = holder(tmp_path, 0.4)  # far longer than `is_held` has it
    with locked(tmp_path):
        assert process.wait() == 0


def test_looking_writes_nothing_and_works_in_a_folder_that_never_ran(tmp_path) -> None:
    assert not is_held(tmp_path)
    assert not is_held(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_gives_the_lock_back(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    start = time.perf_counter()
    with locked(tmp_path):
        pass
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")])
def test_a_file_system_without_locks_is_named_with_a_way_out(tmp_path, monkeypatch, error) -> None:
    def refuse(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match=r"the file system there has no locks.*with --out"), locked(tmp_path):
        pass
    assert not is_held(tmp_path)
