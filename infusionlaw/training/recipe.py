"""Derive a shape from a size, and everything else that training needs from a size and a token count.

A named recipe is a set of rules (`Rules`); `RECIPES` holds them by name. Each rule is numbered here and names its
source, with the numbers of recipe "2026-11". "Measured here" means on the built-in data; LOG.md has the runs.

1. Depth: layers = max(2, round(2 (N / 40 000)^0.235)). A power law through this project's smallest shapes and the
   GPT-2 / GPT-3 family (Brown et al. 2020, 2005.14165, table 2.1: 85 M -> 12, 1.2 B -> 24 layers).
2. Width: the multiple of 8 (below 32), 16 (below 256), 64 (below 1024) or 128 nearest to sqrt(N / 12 layers), since a
   layer holds 4 d² attention and 3 d·f feed-forward weights, and f = 8/3 d makes that 12 d² (Shazeer 2020, 2002.05202).
3. Feed-forward width: whatever multiple of 8 then brings N nearest to the size asked for.
4. Heads: of width 8 (d < 32) or 16, so that the smallest models have several, but no more than four of them below a
   width of 256, where those four are 64 wide, as heads then stay up to 1024 (beyond: 128). Measured here: at 1.8 M four
   heads of 44 have .07 bits per byte less validation loss than eleven of 16.
5. Batch: 1 024 tokens at D = 1.5 M, growing as D^0.571 (exponent: Li et al. 2025, 2503.04715; their constant, fitted
   above 60 M parameters, would give twice as much). Measured here: four times the batch needs twice the token count.
6. Learning rate: min(0.005, 0.48 N^-0.713 D^0.307) (exponents: Li et al. 2025; their constant, 1.79, was fitted above
   60 M parameters and is about four times too high here: at D = 1.5 M the least validation loss was found at 0.0027 for
   450 k and at 0.0013 for 1.8 M, measured here). The cap holds below 270 k at D = 1.5 M: at 25 k and share 0.5 recall
   deviates by .02 to .07 between seeds with it, and by .15 at 0.01; at 34 k to 160 k half of it gives more loss, and so
   does twice of it at 95 k (measured here).
7. AdamW, betas (0.9, 0.95), eps 1e-8, weight decay 0.1 on matrices, none on norms (Brown et al. 2020); gradient norm
   clipped at 1.
8. Schedule: linear warm-up over 2 % of the steps, constant, then 1 - sqrt down to zero over the last 20 %
   (warmup-stable-decay: Hu et al. 2024, 2404.06395; shape and length of the decay: Hägele et al. 2024, 2405.18392).
   A run that shares its stable phase decays over its last 15 % (rule 10).
9. Initialisation: normal, deviation 0.02 for the embedding and 1 / sqrt(fan in) for matrices, those that write to the
   residual stream divided by sqrt(2 layers) (Radford et al. 2019).
10. Stable phase: runs that differ only in their token count share it. They have the batch, the learning rate and the
   warm-up of the shortest token count. So a longer run does before its decay just what a shorter one does, and goes on
   from where the shorter one began to decay (Hägele et al. 2024: such a decay branch ends where a run of its own does).
   Those of the shortest, so that a longer token count can be added later and no run is lost; a batch too small costs
   time, one too large costs learning (rule 5).
11. Precision: weights, moments and sums in fp32; products too, but on a GPU in bf16 from half a million parameters on
    (`step.py`), as models of a million and more are trained. Smaller ones come out the same on both (measured here).
12. From a checkpoint: the peak rate is a part of rule 6's for that size and token count, a half unless the study says
    otherwise. The schedule is that of rule 8, with new moments: the rate warms up again from zero, stays, and decays to
    zero again. A model whose rate has decayed learns little until it is warmed up again (Gupta et al. 2023, 2308.04014,
    who find that the length of the warm-up matters little); re-warming and re-decaying, with some of the old data, does
    as well as training again on everything (Ibrahim et al. 2024, 2403.08763, who find that a higher peak rate learns
    more of the new and forgets more of the old); a stable phase between the two lets token counts share it (Hu et al.
    2024, 2404.06395). Batch and weight decay are those of rules 5 and 7, D being the tokens of the run itself. Nothing
    is dropped out, whatever the checkpoint's config says.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

SMALLEST, LARGEST = 10_000, 3_000_000_000
MOST_LOGITS = 1 << 26  # of another architecture, whose whole logits are kept, that a step may have at a time
MOST_ACTIVATIONS = 44_000_000_000  # bytes that a model of ours may keep of a step at a time, of a GPU of 80 GB


@dataclass(frozen=True)
class Rules:
    """A named recipe: the numbers of the rules above that a study can ask for by name."""

    most_narrow_heads: int = 4  # rule 4: heads at most, below a width of 256
    batch_tokens: float = 1024  # rule 5: at D = 1.5 M
    batch_exponent: float = 0.571  # rule 5: of D
    rate: float = 0.48  # rule 6: the constant
    rate_of_size: float = -0.713  # rule 6: exponent of N
    rate_of_tokens: float = 0.307  # rule 6: exponent of D
    highest_rate: float = 0.005  # rule 6
    betas: tuple[float, float] = (0.9, 0.95)  # rule 7
    clip: float = 1.0  # rule 7
    warmup_percent: int = 2  # rule 8: of the steps
    decay_percent: int = 20  # rule 8: of the steps of a run on its own
    shared_decay_percent: int = 15  # rule 10: of the steps of a run that shares its stable phase


RECIPES: Mapping[str, Rules] = {"2026-11": Rules()}
PRESENT = RECIPES["2026-11"]


@dataclass(frozen=True)
class Shape:
    """A decoder's shape. `size` counts non-embedding parameters, `total_size` all of them (embeddings are tied)."""

    d_model: int
    layers: int
    heads: int
    d_ff: int
    vocabulary: int

    @property
    def head_width(self) -> int:
        """d_model / heads."""
        return self.d_model // self.heads

    @property
    def groups(self) -> dict[str, int]:
        """Parameters by group: embedding V·d, attention 4 d² L, feed-forward 3 d·f·L, norms d (2 L + 1)."""
        return {
            "embedding": self.vocabulary * self.d_model,
            "attention": 4 * self.d_model**2 * self.layers,
            "feed_forward": 3 * self.d_model * self.d_ff * self.layers,
            "norms": self.d_model * (2 * self.layers + 1),
        }

    @property
    def total_size(self) -> int:
        """All parameters."""
        return sum(self.groups.values())

    @property
    def size(self) -> int:
        """N: all parameters but the embedding."""
        return self.total_size - self.groups["embedding"]


@dataclass(frozen=True)
class OtherShape:
    """What is known of a model of another architecture, which transformers builds. size, total_size: as in `Shape`."""

    size: int
    total_size: int
    d_model: int
    layers: int
    d_ff: int
    vocabulary: int


@dataclass(frozen=True)
class Recipe:
    """How one (N, D) is trained.

    `batch` counts blocks a step; `shortest` is the shortest token count of the runs that share its stable phase
    (rule 10), 0 for a run on its own.
    """

    shape: Shape | OtherShape
    block: int
    batch: int
    steps: int
    learning_rate: float
    weight_decay: float
    warmup: int
    decay: int
    betas: tuple[float, float]
    clip: float
    shortest: int = 0

    @property
    def tokens(self) -> int:
        """Training tokens D = steps · batch · block."""
        return self.steps * self.batch * self.block

    @property
    def own_shape(self) -> Shape:
        """The shape where the architecture is ours, as that of every run from scratch is."""
        assert isinstance(self.shape, Shape)
        return self.shape

    @property
    def decay_start(self) -> int:
        """steps - decay: the steps that it shares with longer runs of its stable phase (rule 10)."""
        return self.steps - self.decay

    @property
    def flops_per_token(self) -> float:
        """6 N for all parameters, the output projection's included, and 6 L d T for attention.

        Forward and backward. Half of the scores of a block of T tokens are masked.
        """
        shape = self.shape
        return 6.0 * shape.total_size + 6.0 * shape.layers * shape.d_model * self.block

    @property
    def memory(self) -> int:
        """Bytes that training holds, the sum of `memory_parts`."""
        return sum(self.memory_parts.values())

    @property
    def memory_parts(self) -> dict[str, int]:
        """Bytes by what takes them."""
        return self.memory_of(1)

    def memory_of(self, gpus: int) -> dict[str, int]:
        """Return the bytes that each of the GPUs holds which train a run, by what takes them.

        Weights, gradients and two moments in fp32 are divided among them, and so are the blocks of a step, which is
        what activations are of. Gathered whole for a moment: the embedding and two layers, with their gradients.
        Activations are about 34 d + 4 f a layer and token, and the logits twice. Of another architecture they are
        16 d + 3 f, and the logits four times: a Llama of 135 M held 6 % more with one block a step, and 13 % less with
        seven.
        """
        shape = self.shape
        weights, blocks = 4 * shape.total_size // gpus, min(self.piece, math.ceil(self.batch / gpus))
        embedding = shape.total_size - shape.size
        gathered = {"gathered": 4 * 2 * (embedding + 2 * shape.size // shape.layers)} if gpus > 1 else {}
        return {
            "weights": weights,
            "gradients": weights,
            "moments": 2 * weights,
            "activations": blocks * self._activations,
            **gathered,
        }

    @property
    def _activations(self) -> int:
        """Bytes of activations of one block."""
        shape = self.shape
        widths, feeds, kept = (34, 4, 2) if isinstance(shape, Shape) else (16, 3, 4)
        by_layers = shape.layers * (widths * shape.d_model + feeds * shape.d_ff)
        return 4 * (by_layers + kept * shape.vocabulary) * self.block

    @property
    def piece(self) -> int:
        """Blocks that a step takes at a time; the gradients of all its pieces add up.

        All, but no more than MOST_ACTIVATIONS allow, and then in pieces of nearly one length. Of another architecture,
        as many as MOST_LOGITS allow.
        """
        if not isinstance(self.shape, Shape):
            most = max(1, MOST_LOGITS // (self.block * self.shape.vocabulary))
            return min(self.batch, most)
        pieces = math.ceil(self.batch * self._activations / MOST_ACTIVATIONS)
        return math.ceil(self.batch / pieces)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step 0, 1, …: warm-up, constant, 1 - sqrt (rule 8)."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        left = self.steps - step
        if left > self.decay:
            return self.learning_rate
        return self.learning_rate * (1 - math.sqrt(1 - left / (self.decay + 1)))


def shape_for(size: int, vocabulary: int, rules: Rules = PRESENT) -> Shape:
    """Return the shape whose non-embedding parameters come nearest to `size`, within 5 % (rules 1 to 4)."""
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size {size:,} lies outside {SMALLEST:,} to {LARGEST:,} parameters without the embedding")
    layers = max(2, round(2 * (size / 40_000) ** 0.235))
    ideal = math.sqrt(size / (12 * layers))
    step = 8 if ideal < 30 else 16 if ideal < 256 else 64 if ideal < 1024 else 128
    width = max(step, step * round(ideal / step))
    d_ff = max(8, 8 * round((size / layers - 4 * width**2 - 2 * width) / (3 * width) / 8))
    head = 8 if width < 32 else 16 if width < 256 else 64 if width < 1024 else 128
    heads = width // head if width >= 256 else min(rules.most_narrow_heads, width // head)
    return Shape(width, layers, heads, d_ff, vocabulary)


def recipe_for(
    size: int,
    tokens: int,
    *,
    vocabulary: int,
    block: int = 128,
    learning_rate_factor: float = 1.0,
    batch_factor: float = 1.0,
    weight_decay: float = 0.1,
    shortest: int = 0,
    rules: Rules = PRESENT,
    shape: Shape | OtherShape | None = None,
) -> Recipe:
    """Return the recipe for N = `size` and D = `tokens`, D rounded down to whole steps.

    Factors multiply rules 5 and 6. shortest: the shortest token count of the runs that share its stable phase
    (rule 10); 0: it is on its own. shape: of the checkpoint that it begins from (rule 12).
    """
    shape = shape or shape_for(size, vocabulary, rules)
    of = shortest or tokens
    batch_tokens = rules.batch_tokens * (of / 1.5e6) ** rules.batch_exponent * batch_factor
    batch = max(1, round(batch_tokens / block))
    steps = tokens // (batch * block)
    if steps < 20:
        raise ValueError(f"a token count of {tokens} tokens gives {steps} steps; 20 are the least that can be trained")
    rate = rules.rate * shape.size**rules.rate_of_size * of**rules.rate_of_tokens
    decay_percent = rules.shared_decay_percent if shortest else rules.decay_percent
    return Recipe(
        shape,
        block,
        batch,
        steps,
        learning_rate=min(rules.highest_rate, rate) * learning_rate_factor,
        weight_decay=weight_decay,
        warmup=max(10, of // (batch * block) * rules.warmup_percent // 100),
        decay=max(1, steps * decay_percent // 100),
        betas=rules.betas,
        clip=rules.clip,
        shortest=shortest,
    )
