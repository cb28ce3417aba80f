"""The seam: ids that hash content."""

from dataclasses import replace

import pytest

from infusionlaw.runs.record import RunSpec

SPEC = RunSpec(14_000, 1_500_000, 0.5, "share", 1, "abc", (("block", 128),))


@pytest.mark.parametrize(
    "change", [{"size": 1}, {"tokens": 1}, {"dose": 0.4}, {"seed": 2}, {"data": "x"}, {"options": (("block", 64),)}]
)
def test_the_id_changes_with_the_content(change) -> None:
    assert replace(SPEC, **change).id != SPEC.id


def test_the_id_does_not_depend_on_the_role() -> None:
    assert replace(SPEC, held_out=True).id == SPEC.id
    assert SPEC.id == "".join(c for c in SPEC.id if c in "0123456789abcdef") and len(SPEC.id) == 12
