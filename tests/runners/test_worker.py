"""What goes wrong in a training process, or in starting one, is one sentence that names the run; nothing is left."""

import errno
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from itertools import count
from multiprocessing import active_children
from queue import SimpleQueue
from socket import gethostname
from types import SimpleNamespace

import pytest

from infusionlaw import cli
from infusionlaw.errors import InputError
from infusionlaw.runners import lab, worker
from infusionlaw.runners.local import Lab
from infusionlaw.runs.begun import begun_step
from infusionlaw.settings import Run, read_study_file
from infusionlaw.study.design import grid
from infusionlaw.training.loop import train
from infusionlaw.training.probe import build_probes
from infusionlaw.training.resolve import mixture_of, models_of, recipe_of


@pytest.fixture
def study(material, corpus):
    """The study file, the folder that its corpus is in, and its runs."""
    file = read_study_file(material / "study.toml")
    return SimpleNamespace(file=file, folder=corpus.folder.parent, runs=grid(file, corpus.id))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), r"memory was too short; set fewer \[run\] devices"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory was too short"),
        (RuntimeError("can't start new thread"), "no more threads or processes may be started"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; fix that"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero; run the same command again"),
    ],
)
def test_an_error_in_a_run_is_a_sentence_and_its_traceback_a_file(study, tmp_path, monkeypatch, error, said) -> None:
    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr("infusionlaw.runners.execute.execute_together", fails)
    monkeypatch.setattr("infusionlaw.training.loop.time_steps", fails)
    monkeypatch.setattr(worker, "_material", lambda block: (open_corpus(study), None))
    monkeypatch.setattr(worker._Worker, "folder", tmp_path, raising=False)
    spec = study.runs[0]
    for work, place in (
        (lambda: worker.execute(((spec,),), 50), tmp_path / "runs" / spec.id),
        (lambda: worker.calibrate(spec, 1), tmp_path),
    ):
        with pytest.raises(InputError, match=f"run {spec.id} stopped: .*{said}") as told:
            work()
        assert str(place / "error.txt") in str(told.value) and "\n" not in str(told.value)
        assert "in fails" in (place / "error.txt").read_text()


def open_corpus(study):
    from infusionlaw.corpus.corpus import open_corpus

    return open_corpus(study.folder / "corpus")


def kill_myself(*work) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_names_the_run_that_it_was_at(study, monkeypatch) -> None:
    file = study.file.model_copy(update={"run": Run(devices=1)})
    for name in ("execute", "calibrate"):
        monkeypatch.setattr(lab, name, kill_myself)
    spec = study.runs[0]
    with pytest.raises(InputError, match=rf"was killed from outside .* at work on run {spec.id};"):
        list(Lab().execute(file, study.folder, [spec]))
    with pytest.raises(InputError, match=rf"was killed from outside .* at work on run {spec.id};"):
        Lab().estimate(file, study.folder, [spec])


@pytest.mark.parametrize("started", [0, 1])
def test_a_thread_that_cannot_be_started_is_a_sentence(study, monkeypatch, started) -> None:
    begin, number = threading.Thread.start, count()

    def start(thread) -> None:
        if next(number) >= started:
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(InputError, match="no more threads or processes may be started"):
        list(Lab().execute(study.file, study.folder, study.runs[:1]))
    assert not active_children()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("can't start new thread"), "no more threads or processes may be started"),
        (MemoryError(), "memory was too short"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "memory was too short"),
    ],
)
def test_nor_is_it_a_traceback_of_a_command(error, said, monkeypatch, capsys) -> None:
    def app(**options) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")


@pytest.mark.skipif(sys.platform == "win32", reason="there is none")
def test_without_shared_memory_nothing_is_prepared(study, tmp_path, monkeypatch) -> None:
    def none(*arguments) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", none)
    with pytest.raises(InputError, match=r"/dev/shm, .*Read-only file system"):
        Lab().prepare(study.file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_carries_the_metrics_of_its_step_and_names_the_machine(study, corpus, tmp_path, monkeypatch) -> None:
    told, spec = SimpleQueue(), study.runs[0]
    monkeypatch.setattr(worker, "_material", lambda block: (corpus, build_probes(corpus, block)))
    monkeypatch.setattr(worker._Worker, "folder", tmp_path, raising=False)
    monkeypatch.setattr(worker._Worker, "queue", told, raising=False)
    worker.execute(((spec,),), 10**9)
    progress = [told.get() for _ in range(told.qsize())]
    lines = (tmp_path / "runs" / spec.id / "metrics.jsonl").read_text().splitlines()
    assert len(lines) > 5 and [dict(each.measured) for each in progress] == list(map(json.loads, lines))
    assert [each.step for each in progress] == [json.loads(line)["step"] for line in lines]
    assert all(each.run == spec.id and gethostname() in each.device for each in progress)


def test_models_of_a_batch_that_have_come_to_different_steps_go_on_each_from_its_own(study, corpus, tmp_path) -> None:
    class Stop(Exception):
        pass

    def stop(step: int, rows: object) -> None:
        raise Stop

    (tmp_path / "corpus").symlink_to(corpus.folder)
    specs = [replace(spec, seed=seed) for spec in study.runs[-1:] for seed in (1, 2)]
    recipe, folders = recipe_of(specs[0], corpus), [tmp_path / "runs" / spec.id for spec in specs]
    mixtures = [mixture_of(spec, recipe, corpus) for spec in specs]
    with pytest.raises(Stop):
        train(models_of(specs, recipe, corpus), recipe, mixtures, folders, checkpoint_every=10, on_progress=stop)
    assert [begun_step(folder) for folder in folders] == [10, 10]
    (folders[1] / "checkpoint.json").unlink()  # killed before it was written
    queue = SimpleQueue()
    worker.serve_folder(tmp_path, queue)
    records = worker.execute((tuple(specs),), 10**9)
    assert [(record.run, record.status) for record in records] == [(spec.id, "ok") for spec in specs]
    progress = [queue.get() for _ in range(queue.qsize())]
    first, second = ([each.step for each in progress if each.run == spec.id] for spec in specs)
    assert len(second) >= len(first) > 0 and progress[-1].run == specs[1].id
