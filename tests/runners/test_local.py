"""The lab's door with real training: records, ledgers, a study killed with SIGKILL, refusals, export."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.corpus.infusion.general import PAGE
from infusionlaw.errors import InputError
from infusionlaw.pipeline import dry_run, open_study, run_study
from infusionlaw.runners.execute import execute_together, export_run
from infusionlaw.runners.local import Lab
from infusionlaw.runs.table import read_table
from infusionlaw.settings import read_study_file
from infusionlaw.study.study import open_folder
from infusionlaw.study.verify import first_break
from infusionlaw.training.probe import build_probes
from infusionlaw.training.resolve import recipe_of


@pytest.fixture(scope="module")
def done(material, tmp_path_factory):
    """The small study, run without a stop."""
    return run_study(material / "study.toml", tmp_path_factory.mktemp("study") / "out", Lab())


@pytest.mark.slow
def test_a_real_study_ends_with_all_its_files(done) -> None:
    rows = read_table(done.folder / "table.csv")
    assert len(rows) == 2 * 3 + 2
    assert sum(row.held_out for row in rows) == 2
    assert all(row.status == "ok" and 0 <= row.recall <= 1 and row.val_bpb > 1 for row in rows)
    assert (done.folder / "report.html").exists()
    for spec in [*done.fitted, *done.held_out]:
        names = {path.name for path in (done.folder / "runs" / spec.id).iterdir()}
        assert names == {
            "spec.json",
            "ledger.json",
            "metrics.jsonl",
            "probes.json",
            "model.safetensors",
            "record.json",
        }


@pytest.mark.slow
def test_a_record_agrees_with_its_ledger(done) -> None:
    corpus = open_corpus(done.folder / "corpus")
    for spec in done.fitted:
        record, folder = done.record(spec), done.folder / "runs" / spec.id
        ledger = json.loads((folder / "ledger.json").read_text())
        tokens = ledger["tokens"]
        assert tokens["all"] == record.tokens == tokens["domain"] + tokens["prior"] + tokens["general"]
        assert tokens["domain"] / tokens["all"] == pytest.approx(record.share, abs=PAGE / tokens["all"])
        counts = [row["exposures"] for row in ledger["domain"]["exposures"]]
        assert sum(counts) / len(counts) == pytest.approx(record.exposures, rel=0.02, abs=0.5)
        stated = sum(sum(used.values()) for used in ledger["domain"]["templates"].values())
        assert stated == sum(counts)
        assert recipe_of(spec, corpus).shape.size == record.size


@pytest.mark.slow
def test_killed_in_mid_study_it_goes_on_to_the_same_bytes(done, material, tmp_path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "infusionlaw.cli", "run", str(material / "study.toml"), "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.time() + 120
    while time.time() < deadline:
        if len(list(folder.glob("runs/*/record.json"))) >= 2 and list(folder.glob("runs/*/checkpoint.json")):
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/record.json")}
    assert 2 <= len(finished) < 8
    assert nobody_left(process.pid)
    run_study(material / "study.toml", folder, Lab())
    assert all(path.stat().st_mtime_ns == when for path, when in finished.items())
    for name in ("table.csv", "fitted.csv", "points.json", "law.json"):
        assert (folder / name).read_bytes() == (done.folder / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_at_once_and_says_how_to_go_on(material, tmp_path, asked) -> None:
    study = (material / "study.toml").read_text(encoding="utf8").replace("30_000", "3_000_000")
    study += "[infusion]\nmax_exposures = 1_000_000\n"
    for path in material.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "study.toml").write_text(study, encoding="utf8")
    command = [sys.executable, "-m", "infusionlaw.cli", "run", "study.toml", "--out", "out"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
    )
    deadline = time.time() + 120
    while time.time() < deadline and not list(tmp_path.glob("out/runs/*/checkpoint.json")):
        time.sleep(0.02)
    if asked == signal.SIGINT:
        os.killpg(process.pid, asked)  # as a terminal does: every process of the group hears it
    else:
        worker = children(process.pid, "spawn_main")[0]
        os.kill(worker, signal.SIGSTOP)  # one that stands still hears nothing
        process.send_signal(asked)
    _, said = process.communicate(timeout=20)
    assert (
        process.returncode == 128 + asked
        and "the same command goes on where it was" in said
        and "Traceback" not in said
    )
    assert nobody_left(process.pid)
    assert list(tmp_path.glob("out/runs/*/checkpoint.json")) and not list(tmp_path.glob("out/runs/*/record.json"))


def children(parent: int, command: str) -> list[int]:
    """The processes that one has begun by a command."""
    out = subprocess.run(
        ["ps", "-ww", "--ppid", str(parent), "-o", "pid=", "-o", "args="], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in out.stdout.splitlines() if command in line]


def nobody_left(session: int) -> bool:
    """Whether all processes of a session are gone within some seconds: workers end with the process they serve."""
    for _ in range(100):
        out = subprocess.run(["ps", "-s", str(session), "-o", "stat="], capture_output=True, text=True, check=False)
        if not [line for line in out.stdout.split() if not line.startswith("Z")]:
            return True
        time.sleep(0.1)
    return False


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file, and keep its size and time."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_flipped_bit_is_seen_in_any_file(done, tmp_path) -> None:
    shutil.copytree(done.folder, tmp_path / "out")
    study = open_folder(tmp_path / "out")
    places = [tmp_path / "out" / "corpus", *(tmp_path / "out" / "runs" / spec.id for spec in study.fitted[:1])]
    assert first_break(study, whole=True) == ""
    for path in [path for place in places for path in sorted(place.iterdir()) if path.name != "corpus.json"]:
        whole = path.read_bytes()
        flip(path)
        assert str(path) in first_break(open_folder(tmp_path / "out"), whole=True), path.name
        path.write_bytes(whole)
    assert first_break(open_folder(tmp_path / "out"), whole=True) == ""


@pytest.mark.parametrize("name", ["train.bin", "knowledge.json", "tokenizer.json"])
def test_nothing_is_trained_on_a_damaged_corpus(done, material, tmp_path, name) -> None:
    shutil.copytree(done.folder, tmp_path / "out")
    run = tmp_path / "out" / "runs" / done.fitted[0].id
    shutil.rmtree(run)
    path = tmp_path / "out" / "corpus" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: its SHA-256 is \w+ and was \w+ when prepared; delete .*corpus"):
        run_study(material / "study.toml", tmp_path / "out", Lab())
    assert not run.exists()
    shutil.rmtree(tmp_path / "out" / "corpus")
    assert open_study(material / "study.toml", tmp_path / "out", Lab()).data == done.data


def test_a_worker_does_not_train_a_run_of_another_corpus(done, tmp_path) -> None:
    corpus, spec = open_corpus(done.folder / "corpus"), replace(done.fitted[0], data="another")
    with pytest.raises(InputError, match=rf"is corpus {corpus.id}, and the runs are of corpus another"):
        list(execute_together([spec], corpus, build_probes(corpus, 128), tmp_path, checkpoint_every=50))
    assert not list(tmp_path.iterdir())


def test_a_source_that_changed_while_its_size_and_time_stayed_is_seen(done, material, tmp_path) -> None:
    for path in material.iterdir():
        shutil.copy2(path, tmp_path)
    shutil.copytree(done.folder, tmp_path / "out")
    study = open_study(tmp_path / "study.toml", tmp_path / "out", Lab())
    assert first_break(study, whole=True) == ""
    for name, said in {"facts.csv": "facts.csv", "text.jsonl": r"the source of \[text\]"}.items():
        flip(tmp_path / name)
        assert re.match(rf"{said}.*: is not what .*corpus was prepared from", first_break(study, whole=True))
        flip(tmp_path / name)


def test_a_run_of_a_corpus_that_is_no_longer_there_is_not_exported(done, tmp_path) -> None:
    run = tmp_path / "runs" / done.fitted[2].id
    shutil.copytree(done.folder / "runs" / done.fitted[2].id, run)
    shutil.copytree(done.folder / "corpus", tmp_path / "corpus")
    head = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    (tmp_path / "corpus" / "corpus.json").write_text(json.dumps(head | {"id": "another", "files": {}}))
    with pytest.raises(InputError, match=r"was trained on corpus \w+, and .*corpus is another now"):
        export_run(run, tmp_path / "hf")


@pytest.mark.slow
def test_an_exported_run_answers_as_the_record_says(done, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch
    from torch.nn.functional import cross_entropy

    spec = done.fitted[2]
    export_run(done.folder / "runs" / spec.id, tmp_path / "hf")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    corpus = open_corpus(done.folder / "corpus")
    tokens, header = corpus.validation[""]
    block = spec.settings.block
    blocks = [torch.tensor(tokens[at : at + block + 1].astype("int64")) for at in range(0, len(tokens) - block, block)]
    with torch.no_grad():
        losses = [cross_entropy(model(ids[None, :-1]).logits[0], ids[1:]).item() for ids in blocks]
    record = done.record(spec)
    bits = sum(losses) / len(losses) / math.log(2) * header.tokens / header.text_bytes
    assert bits == pytest.approx(record.val_bpb, rel=1e-3)
    with pytest.raises(InputError, match="name the folder of a finished run"):
        export_run(done.folder, tmp_path / "no")


def changed(material, tmp_path, old: str, new: str):
    folder = tmp_path / "material"
    shutil.copytree(material, folder)
    text = (folder / "study.toml").read_text()
    assert old in text
    (folder / "study.toml").write_text(text.replace(old, new))
    return folder / "study.toml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[training]", "[infusion]\nmax_exposures = 50\n[training]", r"more than max_exposures = 50"),
        ("shares = [0.3, 0.9]", "shares = [0.001]", r"giving each of 8 facts once takes [\d,]+"),
        ("shares = [0.3, 0.9]", "exposures = [9000]", r"leaves no general text"),
        ("doses = [0.9]", "doses = [1.0]", r"leaves no general text"),
        ("sizes = [10_000, 14_000]", "sizes = [5_000]", r"outside 10,000 to 3,000,000,000"),
        ("tokens = [30_000]", "tokens = [2_000]", r"20 are the least"),
    ],
)
def test_impossible_doses_are_refused_with_the_numbers_before_training(material, tmp_path, old, new, message) -> None:
    with pytest.raises(InputError, match=message):
        open_study(changed(material, tmp_path, old, new), tmp_path / "out", Lab())
    assert not (tmp_path / "out" / "runs").exists()


def test_a_bad_facts_row_is_refused_before_training(material, tmp_path) -> None:
    study = changed(material, tmp_path, "seed = 3", "seed = 3")
    facts = study.parent / "facts.csv"
    facts.write_text(facts.read_text().replace("Delwick,colour,brown", "Delwick,colour,") + "")
    facts.write_text(facts.read_text().replace("Delwick,colour,white", "Delwick,colour,"))
    with pytest.raises(InputError, match=r"facts\.csv, (line|row) 5: .*object"):
        open_study(study, tmp_path / "out", Lab())


@pytest.mark.slow
def test_a_dry_run_estimates_every_run_and_trains_none(done, material, tmp_path) -> None:
    shutil.copytree(done.folder / "corpus", tmp_path / "out" / "corpus")
    (tmp_path / "out" / ".infusionlaw").touch()  # as a study that is prepared has it
    estimates = dry_run(material / "study.toml", tmp_path / "out", Lab())
    assert len(estimates) == 8
    assert all(run.seconds > 0 and run.memory > 2**20 and run.steps > 100 for run in estimates)
    assert [run.exposures for run in estimates[:3]] == sorted(run.exposures for run in estimates[:3])
    assert not (tmp_path / "out" / "runs").exists()
    file, text = read_study_file(material / "study.toml"), open_corpus(tmp_path / "out" / "corpus")
    for run in estimates:
        ledger = text.mixture(run.share, file.infusion.prior_share, run.seed).ledger(run.tokens)
        assert run.passes == pytest.approx(ledger.general_passes, rel=0.03)
