"""Decide whether the layers of a run are compiled, and compile them.

Compiled layers differ from interpreted ones in their last bits, so the choice follows from the recipe and the machine,
never from a clock: a run that is stopped and resumed is compiled both times or neither, and so are runs that share a
stable phase. Generated code is kept in the user's cache folder, so that a machine compiles each shape from scratch
once.

`python -m benchmarks.compile_pays` measures what LEAST_WORK is set from.
"""

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from infusionlaw.training import fused
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import Recipe, Shape
from infusionlaw.training.step import precision
from infusionlaw.training.trainable import Trainable

# Floating-point operations of training from which compiling pays. Of runs that share a stable phase, those of the
# shortest: with two more, each twice as long, they do 4.4 times as many.
LEAST_WORK, LEAST_SHARED_WORK = 2e12, 5e11
# The same on a GPU, where what is saved goes with the states that pass through memory: tokens x members x layers x
# width. A state saved .17 to .35 ns from 0.2 M to 124 M parameters, compiling took 15 to 35 s (docs/speed.md).
LEAST_STATES, LEAST_SHARED_STATES = 1e11, 2.5e10
# Tokens that a step takes at a time: more of them, and what a layer leaves no longer stays in a core's cache.
PIECE = 1024
_latest: list[object] = []  # what this process has compiled last


def worth_compiling(recipe: Recipe, device: torch.device, members: int = 1) -> bool:
    """Return whether compiling saves more time than it takes in a run of a recipe, or a batch of `members` models.

    On the CPU it does from LEAST_WORK floating-point operations on, 6 a parameter and token; on a GPU from LEAST_STATES
    on. For runs that share a stable phase those of the shortest count, from LEAST_SHARED_WORK and LEAST_SHARED_STATES.
    Other architectures than ours are not compiled.
    """
    if not isinstance(recipe.shape, Shape):
        return False
    shape, tokens = recipe.shape, recipe.shortest or recipe.tokens
    if device.type == "cpu":
        return 6.0 * shape.total_size * tokens >= (LEAST_SHARED_WORK if recipe.shortest else LEAST_WORK)
    states = float(tokens) * members * shape.layers * shape.d_model
    return states >= (LEAST_SHARED_STATES if recipe.shortest else LEAST_STATES)


def compile_if_worth(model: Trainable, recipe: Recipe) -> None:
    """Compile the layers if that pays for a run of the recipe."""
    if isinstance(model, Model) and worth_compiling(recipe, model.device, model.members):
        compile_layers(model, recipe.piece, recipe.block)


def compile_layers(model: Model, batch: int, block: int) -> bool:
    """Compile what `model.loss` does with a piece of such a batch (`piece_of`), and return whether that worked.

    One forward and backward pass compiles it here, so that a missing compiler, a broken one or a full disk shows now.
    The model then stays interpreted.
    """
    try:
        if shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")) is None:
            raise OSError("no C++ compiler under the name by which PyTorch calls it")
        if not _keep_code():
            raise OSError("no folder for code")
        device = model.device
        piece = batch if device.type == "cuda" else piece_of(batch, block)
        _forget_other_shapes([model.shape, model.members, piece, block, device, torch.get_num_threads()])
        model.compiled = torch.compile(model.through, dynamic=False, fullgraph=True, options=_options(device))
        if device.type == "cuda":
            model.compiled_loss = torch.compile(fused.projected_loss, dynamic=False, fullgraph=True)
        tokens = torch.zeros(model.members, piece, block, dtype=torch.int64, device=device)
        with precision(model):
            loss = model.loss(tokens, tokens)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        model.piece = piece
    except Exception:  # PyTorch has no common class for what goes wrong in a toolchain
        model.compiled = model.compiled_loss = None
        _latest.clear()
    model.zero_grad(set_to_none=True)
    return model.compiled is not None


def _options(device: torch.device) -> dict[str, Any] | None:
    """On the CPU one thread compiles: the other cores have runs of their own."""
    return {"compile_threads": 1} if device.type == "cpu" else None


def piece_of(batch: int, block: int) -> int:
    """Return how many blocks of a batch a step takes at a time: the most up to PIECE tokens that divide the batch.

    Where that is less than half of PIECE, it takes all of them.
    """
    piece = max((n for n in range(1, batch + 1) if batch % n == 0 and n * block <= PIECE), default=batch)
    return piece if piece * block >= PIECE // 2 else batch


def code_folder() -> Path | None:
    """Return the folder for generated code: that of TORCHINDUCTOR_CACHE_DIR, or one in the user's cache folder.

    Where it cannot be written, one of the user's own among temporary files, which is logged; None without any.
    """
    wanted = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or _cache() / "infusionlaw" / "compiled")
    if _writable(wanted):
        return wanted
    own = Path(tempfile.gettempdir()) / f"infusionlaw-{_user()}"
    found = own if _writable(own) and not own.is_symlink() and own.stat().st_uid == _user() else None
    where = f"compiled code goes to {found}" if found else "layers are not compiled"
    logging.getLogger(__name__).warning("%s cannot be written; %s", wanted, where)
    return found


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _writable(folder: Path) -> bool:
    if not folder.is_absolute():  # the user has no home
        return False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def keep_code(model: Trainable, recipe: Recipe) -> None:
    """Choose where code is kept if layers will be compiled; PyTorch chooses for itself as soon as it is used."""
    if worth_compiling(recipe, model.device, model.members):
        _keep_code()


def _keep_code() -> bool:
    folder = code_folder()
    if folder is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    return folder is not None


def _forget_other_shapes(wanted: list[object]) -> None:
    """Reset the compiler for a new shape: PyTorch keeps a few shapes of one function and then gives up."""
    if _latest != wanted:
        torch.compiler.reset()
        _latest[:] = wanted
