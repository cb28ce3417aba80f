"""Tables as trackers export them: columns by the last parts of their names, what a person says, and what it is."""

import json
from pathlib import Path

import pytest

from infusionlaw.errors import InputError
from infusionlaw.runs.choices import Choices, choices, keep_choices, kept_file, read_choices
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import Runs, read_runs, read_table, table_text, write_table

WANDB = """\
"Name","State","Runtime","Created","config/model/n_params","config/train_tokens","config/domain_share","config/seed",\
"config/lora/r","eval/med/acc","eval/med/acc_stderr","eval/mmlu/acc","train/acc","_step"
"a","finished","100","x","160M","3B","10","1","8","55","0.9","31","99","100"
"b","crashed","10","x","160M","3B","20","1","8","11","","30","9","5"
"c","running","10","x","160M","","20","1","8","","","","",""
"d","killed","10","x","160M","3B","30","1","8","9","","30","9","5"
"e","finished","100","x","160M","3B","30","1","8","65","1.2","29","99","100"
"""
PERCENT = ["share", "recall", "recall_se", "retention"]
COLUMNS = {"recall": "eval/med/acc", "retention": "eval/mmlu/acc"}


def read(tmp_path: Path, text: str, **said) -> Runs:
    (tmp_path / "t.csv").write_text(text)
    return read_runs(tmp_path / "t.csv", choices(**said))


def refusal(tmp_path: Path, text: str, **said) -> str:
    with pytest.raises(InputError) as error:
        read(tmp_path, text, **said)
    assert str(error.value).startswith(str(tmp_path))
    return str(error.value).removeprefix(str(tmp_path))


def test_an_export_of_weights_and_biases_is_read_after_one_question_of_each_kind(tmp_path) -> None:
    said = refusal(tmp_path, WANDB)
    assert '"eval/med/acc" and "eval/mmlu/acc" may both be recall' in said and "--column recall=eval/med/acc" in said
    said = refusal(tmp_path, WANDB, columns=COLUMNS)
    option = said.rpartition("--percent ")[2].split(",")
    assert set(option) == {"config/domain_share", "eval/med/acc", "eval/med/acc_stderr", "eval/mmlu/acc"}
    runs = read(tmp_path, WANDB, columns=COLUMNS, percent=option)
    assert read(tmp_path, WANDB, columns=COLUMNS, percent=PERCENT) == runs
    place = {"size": 160e6, "tokens": 3e9, "seed": 1}
    assert [row for row in runs.rows if row.status == "ok"] == [
        RunRecord(**place, share=0.1, recall=0.55, recall_se=0.009, retention=0.31),
        RunRecord(**place, share=0.3, recall=0.65, recall_se=0.012, retention=0.29),
    ]
    assert all(row.recall is None for row in runs.rows if row.status != "ok")
    lost = next(remark for remark in runs.remarks if "did not finish" in remark)
    assert all(part in lost for part in ("3 runs", "1 crashed", "1 running", "1 killed"))
    assert any('size from "config/model/n_params"' in remark for remark in runs.remarks)


def test_an_export_of_mlflow_is_read_and_asks_for_the_unit_of_its_loss(tmp_path) -> None:
    head = "run_id,experiment_id,status,artifact_uri,start_time,metrics.eval/acc,metrics.eval/loss,params.n_params"
    text = f"{head},params.n_tokens,params.share,tags.mlflow.runName,tags.mlflow.source.name\n"
    text += "f0,0,FINISHED,file:///x,2026-01-01,0.5,3.1,1000000,1e9,0.1,calm-owl,train.py\n"
    text += "f1,0,FAILED,file:///x,2026-01-01,,,1000000,1e9,0.1,,train.py\n"
    assert '"metrics.eval/loss"' in (said := refusal(tmp_path, text)) and "--unit nats/token" in said
    runs = read(tmp_path, text, unit="nats/token")
    first, second = runs.rows
    place = {"size": 1e6, "tokens": 1e9, "share": 0.1, "loss_unit": "nats per token"}
    assert first == RunRecord(**place, recall=0.5, val_bpb=3.1, run="f0")
    assert second == RunRecord(**place, status="unfinished", run="f1")
    assert read(tmp_path, text, columns={"val_bpb": ""}).rows[0].val_bpb is None


def test_scores_of_the_evaluation_harness_are_read_with_their_errors(tmp_path) -> None:
    head = 'model,n_params,tokens,share,"medqa/acc,none","medqa/acc_stderr,none","medqa/acc_norm,none"'
    (row,) = read(tmp_path, f"{head}\na,1M,1B,.1,.5,.01,.6\n").rows
    assert row == RunRecord(size=1e6, tokens=1e9, share=0.1, recall=0.5, recall_se=0.01)
    two = f'{head},"mmlu/acc,none","mmlu/acc_stderr,none"\na,1M,1B,.1,.5,.01,.6,.4,.02\n'
    assert "may both be recall" in refusal(tmp_path, two)
    (row,) = read(tmp_path, two, columns={"recall": "mmlu/acc,none"}).rows
    assert (row.recall, row.recall_se) == (0.4, 0.02)
    strict = 'n_params,tokens,share,"exact_match,strict-match","exact_match,flexible-extract"\n1M,1B,.1,.5,.6\n'
    assert "may both be recall" in refusal(tmp_path, strict)


def test_results_of_the_evaluation_harness_are_no_table(tmp_path) -> None:
    results = {"results": {"medqa": {"alias": "medqa", "acc,none": 0.5, "acc_stderr,none": 0.01}}, "config": {}}
    (tmp_path / "results_2026.json").write_text(json.dumps(results, indent=2))
    with pytest.raises(InputError, match="lm-evaluation-harness"):
        read_table(tmp_path / "results_2026.json")


def test_a_last_part_that_says_too_little_is_not_taken(tmp_path) -> None:
    text = "size,tokens,recall,lora/r,batch/size,warmup/ratio,train/epochs,optimizer/k\n9k,9k,.5,8,32,.1,2,3\n"
    assert read(tmp_path, text).rows == [RunRecord(size=9e3, tokens=9e3, recall=0.5)]


def test_all_missing_columns_are_in_one_message_with_the_nearest_names_of_a_wide_file(tmp_path) -> None:
    many = [f"system/gpu.{i}.power" for i in range(2000)]
    head = ",".join([*many, "config/nparams_nonemb", "trained_tokns", "eval/med/accuracyy"])
    said = refusal(tmp_path, f"{head}\n{','.join('1' for _ in range(2003))}\n")
    assert "--column tokens=trained_tokns" in said and "--column recall=eval/med/accuracyy" in said
    assert "--column size=config/nparams_nonemb" in said and len(said) < 700


def test_a_constant_stands_for_a_column_that_all_runs_share(tmp_path) -> None:
    text = "size,share,recall\n9k,.5,.5\n"
    assert "--column tokens=20B" in refusal(tmp_path, "size,val_bpb\n9k,1.5\n")
    (row,) = read(tmp_path, text, columns={"tokens": "20B", "chance": "25%"}).rows
    assert (row.tokens, row.chance) == (20e9, 0.25)
    assert 'there is no column "score"' in refusal(tmp_path, text, columns={"recall": "score"})
    with pytest.raises(InputError, match=r'"recal" is no column.*did you mean "recall"'):
        choices(columns={"recal": "score"})


RUNS = """\
State,lr,seed,size,tokens,share,recall
finished,1e-3,1,9k,9k,.1,.5
finished,3e-4,2,9k,9k,.1,.6
crashed,1e-3,3,9k,9k,.1,.1
"""


@pytest.mark.parametrize(
    ("where", "seeds"),
    [
        (["State = finished"], [1, 2]),
        (["state=Finished"], [1, 2]),
        (["State != crashed", "lr = .001"], [1]),
        (["lr < 5e-4"], [2]),
        (["seed > 1"], [2, 3]),
        (["seed in 1, 3"], [1, 3]),
        (['"State" in ("crashed")'], [3]),
    ],
)
def test_conditions_choose_the_rows(tmp_path, where, seeds) -> None:
    assert [row.seed for row in read(tmp_path, RUNS, where=where).rows] == seeds


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("State = finishd", '"State" has finished, crashed'),
        ("Stat = finished", 'no column "Stat"; did you mean "State"?'),
        ("State < 3", '"finished" is no number'),
        ("lr < high", '"high" is no number'),
        ("finished", "cannot be read"),
        ("lr <= 3", "cannot be read"),
        ("lr == 3", "cannot be read"),
        ("__import__('os').system('x')", "cannot be read"),
    ],
)
def test_a_wrong_condition_is_refused(tmp_path, where, message) -> None:
    assert message in refusal(tmp_path, RUNS, where=[where])


def test_columns_beyond_one_are_asked_about_together_and_only_they(tmp_path) -> None:
    text = "size,tokens,share,acc,acc_stderr,retention\n9k,9k,10,55,.9,.5\n9k,9k,30,.4,1.1,.6\n"
    said = refusal(tmp_path, text)
    assert said.endswith("--percent share,acc,acc_stderr")
    rows = read(tmp_path, text, percent=["share", "acc", "acc_stderr"]).rows
    assert [(row.share, row.recall, row.recall_se, row.retention) for row in rows] == [
        (0.1, 0.55, 0.009, 0.5),
        (0.3, 0.004, 0.011, 0.6),
    ]
    assert refusal(tmp_path, text, percent=["acc", "share"]).endswith("--percent acc,share,acc_stderr")
    assert "so it cannot be percent" in refusal(tmp_path, text, percent=["size"])


def test_what_is_said_is_kept_beside_the_table_and_read_the_next_time(tmp_path) -> None:
    (tmp_path / "t.csv").write_text(WANDB)
    odd = 'eval/"med" \\ é\x7f😀\t'
    said = choices({**COLUMNS, "val_bpb:wiki": odd}, ["State = finished"], PERCENT, "nats/token")
    path = keep_choices(tmp_path / "t.csv", said)
    assert path == kept_file(tmp_path / "t.csv") and path.name == "t.csv.columns.toml"
    assert read_choices(tmp_path / "t.csv") == choices(
        {**COLUMNS, "val_bpb:wiki": odd}, ["State = finished"], PERCENT, "nats/token"
    )
    keep_choices(tmp_path / "t.csv", choices(COLUMNS, ["State = finished"], PERCENT))
    runs = read_runs(tmp_path / "t.csv")
    assert len(runs.rows) == 2 and "t.csv.columns.toml" in runs.remarks[0]
    swapped = {"recall": "eval/mmlu/acc", "retention": ""}
    assert read_table(tmp_path / "t.csv", columns=swapped)[0].recall == 0.31
    with pytest.raises(InputError, match='"eval/mmlu/acc" cannot be both recall and retention'):
        read_table(tmp_path / "t.csv", columns={"recall": "eval/mmlu/acc"})


@pytest.mark.parametrize(
    "text", ["columns = 3", "wher = []", "where = [3]", "unit = 'furlongs'", "[columns]\nx = 'y'", "="]
)
def test_a_broken_file_of_choices_is_named(tmp_path, text) -> None:
    kept_file(tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=r"t\.csv\.columns\.toml: "):
        read(tmp_path, RUNS)
    kept_file(tmp_path / "t.csv").unlink()
    assert read_choices(tmp_path / "t.csv") == Choices()


def test_domain_tokens_give_the_share(tmp_path) -> None:
    head = "size,tokens,domain_tokens,share,recall\n"
    assert read(tmp_path, f"{head}9k,1M,250k,,.5\n").rows[0].share == 0.25
    assert read(tmp_path, f"{head}9k,1M,250k,.26,.5\n").rows[0].share == 0.26
    assert 'but "domain_tokens" over tokens is 0.25' in refusal(tmp_path, f"{head}9k,1M,250k,.5,.5\n")
    assert "more than the 1e+06 tokens" in refusal(tmp_path, f"{head}9k,1M,2M,,.5\n")


def test_losses_starts_and_sources_are_read_and_written(tmp_path) -> None:
    text = "size,tokens,share,domain_loss,val_loss:wiki,start_val_loss,start_acc\n9k,1M,.5,2.5,2,3,.25\n"
    assert '"domain_loss"' in refusal(tmp_path, text)
    (row,) = read(tmp_path, text, unit="bits per token").rows
    assert row.loss_unit == "bits per token"
    assert dict(row.more) == {"domain_loss": 2.5, "val_bpb:wiki": 2, "start_val_bpb": 3, "start_recall": 0.25}
    write_table(tmp_path / "again.csv", [row])
    (again,) = read_table(tmp_path / "again.csv")
    assert table_text([again]) == table_text([row]) and dict(again.more) == dict(row.more)
    assert read(tmp_path, text, unit="bits/byte").rows[0].loss_unit is None


def test_losses_have_one_unit_and_those_in_bits_per_byte_go_first(tmp_path) -> None:
    both = "size,tokens,share,val_bpb,val_loss\n9k,1M,.5,1.1,3\n"
    assert read(tmp_path, both).rows == [RunRecord(size=9e3, tokens=1e6, share=0.5, val_bpb=1.1)]
    mixed = "size,tokens,share,val_bpb,domain_loss\n9k,1M,.5,1.1,3\n"
    assert "a table has one unit" in refusal(tmp_path, mixed, unit="nats/token")
    with pytest.raises(InputError, match="furlongs"):
        choices(unit="furlongs")


def test_a_row_with_no_tokens_is_the_start_of_the_runs_of_its_size(tmp_path) -> None:
    text = "size,tokens,share,recall,val_bpb\n9k,0,,.2,1.1\n9k,0,,.3,1.1\n9k,1M,.1,.5,1.2\n8k,1M,.1,.4,1.3\n"
    runs = read(tmp_path, text)
    assert [dict(row.more) for row in runs.rows] == [{"start_recall": 0.25, "start_val_bpb": 1.1}, {}]
    assert any("tokens 0" in remark for remark in runs.remarks)


def test_checkpoints_of_one_run_are_one_curve_by_name_or_by_step(tmp_path) -> None:
    head = "run_name,_step,seed,size,tokens,share,recall\n"
    named = "a,1,1,9k,1M,.1,.5\na,2,1,9k,2M,.1,.6\na,1,2,9k,1M,.1,.5\na,2,2,9k,2M,.1,.6\nb,1,1,9k,1M,.3,.5\n"
    rows = read(tmp_path, head + named).rows
    assert rows[0].curve == rows[1].curve != rows[2].curve == rows[3].curve and rows[4].curve is None
    runs = read(tmp_path, head.replace("run_name,", "") + "1,1,9k,1M,.1,.5\n2,1,9k,2M,.1,.6\n2,1,9k,2M,.3,.6\n")
    assert [row.curve is None for row in runs.rows] == [False, False, True]
    assert any("checkpoints of one run" in remark for remark in runs.remarks)
    separate = head + "a,1,1,9k,1M,.1,.5\nb,2,1,9k,2M,.1,.6\n"
    assert [row.curve for row in read(tmp_path, separate).rows] == [None, None]
    sweep = head + "a,1,1,9k,1M,.1,.5\na,2,1,9k,2M,.9,.6\n"
    assert [row.curve for row in read(tmp_path, sweep).rows] == [None, None]
    write_table(tmp_path / "again.csv", rows)
    assert read_table(tmp_path / "again.csv") == rows


HISTORY = [
    {"run": f"r{i}", "step": step, "tag": tag, "value": value, "wall_time": i + step / 1e3, "n_params": "160M"}
    | {"train_tokens": 3e9, "share": share}
    for i, share in enumerate((0.0, 0.1, 0.3))
    for step, tag, value in (
        (100, "eval/val_bpb", 2.0),
        (900, "eval/val_bpb", 1.0 + share),
        (900, "eval/acc", 0.5 + share),
        (1000, "train/loss", 3.0),
    )
]


def csv_of(rows: list[dict[str, object]]) -> str:
    return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n"


def test_scalars_of_tensorboard_are_read_with_the_last_value_of_each_tag(tmp_path) -> None:
    long = read(tmp_path, csv_of(HISTORY))
    assert [(row.run, row.size, row.share) for row in long.rows] == [
        (f"r{i}", 160e6, s) for i, s in enumerate((0, 0.1, 0.3))
    ]
    assert [row.val_bpb for row in long.rows] == [1.0, 1.1, 1.3] and [row.recall for row in long.rows] == [
        0.5,
        0.6,
        0.8,
    ]
    assert any("3 runs" in remark and "last value" in remark for remark in long.remarks)
    wide: dict[tuple[object, object], dict[str, object]] = {}
    for row in HISTORY:
        kept = {name: row[name] for name in ("run", "step", "n_params", "train_tokens", "share")}
        blank = {"eval/val_bpb": "", "eval/acc": "", "train/loss": ""}
        wide.setdefault((row["run"], row["step"]), kept | blank)[str(row["tag"])] = row["value"]
    assert read(tmp_path, csv_of(list(wide.values()))) == long


def test_runs_of_one_name_at_one_step_and_checkpoints_stay_apart(tmp_path) -> None:
    head = "run_name,global_step,size,tokens,share,recall\n"
    seeds = read(tmp_path, head + "a,9,160M,3B,0.1,0.5\na,9,160M,3B,0.1,0.6\n").rows
    assert [row.recall for row in seeds] == [0.5, 0.6]
    checkpoints = read(tmp_path, head + "a,9,160M,3B,0.1,0.5\na,18,160M,6B,0.1,0.6\n").rows
    assert [row.tokens for row in checkpoints] == [3e9, 6e9] and all(row.curve for row in checkpoints)
