"""Several processes that train one model: the run of one process to rounding, also where one of them is killed."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest
import torch
from safetensors.torch import load_file

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.errors import InputError
from infusionlaw.runners import worker
from infusionlaw.runners.lab import Machine, Pace, Part, Sort
from infusionlaw.runners.local import Lab
from infusionlaw.runs.begun import begun_step
from infusionlaw.runs.record import RunSettings, RunSpec, read_record
from infusionlaw.starts import read_start
from infusionlaw.training.loop import train
from infusionlaw.training.recipe import OtherShape, Recipe, recipe_for, shape_for
from infusionlaw.training.resolve import mixture_of, models_of, recipe_of
from infusionlaw.training.start import keep_start

transformers = pytest.importorskip("transformers")
SETTINGS = RunSettings(batch_factor=7)  # three blocks a step: two of one process, one of the other


@pytest.fixture
def study(corpus, tmp_path):
    """Two folders of one study, and the settings of a run from a Llama with grouped heads."""
    checkpoint = tmp_path / "llama"
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "max_position_embeddings": 256}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = transformers.LlamaConfig(**sizes, **heads, vocab_size=corpus.tokenizer.vocabulary)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(checkpoint)
    shutil.copy(corpus.tokenizer.path, checkpoint / "tokenizer.json")
    (checkpoint / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    start = read_start(checkpoint).hash
    for folder in (tmp_path / "one", tmp_path / "two"):
        shutil.copytree(corpus.folder, folder / "corpus")
        keep_start(folder, checkpoint, start, corpus.tokenizer.vocabulary)
    return tmp_path, replace(SETTINGS, start=start, start_rate=0.5)


def execute(folder: Path, specs: list[RunSpec], every: int = 10**9, processes: int = 1) -> list[tuple[str, int]]:
    """Do runs, and return their progress."""
    queue = SimpleQueue()
    worker.serve_folder(folder, queue, processes)
    try:
        worker.execute(tuple((spec,) for spec in specs), every)
    finally:
        progress = [queue.get() for _ in range(queue.qsize())]
    return [(each.run, each.step) for each in progress]


def check_alike(place: Path, spec: RunSpec) -> None:
    """The run ended in both folders with the same weights, losses and scores to rounding."""
    one, two = (place / name / "runs" / spec.id for name in ("one", "two"))
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    expected, found = (load_file(run / "model.safetensors") for run in (one, two))
    for name, weight in expected.items():
        assert (found[name] - weight).norm() < 1e-4 * weight.norm(), name
    lines = [[json.loads(line) for line in (run / "metrics.jsonl").open()] for run in (one, two)]
    for name in ("step", "tokens", "loss", "gradient_norm", "learning_rate"):
        assert [row[name] for row in lines[1]] == pytest.approx([row[name] for row in lines[0]], rel=1e-4, abs=2e-5)
    theirs, mine = (read_record(run / "record.json") for run in (one, two))
    for name in ("recall", "retention", "margin", "margin_se", "val_bpb", "val_bpb_se"):
        assert mine.score(name) == pytest.approx(theirs.score(name), abs=1e-4)


def test_two_processes_make_the_runs_of_one_and_it_goes_on_where_they_are_killed(study, monkeypatch) -> None:
    place, settings = study
    corpus = open_corpus(place / "two" / "corpus")
    llama = RunSpec(20_000, 9_600, 0.5, "share", 1, corpus.id, settings)
    begun, killed = replace(llama, seed=2), replace(llama, tokens=60_000)
    ends = [llama, replace(llama, size=10_000, settings=SETTINGS), begun]
    recipe = recipe_of(begun, corpus)
    reported = execute(place / "one", [*ends, killed])

    class Stop(Exception):
        pass

    def stop(step: int, rows: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        model, run = models_of([begun], recipe, corpus), place / "two" / "runs" / begun.id
        train(model, recipe, [mixture_of(begun, recipe, corpus)], [run], checkpoint_every=10, on_progress=stop)
    assert recipe.batch == 3 and begun_step(run) == 10

    run = place / "two" / "runs" / killed.id
    processes: list[int] = []

    def kill_the_second() -> None:
        deadline = time.monotonic() + 200
        while not begun_step(run) and time.monotonic() < deadline:
            time.sleep(0.05)
        (launcher,) = children(os.getpid())
        processes.extend(children(launcher))
        os.kill(processes[1], signal.SIGKILL)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # both on the CPU
    killer = threading.Thread(target=kill_the_second, daemon=True)
    killer.start()
    with pytest.raises(InputError, match=f"one of the 2 processes that train run {killed.id} .* was killed"):
        execute(place / "two", [*ends, killed], every=10, processes=2)
    killer.join()
    assert len(processes) == 2 and not any(Path(f"/proc/{process}").exists() for process in processes)
    for spec in ends:
        check_alike(place, spec)
    assert 0 < begun_step(run) < 50 and not (run / "record.json").exists()
    steps = execute(place / "two", [*ends, killed])
    assert steps == [each for each in reported if each[0] == killed.id][-len(steps) :]
    check_alike(place, killed)


def children(parent: int) -> list[int]:
    """The processes that train together or start them, of one that has begun them."""
    out = subprocess.run(["ps", "-ww", "--ppid", str(parent), "-o", "pid=,args="], capture_output=True, text=True)
    return [int(line.split()[0]) for line in out.stdout.splitlines() if "infusionlaw.runners.together" in line]


def test_models_that_cannot_train_as_a_batch_share_gpus(monkeypatch, tmp_path) -> None:
    small = recipe_for(10_000_000, 10**8, vocabulary=32_000)
    other = replace(small, shape=OtherShape(10_000_000, 40_000_000, 320, 8, 1280, 32_000))
    specs = [RunSpec(10_000_000, 10**8, 0.5, "share", seed, "data") for seed in range(1, 12)]
    room = 3 * other.memory + 10**9
    machine = Machine(True, 2, 10 * room, room=room, sharing=4)

    def part(count: int, machine: Machine = machine, recipe: Recipe = other) -> Part:
        (found,) = machine.parts(specs[:count], [recipe] * count, None)
        return found

    assert [part(count)[2:] for count in (1, 3, 4, 11)] == [(1, 2), (1, 2), (0.5, 4), (1 / 3, 6)]
    assert part(11, recipe=small).gpus == part(11, replace(machine, sharing=1)).gpus == 1
    assert part(11, replace(machine, room=other.memory)).gpus == 1
    phase = [replace(spec, tokens=tokens) for spec in specs[:4] for tokens in (10**8, 10**9)]
    (found,) = machine.parts(phase, [other] * 8, None)
    assert found.gpus == 0.5  # eight runs of four stable phases are four tasks
    monkeypatch.setattr("infusionlaw.runners.local.gpus", lambda: [*"357"])
    with Lab().workers(tmp_path, part(4), 3) as pool:
        look = "(__import__('time').sleep(1), __import__('os').environ['CUDA_VISIBLE_DEVICES'])"
        seen = [pool.submit(eval, look) for _ in range(3)]
        assert sorted(future.result()[1] for future in seen) == [*"335"]


def test_workers_that_share_gpus_are_timed_all_at_once_and_the_slowest_counts(tmp_path) -> None:
    seconds = [1.0, 3.0, 2.0, 1.0]

    class Timed(Lab):
        @contextmanager
        def workers(self, *given):
            yield self

        def submit(self, work, spec, members):
            future = Future()
            future.set_result((seconds.pop(), 5.0))
            return future

    recipe = recipe_for(10_000, 10**6, vocabulary=512)
    spec = RunSpec(10_000, 10**6, 0.5, "share", 1, "data")
    found = Timed().paces(tmp_path, {"one": Sort(spec, recipe, 1)}, Part([spec], [recipe], 0.5, 4))
    assert found == {"one": Pace(3.0, 5.0)} and not seconds


def test_a_run_that_one_gpu_cannot_hold_is_given_all_of_its_host(monkeypatch, tmp_path) -> None:
    recipe = recipe_for(1_000_000_000, 10**9, vocabulary=32_000, shape=shape_for(1_000_000_000, 32_000))
    small = recipe_for(10_000_000, 10**8, vocabulary=32_000)
    on_four = sum(recipe.memory_of(4).values())
    assert recipe.memory > on_four > 16 * recipe.shape.total_size / 4
    specs = [RunSpec(each.shape.size, each.tokens, 0.5, "share", 1, "data") for each in (recipe, small)]
    machine = Machine(True, 8, on_four, together=4)
    assert [machine.gpus_for(each) for each in (recipe, small)] == [4, 1]
    alone, large = machine.parts(specs, [recipe, small], None)
    assert (alone.specs, alone.gpus, alone.at_once) == ([specs[1]], 1, 8)
    assert (large.specs, large.gpus, large.at_once) == ([specs[0]], 4, 2)
    assert [replace(machine, together=gpus).gpus_for(recipe) for gpus in (1, 2, 3, 7, 8)] == [1, 2, 2, 4, 8]
    assert machine.gpus_for(recipe, asked=2) == 2
    monkeypatch.setattr(Lab, "machine", lambda self, recipes: machine)
    lab = Lab()
    lab.check_memory([small, recipe])
    lab.asked = 2  # as the study file says
    with pytest.raises(InputError, match="on each of 2 GPUs"):
        lab.check_memory([small, recipe])
    monkeypatch.setattr(Lab, "machine", lambda self, recipes: replace(machine, memory=on_four - 1))
    with pytest.raises(InputError, match=r"holds .* GB on each of 4 GPUs \(weights .*, gathered .*there are"):
        Lab().check_memory([small, recipe])

    monkeypatch.setattr(Lab, "machine", lambda self, recipes: machine)
    monkeypatch.setattr("infusionlaw.runners.local.gpus", lambda: [*"24689"])
    for part, visible in ((large, "2,4,6,8"), (alone, "2")):
        with Lab().workers(tmp_path, part, 1) as pool:
            assert pool.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == visible
