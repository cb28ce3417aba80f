"""The folders of examples can be used as they are."""

import csv
import runpy
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.corpus.readers import load_knowledge
from infusionlaw.errors import InputError
from infusionlaw.law.losses.measured import losses_of
from infusionlaw.runs.record import RunSpec
from infusionlaw.runs.table import read_table
from infusionlaw.settings import read_study_file

EXAMPLES = Path(__file__).parent.parent / "examples"
OWN_FACTS = EXAMPLES / "own-facts"
EXTERNAL = EXAMPLES / "external-trainer"


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


def test_the_example_of_another_trainer_gives_it_our_batches_and_our_shape(corpus, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from infusionlaw.runners.external import asked_runs, write_corpora
    from infusionlaw.runs.asked import asked_csv
    from infusionlaw.training.resolve import mixture_of, recipe_of

    assert read_study_file(EXTERNAL / "study.toml").run.on == "external"
    spec = RunSpec(14_000, 30_000, 0.3, "share", 1, corpus.id)
    write_corpora(corpus.folder.parent, [spec], "tokens", tmp_path)
    (row,) = csv.DictReader(StringIO(asked_csv(asked_runs(corpus.folder.parent, [spec], lambda spec: False))))
    script = runpy.run_path(str(EXTERNAL / "train.py"))
    blocks = script["Blocks"](tmp_path / spec.id, int(row["sequence"]), int(row["steps"]) * int(row["batch"]))
    ours = mixture_of(spec, recipe_of(spec, corpus), corpus).blocks(0, len(blocks), int(row["sequence"]))
    assert (np.stack([blocks[number]["labels"].numpy() for number in range(len(blocks))]) == ours).all()
    assert script["model_of"](row, 0).config.num_hidden_layers == int(row["layers"])  # it counts its parameters itself
