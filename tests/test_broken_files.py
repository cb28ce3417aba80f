"""Files of a study that are valid JSON and not what they should be: one sentence, or the run is made again."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakelab import FakeLab

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.corpus.tokens import open_tokens
from infusionlaw.errors import InputError
from infusionlaw.law.planning.compare import read_comparison
from infusionlaw.law.planning.plan import read_plan
from infusionlaw.law.planning.predictions import read_predictions
from infusionlaw.law.points.point import read_points
from infusionlaw.law.scaling.law import read_law
from infusionlaw.pipeline import run_study, write_report
from infusionlaw.report.status import status_text
from infusionlaw.runs.begun import read_checkpoint
from infusionlaw.runs.ledger import read_ledger
from infusionlaw.runs.record import read_record, read_spec
from infusionlaw.study.study import open_folder

STUDY = """
name = "simulated"
[design]
sizes = [14_000, 56_000]
tokens = [1_500_000]
shares = [0.1, 0.5, 0.8, 0.9, 0.97]
[held_out]
sizes = [112_000]
[law]
draws = 100
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory, corpus) -> Path:
    """A finished study of a simulated world, with a real corpus and the head of a checkpoint."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "study.toml").write_text(STUDY)
    out = run_study(folder / "study.toml", folder / "out", FakeLab()).folder
    shutil.copytree(corpus.folder, out / "real")
    (out / "checkpoint.json").write_text(json.dumps({"run": "abc", "step": 3, "sha256": "0"}))
    return out


READERS: dict[str, Callable[[Path], object]] = {
    "study.json": lambda path: open_folder(path.parent),
    "law.json": read_law,
    "plan.json": read_plan,
    "points.json": read_points,
    "comparison.json": read_comparison,
    "predictions/*.json": read_predictions,
    "runs/*/spec.json": read_spec,
    "runs/*/record.json": read_record,
    "runs/*/ledger.json": read_ledger,
    "checkpoint.json": lambda path: read_checkpoint(path.parent),
    "real/corpus.json": lambda path: open_corpus(path.parent),
    "real/knowledge.json": lambda path: open_corpus(path.parent),
    "real/train.json": lambda path: open_tokens(path.with_suffix(".bin")),
}


FREE = {
    "content",
    "counts",
    "templates",
    "in",
    "points",
    "coefficients",
}  # objects whose keys are names of the user's, or of kinds of point


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in JSON, of lists the first."""
    items = (
        content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    )
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place, or without it."""
    content = json.loads(json.dumps(content))
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    if value is None:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return content


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_ours_that_is_not_what_it_should_be_is_one_sentence_with_its_name(name, done) -> None:
    path = min(done.glob(name))
    original = path.read_text(encoding="utf8")
    content = json.loads(original)
    READERS[name](path)
    harms = [None, {}, [], 3, "text", {"version": 2}, {**content, "version": 99}]
    inside = path.stem if isinstance(content.get(path.stem), dict | list) else ""  # the rest is for readers elsewhere
    for place in [place for place in places(content) if place[0] == inside or not inside][:25]:
        value = content
        for key in place:
            value = value[key]
        if isinstance(place[-1], str) and FREE.isdisjoint(place[-2:-1]):
            harms.append(changed(content, place, None))
        if isinstance(value, int | float):
            harms += [changed(content, place, str(value)), changed(content, place, [])]
    try:
        for harm in harms:
            path.write_text(json.dumps(harm), encoding="utf8")
            with pytest.raises(InputError) as error:
                READERS[name](path)
            assert path.name in str(error.value) and "again" in str(error.value) and "\n" not in str(error.value), harm
    finally:
        path.write_text(original, encoding="utf8")


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, "NaN", '{"a": Infinity}', "\xff", ""])
def test_json_that_is_none_is_one_sentence(text, done, tmp_path) -> None:
    (tmp_path / "study.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"study\.json: not valid JSON") as error:
        status_text(tmp_path)
    assert len(str(error.value)) < 500


def test_a_run_with_a_broken_file_is_put_aside_and_made_again(done, tmp_path, caplog) -> None:
    copy = shutil.copytree(done, tmp_path / "out")
    runs = sorted((copy / "runs").iterdir())
    for run, name, text in zip(
        runs, ("record.json", "spec.json", "ledger.json", "record.json"), ("null", "{}", "[", "other"), strict=False
    ):
        text = (runs[4] / name).read_text() if text == "other" else text
        (run / name).write_text(text)
    lab = FakeLab()
    run_study(copy / "study.toml", copy, lab)
    assert sorted(spec.id for spec in lab.log) == [run.name for run in runs[:4]]
    assert sorted(path.name for path in (copy / "put-aside").iterdir()) == [run.name for run in runs[:4]]
    assert len(caplog.messages) == 4
    for run, said in zip(runs, caplog.messages, strict=False):
        assert str(run) in said and f"put aside in {copy / 'put-aside' / run.name} and made again" in said
    for name in ("table.csv", "law.json", "points.json"):
        assert (copy / name).read_bytes() == (done / name).read_bytes()


@pytest.mark.parametrize(("name", "text"), [("corpus.json", "{}"), ("knowledge.json", '{"facts": null}')])
def test_a_report_names_the_broken_file_of_a_corpus(done, tmp_path, name, text) -> None:
    copy = shutil.copytree(done, tmp_path / "out")
    (copy / "corpus" / name).write_text(text)
    with pytest.raises(InputError, match=rf"{name}: .*again"):
        write_report(copy)
