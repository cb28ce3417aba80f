"""The study files that the project stands on can be read, and explanations change one thing each."""

from pathlib import Path

import pytest

from benchmarks.results.explanations import EXPLANATIONS
from infusionlaw.studyfile import read_study_file

STUDIES = Path(__file__).parent.parent / "studies"


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
        for what in ("sizes", "budgets", "shares", "seeds"):
            assert set(getattr(file.design, what)) <= set(getattr(reference.design, what)), name
        assert min(file.design.budgets) == min(reference.design.budgets), f"{name}: another trunk, another batch"


def _settings(file) -> dict[tuple[str, str], str]:
    content = file.model_dump(mode="json", exclude={"name", "seed", "design", "held_out"})
    return {
        (section, key): str(value)
        for section, values in content.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
