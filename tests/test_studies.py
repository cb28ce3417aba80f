"""The study files that the project stands on can be read, and explanations change one thing each."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.results.explanations import EXPLANATIONS
from infusionlaw.files import read_json
from infusionlaw.runs.table import read_table, table_hash
from infusionlaw.settings import read_study_file
from infusionlaw.study.design import run_spec
from infusionlaw.study.study import Study
from infusionlaw.training.terms import recipe_of

# Ids of corpora: the reference's and the second family's (results/README.md).
CORPUS, RFC_CORPUS = "bdc443f4af6dba8a", "4541b93d483f6942"
OWN_CORPUS = {"facts-double", "templates-1", "templates-2"}  # their facts or templates are others
STUDIES = Path(__file__).parent.parent / "studies"
RESULTS = STUDIES.parent / "results"


@pytest.mark.parametrize("path", sorted(STUDIES.rglob("*.toml")), ids=lambda path: path.stem)
def test_a_study_file_is_valid_and_named_as_its_file(path) -> None:
    assert read_study_file(path).name == path.stem


def test_every_explanation_changes_one_setting_of_the_reference_and_does_runs_that_it_has_too() -> None:
    files = {path.stem: read_study_file(path) for path in (STUDIES / "explanations").glob("*.toml")}
    assert set(files) == set(EXPLANATIONS)
    reference = read_study_file(STUDIES / "reference.toml")
    for name, file in files.items():
        assert file.seed == reference.seed
        assert len(_settings(reference).items() ^ _settings(file).items()) == 2, name
        for what in ("sizes", "tokens", "shares", "seeds"):
            assert set(getattr(file.design, what)) <= set(getattr(reference.design, what)), name
        for mine, other in zip(_recipes(file), _recipes(reference, file), strict=True):
            like = replace(other, learning_rate=mine.learning_rate, weight_decay=mine.weight_decay)
            assert mine == like, name


def _recipes(file, places=None):
    """The recipes of a study at the sizes and token counts of `places` (default: its own)."""
    corpus = SimpleNamespace(tokenizer=SimpleNamespace(vocabulary=file.tokenizer.vocabulary))
    design = (places or file).design
    specs = [run_spec(file, "", size, tokens, 0.5, 1) for size in design.sizes for tokens in design.tokens]
    return [recipe_of(spec, corpus) for spec in specs]


def test_the_reference_predicts_a_larger_size_a_longer_budget_and_both() -> None:
    reference = read_study_file(STUDIES / "reference.toml")
    study = Study(reference, Path(), "")
    targets = {(spec.size, spec.tokens) for spec in study.held_out}
    size, tokens = max(reference.design.sizes), max(reference.design.tokens)
    assert targets == {(57_000, 2 * tokens), (4 * size, tokens), (4 * size, 2 * tokens)}


def _settings(file) -> dict[tuple[str, str], str]:
    content = file.model_dump(mode="json", exclude={"name", "seed", "design", "held_out"})
    return {
        (section, key): str(value)
        for section, values in content.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }


def test_the_second_recipe_trains_the_sizes_of_the_retuned_study_as_the_first_did_and_a_larger_one_slower() -> None:
    retuned, reference = (read_study_file(STUDIES / f"{name}.toml") for name in ("retuned", "reference"))
    assert set(retuned.design.sizes) < set(reference.design.sizes)
    assert _recipes(retuned) == _recipes(reference, retuned)
    held = retuned.model_copy(update={"design": retuned.design.model_copy(update={"sizes": retuned.held_out.sizes})})
    assert all(
        b.learning_rate < a.learning_rate / 2 for a, b in zip(_recipes(reference, held), _recipes(held), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("reference", "reference/runs.csv"),
        ("extended", "extended/runs.csv"),
        ("reshaped", "reshaped/runs.csv"),
        *((f"explanations/{name}", f"explanations/{name}.csv") for name in sorted({*EXPLANATIONS} - OWN_CORPUS)),
    ],
)
def test_a_committed_table_holds_every_run_that_its_study_file_asks_for(name, path) -> None:
    rows = {row.run for row in read_table(RESULTS / path)}
    assert {spec.id for spec in Study(read_study_file(STUDIES / f"{name}.toml"), Path(), CORPUS).fitted} <= rows


@pytest.mark.parametrize(("grid", "largest", "runs"), [("extended", 270_000, 609), ("reshaped", 160_000, 522)])
def test_a_later_grid_begins_with_the_runs_of_the_reference_that_both_recipes_make_alike(grid, largest, runs) -> None:
    study, reference = (read_study_file(STUDIES / f"{name}.toml") for name in (grid, "reference"))
    same = tuple(size for size in study.design.sizes if size <= largest)
    part = study.model_copy(update={"design": study.design.model_copy(update={"sizes": same})})
    assert _recipes(part) == _recipes(reference, part)
    first, later = ({_run(row): row for row in read_table(RESULTS / name / "runs.csv")} for name in ("reference", grid))
    both = [key for key in first if key in later and key[0] < 1.05 * largest and not key[-1]]
    assert len(both) == runs
    assert all(replace(first[key], run="") == replace(later[key], run="") for key in both)


def _run(row) -> tuple[float, float, float, int, bool]:
    return row.size, row.tokens, row.share, row.seed, row.held_out


def test_the_prediction_of_the_retuned_study_is_from_the_rows_of_the_reference_that_both_recipes_make_alike() -> None:
    study, reference = (Study(read_study_file(STUDIES / f"{n}.toml"), Path(), CORPUS) for n in ("retuned", "reference"))
    rows = {row.run: row for row in read_table(RESULTS / "reference" / "runs.csv")}
    places = {_place(spec): rows[spec.id] for spec in reference.fitted}
    same = [replace(places[_place(spec)], run=spec.id) for spec in study.fitted]
    assert table_hash(same) == read_json(RESULTS / "retuned" / "prediction.json")["table_sha256"]


@pytest.mark.parametrize("name", ["longer", "longer-again", "longer-larger", "other-seeds"])
def test_the_predictions_of_longer_budgets_are_from_the_main_grid(name) -> None:
    longer, main = (Study(read_study_file(STUDIES / f"{n}.toml"), Path(), CORPUS) for n in (name, "reshaped"))
    rows = {row.run: row for row in read_table(RESULTS / "reshaped" / "runs.csv")}
    assert [spec.id for spec in longer.fitted] == [spec.id for spec in main.fitted]
    fitted = table_hash([rows[spec.id] for spec in longer.fitted])
    assert fitted == read_json(RESULTS / name / "prediction.json")["table_sha256"]


def test_the_second_family_has_the_runs_of_its_first_study_and_holds_out_none_of_them() -> None:
    first, now = (
        {_run(row)[:-1]: row for row in read_table(RESULTS / name / "runs.csv")} for name in ("rarer", "larger")
    )
    asked = Study(read_study_file(STUDIES / "larger.toml"), Path(), RFC_CORPUS)
    assert {row.run for row in now.values() if not row.held_out} <= {spec.id for spec in asked.fitted}
    both = first.keys() & now.keys()
    assert len(both) == 95 and {key for key in first if key[0] < 5e6} <= both
    assert all(replace(first[key], run="", held_out=False) == replace(now[key], run="") for key in both)


def _place(spec) -> tuple[float, ...]:
    return spec.size, spec.tokens, spec.dose, spec.seed
