"""The grid: every combination once, dose 0 always."""

from dataclasses import replace

import pytest
from fakelab import small_study

from infusionlaw.settings import HeldOut, read_study_file
from infusionlaw.study.design import grid, held_out


@pytest.fixture
def study(tmp_path):
    return read_study_file(small_study(tmp_path / "mine.toml"))


def test_grid_has_every_combination_once_and_dose_zero(study) -> None:
    runs = grid(study, "data")
    assert len(runs) == len({run.id for run in runs}) == 2 * 1 * 6 * 2
    assert {run.dose for run in runs} == {0.0, *study.design.shares}
    assert all(run.data == "data" and run.unit == "share" and not run.held_out for run in runs)


def test_held_out_takes_from_the_design_what_it_leaves_out(study) -> None:
    runs = held_out(study, "data")
    assert {run.size for run in runs} == {110_000}
    assert {run.seed for run in runs} == {1}
    assert {run.dose for run in runs} == {0.0, *study.design.shares}
    assert all(run.held_out for run in runs)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("training", {"block": 64}),
        ("training", {"learning_rate_factor": 2.0}),
        ("training", {"batch_factor": 2.0}),
        ("training", {"weight_decay": 0.0}),
        ("infusion", {"prior_share": 0.5}),
        ("infusion", {"prior_questions": False}),
        ("infusion", {"schedule": "late"}),
        ("infusion", {"max_exposures": 10}),
    ],
)
def test_settings_of_training_and_infusion_reach_the_runs_and_their_ids(study, section, change) -> None:
    other = study.model_copy(update={section: getattr(study, section).model_copy(update=change)})
    plain, changed = grid(study, "d"), grid(other, "d")
    assert [run.settings for run in changed] == [replace(run.settings, **change) for run in plain]
    assert {run.id for run in plain}.isdisjoint(run.id for run in changed)


def test_how_many_models_train_at_once_is_no_part_of_a_run(study) -> None:
    faster = study.model_copy(update={"training": study.training.model_copy(update={"processes": 7})})
    assert [run.id for run in grid(faster, "d")] == [run.id for run in grid(study, "d")]


def test_tokens_per_parameter_rise_with_size_for_held_out_runs_too(study) -> None:
    ladder = study.design.model_copy(update={"tokens": (), "tokens_per_parameter": 20.0, "sizes": (20_000, 10_000)})
    held = HeldOut(sizes=(80_000,))
    study = study.model_copy(update={"design": ladder, "held_out": held})
    assert {(run.size, run.tokens) for run in grid(study, "d")} == {(10_000, 200_000), (20_000, 400_000)}
    assert {(run.size, run.tokens) for run in held_out(study, "d")} == {(80_000, 1_600_000)}
    assert {run.settings.shortest for run in grid(study, "d")} == {0}
    elsewhere = study.model_copy(update={"held_out": HeldOut(sizes=(80_000,), tokens=(500_000,))})
    assert {(run.size, run.tokens) for run in held_out(elsewhere, "d")} == {(80_000, 500_000)}


def test_several_token_counts_have_the_recipe_of_the_shortest_whatever_the_schedule(study) -> None:
    design = study.design.model_copy(update={"tokens": (1_000_000, 2_000_000)})
    even = study.model_copy(update={"design": design})
    late = even.model_copy(update={"infusion": study.infusion.model_copy(update={"schedule": "late"})})
    assert {run.settings.shortest for run in grid(study, "data")} == {0}
    assert {run.settings.shortest for run in [*grid(even, "data"), *grid(late, "data")]} == {1_000_000}


def test_doses_of_once_have_the_first_seed_only(study) -> None:
    design = study.design.model_copy(update={"once": (0.02, 0.05, study.design.shares[0])})
    runs = grid(study.model_copy(update={"design": design}), "data")
    seeds = {
        dose: [run.seed for run in runs if run.dose == dose and run.size == 14_000] for dose in (0.0, 0.02, 0.05, 0.1)
    }
    assert seeds == {0.0: [1, 2], 0.02: [1], 0.05: [1], 0.1: [1, 2]}
    assert {run.id for run in runs} > {run.id for run in grid(study, "data")}
    assert runs == sorted(runs, key=lambda run: (run.size, run.tokens, run.dose, run.seed))
