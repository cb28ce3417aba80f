"""The GPU benchmark of batches of models, tried on the CPU without what takes a minute to compile."""

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from benchmarks import batch_speed
from benchmarks.batch_speed import BATCH_HEADINGS, CONTENDERS, SINGLE_HEADINGS, Case, main, single_row

TINY = """
--device cpu --members 2 --repeats 1 --seconds 0.1 --without compiled
--sizes 12000 --tokens 100000 --block 16 --singles 12000 --single-block 16 --single-batch 1
"""
COMPILED = {"compiled", "together / compiled", "ours / compiled"}


def tables(text: str) -> list[dict[str, str]]:
    """The last row of each table, by heading."""
    found = []
    for table in text.split("\n\n")[1:]:
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        assert len(lines) >= 3
        found.append(dict(zip(lines[0], lines[-1], strict=True)))
    return found


def number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("%"))


def test_both_tables_hold_a_figure_in_every_column(capsys) -> None:
    main(TINY.split())
    together, alone = tables(capsys.readouterr().out)
    assert list(together) == BATCH_HEADINGS and list(alone) == SINGLE_HEADINGS
    assert together["members"] == "2" and alone["batch"] == "1"
    for row in (together, alone):
        for heading, cell in row.items():
            assert cell == "–" if heading in COMPILED else number(cell) > 0, heading


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_refuses(capsys) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "PyTorch finds no GPU here" in capsys.readouterr().err


def test_a_contender_that_fails_says_why_and_has_no_figures(monkeypatch, capsys) -> None:
    def fails(*_) -> None:
        raise torch.OutOfMemoryError("no room")

    case = Case(12_000, 1, 1024, 16)
    monkeypatch.setattr(batch_speed, "loop_of", fails)
    monkeypatch.setattr(batch_speed._Worker, "contender", "trainer", raising=False)
    monkeypatch.setattr(batch_speed._Worker, "device", torch.device("cpu"), raising=False)
    batch_speed._prepare(case)
    assert capsys.readouterr().err == "trainer at 12,000: OutOfMemoryError: no room\n"
    found = dict.fromkeys((*CONTENDERS, "peak"), 1.0) | {"trainer": batch_speed._measure(case.size, 1.0)}
    row = dict(zip(SINGLE_HEADINGS, single_row(case, found), strict=True))
    assert row["Trainer"] == row["ours / Trainer"] == "–" and row["ours / compiled"] == "1.00"
