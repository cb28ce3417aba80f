"""What counts as the same page: words are equal, numbers within what another processor rounds."""

import re

import pytest

from experiments.analysis.check import differences

PAGE = """# The main grid
957 runs of 1.5M tokens, written 2026-11-26 11:11:59 UTC from table `33fe3935bb83`.

| size | odds go as size to the power of | held | |
|---|---|---|---|
| 3.59M | 0.12 [0.05, 0.23] | 27 of 36 (+0.14, -0.21) | found |

1.6e+16 operations ([figure](main/law-1.5M.png)), p = .004.
"""


def test_a_page_says_what_it_says() -> None:
    assert differences(PAGE, PAGE) == []
    assert differences(PAGE, PAGE.replace("\n", "\n\n")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.12 [", "-9.99 ["),
        ("0.12 [", "0.15 ["),
        ("-0.21", "+0.21"),
        ("27 of 36", "28 of 36"),
        ("3.59M", "3.59k"),
        ("3.59M", "3.99M"),
        ("1.6e+16", "1.6e+17"),
        (".004", ".04"),
        ("2026-11-26", "2026-11-27"),
        ("33fe3935bb83", "33fe3935bb84"),
        ("law-1.5M", "law-3M"),
        ("found", "not reached"),
        ("| found |", "|  |"),
        ("957 runs", "runs"),
    ],
)
def test_a_page_that_says_something_else_is_told(old: str, new: str) -> None:
    assert old in PAGE
    assert len(differences(PAGE, PAGE.replace(old, new))) == 1


def test_a_page_of_sevens_is_told() -> None:
    assert differences("7e12a4 or `12e456`", "7e77a7 or `77e777`")
    assert differences(PAGE, re.sub(r"\d", "7", PAGE))


@pytest.mark.parametrize(("old", "new"), [("0.12 [", "0.13 ["), ("-0.21", "-0.22"), ("3.59M", "3.6M"), ("957", "960")])
def test_another_processors_last_digit_is_not(old: str, new: str) -> None:
    assert differences(PAGE, PAGE.replace(old, new)) == []
