"""What a seed does to validation loss: much the same at every size."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.markdown import table
from benchmarks.results.fresh import Fresh
from infusionlaw.law.numbers import bracket, number
from infusionlaw.law.planning.compare import ComparedScore, Comparison
from infusionlaw.runs.record import RunRecord

HEAD = """## What a seed does

A seed decides in what order the text is read (and where a model starts), and with it how validation loss comes out:
much alike at every size. Below is how far the runs of each seed lie from the mean over seeds of their size and token
count, without a dose, in bits per byte: mean and deviation over the sizes."""

TAIL = """Until this was seen, what was said of validation loss was of the mean over seeds, while a target has often one
seed. Since then the deviation between seeds is part of it (`infusionlaw/law/seeds.py`), at all token counts the same,
although it is larger at short ones."""

OTHERS = """The predictions of the other sections were written before that. One was written after it, for runs of seeds
that the law had not seen, at twice the longest token count (`studies/other-seeds.toml`, on a CPU). Of their validation
loss without a dose {inside} of {count} lie within what was said of one run; that is {seeds} seeds rather than {count}
cases, since a seed does much the same to every size. They lie {apart:.3f} from the mean of their size in the root mean
square, where what was said reaches {reach:.2f} to either side:"""


def seeds(rows: Sequence[RunRecord], others: Fresh | None) -> str:
    """The shift of each seed by token count, and what was said of runs of other seeds; "" where no place has two."""
    return "\n\n".join(part for part in (_shifts(rows), _others(others) if others else "") if part)


def _others(fresh: Fresh) -> str:
    """Every run of dose 0 beside what was predicted of one; "" as long as none has been trained."""
    said = {(score.size, score.tokens): score.predicted for score in _bare(fresh.comparison)}
    losses: dict[tuple[float, float], dict[int, float]] = defaultdict(dict)
    for row in (row for row in fresh.rows if not row.share and (row.size, row.tokens) in said):
        if row.seed is not None and row.val_bpb is not None:
            losses[row.size, row.tokens][row.seed] = row.val_bpb
    if not losses:
        return ""
    names = sorted({seed for own in losses.values() for seed in own})
    lines = [
        [*map(number, at), bracket(said[at], "{:.2f}".format), *(f"{own[s]:.2f}" if s in own else "–" for s in names)]
        for at, own in sorted(losses.items())
    ]
    each = [(said[at], loss) for at, own in losses.items() for loss in own.values()]
    inside = sum((where.low or 0.0) <= loss <= (where.high or 0.0) for where, loss in each)
    header = ["size", "tokens", "predicted", *(f"seed {seed}" for seed in names)]
    apart = np.concatenate([np.subtract([*own.values()], np.mean([*own.values()])) for own in losses.values()])
    reach = np.mean([((where.high or 0.0) - (where.low or 0.0)) / 2 for where, _ in each])
    told = {"inside": inside, "count": len(each), "seeds": len(names), "reach": reach}
    return f"{OTHERS.format(apart=np.sqrt(np.mean(apart**2)), **told)}\n\n{table(header, lines)}"


def _bare(comparison: Comparison) -> list[ComparedScore]:
    return [score for score in comparison.scores if score.score == "val_bpb" and not score.share]


def _shifts(rows: Sequence[RunRecord]) -> str:
    places: dict[tuple[float, float], dict[int, float]] = defaultdict(dict)
    for row in rows:
        if not row.share and row.seed is not None and row.val_bpb is not None:
            places[row.tokens, row.size][row.seed] = row.val_bpb
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
    header = ["tokens", "sizes", *(f"seed {seed}" for seed in names)]
    return "\n\n".join([HEAD, table(header, lines), TAIL])
