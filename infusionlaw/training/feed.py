"""Put the blocks of each step on the device before the step needs them.

The blocks of several steps go there at once. On a GPU a thread assembles the next ones on the host while these are
trained on, and copies them from pinned memory, so that neither waits for the other.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.training.recipe import Recipe


def feed(
    mixtures: Sequence[Mixture], recipe: Recipe, start: int, device: torch.device, steps: int
) -> Iterator[torch.Tensor]:
    """Yield the blocks of each step from `start` on, (M, B, T + 1) on the device, made `steps` at a time."""
    parts = [(first, min(steps, recipe.steps - first)) for first in range(start, recipe.steps, steps)]
    if device.type == "cpu":
        for first, count in parts:
            yield from _assembled(mixtures, recipe, first, count).to(torch.int64)
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(_assembled, mixtures, recipe, *part) for part in parts[:1]]
        for part in [*parts[1:], None]:
            tokens = ahead.pop().result().pin_memory().to(device, non_blocking=True)
            if part:
                ahead.append(pool.submit(_assembled, mixtures, recipe, *part))
            yield from tokens.to(torch.int64)


def _assembled(mixtures: Sequence[Mixture], recipe: Recipe, first: int, count: int) -> torch.Tensor:
    """Assemble the blocks of `count` steps from `first` on, (count, M, B, T + 1), in the token file's own type."""
    members = [mixture.blocks(first * recipe.batch, count * recipe.batch, recipe.block) for mixture in mixtures]
    return torch.from_numpy(np.stack([blocks.reshape(count, recipe.batch, -1) for blocks in members], axis=1))
