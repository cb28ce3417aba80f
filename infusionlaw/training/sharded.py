"""Train one model in several processes, a GPU each, where no GPU can hold it alone.

Every process has a part of each weight, of its gradient and of its moments (FSDP2). A layer is gathered whole only
while it works. A process trains on its part of a batch, and gradients are averaged, so that a step is that of one
process to rounding. All processes do the same calls in the same order; only the first writes.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infusionlaw.processes import room_for
from infusionlaw.training.group import in_turns, leads, together, whole
from infusionlaw.training.model import Model
from infusionlaw.training.pretrained import Pretrained
from infusionlaw.training.recipe import OtherShape, Recipe, Shape
from infusionlaw.training.step import LEAST_FOR_BF16
from infusionlaw.training.trainable import Trainable

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


class Sharded:
    """One model, `Model` or `Pretrained`, of which each process has a part.

    mesh: the processes, which have made it from the same weights; half: whether layers are gathered in bf16, as they
    multiply; exact: makes one where they are not, for probing, which is in fp32.
    """

    members = 1
    graphable = False

    def __init__(self, model: Trainable, mesh: "DeviceMesh", half: bool, exact: "Callable[[], Sharded]") -> None:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
        self._model, self._mesh, self._half, self._exact = model, mesh, half, exact
        self._rank, self._count = mesh.get_rank(), mesh.size()
        self.piece = model.piece * self._count
        root: Any = model.network if isinstance(model, Pretrained) else model
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if half else None, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        for layer in _layers(root):
            fully_shard(layer, mesh=mesh, mp_policy=policy, shard_placement_fn=self._place)
        self._root = fully_shard(root, mesh=mesh, shard_placement_fn=self._place)
        if isinstance(model, Model):
            plain = inspect.unwrap(Model.log_probabilities)  # in inference mode weights cannot be gathered
            root.log_probabilities = torch.no_grad()(MethodType(plain, model))
            register_fsdp_forward_method(root, "loss")
            register_fsdp_forward_method(root, "log_probabilities")

    @property
    def shape(self) -> Shape | OtherShape:
        """The shape of the whole model."""
        return self._model.shape

    def loss(self, tokens_MBT: Tensor, targets_MBT: Tensor) -> Tensor:
        """Return the mean cross-entropy of all processes' blocks, (1,); its gradient is that of this process's part.

        A process without a block does one that does not count, since all must take part in gathering weights.
        """
        blocks = tokens_MBT.shape[1]
        own = slice(self._rank, None, self._count) if self._rank < blocks else slice(1)
        count = len(range(self._rank, blocks, self._count))
        loss = self._model.loss(tokens_MBT[:, own], targets_MBT[:, own]) * (count * self._count / blocks)
        every = loss.detach().clone()
        dist.all_reduce(every)
        return loss + (every / self._count - loss.detach())

    def log_probabilities(
        self, ids_BT: Tensor, scored_BT: Tensor, shared: int = 0, of_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what the whole model does; every process has all of it."""
        return self._model.log_probabilities(ids_BT, scored_BT, shared, of_B)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield this process's parts of the weights."""
        return self._model.parameters()

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield them with their names."""
        return self._model.named_parameters()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        self._model.zero_grad(set_to_none)

    def decays(self, weight: Tensor) -> bool:
        """Whether weight decay applies to a weight: to matrices (rule 7)."""
        return self._model.decays(weight)

    def part(self, tensor: Tensor, member: int) -> Tensor:
        """Return the whole of a weight or of its moments in the first process, and nothing in the others."""
        all_of_it = whole(tensor)
        return self._model.part(all_of_it, member).cpu() if leads() else torch.empty(0)

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return this process's part of a weight, or of its moments, from the whole."""
        from torch.distributed.tensor import distribute_tensor

        all_of_it = self._model.joined(parts).to(self.device)
        return distribute_tensor(all_of_it, self._mesh, [self._place(all_of_it)])

    def weights_of(self, member: int) -> dict[str, Tensor]:
        """Return the whole weights by name, in the first process."""
        self._root.reshard()
        return {name: self.part(weight.detach(), member) for name, weight in self.named_parameters()}

    def load(self, member: int, weights: dict[str, Tensor]) -> Self:
        """Load whole weights, as `weights_of` gives them."""
        with torch.no_grad():
            for name, weight in self.named_parameters():
                weight.copy_(self.joined([weights[name]]))
        return self

    @torch.no_grad()
    def alone(self, member: int) -> "Sharded":
        """Return it as it is probed."""
        if not self._half:
            return self
        self._root.reshard()
        exact = self._exact()
        for (_, to), (_, weight) in zip(exact.named_parameters(), self.named_parameters(), strict=True):
            to.copy_(weight)
        return exact

    def to(self, device: torch.device) -> Self:
        """Leave it where it is."""
        return self

    def _place(self, weight: Tensor) -> Any:
        """Return how a weight is divided: along the first dimension, or behind the members' axis of our own models."""
        from torch.distributed.tensor import Shard

        if isinstance(self._model, Pretrained):
            return Shard(0)
        return Shard(next((dim for dim in range(1, weight.dim()) if weight.shape[dim] % self._count == 0), 0))


def _layers(root: nn.Module) -> nn.ModuleList | tuple[()]:
    """Return the layers of a model: the list of modules that has the most weights."""
    lists = [each for each in root.modules() if isinstance(each, nn.ModuleList)]
    return max(lists, key=lambda each: sum(weight.numel() for weight in each.parameters()), default=())


def placed(make: Callable[[], Trainable], recipe: Recipe, device: torch.device) -> Trainable:
    """Return models where they are trained: on a device, or in parts where several processes train one.

    make: makes them whole, in the memory of the machine. As many processes do so at a time as there is room for.
    """
    if not together():
        return make().to(device)
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    at_once = room_for(recipe.memory_parts["weights"])

    def sharded(half: bool) -> Sharded:
        return in_turns(lambda: Sharded(make(), mesh, half, partial(sharded, False)), at_once)

    return sharded(device.type == "cuda" and recipe.shape.size >= LEAST_FOR_BF16)
