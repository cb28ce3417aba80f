"""What the loop, its checkpoints and the probes need of a model, whatever its architecture."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from infusionlaw.training.recipe import OtherShape, Shape


class Trainable(Protocol):
    """A batch of M models that train together: `Model`, our own, or one `Pretrained` of any other architecture.

    piece: blocks that a step takes at a time, 0 for all. graphable: whether a GPU may capture its step as a graph.
    """

    piece: int

    @property
    def graphable(self) -> bool: ...

    @property
    def shape(self) -> Shape | OtherShape: ...

    @property
    def members(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def loss(self, tokens_MBT: Tensor, targets_MBT: Tensor) -> Tensor:
        """Return the mean cross-entropy of each member in nats a token, (M,)."""
        ...

    def log_probabilities(
        self, ids_BT: Tensor, scored_BT: Tensor, shared: int = 0, of_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return log p of the scored tokens (n,) by the first member, and whether each is its likeliest token.

        shared, of: rows with one number in `of` begin with the same `shared` tokens, as in `Model`.
        """
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def zero_grad(self, set_to_none: bool = True) -> None: ...

    def decays(self, weight: Tensor) -> bool:
        """Whether weight decay applies to a weight: to matrices (rule 7)."""
        ...

    def part(self, tensor: Tensor, member: int) -> Tensor:
        """Return what a member has of a weight or of its moments, a view."""
        ...

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return a weight, or its moments, from what each member has of it."""
        ...

    def weights_of(self, member: int) -> dict[str, Tensor]:
        """Return a member's weights by name."""
        ...

    def load(self, member: int, weights: dict[str, Tensor]) -> Any: ...

    def alone(self, member: int) -> "Trainable":
        """Return one member as a model of its own."""
        ...

    def to(self, device: torch.device) -> Self: ...
