"""Do one optimiser step of a batch of models: loss, gradients, each member's own clipping, AdamW.

On a GPU a step of a small model is a thousand launches that take longer to ask for than to do, so after a few steps one
is captured as a graph, learning rate and blocks in fixed places, and then replayed with one launch.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from infusionlaw.training.group import whole
from infusionlaw.training.recipe import Recipe
from infusionlaw.training.trainable import Trainable

# N from which a GPU multiplies in bf16 (weights, moments and sums stay in fp32). Smaller models are trained in fp32, as
# on the CPU, so that the runs of a study may come from either.
LEAST_FOR_BF16 = 500_000
WARM_UP = 3  # steps done before one is captured, so that everything that is made once is there


@contextmanager
def precision(model: Trainable) -> Iterator[None]:
    """Use the number formats a model is trained in: fp32, on a GPU bf16 products from LEAST_FOR_BF16 on."""
    device = model.device.type
    half = device == "cuda" and model.shape.size >= LEAST_FOR_BF16
    with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
        yield


class Stepper:
    """Do a model's steps; its optimiser is `optimiser`."""

    def __init__(self, model: Trainable, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self._device = model.device
        self._captured = self._device.type == "cuda" and model.graphable
        self.optimiser = _optimiser(model, recipe, graph=self._captured)
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, blocks: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Do step number `step` on blocks (M, B, T + 1).

        Returns losses (nats a token) and gradient norms (M,), still on the device and good until the next step.
        """
        self._set_rate(self.recipe.learning_rate_at(step))
        if not self._captured:
            return self._work(blocks)
        self._done += 1
        if self._done <= WARM_UP:
            return self._beside(blocks)
        if self._graph is None:
            self._capture(blocks)
        self._blocks.copy_(blocks)
        self._graph.replay()  # type: ignore[union-attr]
        return self._out

    def _set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if self._captured:
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _beside(self, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Do a step on another stream, as capturing wants its warm-up."""
        stream, here = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            out = self._work(blocks)
        here.wait_stream(stream)
        return out

    def _capture(self, blocks: torch.Tensor) -> None:
        self._blocks = blocks.clone()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._out = self._work(self._blocks)

    def _work(self, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model, batch = self.model, self.recipe.batch
        losses = torch.zeros(model.members, device=blocks.device)
        for part in torch.split(blocks, model.piece or self.recipe.piece, dim=1):
            with precision(model):
                loss = model.loss(part[..., :-1], part[..., 1:]) * (part.shape[1] / batch)
            loss.sum().backward()  # type: ignore[no-untyped-call]
            losses += loss.detach()
        norms = clip(model, self.recipe.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return losses, norms


def clip(model: Trainable, most: float) -> torch.Tensor:
    """Scale the gradient of each member whose norm is above `most` down to it, and return the norms (M,)."""
    if model.members == 1:  # PyTorch does it for all weights at once
        return whole(torch.nn.utils.clip_grad_norm_(model.parameters(), most))[None]
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    each = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    norms: torch.Tensor = torch.linalg.vector_norm(each, dim=0)
    scale = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
    return norms


def _optimiser(model: Trainable, recipe: Recipe, *, graph: bool) -> torch.optim.AdamW:
    """Make AdamW with weight decay on matrices only (rule 7); for a graph its learning rate is a tensor."""
    matrices = [weight for weight in model.parameters() if model.decays(weight)]
    norms = [weight for weight in model.parameters() if not model.decays(weight)]
    groups = [
        {
            "params": weights,
            "weight_decay": decay,
            "lr": _rate(recipe, matrices[0].device) if graph else recipe.learning_rate,
        }
        for weights, decay in ((matrices, recipe.weight_decay), (norms, 0.0))
    ]
    return torch.optim.AdamW(groups, betas=recipe.betas, eps=1e-8, fused=True, capturable=graph)


def _rate(recipe: Recipe, device: torch.device) -> torch.Tensor:
    return torch.tensor(recipe.learning_rate, device=device)
