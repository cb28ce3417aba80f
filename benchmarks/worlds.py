"""Simulated studies whose truth is known: kinds of world that a detector and a law must cope with.

Every number of a world that its kind does not fix is drawn at random. The shapes are not those that the detectors fit,
except the trapezoid and the logistic. In every shape the true point is where the tangent at half height meets the level
that is left (of a bump: its top). Doses are shares, and x is log10 of their odds; in the kinds of the paper's setting
they are exposures, and x is their log10.

The truth is generated here and not by `infusionlaw.law.design`, so that the law half is not tested against itself.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from infusionlaw.law.dose import x_at
from infusionlaw.runs.record import RunRecord

Array = NDArray[np.float64]
Shape = Literal["trapezoid", "logistic", "gompertz", "step", "error function", "bump"]
Range = tuple[float, float]
SHARES = (
    (0.1, 0.35, 0.6, 0.75, 0.85, 0.92, 0.97),
    (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95),
    (0.05, 0.1, 0.3, 0.6, 0.8, 0.88, 0.94, 0.975),
    (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95),
    (0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.97),
)
PAPER_SIZES = (137e6, 300e6, 700e6, 1.5e9, 3e9)
PAPER_EXPOSURES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
PAPER_TOKENS, PAPER_TARGET = 1e11, 7e9
SCORES = ("recall", "retention")
SMALLEST, FEWEST = 3e4, 1.5e6  # parameters of the smallest model, and its fewest tokens
STEPS: Range = (2, 4)  # from one size, or token count, to the next
LADDER = 20  # tokens a parameter
FROM_START, FROM_END = 0.35, 0.1  # collapses start this part into the doses, and end this far (dex) before the last
EXPONENTS: Range = (-0.6, 0.6)
TURN: Range = (0.3, 0.7)  # of either sign
WIDTHS: Range = (0.3, 1.5)
GAP: Range = (0.3, 1.2)
GUESSING: Range = (0.1, 0.25)
PLATEAU: Range = (0.6, 1.0)
FLOOR: Range = (0.3, 0.7)  # of the way from guessing to the plateau
PROBES: Range = (64, 256)
DIFFICULTY: Range = (0, 1)
PAPER_PLATEAU: Range = (0.55, 0.9)
PAPER_FLOOR: Range = (0.25, 0.45)
PAPER_FALL: Range = (0.5, 1.2)
PAPER_PROBES: Range = (500, 3000)
PAPER_SPREAD: Range = (0.003, 0.03)
MORE_SIZE, MORE_TOKENS = 8.0, 4.0  # where collapse is predicted: times the largest size, times the most tokens
STEP_WIDTH = 0.01
BUMP_WIDTHS = 2.5  # how many standard deviations of a bump a fall is wide
BUMP_EDGE = float(np.sqrt(2 * np.log(2)) - 1 / np.sqrt(2 * np.log(2)))  # of these from its top to the true point


@dataclass(frozen=True)
class Kind:
    """A kind of world. seeds, probes: runs a dose, questions a run (0: 64 to 256); law: how the collapse moves.

    late: how far beyond the doses a collapse may lie (dex); spread: deviation between seeds of one score; knots: of the
    place of a collapse (dex); floors: whether a fall ends above guessing; gap: length of the plateau in dex (None:
    drawn); bimodal: whether each run collapses whole or not at all; chance: whether tables say what guessing gives.
    """

    name: str
    shape: Shape = "trapezoid"
    sizes: int = 4
    token_counts: int = 3
    seeds: int = 2
    probes: int = 0
    law: Literal["power", "product", "turns", "none", "half"] = "power"
    late: float = 0.0
    spread: Range = (0.01, 0.06)
    knots: float = 0.0
    scatter: float = 0.0
    floors: bool = False
    gap: float | None = None
    bimodal: bool = False
    chance: bool = True
    grid: Literal["even", "uneven", "ladder", "paper"] = "even"
    regular: bool = True


KINDS = (
    Kind("trapezoid"),
    Kind("logistic", "logistic"),
    Kind("gompertz", "gompertz"),
    Kind("error function", "error function"),
    Kind("floor above guessing", floors=True),
    Kind("one seed", seeds=1),
    Kind("seeds move the collapse by .1 dex", seeds=3, knots=0.1),
    Kind("scatter of .1 dex", scatter=0.1),
    Kind("6 sizes, 2 token counts", sizes=6, token_counts=2),
    Kind("some collapse beyond the doses", late=0.3),
    Kind("uneven grids", grid="uneven"),
    Kind("20 probes a run", probes=20),
    Kind("2,000 probes a run", probes=2000, spread=(0.003, 0.02)),
    Kind("paper: 137M to 3B in exposures", grid="paper", sizes=5, token_counts=1, seeds=1, chance=False),
    Kind("one token count", token_counts=1),
    Kind("ladder, 20 tokens a parameter", grid="ladder", sizes=5, token_counts=1),
    Kind("step", "step", regular=False),
    Kind("bimodal seeds", bimodal=True, seeds=3, regular=False),
    Kind("no plateau", "gompertz", gap=0.0, regular=False),
    Kind("bump", "bump", regular=False),
    Kind("half of the sizes never collapse", law="half", regular=False),
    Kind("no collapse, one noisy seed", law="none", seeds=1, spread=(0.04, 0.1), regular=False),
    Kind("size and tokens interact", law="product", regular=False),
    Kind("the exponent of size changes sign", law="turns", regular=False),
)


@dataclass(frozen=True)
class World:
    """One world of a kind. at: log dose at the geometric mean of sizes and tokens; turn: the product's exponent."""

    kind: Kind
    sizes: tuple[float, ...]
    token_counts: dict[float, tuple[float, ...]]
    doses: dict[float, tuple[float, ...]]
    unit: Literal["share", "exposures"]
    at: dict[str, float]
    size: dict[str, float]
    tokens: dict[str, float]
    turn: float
    rise: float
    fall: float
    gap: float
    guessing: float
    plateau: dict[str, float]
    floor: dict[str, float]
    probes: int
    spread: float
    difficulty: float

    def x(self, score: str, size: float, tokens: float) -> float | None:
        """Where the knot of a score lies at one size and token count, scatter apart; None: it never collapses."""
        if self.kind.law == "none" or (self.kind.law == "half" and size > np.sqrt(self.sizes[0] * self.sizes[-1])):
            return None
        n, d = self.logs(size, tokens)
        return float(self.at[score] + self.exponent(score, tokens) * n + self.tokens[score] * d)

    def exponent(self, score: str, tokens: float) -> float:
        """The exponent of size at one token count."""
        _, d = self.logs(1.0, tokens)
        return float(self.size[score] + self.turn * (np.tanh(2 * d) if self.kind.law == "turns" else d))

    def knot(self, score: str, size: float, tokens: float, rng: np.random.Generator) -> float | None:
        """`x` with its scatter."""
        x = self.x(score, size, tokens)
        return None if x is None else float(x + rng.normal(0, self.kind.scatter))

    def collapse(self, score: str, knot: float | None) -> float | None:
        """The true point of a curve whose knot is at `knot`: there, but above it where the knot is a bump's top."""
        bump = self.kind.shape == "bump" and score == "recall"
        return knot + BUMP_EDGE * self.fall / BUMP_WIDTHS if bump and knot is not None else knot

    def logs(self, size: float, tokens: float) -> tuple[float, float]:
        """log10 of size and tokens about the middle of the study."""
        sizes = np.log10(self.sizes)
        token_counts = np.log10(sorted({tokens for each in self.token_counts.values() for tokens in each}))
        return float(np.log10(size) - sizes.mean()), float(np.log10(tokens) - token_counts.mean())

    @property
    def target(self) -> tuple[float, float]:
        """Size and tokens where the collapse is predicted; as many tokens as tried where one count was tried."""
        most = max(tokens for each in self.token_counts.values() for tokens in each)
        size = PAPER_TARGET if self.kind.grid == "paper" else MORE_SIZE * self.sizes[-1]
        if self.kind.grid == "ladder":
            return size, LADDER * size
        return size, most if self.kind.token_counts == 1 else MORE_TOKENS * most


Truth = dict[tuple[str, float, float], float | None]


def left(shape: Shape, x: Array, knot: float, width: float) -> Array:
    """What is left at x of a level that falls away beyond `knot`, 1..0; half is left at knot + width/2."""
    u = (x - knot) / width - 0.5
    with np.errstate(over="ignore"):
        if shape == "logistic":
            return np.asarray(1 / (1 + np.exp(4 * u)))
        if shape == "gompertz":
            return np.asarray(np.exp(-np.log(2) * np.exp(2 * u / np.log(2))))
        if shape == "error function":
            return np.asarray(ndtr(-u * np.sqrt(2 * np.pi)))
        return np.asarray(np.clip(0.5 - u, 0, 1))


def draw(kind: Kind, rng: np.random.Generator) -> World:
    """Draw a world of a kind; draw again until its collapses lie where the kind wants them."""
    while True:
        world = _world(kind, rng)
        if _fits(world):
            return world


def _world(kind: Kind, rng: np.random.Generator) -> World:
    sizes, token_counts, doses = _grid(kind, rng)
    paper = kind.grid == "paper"
    unit: Literal["share", "exposures"] = "exposures" if paper else "share"
    low, high = (float(x_at(doses[sizes[0]][i], unit)) for i in (0, -1))
    guessing = rng.uniform(*GUESSING)
    plateau = {score: rng.uniform(*(PAPER_PLATEAU if paper else PLATEAU)) for score in SCORES}
    floor = dict.fromkeys(SCORES, guessing)
    if kind.floors:
        floor = {score: guessing + rng.uniform(*FLOOR) * (plateau[score] - guessing) for score in SCORES}
    if paper:
        floor = {score: rng.uniform(*PAPER_FLOOR) for score in SCORES}
    return World(
        kind=kind,
        sizes=sizes,
        token_counts=token_counts,
        doses=doses,
        unit=unit,
        at={score: rng.uniform(low + FROM_START * (high - low), high - FROM_END) for score in SCORES},
        size={score: rng.uniform(*EXPONENTS) for score in SCORES},
        tokens={score: rng.uniform(*EXPONENTS) for score in SCORES},
        turn=rng.choice([-1, 1]) * rng.uniform(*TURN) if kind.law in ("product", "turns") else 0.0,
        rise=rng.uniform(*WIDTHS),
        fall=STEP_WIDTH if kind.shape == "step" else rng.uniform(*(PAPER_FALL if paper else WIDTHS)),
        gap=kind.gap if kind.gap is not None else rng.uniform(*GAP),
        guessing=guessing,
        plateau=plateau,
        floor=floor,
        probes=kind.probes or round(float(np.exp(rng.uniform(*np.log(PAPER_PROBES if paper else PROBES))))),
        spread=rng.uniform(*(PAPER_SPREAD if paper else kind.spread)),
        difficulty=rng.uniform(*DIFFICULTY),
    )


def _grid(
    kind: Kind, rng: np.random.Generator
) -> tuple[tuple[float, ...], dict[float, tuple[float, ...]], dict[float, tuple[float, ...]]]:
    """Sizes; the token counts and the doses above 0 of each."""
    if kind.grid == "paper":
        return PAPER_SIZES, dict.fromkeys(PAPER_SIZES, (PAPER_TOKENS,)), dict.fromkeys(PAPER_SIZES, PAPER_EXPOSURES)
    ratio, more = rng.uniform(*STEPS), rng.uniform(*STEPS)
    sizes = tuple(float(round(SMALLEST * ratio**i)) for i in range(kind.sizes))
    token_counts = tuple(float(round(FEWEST * more**i)) for i in range(kind.token_counts))
    shares = SHARES[rng.integers(len(SHARES))]
    if kind.grid == "ladder":
        return sizes, {n: (LADDER * n,) for n in sizes}, dict.fromkeys(sizes, shares)
    if kind.grid == "uneven":
        own = {
            n: tuple(sorted(rng.choice(token_counts, rng.integers(1, kind.token_counts + 1), replace=False)))
            for n in sizes
        }
        return sizes, own, {n: SHARES[rng.integers(len(SHARES))] for n in sizes}
    return sizes, dict.fromkeys(sizes, token_counts), dict.fromkeys(sizes, shares)


def _fits(world: World) -> bool:
    """Whether collapses lie within the doses (or beyond them, as the kind says), a plateau before each."""
    kind, beyond = world.kind, []
    if kind.law == "none":
        return True
    for size, token_counts in world.token_counts.items():
        first, last = (float(x_at(world.doses[size][i], world.unit)) for i in (0, -1))
        for tokens in token_counts:
            for score in SCORES:
                x = world.x(score, size, tokens)
                if x is None:
                    continue
                if kind.late and score == "recall":
                    beyond.append(x > last)
                    if x > last + kind.late:
                        return False
                elif not first + 0.2 < x < last - 0.05:
                    return False
    if kind.late:
        return any(beyond) and not all(beyond)
    if kind.law == "turns":
        slopes = [world.exponent("recall", tokens) for tokens in world.token_counts[world.sizes[0]]]
        return min(slopes) < -0.2 and max(slopes) > 0.2
    return True


def simulate(world: World, rng: np.random.Generator) -> tuple[list[RunRecord], Truth]:
    """The runs of a world, and x of the collapse of recall and of retention at every size and token count."""
    truth: Truth = {}
    rows: list[RunRecord] = []
    hard = world.difficulty * rng.standard_normal((3, world.probes))
    for size, token_counts in world.token_counts.items():
        for tokens in token_counts:
            knots = {score: world.knot(score, size, tokens, rng) for score in SCORES}
            truth |= {(score, size, tokens): world.collapse(score, knot) for score, knot in knots.items()}
            own = [
                {name: None if x is None else x + rng.normal(0, world.kind.knots) for name, x in knots.items()}
                for _ in range(world.kind.seeds)
            ]
            rows += [
                _run(world, size, tokens, dose, seed, own[seed], hard, rng)
                for dose in (0.0, *world.doses[size])
                for seed in range(world.kind.seeds)
            ]
    return rows, truth


def _levels(world: World, x: float, knots: dict[str, float | None], rng: np.random.Generator) -> dict[str, float]:
    """Recall and retention expected of one run at a dose x (-inf: none)."""
    found, at, shape = {}, np.array([x]), world.kind.shape
    collapse = knots["recall"]
    for score, knot in knots.items():
        if shape == "bump" and score == "recall" and knot is not None:
            height = float(np.exp(-0.5 * ((x - knot) / (world.fall / BUMP_WIDTHS)) ** 2)) if np.isfinite(x) else 0.0
            found[score] = world.guessing + height * (world.plateau[score] - world.guessing)
            continue
        stay = 1.0
        if knot is not None and np.isfinite(x):
            stay = float(left(shape, at, knot, world.fall)[0])
        if world.kind.bimodal and np.isfinite(x):
            stay = float(rng.random() < stay)
        level = world.floor[score] + stay * (world.plateau[score] - world.floor[score])
        if score == "recall":
            start = (collapse if collapse is not None else 0.2) - world.gap - world.rise
            up = 0.0
            if np.isfinite(x):
                up = float(left(shape, -at, -start - world.rise, world.rise)[0])
            level = world.guessing + up * (level - world.guessing)
        found[score] = level
    return found


def _run(
    world: World,
    size: float,
    tokens: float,
    dose: float,
    seed: int,
    knots: dict[str, float | None],
    hard: Array,
    rng: np.random.Generator,
) -> RunRecord:
    levels = _levels(world, float(x_at(dose, world.unit)), knots, rng)
    expected = (levels["recall"], levels["retention"], world.guessing)
    hits, kept, unseen = (_measured(world, p, h, rng) for p, h in zip(expected, hard, strict=True))
    share = dose if world.unit == "share" else None
    return RunRecord(
        size=size,
        tokens=tokens,
        share=share,
        exposures=dose if world.unit == "exposures" else None,
        recall=hits,
        recall_se=float(np.sqrt(hits * (1 - hits) / world.probes)),
        retention=kept,
        retention_se=float(np.sqrt(kept * (1 - kept) / world.probes)),
        unseen_recall=unseen if world.kind.chance else None,
        seed=seed,
    )


def _measured(world: World, p: float, hard: Array, rng: np.random.Generator) -> float:
    """The share of right answers: the seed's own level, then each question, of its own difficulty, right or wrong."""
    own = float(np.clip(p + rng.normal(0, world.spread), 1e-9, 1 - 1e-9))
    return float(np.mean(rng.random(world.probes) < ndtr(np.sqrt(1 + world.difficulty**2) * ndtri(own) - hard)))
