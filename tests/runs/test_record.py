"""The seam: ids that hash content, specs that survive a file."""

from dataclasses import asdict, replace

import pytest

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.runs.record import RunSettings, RunSpec, read_spec

SPEC = RunSpec(14_000, 1_500_000, 0.5, "share", 1, "abc", RunSettings(block=64))


@pytest.mark.parametrize(
    "change",
    [
        *({"size": 1}, {"tokens": 1}, {"dose": 0.4}, {"unit": "exposures"}, {"seed": 2}, {"data": "x"}),
        {"settings": RunSettings()},
    ],
)
def test_the_id_changes_with_the_content(change) -> None:
    assert replace(SPEC, **change).id != SPEC.id


def test_the_id_does_not_depend_on_the_role_or_on_how_a_number_is_written() -> None:
    assert replace(SPEC, held_out=True).id == SPEC.id
    assert replace(SPEC, dose=20).id == replace(SPEC, dose=20.0).id
    assert SPEC.id == "".join(c for c in SPEC.id if c in "0123456789abcdef") and len(SPEC.id) == 12


def test_a_spec_is_read_as_it_was_written(tmp_path) -> None:
    write_json(tmp_path / "spec.json", asdict(SPEC))
    assert read_spec(tmp_path / "spec.json") == SPEC
    assert read_spec(tmp_path / "spec.json").id == SPEC.id


@pytest.mark.parametrize(
    ("change", "said"), [({"size": "large"}, '"size"'), ({"unit": "part"}, '"unit"'), ({"options": []}, '"options"')]
)
def test_a_spec_that_is_none_is_one_sentence(tmp_path, change, said) -> None:
    write_json(tmp_path / "spec.json", asdict(SPEC))
    write_json(tmp_path / "spec.json", read_json(tmp_path / "spec.json") | change)
    with pytest.raises(InputError, match=said) as error:
        read_spec(tmp_path / "spec.json")
    assert "spec.json" in str(error.value) and "run the study again" in str(error.value)
