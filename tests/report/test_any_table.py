"""The page of a table or a law from anywhere, by the command line."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planlaws import known_cost, known_law
from typer.testing import CliRunner

from infusionlaw.cli import app
from infusionlaw.errors import InputError
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.planning.plan import predict
from infusionlaw.pipeline import write_report
from infusionlaw.report.answer import answer
from infusionlaw.report.material import usual_target
from infusionlaw.runs.table import write_table

SHARES = (0.0, 0.05, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes, and a larger one held out."""
    rng = np.random.default_rng(1)
    rows = simulate(World(), [14_000, 28_000], [1_500_000], SHARES, 1, rng)[0]
    held = [replace(row, held_out=True) for row in simulate(World(), [56_000], [1_500_000], SHARES, 1, rng)[0]]
    path = tmp_path_factory.mktemp("table") / "runs & more.csv"
    write_table(path, [*rows, *held])
    return path


@pytest.fixture(scope="module")
def page(table: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page") / "page.html"
    return write_report(table, out, tolerance=0.1, draws=60).read_text()


def test_a_table_gets_the_answer_the_figures_its_held_out_rows_and_its_data(page: str) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("<script>")[0]))
    assert "For 112k parameters, 1.5M training tokens" in text  # four times the largest that the law saw
    for part in ("What to give", "What it costs", "Ask for another model", "Gain against forgetting", "All runs"):
        assert part in text
    assert (
        "For the held-out 56k model the law predicted collapse" in text and "its rows were not used in the fit" in text
    )
    assert "The law was fitted without the held-out rows." in text
    assert "says which runs to add" in text
    assert r"infusionlaw fit \u0027runs \u0026 more.csv\u0027" in page
    assert 'download="table.csv"' in page and "What the models were trained on" not in text
    assert "The tolerance is a rise of 0.1 bits per byte." in text


def test_a_law_alone_gets_a_page_without_what_needs_runs(tmp_path: Path) -> None:
    known_law(cost=known_cost(0.2)).save(tmp_path / "law.json")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "law.json"), "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text().split("<script>")[0]
    assert "Ask for another model" in page and "infusionlaw predict law.json" in page
    for part in ("All runs", "Scores by dose", "Gain against forgetting", "download="):
        assert part not in page


def test_what_cannot_be_reported_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        write_report(tmp_path / "nothing", tmp_path / "page.html")
    with pytest.raises(InputError, match="states its own target"):
        write_report(tmp_path, size=1e9)


def test_the_page_of_a_law_needs_no_matplotlib(tmp_path: Path) -> None:
    known_law(cost=known_cost(0.2)).save(tmp_path / "law.json")
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from infusionlaw import write_report\n"
        f"write_report({str(tmp_path / 'law.json')!r}, {str(tmp_path / 'page.html')!r})\n"
        "from infusionlaw import Law, InputError, predict\n"
        f"try: predict(Law.load({str(tmp_path / 'law.json')!r}), 2e4, 1.5e6).plot()\n"
        "except InputError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert '".[plot]"' in out


def test_a_target_that_nobody_states_keeps_the_tokens_unless_they_rise_with_the_size() -> None:
    law = known_law()
    assert usual_target(law) == (4 * max(law.sizes), max(law.token_counts))
    kinds = tuple(
        replace(
            kind, points=tuple(_point(size, tokens) for size, tokens in zip(law.sizes, law.token_counts, strict=True))
        )
        for kind in law.kinds
    )
    assert usual_target(replace(law, kinds=kinds)) == (4 * max(law.sizes), 4 * max(law.token_counts))


def _point(size: float, tokens: float):  # type: ignore[no-untyped-def]
    from infusionlaw.law.dose import Interval
    from infusionlaw.law.points.point import Point

    return Point("collapse", size, tokens, "not reached", "share", Interval(), Interval(), Interval(), "")


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (
            known_law(cost=known_cost(0.2)),
            ("a share of 0.", "A recall of 0.", "Validation loss rises by", "Run the advised"),
        ),
        (known_law((2, 0.1, 0, 0)), ("No dose works", "Nothing can be said", "fewer facts|at most")),
        (known_law(None), ("How much is learned is unknown", "Unknown: validation loss was not measured")),
    ],
)
def test_the_answer_has_its_five_parts_whatever_is_known(law, words) -> None:  # type: ignore[no-untyped-def]
    said = answer(law, predict(law, 4e4, 1.5e6))
    assert said[0][0] == "What to give" and len(said) == 5 and all(text for _, text in said)
    text = " ".join(text for _, text in said)
    assert all(re.search(word, text) for word in words)


def test_where_no_law_could_be_fitted_the_page_says_why_it_has_no_calculator(tmp_path: Path) -> None:
    known_law(None, None).save(tmp_path / "law.json")
    page = write_report(tmp_path / "law.json", tmp_path / "page.html").read_text()
    assert "There is no calculator on this page: no law could be fitted." in page and 'id="calculator"' not in page
