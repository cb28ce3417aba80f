"""What `status` says of a running study, on any machine that sees its folder."""

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fakelab import Died, FakeLab, small_study

from infusionlaw.lab import Watch
from infusionlaw.pipeline import run_study
from infusionlaw.report.status import status_text
from infusionlaw.runs.record import Progress, RunRecord, RunSpec
from infusionlaw.study.progress import FILE, Work, read_now, shown

SPECS = [RunSpec(14_000, 1_500_000, 0.35, "share", seed, "corpus") for seed in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path) -> Path:
    """The folder of a study that was stopped after a run."""
    with suppress(Died):
        run_study(small_study(tmp_path / "mine.toml"), tmp_path / "out", FakeLab(dies_after=1))
    assert not (tmp_path / "out" / FILE).exists()
    return tmp_path / "out"


def told(folder: Path) -> str:
    """The status, once the file was written again."""
    before = (folder / FILE).read_bytes()
    while (folder / FILE).read_bytes() == before:
        time.sleep(0.01)
    return status_text(folder)


def test_what_runs_where_how_far_and_how_long_until_the_end(folder, monkeypatch) -> None:
    monkeypatch.setattr("infusionlaw.study.progress.gethostname", lambda: "node1")
    before = sorted(folder.rglob("*"))
    with shown(folder, Watch(), every=0.05) as watch:
        watch.stage("training the runs")
        watch.runs(SPECS, SPECS)
        for step in (20, 340):
            watch.progress(Progress(SPECS[1].id, step, 1200, device="node3 GPU 1"))
        for spec in SPECS[::2]:
            watch.progress(Progress(spec.id, 10, 1200, device="node2 GPU 0"))
        said = told(folder)
        assert "14k, 1.5M tokens, share 0.35, seed 2: 340 of 1,200 steps on node3 GPU 1" in said
        assert "14k, 1.5M tokens, 2 runs together: 10 of 1,200 steps on node2 GPU 0" in said
        assert "on node1: 0 of 3 runs are done, about 0.1 minutes left. training the runs" in said
        watch.finished(SPECS[1], RunRecord(size=14e3, tokens=1.5e6, share=0.35))
        watch.progress(Progress(SPECS[1].id, 1200, 1200, device="node3 GPU 1"))  # told of after its end
        said = told(folder)
        assert "1 of 3 runs are done" in said and "node3" not in said
        (folder / FILE).rename(folder / "kept")
    (folder / "kept").rename(folder / FILE)
    os.utime(folder / FILE, (time.time() - 300,) * 2)
    assert "on node1 is 5.0 minutes old, so it may be gone" in status_text(folder)
    (folder / FILE).unlink()
    assert sorted(folder.rglob("*")) == before


def test_what_a_run_had_done_before_says_nothing_of_the_time_left(monkeypatch) -> None:
    clock = iter([100.0, 110.0, 110.0, 120.0])
    monkeypatch.setattr("infusionlaw.study.progress.time.monotonic", lambda: next(clock))
    work, (first, second, _) = Work(), SPECS
    work.ask([first, second])
    work.reach(Progress(first.id, 80, 100))  # it goes on from there
    assert work.left is None
    work.reach(Progress(first.id, 85, 100))
    assert work.left == pytest.approx(10 * (0.15 + 1) / 0.05)
    work.finish(first.id)
    assert work.reach(Progress(first.id, 100, 100)) is None
    work.reach(Progress(second.id, 10, 100))  # it begins
    assert work.left == pytest.approx(10 * 0.9 / 0.3)
    work.finish(second.id)
    assert work.left == 0 and work.done == pytest.approx(work.total)
    longer, done = replace(first, tokens=2 * first.tokens), work.done
    work.ask([longer])
    work.reach(Progress(longer.id, 100, 200))  # it goes on from the stable phase of the first
    assert work.total - work.done == pytest.approx(work.done - done)


def test_on_its_own_machine_a_process_that_holds_no_lock_is_gone_at_once(folder) -> None:
    with shown(folder, Watch()):
        assert "so it may be gone" in status_text(folder)
    assert read_now(folder) is None


def test_a_broken_file_says_nothing(folder) -> None:
    (folder / FILE).write_text("{")
    assert read_now(folder) is None
    assert "study" in status_text(folder)


def test_a_study_shows_its_progress_and_leaves_no_file(tmp_path) -> None:
    seen = []

    class Looks(Watch):
        def finished(self, spec, record) -> None:
            seen.append(status_text(tmp_path / "out"))

    run_study(small_study(tmp_path / "mine.toml"), tmp_path / "out", FakeLab(), Looks())
    assert "Running now, by process" in seen[0] and not (tmp_path / "out" / FILE).exists()
