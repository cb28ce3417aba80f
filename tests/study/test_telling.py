"""A study whose runs are trained elsewhere: what is asked, what is told, and what is refused."""

import csv
import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.errors import InputError, Waiting
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.pipeline import run_study
from infusionlaw.report.status import status_text
from infusionlaw.runners.external import Lab, asked_runs, write_corpora
from infusionlaw.runs.asked import AskedRun, asked_csv
from infusionlaw.runs.choices import choices
from infusionlaw.runs.results import read_results
from infusionlaw.study.proposals import HELD_OUT, OPENS, TELLS, proposals
from infusionlaw.study.study import Study, open_folder
from infusionlaw.study.telling import Told, tell
from infusionlaw.study.verify import first_break
from infusionlaw.training.resolve import mixture_of, recipe_of

DOSES = "[0.3, 0.6, 0.8, 0.9]"


@pytest.fixture(scope="module")
def begun(material, tmp_path_factory) -> Path:
    """The folder of a study that waits for its first results, beside its material."""
    folder = shutil.copytree(material, tmp_path_factory.mktemp("elsewhere") / "material")
    text = (folder / "study.toml").read_text().replace("[0.3, 0.9]", DOSES).replace("seeds = [1]", "seeds = [1, 2]")
    (folder / "study.toml").write_text(text + "[law]\ndraws = 60\n")
    with pytest.raises(Waiting, match="waits for the results of 20 runs"):
        run_study(folder / "study.toml", folder / "small", Lab())
    return folder


@pytest.fixture
def folder(begun, tmp_path) -> Path:
    return shutil.copytree(begun, tmp_path / "material") / "small"


def asked(study: Study) -> list[AskedRun]:
    specs = [*study.fitted, *study.held_out]
    return asked_runs(study.folder, specs, lambda spec: study.record(spec) is not None)


def trained(runs: list[AskedRun], **other) -> list[dict[str, object]]:
    """What another trainer measured, as rows of a table."""
    rows = []
    for run in runs:
        rng = np.random.default_rng([run.size, run.seed, int(100 * run.share)])
        ((row,), _) = simulate(World(), [run.size], [run.tokens], [run.share], 1, rng)
        scores = {"recall": row.recall, "recall_se": row.recall_se, "retention": row.retention, "val_bpb": row.val_bpb}
        rows.append({"run": run.run, **scores, **other})
    return rows


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def told(folder: Path, *rows: dict[str, object], instead: bool = False, **said) -> Told:
    path = written(folder.parent / "results.csv", list(rows))
    study = open_folder(folder)
    return tell(study, asked(study), read_results([path], choices(**said)).results, instead)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_list_says_all_that_a_trainer_needs_and_with_scores_added_is_a_table_of_results(folder) -> None:
    runs = asked(open_folder(folder))
    rows = list(csv.DictReader(StringIO(asked_csv(runs))))
    assert len(rows) == 24 and len({row["run"] for row in rows}) == 24
    for row in rows:
        assert int(row["steps"]) * int(row["batch"]) * int(row["sequence"]) == int(row["tokens"])
        layer = 4 * int(row["width"]) ** 2 + 3 * int(row["width"]) * int(row["feed_width"]) + 2 * int(row["width"])
        assert int(row["layers"]) * layer + int(row["width"]) == int(row["size"])
    results = [row | scores for row, scores in zip(rows, trained(runs), strict=True)]
    assert len(told(folder, *results).new) == 24


def test_a_study_is_asked_and_told_to_its_end_and_holds(folder) -> None:
    """The held-out runs are asked for only when their prediction is written, and the report is that of any study."""
    path = folder.parent / "study.toml"
    for size in (10_000, 14_000):
        study = open_folder(folder)
        ids = {each.spec.id for each in proposals(study).runs if each.spec.size == size}
        assert told(folder, *trained([run for run in asked(study) if run.run in ids])).complaints == []
    while (found := proposals(study := open_folder(folder))).runs:
        ids = {each.spec.id for each in (*found.runs, *found.left)}
        told(folder, *trained([run for run in asked(study) if run.run in ids]))
    assert found.predict_first
    with pytest.raises(Waiting, match="results of 4 runs"):
        run_study(path, folder, Lab())
    study = open_folder(folder)
    assert {each.why for each in proposals(study).runs} == {HELD_OUT}
    told(folder, *trained([run for run in asked(study) if run.held_out]))
    run_study(path, folder, Lab())
    assert (folder / "report.html").exists() and "20 done" in status_text(folder)
    assert first_break(open_folder(folder), whole=True) == ""
    assert proposals(open_folder(folder)).runs == ()


def test_a_grid_is_opened_at_each_dose_and_then_asks_for_what_tells_most(folder) -> None:
    study = open_folder(folder)
    first = proposals(study).runs
    assert {each.why for each in first} == {OPENS} and len(first) == 2 * 5
    told(folder, *trained([run for run in asked(study) if run.run in {each.spec.id for each in first}]))
    found = proposals(open_folder(folder))
    assert {each.why for each in found.runs} <= {TELLS} and len(found.runs) + len(found.left) == 10
    assert all(each.spec.seed == 2 for each in found.runs)


def test_telling_the_same_again_changes_nothing(folder) -> None:
    rows = trained(asked(open_folder(folder))[:4])
    told(folder, *rows)
    before = files(folder)
    again = told(folder, *rows)
    assert len(again.same) == 4 and not (again.new or again.more) and files(folder) == before


def test_a_score_that_comes_later_is_added_and_another_value_needs_to_be_asked_for(folder) -> None:
    (row,) = trained(asked(open_folder(folder))[:1])
    told(folder, {name: row[name] for name in ("run", "recall")})
    more = told(folder, {name: row[name] for name in ("run", "retention")})
    assert more.more == [row["run"]]
    record = open_folder(folder).table[0]
    assert (record.recall, record.retention) == (pytest.approx(row["recall"]), pytest.approx(row["retention"]))
    before = files(folder)
    refused = told(folder, {"run": row["run"], "recall": 0.123})
    assert "told already" in refused.complaints[0] and files(folder) == before
    told(folder, {"run": row["run"], "recall": 0.123}, instead=True)
    study = open_folder(folder)
    assert study.table[0].recall == 0.123 and first_break(study) == ""
    kept = json.loads((folder / "put-aside" / str(row["run"]) / "record.json").read_text())
    assert kept["recall"] == pytest.approx(row["recall"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run": "0123456789ab"}, "is not one of this study's"),
        ({"share": 0.35}, "was asked with share 0.30, and this row has share 0.35"),
        ({"tokens": 20_000}, "was asked with tokens 30k"),
        ({"size": 20_000}, "was asked with size 10.5k"),
        ({"seed": 7}, "was asked with seed 1"),
    ],
)
def test_a_result_that_does_not_fit_what_was_asked_is_refused_with_all_others(folder, change, said) -> None:
    runs = asked(open_folder(folder))
    chosen = [run for run in runs if run.share == 0.3 and run.size < 11_000]
    good, row = trained(chosen[::-1])
    before = files(folder)
    found = told(folder, good, row | change)
    assert len(found.complaints) == 1 and "row 3" in found.complaints[0] and said in found.complaints[0]
    assert files(folder) == before


def test_two_rows_of_one_run_must_not_differ(folder) -> None:
    (row,) = trained(asked(open_folder(folder))[:1])
    assert not told(folder, row, row).complaints
    assert "row 2; take one" in told(folder, row, row | {"recall": 0.5}).complaints[0]


def test_runs_are_known_by_their_settings_where_no_id_is_given(folder) -> None:
    runs = asked(open_folder(folder))
    settings = [{"n_params": run.size, "tokens": run.tokens, "share": run.share, "seed": run.seed} for run in runs]
    rows = [place | {"acc": 0.5} for place in settings]
    assert len(told(folder, *rows).new) == 24
    doubtful = told(folder, {name: value for name, value in rows[0].items() if name != "seed"})
    assert "may be run" in doubtful.complaints[0]
    unknown = told(folder, rows[0] | {"share": 0.45})
    assert "no run was asked with" in unknown.complaints[0] and runs[0].run in unknown.complaints[0]


def test_of_a_run_s_checkpoints_the_one_at_its_last_token_counts(folder) -> None:
    run = asked(open_folder(folder))[0]
    rows = [{"name": f"exp-{run.run}", "tokens_seen": part * run.tokens, "acc": part / 2} for part in (0.5, 1.0)]
    found = told(folder, *rows)
    assert found.new == [run.run] and len(found.remarks) == 1
    assert open_folder(folder).table[0].recall == 0.5


def test_diverged_runs_are_told_without_scores_and_unfinished_ones_not_at_all(folder) -> None:
    one, two = asked(open_folder(folder))[:2]
    rows = [{"run": one.run, "state": "diverged", "acc": 0.9}, {"run": two.run, "state": "crashed", "acc": 0.9}]
    found = told(folder, *rows)
    assert found.new == [one.run] and two.run in found.missing
    (record,) = open_folder(folder).table
    assert (record.status, record.recall) == ("diverged", None)


def test_losses_of_a_study_have_one_unit(folder) -> None:
    one, two = asked(open_folder(folder))[:2]
    assert not told(folder, {"run": one.run, "val_loss": 3.1}, unit="nats/token").complaints
    assert "one unit" in told(folder, {"run": two.run, "val_bpb": 1.1}).complaints[0]


def test_results_of_the_evaluation_harness_and_of_a_tracker_are_joined(folder) -> None:
    runs = asked(open_folder(folder))[1:3]  # without a dose, and with one
    for run in runs:
        place = folder.parent / "harness" / f"__models__{run.run}"
        place.mkdir(parents=True)
        results = {"mine": {"alias": "mine", "acc,none": 0.4 + run.share, "acc_stderr,none": 0.02}}
        content = {"results": results, "config": {"model_args": f"pretrained=/models/{run.run},dtype=float32"}}
        (place / "results_2026-01-01.json").write_text(json.dumps(content))
    tracker = folder.parent / "wandb.csv"
    rows = [{"Name": f"mine-{run.run}", "State": "finished", "eval/wiki/bpb": 1.5} for run in runs]
    written(tracker, rows)
    found = read_results([folder.parent / "harness", tracker], choices({"recall": "mine/acc", "val_bpb": "wiki/bpb"}))
    study = open_folder(folder)
    assert tell(study, asked(study), found.results).new == [run.run for run in runs]
    first, second = open_folder(folder).table
    assert (first.recall, first.recall_se, first.val_bpb) == (0.4, 0.02, 1.5)
    assert second.recall == pytest.approx(0.7)
    with pytest.raises(InputError, match='no column "eval/other"'):
        read_results([folder.parent / "harness", tracker], choices({"recall": "eval/other"}))


def test_tasks_whose_metrics_have_our_names_need_no_option(folder) -> None:
    run = asked(open_folder(folder))[0]
    scores = {
        "small_recall": {"recall,none": 0.5, "recall_stderr,none": 0.1, "chance,none": 0.125},
        "small_retention": {"retention,none": 0.75, "retention_stderr,none": 0.2, "chance:retention,none": 0.25},
    }
    path = folder.parent / run.run / "results_2026.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"results": scores, "model_name": "a/b"}))  # the path names the run
    study = open_folder(folder)
    assert tell(study, asked(study), read_results([path.parent], choices()).results).new == [run.run]
    (record,) = open_folder(folder).table
    assert (record.recall, record.recall_se, record.chance) == (0.5, 0.1, 0.125)
    assert (record.retention, record.retention_se, record.chance_of("retention")) == (0.75, 0.2, 0.25)


def test_scalars_of_tensorboard_count_by_their_last_step(folder) -> None:
    run = asked(open_folder(folder))[0]
    rows = [{"run": run.run, "step": step, "tag": "eval/acc", "value": step / 100} for step in (10, 50)]
    told(folder, *rows)
    assert open_folder(folder).table[0].recall == 0.5


def test_the_data_of_a_run_are_what_our_own_trainer_would_read_and_written_once(folder, tmp_path) -> None:
    study = open_folder(folder)
    specs = [spec for spec in study.fitted if spec.dose in (0.0, 0.6)][:3:2]
    write_corpora(folder, specs, "tokens", tmp_path / "corpora")
    corpus = open_corpus(folder / "corpus")
    for spec in specs:
        run = next(run for run in asked(study) if run.run == spec.id)
        path = tmp_path / "corpora" / spec.id / "train-00000.bin"
        tokens = np.fromfile(path, dtype="<u2", offset=1024)
        ours = mixture_of(spec, recipe_of(spec, corpus), corpus).blocks(0, run.steps * run.batch, run.sequence)
        theirs = [tokens[first : first + run.sequence + 1] for first in range(0, run.tokens, run.sequence)]
        assert np.array_equal(ours, theirs)
    before = path.stat().st_mtime_ns
    write_corpora(folder, specs, "tokens", tmp_path / "corpora")
    assert path.stat().st_mtime_ns == before
