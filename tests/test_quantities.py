"""Numbers as people write them."""

import pytest

from infusionlaw.quantities import written_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(
            ("1B", 1e9),
            ("300M", 3e8),
            ("1.3b", 1.3e9),
            ("25 k", 25e3),
            ("2T", 2e12),
            ("1e9", 1e9),
            ("1,300,000", 1.3e6),
        ),
        *(("1_000", 1000), ("7", 7), (".5", 0.5), ("1e3M", None), ("1__0", None), ("13,5", None), ("20%", None)),
    ],
)
def test_a_count(text: str, number: float | None) -> None:
    assert written_number(text, count=True) == number


@pytest.mark.parametrize(("text", "number"), [("20%", 0.2), ("0.1 %", 0.001), ("0.2", 0.2), ("1M", None), ("%", None)])
def test_a_part_of_one(text: str, number: float | None) -> None:
    assert written_number(text, part=True) == number
