"""How often the interval of a surface holds the truth: simulated tables of every form, asked at 8 x N and 4 x D.

Each form has the parameters in TRUTHS. A table is a grid of 4 sizes, 4 token counts and, where the form needs them, 4
shares or 3 numbers of epochs, with independent noise of .3 % of the loss. Asked for is the true loss at eight times the
largest size and four times the most tokens. The last row is the law of losses: which share keeps the loss of general
text within .05 of the start there?

    python -m benchmarks.surfaces [--tables 200] [--draws 200] [NAME ...]
"""

import argparse
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.markdown import head, line
from infusionlaw.law.dose import LEVEL, Array
from infusionlaw.law.losses.fit import fit_losses
from infusionlaw.law.losses.law import SHARES
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.fit import fit_surface
from infusionlaw.law.surfaces.forms import Surface
from infusionlaw.law.surfaces.known import SURFACES
from infusionlaw.law.surfaces.mixtures import EXPONENTIAL_MIXING
from infusionlaw.runs.record import RunRecord

TRUTHS: dict[str, dict[str, float]] = {
    "chinchilla": {"e": 0.52, "a": 6.0, "b": 6.02, "alpha": 0.34, "beta": 0.28},
    "data-constrained": {
        **{"e": 0.63, "a": 6.26, "b": 7.3, "alpha": 0.35, "beta": 0.36},
        **{"rn_star": 5.3, "rd_star": 15.4},
    },
    "over-training": {"E": 1.8, "a": 210.0, "b": 370.0, "eta": 0.136},
    "d-cpt": {
        **{"E": 1.5, "A": 300.0, "B": 500.0, "C": 0.2, "alpha": 0.3, "beta": 0.33},
        **{"eta": 0.4, "gamma": 0.5, "epsilon": 0.05},
    },
    "exponential mixing": {
        **{"E": 1.5, "A": 300.0, "B": 500.0, "K": 0.4, "alpha": 0.3, "beta": 0.33},
        **{"t": 4.0, "p": -0.1, "s": 0.15},
    },
    "power mixing": {
        **{"E": 1.5, "A": 300.0, "B": 500.0, "K": 0.4, "alpha": 0.3, "beta": 0.33},
        **{"g": 0.3, "p": -0.1, "s": 0.15},
    },
    "own tokens": {"E": 1.5, "A": 300.0, "B": 500.0, "alpha": 0.3, "beta": 0.33, "transfer": 0.05},
    "loss by share": {"alpha": -0.4, "beta": 1.9, "s": 0.18},
    "critical share by tokens": {"alpha": -2.4, "beta": 1.6, "s": -0.15},
    "score by loss": {"floor": 0.25, "ceiling": 0.95, "k": 2.5, "L0": 2.0},
    "score by size": {"floor": 0.1, "ceiling": 0.9, "k": 1.2, "x0": 8.0},
}
START = {"E": 1.95, "A": 0.0, "B": 0.0, "K": 0.5, "alpha": 0.3, "beta": 0.3, "t": 3.5, "p": -0.1, "s": 0.2}
AXES = {
    "size": np.geomspace(2e7, 3e8, 4),
    "tokens": np.geomspace(1e9, 2e10, 4),
    "share": np.array([0.1, 0.3, 0.6, 1.0]),
    "epochs": np.array([1.0, 8.0, 50.0]),
}
NOISE, DELTA, LIMIT = 0.003, 0.01, 0.05
LARGEST, LONGEST = 8 * AXES["size"][-1], 4 * AXES["tokens"][-1]
OF_LOSSES = "law of losses"


def grid(surface: Surface) -> Conditions:
    """The conditions of a table."""
    needs = set(surface.needs)
    axes = [AXES["size"], AXES["tokens"]] if needs & {"size", "tokens"} else [AXES["size"][:1], AXES["tokens"][:1]]
    shares = AXES["share"] if "share" in needs else np.array([0.5])
    epochs = AXES["epochs"] if "unique_tokens" in needs else np.ones(1)
    if len(needs) == 1:  # a curve in one condition has more values of it
        axes = [AXES["size"][:1], np.geomspace(5e9, 5e10, 12)] if "tokens" in needs else axes
        shares = np.linspace(0.1, 1.0, 12) if "share" in needs else shares
    if needs & {"size", "loss"} and len(needs) == 1:
        axes = [np.geomspace(2e7, 3e8, 12), AXES["tokens"][:1]]
    rows = np.array(list(product(*axes, shares, epochs))).T
    return Conditions(rows[0], rows[1], rows[1] / rows[3], rows[2], loss_by_size(rows[0]))


def loss_by_size(size: ArrayLike) -> Array:
    """A loss of 3.0 at the smallest size to 2.0 at the largest, for surfaces that a score follows from."""
    return np.asarray(3.0 - np.log(np.asarray(size) / 2e7) / np.log(15))


def asked(surface: Surface) -> Conditions:
    """Where the loss is asked for."""
    share = 0.05 if surface.needs == ("share",) else 0.3
    return Conditions(LARGEST, LONGEST, LONGEST / 4, share, loss_by_size(LARGEST))


def trial(surface: Surface, seed: int, draws: int) -> tuple[bool, float]:
    """Whether the interval of one table's fit holds the truth, and its width as a part of the loss."""
    truth, conditions = TRUTHS[surface.name], grid(surface)
    noise = np.random.default_rng(seed).normal(0, NOISE, len(conditions))
    fit = fit_surface(
        surface, conditions, surface.loss(truth, conditions) * np.exp(noise), delta=DELTA, draws=draws, seed=seed
    )
    true = float(surface.loss(truth, asked(surface))[0])
    low, high = np.quantile(fit.draws_at(asked(surface))[:, 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return bool(low <= true <= high), float((high - low) / true)


def change(size: float, tokens: float, share: float) -> float:
    """The true change of validation loss from the start, at a share of domain text."""
    return float(EXPONENTIAL_MIXING.loss(START, Conditions(size, tokens, share=1 - share))[0] - 2.0)


def trial_of_losses(seed: int) -> tuple[bool, float]:
    """Whether the interval of the largest share within LIMIT of the start holds the true one, and its width."""
    rng = np.random.default_rng(seed)
    rows = [
        RunRecord(
            n,
            d,
            share=r,
            val_bpb=2.5 + change(n, d, r) + rng.normal(0, NOISE * 2.5),
            more=(("start_val_bpb", 2.5),),
        )
        for n, d, r in product(AXES["size"], AXES["tokens"], (0.1, 0.4, 0.7, 0.9))
    ]
    (law,) = fit_losses(rows, seed=seed)
    found = law.answer(LIMIT, LARGEST, LONGEST).largest
    true = next(share for share in SHARES if change(LARGEST, LONGEST, share) > LIMIT)
    low, high = found.low or 0.0, 1.0 if found.high is None else found.high
    return bool(low <= true <= high), high - low


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.surfaces", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="surfaces; all by default")
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args(arguments)
    print(head(["form", "runs", "90 % interval holds the truth", "median width"]))
    for name in options.names or [*SURFACES, OF_LOSSES]:
        if name == OF_LOSSES:
            found, runs = [trial_of_losses(seed) for seed in range(options.tables)], "64"
        else:
            surface = SURFACES[name]
            found = [trial(surface, seed, options.draws) for seed in range(options.tables)]
            runs = str(len(grid(surface)))
        held, width = np.array(found, dtype=float).T
        print(line([name, runs, f"{100 * held.mean():.0f} %", f"{np.median(width):.3g}"]), flush=True)


if __name__ == "__main__":
    main()
