"""Whether a run's layers are compiled, and compiling them.

Compiled layers give other last bits than interpreted ones, so the choice is made from the recipe and the machine alone,
never from a clock: a run that is stopped and resumed is compiled both times or neither. Generated code is kept in the
user's cache folder, so that a shape is compiled from scratch once on a machine.

`python -m benchmarks.compile_pays` measures what the threshold is set from (docs/speed.md).
"""

import os
import shutil
import sys
from pathlib import Path

import torch

from infusionlaw.lab.model import Model
from infusionlaw.lab.recipe import Recipe, Shape

# Floating-point operations of training above which compiling pays: see `worth_compiling`.
LEAST_WORK = 5e12
_latest: list[object] = []


def worth_compiling(shape: Shape, tokens: int, device: torch.device) -> bool:
    """Whether training `shape` on `tokens` tokens saves more time than compiling takes: 6 operations a parameter and
    token are at least LEAST_WORK. Only on the CPU; on a GPU it has not been measured."""
    return device.type == "cpu" and 6.0 * shape.total_size * tokens >= LEAST_WORK


def prepare(model: Model, recipe: Recipe) -> bool:
    """Compile the model's layers for the recipe's blocks if that is worth it and possible; says whether it was done."""
    if not worth_compiling(recipe.shape, recipe.tokens, model.embedding.weight.device) or not _compiler():
        return False
    return _compile(model, recipe.batch, recipe.block)


def _compiler() -> bool:
    """Whether there is a C++ compiler, by the name that PyTorch calls."""
    return shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")) is not None


def _compile(model: Model, batch: int, block: int) -> bool:
    """Compile by one forward and backward pass; whatever fails leaves the model as it was."""
    _keep_code()
    wanted = [model.shape, model.members, batch, block]
    if _latest != wanted:
        torch.compiler.reset()  # PyTorch holds only a few shapes of one function
        _latest[:] = wanted
    tokens = torch.zeros(model.members, batch, block, dtype=torch.int64)
    try:
        model.compiled = torch.compile(model.through, dynamic=False, fullgraph=True)
        model.loss(tokens, tokens).sum().backward()  # type: ignore[no-untyped-call]
    except Exception:  # a broken toolchain, a full disk: PyTorch has no common class for them
        model.compiled = None
        _latest.clear()
    model.zero_grad(set_to_none=True)
    return model.compiled is not None


def _keep_code() -> None:
    """Keep generated code in the user's cache folder unless it is told to lie elsewhere or that cannot be written."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "infusionlaw" / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
