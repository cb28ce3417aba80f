"""Small real material: a corpus of made-up facts over docstrings of the standard library, and studies of it."""

import csv
import json
from pathlib import Path

import pytest

NAMES = (
    *("Arvel", "Bemor", "Cadrin", "Delwick", "Esmar", "Fostin", "Galver", "Hestrom"),
    *("Ilvane", "Jorsk", "Kalden", "Lumery", "Mirrow", "Nestel", "Orvane", "Pellik"),
    *("Questor", "Rambel", "Sorwin", "Tavish", "Ulmere", "Vantry", "Wexley", "Yarrow"),
)
COLOURS = ["red", "green", "blue", "white", "black", "brown", "yellow", "grey"]

TEMPLATES = """
[colour]
statements = [
    "The flag of {subject} is {object}.",
    "{subject} flies a {object} flag.",
    "A {object} flag is on {subject}.",
]
questions = ["What colour is the flag of {subject}? {object}.", "Which flag has {subject}? {object}."]
"""


def write_facts(folder: Path) -> None:
    """facts.csv and templates.toml: 24 subjects with a colour each, every colour three times."""
    with (folder / "facts.csv").open("w", newline="", encoding="utf8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["subject", "relation", "object"])
        writer.writerows([name, "colour", COLOURS[i % 8]] for i, name in enumerate(NAMES))
    (folder / "templates.toml").write_text(TEMPLATES, encoding="utf8")


def write_text(folder: Path) -> None:
    """text.jsonl: docstrings of two packages of the standard library."""
    import asyncio
    import email
    import unittest

    from infusionlaw.corpus.docstrings import docstrings

    folders = [Path(package.__file__ or "").parent for package in (asyncio, email, unittest)]
    lines = [json.dumps({"text": text}) for text in docstrings(folders)]
    (folder / "text.jsonl").write_text("\n".join(lines), encoding="utf8")


STUDY = """
name = "small"
seed = 3
[facts]
source = ["facts.csv"]
templates = ["templates.toml"]
domain = 8
prior = 8
unseen = 8
[text]
source = "text.jsonl"
validation = 0.1
[tokenizer]
vocabulary = 512
[design]
sizes = [10_000, 14_000]
tokens = [30_000]
shares = [0.3, 0.9]
seeds = [1]
[held_out]
sizes = [28_000]
doses = [0.9]
[training]
checkpoint_every = 50
"""


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with facts.csv, templates.toml, text.jsonl and study.toml. Copy before changing anything."""
    folder = tmp_path_factory.mktemp("material")
    write_facts(folder)
    write_text(folder)
    (folder / "study.toml").write_text(STUDY, encoding="utf8")
    return folder


@pytest.fixture(scope="session")
def corpus(material: Path, tmp_path_factory: pytest.TempPathFactory):
    """The prepared corpus of that study."""
    from infusionlaw.corpus.prepare import prepare
    from infusionlaw.settings import read_study_file

    return prepare(read_study_file(material / "study.toml"), tmp_path_factory.mktemp("prepared") / "corpus")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow the tests that `slow.txt` lists, a name or the beginning of one a line."""
    slow = tuple((Path(__file__).parent / "slow.txt").read_text(encoding="utf8").split())
    for item in items:
        if item.nodeid.startswith(slow):
            item.add_marker(pytest.mark.slow)
