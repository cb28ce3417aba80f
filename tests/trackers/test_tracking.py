"""Trackers: whole curves read back from what each one keeps, and none of them in the way of a study."""

import json
import multiprocessing
import sqlite3
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from fakelab import FakeLab, small_study

from infusionlaw.errors import InputError
from infusionlaw.files import write_json
from infusionlaw.lab import Watch
from infusionlaw.pipeline import run_study
from infusionlaw.runs.record import Progress, RunRecord, RunSpec
from infusionlaw.settings import Track, read_study_file, write_template
from infusionlaw.study.study import Study
from infusionlaw.trackers import tracking

STEPS, TOKENS = 100, 1_500_000  # of every run here; 25 steps are 375,000 tokens
Curve = list[tuple[int, float | None, float | None]]  # tokens, loss, recall


class Ear(Watch):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, text: str) -> None:
        self.said.append(text)


def a_study(folder: Path, *trackers: str) -> Study:
    """The template's study in the folder `out`, with these trackers."""
    path = folder / "mine.toml"
    file = read_study_file(path if path.exists() else write_template(path))
    return Study(file.model_copy(update={"track": Track(to=trackers)}), folder / "out", "abc")


def row(step: int) -> dict[str, float]:
    """A line of metrics.jsonl."""
    return {"step": step, "tokens": step * TOKENS // STEPS, "loss": 5 - step / 50, "learning_rate": 0.01, "seconds": 1}


def train(study: Study, spec: RunSpec, watch: Watch, steps: Sequence[int], checkpoint: int = STEPS) -> None:
    """Train a run as a lab would, up to the last of the steps; its folder holds what a checkpoint would leave there."""
    run = study.folder / "runs" / spec.id
    run.mkdir(parents=True, exist_ok=True)
    for step in steps:
        watch.progress(Progress(spec.id, step, STEPS, row(step)))
    kept = [json.dumps(row(step)) + "\n" for step in range(25, checkpoint + 1, 25)]
    (run / "metrics.jsonl").write_text("".join(kept))
    if steps[-1] == STEPS:
        record = RunRecord(spec.size, spec.tokens, spec.dose, recall=0.5, recall_se=0.1, run=spec.id)
        write_json(run / "record.json", asdict(record))
        watch.finished(spec, record)


def half_a_run(folder: Path, tracker: str) -> None:
    """Train the second run with a tracker up to step 75, with a checkpoint of step 50, and wait to be killed."""
    study = a_study(folder, tracker)
    specs = study.opening[:2]
    with tracking.tracked(study, Watch()) as watch:
        watch.runs(specs, specs[1:])
        train(study, specs[1], watch, [25, 50, 75], checkpoint=50)
        time.sleep(60)


def from_tensorboard(study: Study) -> dict[str, Curve]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in (study.folder / "tensorboard").iterdir():
        events = EventAccumulator(str(folder)).Reload()
        scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        recall = dict(scalars.get("outcome/recall", []))
        found[folder.name] = [(tokens, loss, recall.get(tokens)) for tokens, loss in scalars["train/loss"]]
    return found


def from_trackio(study: Study) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    with closing(sqlite3.connect(study.folder.parent / "trackio" / "infusionlaw.db")) as store:
        for run, config in store.execute("SELECT run_name, config FROM configs"):
            assert json.loads(config)["_Group"] == study.file.name
            logs = store.execute("SELECT step, metrics FROM metrics WHERE run_name = ? ORDER BY step", [run])
            found[run] = [_of(json.loads(values), tokens) for tokens, values in logs]
    return found


def from_wandb(study: Study) -> dict[str, Curve]:
    """Of a run that was begun again offline, what was written last, as whoever sends it to the server last."""
    found = {}
    for path in sorted(study.folder.glob("wandb/offline-run-*/*.wandb")):
        if not (records := list(_records_of_wandb(path))):
            continue  # it was killed before it wrote
        (run,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
        assert run.run_group == study.file.name
        history = [record.history for record in records if record.WhichOneof("record_type") == "history"]
        values = [{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in one.item} for one in history]
        found[run.run_id] = [_of(each, one.step.num) for each, one in zip(values, history, strict=True)]
    return found


def _records_of_wandb(path: Path) -> Iterator:
    """Records of a file in LevelDB's log format, behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32_768 - at % 32_768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + size], at + 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def _of(values: dict[str, float], tokens: int) -> tuple[int, float | None, float | None]:
    return tokens, values.get("train/loss"), values.get("outcome/recall")


READ = {"tensorboard": from_tensorboard, "trackio": from_trackio, "wandb": from_wandb}


@pytest.mark.parametrize("tracker", READ)
def test_every_point_is_there_once_of_runs_finished_before_killed_and_gone_on_with(
    tracker, tmp_path, monkeypatch
) -> None:
    pytest.importorskip(tracker)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    study = a_study(tmp_path, tracker)
    first, second = specs = study.opening[:2]
    train(study, first, Watch(), [25, 50, 75, 100])  # before anybody watched
    driver = multiprocessing.get_context("spawn").Process(target=half_a_run, args=(tmp_path, tracker))
    driver.start()
    until = time.monotonic() + 60
    while not (_begun(study, tracker, second) and first.id in _noted(study, tracker)) and time.monotonic() < until:
        time.sleep(0.1)
    driver.kill()
    driver.join()
    sent, ear = len(list(study.folder.glob(f"{tracker}/*{first.id}*"))), Ear()
    with tracking.tracked(study, ear) as watch:
        watch.runs(specs, specs[1:])
        train(study, second, watch, [75, 100])
    assert ear.said == []
    whole = [(row(step)["tokens"], pytest.approx(row(step)["loss"]), None) for step in (25, 50, 75)]
    whole += [(TOKENS, pytest.approx(3.0), 0.5)]
    assert {name[-12:]: curve for name, curve in READ[tracker](study).items()} == {first.id: whole, second.id: whole}
    assert sorted(_noted(study, tracker)) == sorted([first.id, second.id])
    assert len(list(study.folder.glob(f"{tracker}/*{first.id}*"))) == sent  # it was whole, so it was not sent again


def _begun(study: Study, tracker: str, spec: RunSpec) -> bool:
    """Whether a tracker has what was measured of a run; what wandb has cannot be read before the run ends."""
    if tracker == "wandb":
        return any(study.folder.glob(f"wandb/*{spec.id}*"))
    try:
        return any(len(curve) == 3 for name, curve in READ[tracker](study).items() if name.endswith(spec.id))
    except (OSError, KeyError, sqlite3.Error):  # nothing is there yet
        return False


def _noted(study: Study, tracker: str) -> list[str]:
    path = study.folder / "trackers" / f"{tracker}.txt"
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def bad_trackers(tmp_path, monkeypatch) -> Path:
    """A package of trackers that fail, hang and need what is not installed."""
    package = tmp_path / "package"
    (package / "bad-1.dist-info").mkdir(parents=True)
    (package / "bad-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    names = "".join(f"{name} = bad:{name.title()}\n" for name in ("fails", "hangs", "lacks"))
    (package / "bad-1.dist-info" / "entry_points.txt").write_text(f"[infusionlaw.trackers]\n{names}")
    (package / "bad.py").write_text(
        "import time\n"
        "class Fails:\n"
        "    package = 'json'\n"
        "    def start(self, run, tokens): raise OSError('no way to the server')\n"
        "    def close(self): pass\n"
        "class Hangs(Fails):\n"
        "    def start(self, run, tokens): time.sleep(1000)\n"
        "class Lacks(Fails):\n"
        "    package = 'nothing_of_that_name'\n"
    )
    monkeypatch.syspath_prepend(str(package))
    return package


def test_a_tracker_that_fails_or_hangs_slows_nothing_and_is_said_once(bad_trackers, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tracking, "AT_THE_END", 1.0)
    monkeypatch.setattr(tracking, "WAITING", 100)
    study, ear = a_study(tmp_path, "fails", "hangs"), Ear()
    (spec,) = specs = study.opening[:1]
    begun = time.monotonic()
    with tracking.tracked(study, ear) as watch:
        watch.runs(specs, specs)
        for step in range(2000):
            watch.progress(Progress(spec.id, step, 2001, row(step)))
        while not ear.said and time.monotonic() < begun + 60:
            time.sleep(0.1)
            watch.progress(Progress(spec.id, 1, STEPS))
        train(study, spec, watch, [STEPS])
    assert time.monotonic() < begun + 100  # the tracker that hangs does so for a thousand seconds
    assert not multiprocessing.active_children()
    failed, *lost = ear.said
    assert "the tracker fails failed" in failed and "no way to the server" in failed
    assert [said.split(";")[0] for said in lost] == [
        f"the tracker {name} did not take 2,001 of 2,001 points" for name in ("fails", "hangs")
    ]
    log = study.folder / "trackers" / "fails.log"
    assert str(log) in lost[0] and "no way to the server" in log.read_text()


def test_results_are_the_same_bytes_with_a_tracker_that_fails(bad_trackers, tmp_path) -> None:
    studies = [small_study(tmp_path / name / "mine.toml") for name in ("with", "without")]
    for study in studies:
        study.write_text(study.read_text().replace("[law]", "[law]\ndraws = 50"))
    studies[0].write_text(studies[0].read_text() + '[track]\nto = ["fails"]\n')
    done = [run_study(study, study.parent / "out", FakeLab()) for study in studies]
    results = ("fitted.csv", "table.csv", "law.json", "plan.json", "points.json")
    made = [[(one.folder / name).read_bytes() for name in results] for one in done]
    assert made[0] == made[1]
    assert [spec.id for spec in done[0].opening] == [spec.id for spec in done[1].opening]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorbord", 'no tracker is named "tensorbord"; did you mean "tensorboard"?'),
        ("lacks", "the tracker lacks needs nothing_of_that_name; install that package"),
    ],
)
def test_a_tracker_that_is_not_there_is_said_before_anything_is_prepared(name, said, bad_trackers, tmp_path) -> None:
    study = small_study(tmp_path / "mine.toml")
    study.write_text(study.read_text() + f'[track]\nto = ["{name}"]\n')
    with pytest.raises(InputError) as error:
        run_study(study, tmp_path / "out", FakeLab())
    assert said in str(error.value)
    assert not (tmp_path / "out").exists()
