"""The checkpoints that a study's runs begin from, as the study keeps them: `starts/HASH.json` of its folder.

A file says where the checkpoint is, what its config and sizes are, and what was measured of it before any training.
Where the architecture is ours the weights go into `Model`, a batch of members if several runs train together; any
other is built by transformers.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, path_from, read_typed, write_json, write_typed
from infusionlaw.starts import INDEX, WHOLE, StartFolder, read_start
from infusionlaw.training.export import our_weights, shape_of, tensor_names
from infusionlaw.training.model import Model
from infusionlaw.training.pretrained import check_config, first_token, load_pretrained, refuse_not_finite, refuse_others
from infusionlaw.training.recipe import OtherShape, Recipe, Shape
from infusionlaw.training.trainable import Trainable

FOLDER = "starts"  # of a study's folder
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Start:
    """starts/HASH.json.

    folder: the checkpoint's, from the study's folder; files: size and time of its files, by name; other_shape: what is
    known of its shape; tokens: what it was trained on before; measured: its scores, by the corpus and block length that
    they were measured with.
    """

    folder: str
    config: dict[str, Any]
    files: dict[str, tuple[int, int]]
    other_shape: OtherShape
    tokens: int | None = None
    measured: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def shape(self) -> Shape | OtherShape:
        """Our own shape where the architecture is ours."""
        return shape_of(self.config) or self.other_shape


def keep_start(study: Path, checkpoint: Path, sha256: str, vocabulary: int, tokens: int | None = None) -> Start:
    """Write the file of a checkpoint to a study's folder, with what was measured of it before.

    vocabulary: that of its tokenizer; tokens: what it was trained on before. InputError for a checkpoint that cannot be
    trained.
    """
    found = checked(checkpoint, vocabulary)
    path = start_path(study, sha256)
    place = path_from(study, checkpoint)
    measured = _read(path).measured if path.exists() else {}
    start = Start(place, dict(found.config), _stamps(found), _other_shape(found), tokens, measured)
    write_typed(path, start, Start)
    return start


def checked(checkpoint: Path, vocabulary: int) -> StartFolder:
    """Read a checkpoint's folder; InputError where its model cannot be loaded, or has fewer rows than token ids."""
    found = read_start(checkpoint)
    if vocabulary > found.vocabulary:
        raise InputError(
            f"{checkpoint}: its tokenizer has {vocabulary:,} ids, and its embedding {found.vocabulary:,} rows; put the "
            "tokenizer there that it was trained with"
        )
    if shape_of(found.config) is None:
        check_config(checkpoint, found.config)
    return found


def shape_in(found: StartFolder) -> Shape | OtherShape:
    """Return the shape of a checkpoint: our own where the architecture is ours."""
    return shape_of(found.config) or _other_shape(found)


def _other_shape(found: StartFolder) -> OtherShape:
    return OtherShape(found.size, found.total_size, found.width, found.layers, found.feed_width, found.vocabulary)


def start_path(study: Path, sha256: str) -> Path:
    """Return the file of a checkpoint in a study's folder."""
    return study / FOLDER / f"{sha256}.json"


def read_kept(study: Path, sha256: str) -> Start:
    """Read the file of a checkpoint in a study's folder; InputError where it is not there."""
    path = start_path(study, sha256)
    if not path.exists():
        raise InputError(f"{path}: no such file; run the study file again, which writes it")
    return _cached(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _cached(path: Path, time: int) -> Start:
    return _read(path)


def _read(path: Path) -> Start:
    return read_typed(path, Start, "what a study keeps of a checkpoint", f"delete {path} and run the study file again")


def _stamps(found: StartFolder) -> dict[str, tuple[int, int]]:
    stats = {path.name: path.stat() for path in (found.folder / "config.json", *found.files)}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def started(study: Path, sha256: str, recipe: Recipe, members: int) -> Trainable:
    """Return models that begin from a checkpoint; InputError where its folder is gone or has changed since."""
    start = read_kept(study, sha256)
    found = read_start(Path(os.path.normpath(study / start.folder)))
    if _stamps(found) != start.files:
        raise InputError(f"{found.folder}: has changed since the study began; run the study file again")
    return load_folder(found, recipe.shape, recipe.block, members, recipe.piece)


def load_folder(
    found: StartFolder, shape: Shape | OtherShape, block: int, members: int = 1, piece: int = 0
) -> Trainable:
    """Load the model of a folder: `Model` where the architecture is ours, with as many equal members as are asked for.

    block: tokens that it is to read at once. InputError where it cannot read so many, or has other tensors.
    """
    if isinstance(shape, OtherShape):
        first = first_token(found.tokenizer)
        if first is not None and found.longest is not None and block >= found.longest:
            raise InputError(
                f"{found.folder}: reads at most {found.longest:,} tokens, one of which is put before every text; lower "
                "block in [training] below that"
            )
        return load_pretrained(found.folder, shape, piece, first)
    known = tensor_names(shape)
    refuse_others(found.folder, known - found.shapes.keys(), found.shapes.keys() - known)
    model = Model(shape, [torch.Generator() for _ in range(members)])
    weights = dict(model.named_parameters())
    with ExitStack() as stack, torch.no_grad():
        files = [stack.enter_context(safe_open(path, framework="pt")) for path in found.files]
        holding = {name: file for file in files for name in file.keys()}  # noqa: SIM118 (it is no dict)

        def tensor(name: str) -> torch.Tensor:
            weight: torch.Tensor = holding[name].get_tensor(name)
            refuse_not_finite(found.folder, {name: weight})
            return weight

        for name, weight in our_weights(tensor, shape):
            weights[name].copy_(weight.expand_as(weights[name]))
    return model


def measured(study: Path, sha256: str, data: str, block: int) -> Scores | None:
    """Return the scores of a checkpoint with a corpus and block length; None where they were not measured yet."""
    return read_kept(study, sha256).measured.get(_key(data, block))


def keep_measured(study: Path, sha256: str, data: str, block: int, scores: Mapping[str, Any]) -> None:
    """Add the scores of a checkpoint to its file."""
    start = read_kept(study, sha256)
    numbers = {name: float(value) for name, value in scores.items() if isinstance(value, int | float)}
    every = {**start.measured, _key(data, block): numbers}
    write_typed(start_path(study, sha256), replace(start, measured=every), Start)


def export_started(study: Path, sha256: str, weights: Path, out: Path) -> None:
    """Write a run that began from a checkpoint of another architecture as a Hugging Face folder.

    Its config and its tokenizer's files are the checkpoint's; InputError where that folder is gone.
    """
    start = read_kept(study, sha256)
    folder = Path(os.path.normpath(study / start.folder))
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; put the checkpoint back, for a run's tokenizer is its own")
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".txt", ".model", ".jinja") and path.name not in ("config.json", INDEX):
            shutil.copyfile(path, out / path.name)
    config = {key: value for key, value in start.config.items() if key not in ("dtype", "torch_dtype")}
    write_json(out / "config.json", {**config, "dtype": "float32", "torch_dtype": "float32"})
    with atomic_path(out / WHOLE) as part:
        save_file(load_file(weights), part, metadata={"format": "pt"})


def _key(data: str, block: int) -> str:
    return f"corpus {data}, blocks of {block}"
