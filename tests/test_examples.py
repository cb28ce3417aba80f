"""The folders of examples can be used as they are."""

import shutil
from pathlib import Path

import pytest

from infusionlaw.corpus.readers import load_knowledge
from infusionlaw.errors import InputError
from infusionlaw.law.losses.measured import losses_of
from infusionlaw.runs.table import read_table
from infusionlaw.settings import read_study_file

EXAMPLES = Path(__file__).parent.parent / "examples"
OWN_FACTS = EXAMPLES / "own-facts"


def test_the_table_of_losses_is_read_as_it_is_once_its_unit_is_said() -> None:
    path = EXAMPLES / "losses" / "losses.csv"
    with pytest.raises(InputError, match="add --unit"):
        read_table(path)
    rows = read_table(path, unit="nats/token")
    assert losses_of(rows) == ["val_bpb:wiki", "val_bpb:web", "domain_loss:python"]
    finished = [row for row in rows if row.status == "ok"]
    assert len(finished) == len(rows) - 2 and all(row.start(loss) for row in finished for loss in losses_of(rows))


def test_the_facts_of_the_example_can_be_taught_and_asked() -> None:
    file = read_study_file(OWN_FACTS / "study.toml")
    knowledge = load_knowledge(
        [OWN_FACTS / name for name in file.facts.source], [OWN_FACTS / name for name in file.facts.templates]
    )
    subjects = {fact.subject for fact in knowledge.facts}
    assert len(subjects) >= file.facts.domain + file.facts.prior + file.facts.unseen
    for relation in knowledge.templates:
        assert len({fact.object for fact in knowledge.facts if fact.relation == relation}) >= 8


@pytest.mark.slow
def test_the_study_of_the_example_runs_to_its_report(material: Path, tmp_path: Path) -> None:
    from infusionlaw import Lab, run_study

    folder = tmp_path / "own-facts"
    shutil.copytree(OWN_FACTS, folder)
    shutil.copy(material / "text.jsonl", folder)
    study = (
        (folder / "study.toml").read_text(encoding="utf8").replace('"python-docs"', '"text.jsonl"\nvalidation = 0.1')
    )
    (folder / "study.toml").write_text(study.replace("300_000", "6_000"), encoding="utf8")
    done = run_study(folder / "study.toml", tmp_path / "out", Lab())
    assert len(done.table) == 15 and (tmp_path / "out" / "report.html").is_file()
