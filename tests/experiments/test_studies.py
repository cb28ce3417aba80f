"""The study files of experiments, and the tables of their runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.analysis.evidence import TRIALS, Experiment, experiment, fitted_to
from experiments.analysis.findings import EXPLANATIONS
from infusionlaw.errors import InputError
from infusionlaw.settings import read_study_file

ROOT = Path(__file__).parents[2] / "experiments"
FOLDERS = sorted(path.parent for path in ROOT.rglob("study.toml"))
OLDER = {"reference", "repaired", "retuned", "extended", "millions", *EXPLANATIONS}  # made under a recipe of the past


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_study_file_asks_for_the_runs_of_its_table_and_is_named_as_its_folder(folder) -> None:
    study, rows = Experiment(folder).study, Experiment(folder).rows
    assert folder.name.endswith(study.name)
    doses = {0.0, *study.design.shares, *study.design.once}
    for row in (row for row in rows if not row.held_out):
        assert any(abs(row.share - dose) < 0.01 for dose in doses)
        assert row.seed in study.design.seeds
        assert any(row.size == pytest.approx(size, rel=0.05) for size in study.design.sizes)
        assert any(row.tokens == pytest.approx(tokens, rel=0.01) for tokens in study.design.tokens)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_study_file_can_be_run_where_its_recipe_is_todays(folder) -> None:
    if Experiment(folder).study.name not in OLDER:
        assert read_study_file(folder / "study.toml").base == folder
        return
    with pytest.raises(InputError, match="cannot be trained"):
        read_study_file(folder / "study.toml")


def test_every_experiment_says_what_was_asked_and_what_came_out() -> None:
    for folder in ROOT.glob("2*"):
        assert "?" in (folder / "README.md").read_text(encoding="utf8"), folder


def test_every_explanation_changes_one_setting_of_the_reference_and_does_runs_that_it_has_too() -> None:
    reference = experiment(ROOT, "reference").study
    for name in EXPLANATIONS:
        study = Experiment(experiment(ROOT, "explanations").folder / name).study
        assert study.seed == reference.seed
        assert len(_settings(reference).items() ^ _settings(study).items()) == 2, name
        for what in ("sizes", "tokens", "shares", "seeds"):
            assert set(getattr(study.design, what)) <= set(getattr(reference.design, what)), name


def _settings(study) -> dict[tuple[str, str], str]:
    content = study.model_dump(mode="json", exclude={"name", "seed", "design", "held_out"})
    return {
        (section, key): str(value)
        for section, values in content.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_a_prediction_was_made_from_the_table_of_its_law_before_the_runs_that_test_it(trial) -> None:
    rows = fitted_to(ROOT, trial)  # refuses another table
    tested = experiment(ROOT, trial.name)
    assert rows and tested.held_out and not tested.prediction.already_known
    asked = {(item.plan.target.size, item.plan.target.tokens) for item in tested.prediction.predictions}
    assert {(row.size, row.tokens) for row in tested.held_out} <= asked


@pytest.mark.parametrize(("grid", "largest", "runs"), [("extended", 270_000, 609), ("reshaped", 160_000, 522)])
def test_a_later_grid_begins_with_the_runs_of_the_reference_that_both_recipes_make_alike(grid, largest, runs) -> None:
    first, later = ({_run(row): row for row in experiment(ROOT, name).rows} for name in ("reference", grid))
    both = [key for key in first if key in later and key[0] < 1.05 * largest and not key[-1]]
    assert len(both) == runs
    assert all(replace(first[key], run="") == replace(later[key], run="") for key in both)


def test_the_second_family_has_the_runs_of_its_first_study_and_holds_out_none_of_them() -> None:
    first, now = ({_run(row)[:-1]: row for row in experiment(ROOT, name).rows} for name in ("rarer", "larger"))
    both = first.keys() & now.keys()
    assert len(both) == 95 and {key for key in first if key[0] < 5e6} <= both
    assert all(replace(first[key], run="", held_out=False) == replace(now[key], run="") for key in both)


def _run(row) -> tuple[float, float, float, int, bool]:
    return row.size, row.tokens, row.share, row.seed, row.held_out
