"""Token counts that share a stable phase: a decay branch is the run it would be alone, and three cost little more."""

import json
import shutil
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.runners.execute import execute_together
from infusionlaw.runners.local import Lab
from infusionlaw.runners.schedule import schedule, starts
from infusionlaw.runs.begun import begun_step
from infusionlaw.runs.record import RunSpec
from infusionlaw.settings import read_study_file
from infusionlaw.study.design import grid
from infusionlaw.training.probe import build_probes
from infusionlaw.training.recipe import recipe_for
from infusionlaw.training.resolve import doses_of, recipe_of, stable_phase_of

TOKEN_COUNTS = (16_000, 32_000, 64_000)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def specs(material, corpus):
    """The runs of three token counts at one size, dose and seed."""
    study = read_study_file(material / "study.toml")
    design = study.design.model_copy(update={"tokens": TOKEN_COUNTS, "sizes": (10_000,), "shares": (0.6,)})
    return [spec for spec in grid(study.model_copy(update={"design": design}), corpus.id) if spec.dose]


def execute(specs, corpus, folder, **options):
    return list(execute_together(specs, corpus, build_probes(corpus, 128), folder, checkpoint_every=100, **options))


def into(steps: list[int]):
    """Progress of which the steps are kept."""
    return lambda step, rows: steps.append(step)


def in_order(specs, corpus, folder) -> dict[str, list[int]]:
    """Do the runs as scheduled; returns the steps that each one told of."""
    told: dict[str, list[int]] = {}
    for task in schedule(specs, corpus, folder, 0.0):
        for together in task:
            execute(together, corpus, folder, on_progress=into(told.setdefault(together[0].id, [])))
    return told


@pytest.fixture(scope="module")
def grown(specs, corpus, tmp_path_factory):
    """The folder in which they were done from one stable phase, and the steps told of."""
    folder = tmp_path_factory.mktemp("grown")
    return folder, in_order(specs, corpus, folder)


def test_a_decay_branch_is_bit_for_bit_the_run_it_would_be_alone(specs, corpus, grown, tmp_path) -> None:
    folder, _ = grown
    for spec in specs:
        execute([spec], corpus, tmp_path)
        for name in ("model.safetensors", "record.json", "ledger.json", "probes.json"):
            branch, alone = (place / "runs" / spec.id / name for place in (folder, tmp_path))
            assert branch.read_bytes() == alone.read_bytes(), (spec.tokens, name)
        steps = [
            [json.loads(line)["step"] for line in (place / "runs" / spec.id / "metrics.jsonl").open()]
            for place in (folder, tmp_path)
        ]
        assert steps[0] == steps[1]


def test_three_token_counts_cost_at_most_1_3_of_the_longest(specs, corpus, grown) -> None:
    _, told = grown
    recipes = [recipe_of(spec, corpus) for spec in specs]
    begins = starts(specs, corpus)
    assert begins == [0, recipes[0].decay_start, recipes[1].decay_start]
    assert all(begin < told[spec.id][0] <= begin + 25 for begin, spec in zip(begins, specs, strict=True))
    cost = sum(recipe.steps - begin for recipe, begin in zip(recipes, begins, strict=True))
    assert recipes[2].steps < cost < 1.3 * recipes[2].steps
    assert sum(recipe.steps for recipe in recipes) > 1.7 * recipes[2].steps


def test_the_last_15_percent_cool_as_one_minus_root_and_all_before_is_shared() -> None:
    short, long = (recipe_for(20_000, tokens, vocabulary=512, shortest=500_000) for tokens in (500_000, 2_000_000))
    assert (short.batch, short.learning_rate, short.warmup) == (long.batch, long.learning_rate, long.warmup)
    shared = range(short.decay_start)
    assert [short.learning_rate_at(i) for i in shared] == [long.learning_rate_at(i) for i in shared]
    assert short.decay == pytest.approx(0.15 * short.steps, abs=1)
    left = [1 - short.learning_rate_at(short.decay_start + i) / short.learning_rate for i in (0, short.decay // 4)]
    assert left[0] < 0.1 and left[1] == pytest.approx(0.5, abs=0.02)


def test_killed_on_a_decay_branch_it_goes_on_to_the_same_bytes(specs, corpus, grown, tmp_path) -> None:
    class Killed(Exception):
        pass

    def kill(step: int, rows: object) -> None:
        if step >= recipe_of(specs[1], corpus).decay_start + 10:
            raise Killed

    folder = tmp_path / "killed"
    execute([specs[0]], corpus, folder)
    with pytest.raises(Killed):
        execute([specs[1]], corpus, folder, on_progress=kill)
    assert begun_step(folder / "runs" / specs[1].id) and begun_step(
        folder / "stable" / stable_phase_of(specs[1], corpus)
    )
    in_order(specs[1:], corpus, folder)
    for spec in specs:
        same = [(place / "runs" / spec.id / "model.safetensors").read_bytes() for place in (folder, grown[0])]
        assert same[0] == same[1]


def test_a_shorter_run_asked_for_later_is_trained_from_the_start_and_leaves_the_stable_phase(
    specs, corpus, grown, tmp_path
) -> None:
    folder = shutil.copytree(grown[0], tmp_path / "copy")
    between = replace(specs[0], tokens=24_000)
    stable = folder / "stable" / stable_phase_of(between, corpus)
    longest = begun_step(stable)
    assert longest == recipe_of(specs[2], corpus).decay_start
    assert in_order([between], corpus, folder)[between.id][0] == 25
    assert begun_step(stable) == longest


def test_models_that_train_in_a_batch_from_stable_phases_agree_with_each_alone(specs, corpus, grown, tmp_path) -> None:
    others = [replace(spec, seed=9) for spec in specs]
    (task,) = schedule([*specs, *others], corpus, tmp_path / "together", 1e12)
    assert [len(together) for together in task] == [2, 2, 2]
    for together in task:
        records = execute(together, corpus, tmp_path / "together")
    alone = json.loads((grown[0] / "runs" / specs[2].id / "record.json").read_text())
    assert records[0].val_bpb == pytest.approx(alone["val_bpb"], abs=0.01)


def test_a_batch_is_divided_only_where_a_worker_would_stand_idle(specs, corpus) -> None:
    seeds = [replace(specs[2], seed=seed) for seed in range(5)]
    for workers, sizes in ((1, [5]), (3, [1, 2, 2]), (8, [1] * 5)):
        tasks = schedule(seeds, corpus, None, 1e12, workers)
        assert sorted(len(task[0]) for task in tasks) == sizes
        assert {spec for task in tasks for spec in task[0]} == set(seeds)


def test_exposures_are_another_stream_at_every_token_count(specs, corpus) -> None:
    exposures = [replace(spec, unit="exposures", dose=20.0) for spec in specs]
    shares = [doses_of(spec, recipe_of(spec, corpus), corpus)[0] for spec in exposures]
    assert shares[0] == pytest.approx(2 * shares[1], rel=0.01)
    assert len({stable_phase_of(spec, corpus) for spec in exposures}) == 3
    assert len({stable_phase_of(spec, corpus) for spec in specs}) == 1
    assert starts(exposures, corpus) == [0, 0, 0]


def test_one_token_count_shares_no_stable_phase(material, corpus) -> None:
    (spec,) = [spec for spec in grid(read_study_file(material / "study.toml"), corpus.id) if spec.dose][:1]
    assert stable_phase_of(spec, corpus) == ""


class EvenPace(Lab):
    """A lab where a step of every shape takes .01 s and probing .5 s; `timed` is what it was asked to time."""

    def __init__(self) -> None:
        super().__init__()
        self.timed: list[RunSpec] = []

    @contextmanager
    def workers(self, folder, part, count, on_progress=None):
        yield self

    def submit(self, work, spec, members, places=()):
        self.timed.append(spec)
        future: Future[tuple[float, float]] = Future()
        future.set_result((0.01, 0.5))
        return future


@pytest.mark.slow
def test_a_study_of_several_token_counts_goes_through_the_door(material, tmp_path) -> None:
    text = (material / "study.toml").read_text(encoding="utf8")
    study = tmp_path / "study.toml"
    study.write_text(text.replace("[30_000]", "[20_000, 40_000]"), encoding="utf8")
    for name in ("facts.csv", "templates.toml", "text.jsonl"):
        (tmp_path / name).write_bytes((material / name).read_bytes())
    file, lab = read_study_file(study), Lab()
    wanted = [spec for spec in grid(file, lab.prepare(file, tmp_path / "out")) if spec.size == 10_000]
    estimates = {run.run: run for run in lab.estimate(file, tmp_path / "out", wanted)}
    records = {record.run: record for record in lab.execute(file, tmp_path / "out", wanted)}
    assert set(records) == {spec.id for spec in wanted}
    assert all(record.status == "ok" for record in records.values())
    short, long = (next(s for s in wanted if s.tokens == tokens and s.dose == 0.3) for tokens in (20_000, 40_000))
    prepared = open_corpus(tmp_path / "out" / "corpus")
    begins = dict(zip((spec.id for spec in wanted), starts(wanted, prepared), strict=True))
    assert begins[short.id] == 0 and begins[long.id] == recipe_of(short, prepared).decay_start  # it begins in mid-way
    assert all(estimate.seconds > 0 for estimate in estimates.values())
    even = EvenPace()
    estimates = {run.run: run for run in even.estimate(file, tmp_path / "out", wanted)}
    assert len(even.timed) == 1  # they have one step, which is timed once
    assert estimates[long.id].seconds < 1.6 * estimates[short.id].seconds  # it is twice as long and begins in mid-way
    assert estimates[long.id].seconds == pytest.approx(0.01 * (estimates[long.id].steps - begins[long.id]) + 0.5)
    assert not list((tmp_path / "out").glob("runs/*/checkpoint*"))
