"""A dry run for GPUs that are not here, and the time that a study takes by the clock."""

from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from infusionlaw.cli import app
from infusionlaw.errors import InputError
from infusionlaw.report.effort import effort_text, wall_seconds
from infusionlaw.runners import lab, local, named
from infusionlaw.runs.record import Estimate
from infusionlaw.settings import read_study_file
from infusionlaw.study.design import grid
from infusionlaw.training.recipe import recipe_for


@pytest.fixture
def study(material, corpus):
    """The study file, the folder that its corpus is in, and its runs."""
    file = read_study_file(material / "study.toml")
    return SimpleNamespace(file=file, folder=corpus.folder.parent, runs=grid(file, corpus.id))


def of(name: str) -> named.Kind:
    kind = named.read_devices(f"8 {name}")[1]
    assert kind is not None
    return kind


def test_a_count_alone_or_with_a_kind_however_it_is_written() -> None:
    assert named.read_devices("16") == (16, None)
    assert named.read_devices("8 H100") == (8, of("nvidia h100")) and of("rtx4090") == of("RTX-4090")
    least = "a count of at least 1"
    for wrong, said in (("H100", least), ("0 H100", least), ("8 H900", "known are A10, A100,")):
        with pytest.raises(InputError, match=said):
            named.read_devices(wrong)


@pytest.mark.parametrize(
    ("size", "block", "batch", "vocabulary", "members", "tokens_a_second", "within"),
    [  # docs/speed.md
        (1_000_000, 128, 18, 1024, 32, 8_411_388, 0.05),
        (1_000_000, 128, 18, 1024, 1, 2_190_593, 0.25),
        (5_000_000, 128, 18, 1024, 1, 1_441_901, 0.25),
        (25_000_000, 1024, 16, 50_304, 1, 863_838, 0.05),
        (124_000_000, 1024, 16, 50_304, 1, 306_965, 0.05),
    ],
)
def test_what_was_measured_comes_out(size, block, batch, vocabulary, members, tokens_a_second, within) -> None:
    recipe = replace(recipe_for(size, 10**9, vocabulary=vocabulary, block=block), batch=batch)
    reached = of("H200").peak * named.part_of_peak(recipe, members)
    assert reached / recipe.flops_per_token == pytest.approx(tokens_a_second, rel=within)


def test_gpus_that_are_not_here_take_batches_of_models_and_nothing_is_run(study) -> None:
    runs = named.Lab(4, of("H100")).estimate(study.file, study.folder, study.runs)
    assert {(run.device, run.processes, run.timed) for run in runs} == {("H100", 4, False)}
    assert len({run.task for run in runs}) < len(runs)
    slower = named.Lab(4, of("A100")).estimate(study.file, study.folder, study.runs)
    assert slower[0].seconds == pytest.approx(runs[0].seconds * 989 / 312)
    corpus_recipe = recipe_for(1_000_000_000, 10**9, vocabulary=4096)
    with pytest.raises(InputError, match=r"one L4 has 24\.0 GB"):
        named.Lab(1, of("L4")).check_memory([corpus_recipe])
    named.Lab(1, of("H100")).check_memory([corpus_recipe])


def test_what_takes_too_long_to_time_is_told_from_its_flops(study, monkeypatch) -> None:
    class Slow(local.Lab):
        @contextmanager
        def workers(self, *given):
            yield self

        def submit(self, work, spec, members):
            future = Future()
            if spec.size == min(run.size for run in study.runs):
                future.set_result((2.0, 3.0))
            return future  # the others are never done

    monkeypatch.setattr(lab, "PATIENCE", 0.2)
    first, *_, last = sorted(Slow().estimate(study.file, study.folder, study.runs), key=lambda run: run.size)
    assert first.timed and first.seconds == pytest.approx(2 * first.steps + 3)
    work = last.flops * first.steps / (first.flops * last.steps)  # of a step
    probing = 3 * last.flops * first.tokens / (first.flops * last.tokens)
    assert not last.timed and last.seconds == pytest.approx(2 * work * last.steps + probing)
    assert "Not timed" in effort_text([first, last])


def run(task: int, seconds: float) -> Estimate:
    return Estimate("", 10, 10, 10, 0.5, 1.0, 1, False, 10, 1, seconds, 2, 0.5, flops=1e15, task=task)


def test_devices_take_the_longest_task_first_and_members_of_a_task_share_one() -> None:
    runs = [run(0, 50), run(0, 50), run(1, 60), run(2, 50), run(3, 10)]
    assert wall_seconds(runs) == 60 + 50
    assert wall_seconds([replace(each, processes=4) for each in runs]) == 100
    assert effort_text(runs).startswith("5 runs: 5e+15 FLOPs, 0.061 core-hours; on 2 cores about 1.8 minutes")


def test_devices_are_of_a_dry_run_only(material) -> None:
    said = CliRunner().invoke(app, ["run", str(material / "study.toml"), "--devices", "8 H100"])
    assert isinstance(said.exception, InputError) and "add --dry-run" in str(said.exception)
