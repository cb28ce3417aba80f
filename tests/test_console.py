"""What a person sees: plain lines where there is no terminal, a table for the dry run."""

import json
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from fakelab import Died, FakeLab, small_study
from rich.console import Console

from infusionlaw.console import ConsoleWatch, JsonWatch, estimate_table, named_if_slow
from infusionlaw.files import read_json, write_json
from infusionlaw.pipeline import dry_run, run_study
from infusionlaw.runs.record import Progress, RunRecord, RunSpec


def shown(study: Path, lab: FakeLab) -> str:
    """What a study says while it runs, in the folder out beside its file."""
    out = StringIO()
    with ConsoleWatch(Console(file=out, width=200)) as watch, suppress(Died):
        run_study(study, study.parent / "out", lab, watch)
    return out.getvalue()


def test_a_study_says_a_line_a_run_and_where_its_prediction_is_and_counts_on_from_what_is_done(tmp_path) -> None:
    study = small_study(tmp_path / "mine.toml")
    lines = shown(study, FakeLab()).splitlines()
    assert sum("recall" in line for line in lines) == 24 + 6
    assert any("the prediction is in" in line for line in lines)
    assert any(line.lstrip().startswith("30/30") for line in lines)
    records = sorted((tmp_path / "out" / "runs").glob("*/record.json"))
    records[0].unlink()
    again = shown(study, FakeLab())
    assert "30/30" in again
    assert again.count("recall") == 1


def test_brackets_and_control_characters_are_shown_as_they_are() -> None:
    out = StringIO()
    with ConsoleWatch(Console(file=out, width=200, force_terminal=True, color_system=None)) as watch:
        for text in ("the prediction is in [/x]/p.json", "collapse [open, 0.85]", "[bold]", "a\x1b[31mred\u202e"):
            watch.stage(text)
    shown = out.getvalue()
    assert "the prediction is in [/x]/p.json" in shown and "collapse [open, 0.85]" in shown and "[bold]" in shown
    assert r"a\x1b[31mred\u202e" in shown and "\x1b[31m" not in shown
    out = StringIO()
    console = Console(file=out, width=80, force_terminal=True, force_interactive=True)
    with named_if_slow("reading [/x]", console, 0.0):
        time.sleep(0.2)
    assert "reading [/x]" in out.getvalue()


def test_a_study_in_a_folder_that_looks_like_markup_is_finished(tmp_path) -> None:
    out = StringIO()
    folder = tmp_path / "[" / "x]"
    with ConsoleWatch(Console(file=out, width=400)) as watch:
        run_study(small_study(tmp_path / "mine.toml"), folder, FakeLab(), watch)
    assert f"the prediction is in {folder}" in out.getvalue()


def test_a_run_without_val_bpb_is_shown() -> None:
    out = StringIO()
    spec = RunSpec(14_000, 1_500_000, 0.5, "share", 1, "corpus")
    with ConsoleWatch(Console(file=out, width=200)) as watch:
        watch.runs([spec], [spec])
        watch.finished(spec, RunRecord(size=14e3, tokens=1.5e6, share=0.5, recall=0.25))
    assert "recall 0.25" in out.getvalue() and "validation loss" not in out.getvalue()


def test_the_dry_run_table_has_a_row_a_place_and_dose_with_its_number_of_runs(tmp_path) -> None:
    estimates = dry_run(small_study(tmp_path / "mine.toml"), tmp_path / "out", FakeLab())
    out = StringIO()
    Console(file=out, width=200).print(estimate_table(estimates))
    text = out.getvalue()
    head, *rows = text.splitlines()
    told = {(run.size, run.tokens, run.share, run.held_out) for run in estimates}
    assert "1,500,000" in text and len(rows) == len(told) < len(estimates) == 30
    column = head.split().index("runs") + 1  # the two numbers of parameters have a + between
    assert sum(int(row.split()[column + 1]) for row in rows) == 30
    assert text.count("held out") == len({place for place in told if place[-1]})


def test_what_is_to_be_known_of_the_corpus_is_said_before_training(tmp_path) -> None:
    class Repeats(FakeLab):
        def prepare(self, study, folder):
            own = super().prepare(study, folder)
            content = read_json(folder / "corpus" / "corpus.json")
            content["counts"] |= {"validation_tokens": 1000, "validation_tokens_in_training_text": 310}
            write_json(folder / "corpus" / "corpus.json", content)
            return own

    before, training, _ = shown(small_study(tmp_path / "mine.toml"), Repeats(dies_after=0)).partition("runs that the")
    assert training
    assert "31 % of the validation text stands word for word in the training text" in before


@pytest.mark.parametrize(("terminal", "patience", "shown"), [(True, 0.05, True), (True, 60, False), (False, 0, False)])
def test_only_what_takes_long_on_a_terminal_is_named(terminal: bool, patience: float, shown: bool) -> None:
    out = StringIO()
    console = Console(file=out, width=80, force_terminal=terminal, force_interactive=terminal)
    with named_if_slow("fitting", console, patience):
        time.sleep(0.4)
    assert ("fitting" in out.getvalue()) == shown
    assert shown or not out.getvalue()


def test_an_error_in_what_takes_long_ends_the_line() -> None:
    out = StringIO()
    console = Console(file=out, width=80, force_terminal=True, force_interactive=True)
    with pytest.raises(ValueError, match="bad"), named_if_slow("fitting", console, 0.0):
        time.sleep(0.2)
        raise ValueError("bad")
    length = len(out.getvalue())
    time.sleep(0.3)
    assert len(out.getvalue()) == length


def of_four() -> list[RunSpec]:
    return [RunSpec(14_000, 1_500_000, 0.5, "share", seed, "corpus") for seed in range(4)]


def test_a_device_has_one_line_for_all_that_it_trains() -> None:
    out, specs = StringIO(), of_four()

    def drawn() -> list[str]:
        """The last picture of the lines."""
        time.sleep(0.4)
        return [line.strip() for line in out.getvalue().split("the study: ")[-1].splitlines()]

    console = Console(file=out, width=200, force_terminal=True, color_system=None)
    with ConsoleWatch(console) as watch:
        watch.runs(specs, specs)
        for spec, device in zip(specs, ("a GPU 0", "a GPU 0", "b GPU 0", "b GPU 1"), strict=True):
            for step in (0, 30):
                watch.progress(Progress(spec.id, step, 100, device=device))
        study, *lines = drawn()
        assert study.startswith("0 of 4 runs on 3 devices") and " 30 %" in study
        assert [line.split("━")[0].split() for line in lines[:3]] == [
            ["a", "GPU", "0", "14k", "1.5M", "tokens", "2", "runs"],
            ["b", "GPU", "0", "14k", "1.5M", "tokens", "share", "0.5", "seed", "2"],
            ["b", "GPU", "1", "14k", "1.5M", "tokens", "share", "0.5", "seed", "3"],
        ]
        watch.progress(Progress(specs[3].id, 60, 100, device="a GPU 0"))  # its own machine was lost
        watch.finished(specs[2], RunRecord(size=14e3, tokens=1.5e6, share=0.5, recall=0.25))
        watch.progress(Progress(specs[2].id, 100, 100, device="b GPU 0"))  # told of after its end
        study, *lines = drawn()
        assert study.startswith("1 of 4 runs") and " 55 %" in study  # .3, .3, 1 and .6
        assert "3 runs" in lines[0] and not any("GPU" in line for line in lines[1:])


def test_without_a_terminal_a_line_says_how_far_the_study_is_now_and_then() -> None:
    out, specs = StringIO(), of_four()
    with ConsoleWatch(Console(file=out, width=200), every=0) as watch:
        watch.runs(specs, specs)
        for spec in specs[:2]:
            for step in (0, 50):
                time.sleep(0.01)
                watch.progress(Progress(spec.id, step, 100))
    lines = list(filter(None, out.getvalue().splitlines()))
    assert [line.rsplit(", about", 1)[0] for line in lines] == [
        f"the study: 0 of 4 runs, {part} % of the work" for part in (0, 12, 12, 25)
    ]
    assert all(line.endswith(" left") for line in lines[1:])
    out = StringIO()
    with ConsoleWatch(Console(file=out, width=200)) as watch:
        watch.runs(specs, specs)
        watch.progress(Progress(specs[0].id, 50, 100))
    assert not out.getvalue().strip()


def test_programs_are_told_in_lines_of_json(tmp_path, capsys) -> None:
    study = small_study(tmp_path / "mine.toml")
    run_study(study, tmp_path / "out", FakeLab(), JsonWatch())
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = [line["event"] for line in told]
    assert events.count("finished") == events.count("progress") == 30
    first = next(line for line in told if line["event"] == "runs")
    assert first["asked"] == len(first["missing"]) == 30
    finished = [line for line in told if line["event"] == "finished"]
    assert {line["run"] for line in finished} == set(first["missing"])
    assert all(0 <= line["recall"] <= 1 and line["status"] == "ok" for line in finished)
    assert [line["text"] for line in told if line["event"] == "stage"][-1] == "writing the report"
