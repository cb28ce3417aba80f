"""What a seed does to general loss: the same at every size."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.markdown import table
from infusionlaw.records import RunRecord
from infusionlaw.report.numbers import number

HEAD = """A seed decides in what order the text is read, and with it how general loss comes out: to the same side at
every size. Below is how far the runs of each seed lie from the mean over seeds of their size and budget, without a
dose, in bits per byte: mean and deviation over the sizes."""

TAIL = """Until this was seen, what was said of general loss was of the mean over seeds, while a target has often one
seed. Since then the deviation between seeds is part of it (`infusionlaw/law/seeds.py`). Of the predictions on this page
all but those that say so were written before."""


def seeds(rows: Sequence[RunRecord]) -> str:
    """The shift of each seed by budget; "" where no place has two."""
    places: dict[tuple[float, float], dict[int, float]] = defaultdict(dict)
    for row in rows:
        if not row.share and row.seed is not None and row.general_loss is not None:
            places[row.tokens, row.size][row.seed] = row.general_loss
    names = sorted({seed for losses in places.values() for seed in losses})
    whole = {at: losses for at, losses in places.items() if len(losses) == len(names) > 1}
    if not whole:
        return ""
    lines = []
    for tokens in sorted({tokens for tokens, _ in whole}):
        own = np.array([[losses[seed] for seed in names] for (at, _), losses in whole.items() if at == tokens])
        shift = own - own.mean(1, keepdims=True)
        cells = [f"{mean:+.3f} ± {sd:.3f}" for mean, sd in zip(shift.mean(0), shift.std(0), strict=True)]
        lines.append([number(tokens), str(len(own)), *cells])
    header = ["budget", "sizes", *(f"seed {seed}" for seed in names)]
    return "\n\n".join(["### What a seed does", HEAD, table(header, lines), TAIL])
