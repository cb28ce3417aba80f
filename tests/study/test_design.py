"""The grid: every combination once, dose 0 always."""

import pytest

from infusionlaw.settings import read_study_file, write_template
from infusionlaw.study.design import grid, held_out


@pytest.fixture
def study(tmp_path):
    return read_study_file(write_template(tmp_path / "mine.toml"))


def test_grid_has_every_combination_once_and_dose_zero(study) -> None:
    runs = grid(study, "data")
    assert len(runs) == len({run.id for run in runs}) == 3 * 1 * 8 * 2
    assert {run.dose for run in runs} == {0.0, *study.design.shares}
    assert all(run.data == "data" and run.unit == "share" and not run.held_out for run in runs)


def test_held_out_takes_from_the_design_what_it_leaves_out(study) -> None:
    runs = held_out(study, "data")
    assert {run.size for run in runs} == {110_000}
    assert {run.seed for run in runs} == {1}
    assert {run.dose for run in runs} == {0.0, *study.design.shares}
    assert all(run.held_out for run in runs)


def test_settings_of_training_and_infusion_are_part_of_a_run(study) -> None:
    other = study.model_copy(update={"training": study.training.model_copy(update={"weight_decay": 0.0})})
    assert {run.id for run in grid(study, "d")}.isdisjoint(run.id for run in grid(other, "d"))
    faster = study.model_copy(update={"training": study.training.model_copy(update={"processes": 7})})
    assert [run.id for run in grid(faster, "d")] == [run.id for run in grid(study, "d")]


def test_the_recipe_of_a_run_is_the_first_where_its_options_name_none(study) -> None:
    first = study.model_copy(update={"training": study.training.model_copy(update={"recipe": 1})})
    assert dict(grid(study, "d")[0].options)["recipe"] == 3
    assert "recipe" not in dict(grid(first, "d")[0].options)


def test_schedule_and_prior_questions_are_part_of_a_run_where_they_are_not_the_default(study) -> None:
    def options(**infusion):
        own = study.model_copy(update={"infusion": study.infusion.model_copy(update=infusion)})
        return dict(grid(own, "data")[0].options)

    assert not {"schedule", "prior_questions"} & set(options())
    assert options(schedule="late")["schedule"] == "late"
    assert options(prior_questions=False)["prior_questions"] == 0


def test_budgets_share_a_recipe_named_by_the_shortest_whatever_the_schedule(study) -> None:
    design = study.design.model_copy(update={"tokens": (1_000_000, 2_000_000)})
    even = study.model_copy(update={"design": design})
    late = even.model_copy(update={"infusion": study.infusion.model_copy(update={"schedule": "late"})})
    assert {dict(run.options).get("trunk") for run in grid(even, "data")} == {1_000_000}
    assert {dict(run.options).get("trunk") for run in grid(late, "data")} == {1_000_000}


def test_doses_of_once_have_the_first_seed_only(study) -> None:
    design = study.design.model_copy(update={"once": (0.02, 0.05, study.design.shares[0])})
    runs = grid(study.model_copy(update={"design": design}), "data")
    seeds = {
        dose: [run.seed for run in runs if run.dose == dose and run.size == 14_000] for dose in (0.0, 0.02, 0.05, 0.1)
    }
    assert seeds == {0.0: [1, 2], 0.02: [1], 0.05: [1], 0.1: [1, 2]}
    assert {run.id for run in runs} > {run.id for run in grid(study, "data")}
    assert runs == sorted(runs, key=lambda run: (run.size, run.tokens, run.dose, run.seed))
