"""The front door: what type checkers see, what is loaded and what is listed are the same names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

import infusionlaw

SOURCE = Path(infusionlaw.__file__)
# Types of other packages are no part of the question, and those of torch take a minute to read.
CONFIG = f"""
[mypy]
mypy_path = {SOURCE.parents[1]}
follow_imports = silent
[mypy-torch.*,numpy.*,scipy.*,matplotlib.*,pyarrow.*,pandas.*,pydantic.*,rich.*,typer.*,filelock.*]
follow_imports = skip
ignore_missing_imports = True
"""
RIGHT = """
from pathlib import Path

import pandas

from infusionlaw import InputError, Law, Plan, RunRecord, find_points, fit_law, predict, read_table

rows: list[RunRecord] = read_table("runs.csv")
rows = read_table(Path("runs.csv")) + read_table(pandas.DataFrame())
try:
    law: Law = fit_law(rows, find_points(rows, tolerance=0.2))
    plan: Plan = predict(law, 1.3e9, tokens=20e9, risk=0.1)
    print(plan.dose.share.value, law.sizes)
except InputError as error:
    print(error)
"""
WRONG = """
import infusionlaw
from infusionlaw import fit_law, predict, read_table
from infusionlaw import no_such_name  # wrong
read_table(42)  # wrong
predict("x", sise=3)  # wrong
infusionlaw.read_tabel("runs.csv")  # wrong
predict(fit_law([], []), 1e9, 1e9).dose.shares  # wrong
"""


def type_errors(folder: Path, script: str) -> list[str]:
    """What mypy has to say of a user's script, one line an error."""
    (folder / "script.py").write_text(script)
    (folder / "mypy.ini").write_text(CONFIG)
    options = ("--config-file", str(folder / "mypy.ini"), "--cache-dir", str(folder / "cache"), "--no-error-summary")
    out, err, _ = api.run([*options, str(folder / "script.py")])
    assert not err, err
    return [line for line in out.splitlines() if ": error:" in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("typed")


def test_a_right_script_passes_mypy(folder) -> None:
    assert type_errors(folder, RIGHT) == []


def test_every_mistake_of_a_wrong_script_is_found_by_mypy(folder) -> None:
    found = type_errors(folder, WRONG)
    wrong = [number for number, line in enumerate(WRONG.splitlines(), start=1) if line.endswith("# wrong")]
    assert sorted({int(line.split(":")[1]) for line in found}) == wrong, found


def test_type_checkers_and_python_see_the_same_names_from_the_same_places() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf8"))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    typed = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name} is not re-exported: write `{alias.name} as {alias.name}`"
            typed[alias.name] = node.module
    assert sorted(typed) == infusionlaw.__all__
    assert set(typed) <= set(dir(infusionlaw))
    for name, module in typed.items():
        assert getattr(infusionlaw, name) is getattr(sys.modules[module], name), name


def test_every_public_name_is_documented() -> None:
    assert all(getattr(infusionlaw, name).__doc__ for name in infusionlaw.__all__)


def test_an_unknown_name_is_an_attribute_error_and_a_star_gives_all_names() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        infusionlaw.no_such_name  # noqa: B018
    code = "from infusionlaw import *; print(read_table.__name__, Law.__name__)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout == "read_table Law\n"
