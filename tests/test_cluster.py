"""Studies and corpora on a Ray cluster of three nodes, two of which do not see the study's folder."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from benchmarks.storm import differences
from infusionlaw.corpus.export.source import Stream
from infusionlaw.corpus.export.stream import Step, begin_stream, finish_stream, write_stream
from infusionlaw.errors import InputError
from infusionlaw.lab import Watch
from infusionlaw.pipeline import run_study
from infusionlaw.runners.carried import root
from infusionlaw.runners.lab import Machine, Part
from infusionlaw.runners.local import Lab
from infusionlaw.runs.record import read_record
from infusionlaw.study.study import open_folder
from infusionlaw.study.verify import first_break

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nodes are hidden and killed by Linux's means")
clusters = pytest.importorskip("benchmarks.clusters")
cluster = pytest.importorskip("infusionlaw.runners.ray")

HIDES = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0
DESIGN = """sizes = [10_000]
tokens = [30_000]
shares = [0.3, 0.6, 0.9]
seeds = [1]
"""


@pytest.fixture(scope="module")
def study(material: Path) -> Path:
    """A study file of three runs and none held out."""
    return written(material, "cluster", DESIGN, 50)


def written(material: Path, name: str, design: str, checkpoint_every: int) -> Path:
    """Write a study file of the material, with another design."""
    head = (material / "study.toml").read_text(encoding="utf8").partition("[design]")[0]
    path = material / f"{name}.toml"
    path.write_text(f"{head}[design]\n{design}[training]\ncheckpoint_every = {checkpoint_every}\n", encoding="utf8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where studies are, which some nodes do not see."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def nodes(place: Path) -> Iterator["clusters.Nodes"]:
    with closing(clusters.Nodes(3, hidden=place if HIDES else None)) as found:
        found.wait()
        yield found


@pytest.fixture(scope="module")
def whole(study: Path, place: Path) -> Path:
    """The study as this machine runs it."""
    return run_study(study, place / "whole", Lab()).folder


def same(folder: Path, whole: Path) -> None:
    """Whether a study's folder is the undisturbed one's, and nothing is left anywhere."""
    assert not list(differences(folder, whole))
    assert not first_break(open_folder(folder), whole=True)
    assert not root().exists()


class Strikes(Watch):
    """Does something to a worker once, when its run has come to a step."""

    def __init__(self, what) -> None:
        self.what, self.hit, self.devices = what, 0, set()

    def progress(self, progress) -> None:
        self.devices.add(progress.device)
        if not self.hit and progress.step >= 50:
            self.hit = int(progress.device.split()[-1])
            self.what(self.hit)


def test_a_study_is_the_same_on_a_cluster_of_which_a_node_is_killed(study, place, nodes, whole) -> None:
    def kill(pid: int) -> None:
        nodes.kill(0)
        nodes.add()

    watch = Strikes(kill)
    done = run_study(study, place / "killed", cluster.Lab(nodes.address), watch)
    assert watch.hit and len(watch.devices) > 1
    same(done.folder, whole)


def test_a_worker_that_hangs_gives_its_run_to_another(study, place, nodes, whole, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "SILENT", 4.0)
    watch = Strikes(lambda pid: os.kill(pid, signal.SIGSTOP))
    done = run_study(study, place / "hangs", cluster.Lab(nodes.address), watch)
    assert watch.hit and not Path(f"/proc/{watch.hit}").exists()
    same(done.folder, whole)


@pytest.mark.skipif(not HIDES, reason="no disk can be made small here")
def test_a_node_whose_disk_is_full_is_left_out(study, place, nodes, whole, caplog) -> None:
    root().mkdir(exist_ok=True)
    nodes.add(full=root())
    nodes.wait()
    done = run_study(study, place / "full", cluster.Lab(nodes.address))
    nodes.kill(nodes.count - 1)
    assert "goes on without a worker" in caplog.text and "the disk is full" in caplog.text
    same(done.folder, whole)


class Hunts(Watch):
    """Kills every worker of the first run that it hears of."""

    def __init__(self) -> None:
        self.run = ""

    def progress(self, progress) -> None:
        self.run = self.run or progress.run
        if progress.run == self.run:
            with suppress(ProcessLookupError):
                os.kill(int(progress.device.split()[-1]), signal.SIGKILL)


def test_a_run_whose_workers_die_at_the_same_steps_ends_the_study_and_is_named(material, place, nodes) -> None:
    watch, study = Hunts(), written(material, "hunted", DESIGN.replace("30_000", "300_000"), 10_000)
    with pytest.raises(InputError, match=r"runs/\w+ lost its worker 3 times") as raised:
        run_study(study, place / "hunted", cluster.Lab(nodes.address), watch)
    assert watch.run in str(raised.value)


def test_nobody_at_an_address_is_a_sentence(study, place) -> None:
    with pytest.raises(InputError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        run_study(study, place / "nobody", cluster.Lab("127.0.0.1:1"))


def test_a_machine_outside_runs_a_study_through_the_clients_port(place, nodes, whole) -> None:
    study, folder = open_folder(whole), place / "outside"
    shutil.copytree(whole / "corpus", folder / "corpus")
    list(cluster.Lab(nodes.client).execute(study.file, folder, study.fitted))
    files = [path for path in folder.rglob("runs/*/*") if path.suffix in (".json", ".safetensors")]
    assert len(files) > 4 * len(study.fitted)
    assert all(path.read_bytes() == (whole / path.relative_to(folder)).read_bytes() for path in files)
    assert not root().exists()


class Together(Watch):
    """Counts the processes that train a run together, with the launcher that started them, and kills one of them."""

    def __init__(self) -> None:
        self.most = self.hit = 0

    def progress(self, progress) -> None:
        out = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        found = [int(row.split()[0]) for row in out.splitlines() if "-m infusionlaw.runners.together" in row]
        self.most = max(self.most, len(found))
        if not self.hit and len(found) == 3 and progress.step >= 50:
            self.hit = max(found)
            os.kill(self.hit, signal.SIGKILL)


class AllTogether(Machine):
    """Takes its GPUs to be too small for any run."""

    def gpus_for(self, recipe, asked=None) -> int:
        return self.together


class TwoGpus(cluster.Lab):
    """Takes a machine that says it has two GPUs, which train each run together."""

    def machine(self, recipes) -> Machine:
        return AllTogether(True, 2, 10**9, together=2)


def test_gpus_of_a_machine_train_a_run_together_or_are_shared(place, nodes, whole) -> None:
    nodes.add(cores=2, gpus=2)
    nodes.wait()
    lab, watch, study, folder = TwoGpus(nodes.address), Together(), open_folder(whole), place / "together"
    shutil.copytree(whole / "corpus", folder / "corpus")
    (together,) = lab.execute(study.file, folder, study.fitted[:1], watch.progress)
    look = "(__import__('time').sleep(2), __import__('os').environ['CUDA_VISIBLE_DEVICES'], __import__('os').getpid())"
    with lab.workers(whole, Part([], [], 0.5, 2), 2) as pool:
        seen = [future.result()[1:] for future in [pool.submit(eval, look) for _ in range(2)]]
    nodes.kill(nodes.count - 1)
    assert watch.most == 3 and watch.hit
    alone = study.record(study.fitted[0])
    assert (together.val_bpb, together.margin) == pytest.approx((alone.val_bpb, alone.margin), abs=1e-3)
    assert read_record(folder / "runs" / together.run / "record.json") == together
    assert [gpu for gpu, _ in seen] == ["0", "0"] and len(dict(map(reversed, seen))) == 2


def test_tasks_of_ray_write_the_same_corpus_when_nodes_are_killed(corpus, tmp_path, nodes) -> None:
    stream, out = Stream(corpus.folder, share=0.2, tokens=3_000_000, shard=200_000), tmp_path / "cluster"
    step, shards = Step(stream, "megatron", out), len(stream.shards)
    ray.shutdown()
    ray.init(nodes.address, log_to_driver=False)

    def kill() -> None:
        for count in (2, 6):
            while len(list(out.glob("*.idx"))) < count:
                time.sleep(0.02)
            nodes.kill(0)
            nodes.add()

    def write(number: int) -> None:
        step(rank=number, world_size=shards)

    striking = threading.Thread(target=kill)
    missing = begin_stream(stream, "megatron", out)
    striking.start()
    task = ray.remote(max_retries=10)(write)
    ray.get([task.remote(number) for number in missing])
    striking.join()
    ray.shutdown()
    ledger = finish_stream(stream, "megatron", out)
    assert write_stream(stream, "megatron", tmp_path / "one") == ledger
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert all((out / file).read_bytes() == (tmp_path / "one" / file).read_bytes() for file in files)
