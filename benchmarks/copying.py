"""Which part of validation loss a model copies from what it has just read: the runs without a dose of finished studies.

A token of the validation text is repeated in its block when the two tokens before it stand earlier in that block with
the same token after them. Models that have learned to copy from their context (induction heads: Olsson et al. 2022,
2209.11895) lose far less on those than others do, and on a passage that they read a second time.

    python -m benchmarks.copying FOLDER [FOLDER ...] [--out experiments/DATE-copying/runs.csv]
"""

import argparse
import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from benchmarks.markdown import table
from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.files import read_json, write_text
from infusionlaw.runs.record import read_spec
from infusionlaw.training.model import Model
from infusionlaw.training.probe import block_losses
from infusionlaw.training.resolve import recipe_of

CONTEXT = 2  # tokens that must have stood before
PASSAGES, LENGTH = 200, 48  # read twice in a row, and how many tokens each has
Ints = NDArray[np.int64]
Losses = NDArray[np.float64]


@dataclass(frozen=True)
class Copying:
    """One run. Validation loss of all tokens, of those repeated in their block, and of the rest, in bits per byte (at
    as many bytes a token as the whole text has); of passages in bits per token, the first time and the second."""

    size: int
    tokens: int
    seed: int
    val_bpb: float
    repeated: float
    rest: float
    first: float
    again: float


def repeated_in_block(blocks: Ints) -> NDArray[np.bool_]:
    """Which targets of blocks (n, length + 1), the second token of each on, follow CONTEXT tokens that stand before
    in the same block with that same token after them; (n, length)."""
    repeated = np.zeros((len(blocks), blocks.shape[1] - 1), dtype=bool)
    for row, block in zip(repeated, blocks.tolist(), strict=True):
        seen = set()
        for at in range(CONTEXT, len(block)):
            run = tuple(block[at - CONTEXT : at + 1])
            row[at - 1] = run in seen
            seen.add(run)
    return repeated


def losses(model: Model, blocks: Ints) -> Losses:
    """Bits of every target of blocks (n, length + 1); (n, length)."""
    nats = torch.cat([part.double().cpu() for part in block_losses(model, torch.from_numpy(blocks))])
    return np.asarray(nats.numpy() / math.log(2))


def measured(model: Model, corpus: Corpus, block: int) -> tuple[float, float, float, float, float]:
    """Validation loss of all, repeated and other tokens (bits per byte), and of passages read twice (bits per
    token)."""
    tokens, header = corpus.validation[""]
    text = np.asarray(tokens, dtype=np.int64)
    blocks = np.lib.stride_tricks.sliding_window_view(text, block + 1)[::block].copy()
    bits, repeated = losses(model, blocks) * header.tokens / header.text_bytes, repeated_in_block(blocks)
    start = np.random.default_rng(0).integers(len(text) - LENGTH, size=PASSAGES)
    passages = text[start[:, None] + np.arange(LENGTH)]
    twice = losses(model, np.concatenate([passages, passages], axis=1))
    begun = LENGTH // 4  # by then the second reading has shown that it is one
    first, again = twice[:, begun - 1 : LENGTH - 1], twice[:, LENGTH + begun - 1 :]
    return bits.mean(), bits[repeated].mean(), bits[~repeated].mean(), first.mean(), again.mean()


def runs(folder: Path) -> Iterator[Copying]:
    """The finished runs without a dose of a study's folder whose weights are there."""
    corpus = open_corpus(folder / "corpus")
    for path in sorted(folder.glob("runs/*/record.json")):
        record, weights = read_json(path), path.parent / "model.safetensors"
        if record["share"] == 0 and weights.exists():
            recipe = recipe_of(read_spec(path.parent / "spec.json"), corpus)
            model = Model(recipe.own_shape, [torch.Generator().manual_seed(0)]).load(0, load_file(weights))
            found = (round(float(value), 4) for value in measured(model, corpus, recipe.block))
            yield Copying(record["size"], record["tokens"], record["seed"], *found)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copying", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="finished studies")
    parser.add_argument("--out", type=Path, help="a CSV to write the rows to")
    options = parser.parse_args(arguments)
    found = {run for folder in options.folders for run in runs(folder)}
    rows = [astuple(run) for run in sorted(found, key=lambda run: (run.size, run.tokens, run.seed))]
    header = [field.name for field in fields(Copying)]
    if options.out:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        write_text(options.out, text.getvalue())
    print(table(header, [[str(value) for value in row] for row in rows]))


if __name__ == "__main__":
    main()
