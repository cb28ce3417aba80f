"""The benchmark of one GPU, tried on the CPU with tiny models."""

import time
from dataclasses import replace

import pytest
import torch

from benchmarks.batch_speed import OURS, TOO_LATE, TRAINER, Bench, Case, main
from infusionlaw.training.recipe import recipe_for

CPU = torch.device("cpu")


def rows(text: str) -> list[dict[str, str]]:
    table = text.split("\n\n")[1].splitlines()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]


def number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("%"))


def test_every_part_has_its_rows_and_their_figures(capsys) -> None:
    main(["--device", "cpu"])
    found = rows(capsys.readouterr().out)
    assert [row["part"] for row in found] == ["single"] * 2 + ["batch"] * 6 + ["study"] * 5 + ["tests"]
    single, batch, study = ([row for row in found if row["part"] == part] for part in ("single", "batch", "study"))
    for row in single + [row for row in batch if row["trained by"] != TRAINER] + study[:-1]:
        for heading in ("start-up, s", "tokens/s", "of peak", *(["hours"] if row["part"] != "single" else [])):
            assert number(row[heading]) > 0, (heading, row)
    assert number(single[1]["ours / it"]) == pytest.approx(
        number(single[0]["tokens/s"]) / number(single[1]["tokens/s"]), abs=0.01
    )
    assert [row["models"] for row in batch] == ["2", "4", "1", "1", "1", "1"]
    assert number(study[-1]["hours"]) == pytest.approx(sum(number(row["hours"]) for row in study[:-1]), rel=0.02)
    assert "passed" in found[-1]["remark"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_refuses(capsys) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "PyTorch finds no GPU here" in capsys.readouterr().err


def test_without_time_every_row_says_so(capsys) -> None:
    main(["single", "batch", "study", "--device", "cpu", "--minutes", "0"])
    found = rows(capsys.readouterr().out)
    assert len(found) == 13
    assert all(row["tokens/s"] == "–" for row in found)
    assert all(row["remark"] == TOO_LATE for row in found[:-1])


def test_a_case_that_takes_too_long_or_too_much_memory_stops_alone() -> None:
    recipe = recipe_for(12_000, 1_000_000, vocabulary=512, block=16)
    began = time.perf_counter()
    late = Bench(CPU, began + 3).measure(Case(OURS, recipe), seconds=600)
    assert late.remark == TOO_LATE and time.perf_counter() - began < 60
    large = replace(recipe, shape=replace(recipe.own_shape, vocabulary=10**13))
    assert Bench(CPU, began + 300).measure(Case(OURS, large), seconds=0).remark == "out of memory"
    assert Bench(CPU, began + 300).measure(Case(OURS, recipe), seconds=0).rate > 0
