"""A batch of Llama-style decoders: RMSNorm, rotary positions, SwiGLU, tied embeddings, no biases.

M models of one shape, the members, train together: every weight has a leading axis of members and every matrix product
is batched over it, so members never mix. A single model is a batch of one.

The mathematics is that of Hugging Face's `LlamaForCausalLM`; `export.py` writes it in that form. Three pieces are
written out with their own gradients because small models spend most of their time in them: the norm, the rotation (one
complex product) and the output projection fused with the cross-entropy, which never keeps the logits. Where the layers
are compiled (`compile.py`) the pieces of `fused.py` take the place of the first two.

Shapes: M members, B sequences, T tokens, R = B T rows, C width, H heads, K head width, V vocabulary, F feed-forward
width.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infusionlaw.training import fused
from infusionlaw.training.recipe import Shape

NORM_EPS = 1e-5
ROPE_BASE = 10_000.0
# Logits held at a time by the loss: as many as stay in a core's cache, or as keep a GPU busy.
_CHUNK = {"cpu": 1 << 18, "cuda": 1 << 30}
# Rows behind a beginning that others have too, read at a time: few are of nearly one length, many keep a GPU busy.
_TOGETHER = {"cpu": 16, "cuda": 256}


class _Norm(torch.autograd.Function):
    """y = w x / rms(x) with x (M, R, C) and w (M, C), with its gradient in five passes."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        inverse = torch.rsqrt(torch.linalg.vecdot(x, x).mul_(1 / x.shape[-1]).add_(NORM_EPS)).unsqueeze(-1)
        unit = x * inverse
        ctx.save_for_backward(unit, inverse, weight)
        return unit * weight[:, None]

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grads
        unit, inverse, weight = ctx.saved_tensors
        grad_weight = (grad * unit).sum(1)
        grad_unit = grad * weight[:, None]
        along = torch.linalg.vecdot(grad_unit, unit).mul_(1 / unit.shape[-1]).unsqueeze(-1)
        return torch.addcmul(grad_unit, unit, along, value=-1).mul_(inverse), grad_weight


class _ProjectedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of h Eᵀ against targets (M, R), one a member.

    The forward pass forms the gradients too, chunk by chunk, by `part`.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, embedding: Tensor, targets: Tensor, part: Callable[..., Any]) -> Tensor:
        members, count = targets.shape
        rows = _rows(count, members * embedding.shape[1], hidden.device.type)
        total: Tensor
        if rows >= count:  # nothing to add up, and `backward` turns bf16 into fp32
            total, grad_hidden, grad_embedding = part(hidden, embedding, targets[..., None], count)
        else:
            grad_hidden = torch.empty_like(hidden)
            grad_embedding = torch.zeros_like(embedding)
            total = hidden.new_zeros(members, dtype=torch.float32)
            for start in range(0, count, rows):
                here = slice(start, start + rows)
                lost, to_hidden, to_embedding = part(hidden[:, here], embedding, targets[:, here, None], count)
                total += lost
                grad_hidden[:, here] = to_hidden
                grad_embedding += to_embedding
        ctx.save_for_backward(grad_hidden, grad_embedding)
        return total / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_hidden, grad_embedding = ctx.saved_tensors
        grad = grads[0][:, None, None]
        return grad_hidden * grad, grad_embedding * grad, None, None


def _rows(count: int, logits: int, device: str) -> int:
    """Return the rows of a chunk, each of `logits` logits; on a GPU a divisor of all rows, for chunks of one shape."""
    most = max(1, _CHUNK.get(device, _CHUNK["cuda"]) // logits)
    if device == "cpu" or most >= count:
        return most
    return next(rows for rows in range(most, 0, -1) if count % rows == 0)


def _in_place(hidden: Tensor, embedding: Tensor, target: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses of a chunk summed (M,), and the gradients of their mean by its states and by the embedding.

    targets: (M, rows, 1), of `count` rows in all.
    """
    logits = (hidden @ embedding.mT).float()
    top, right = logits.amax(-1, keepdim=True), logits.gather(2, target)
    weights = logits.sub_(top).exp_()
    mass = weights.sum(-1, keepdim=True)
    lost = (mass.log() + top - right).sum((1, 2))
    grad = weights.mul_(1 / (count * mass))
    grad = grad.scatter_add_(2, target, torch.full_like(mass, -1 / count)).to(hidden.dtype)
    return lost, grad @ embedding, grad.mT @ hidden


def log_probability(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p of targets (n,) by logits (n, V), and whether each is the likeliest."""
    value = logits.gather(1, target[:, None])[:, 0] - torch.logsumexp(logits, -1)
    return value, logits.argmax(-1) == target


class Norm(nn.Module):
    """Root-mean-square norm with a learned scale."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normed, (M, R, C) as x is."""
        if torch.compiler.is_compiling():
            return fused.norm(x, self.weight, NORM_EPS)
        out: Tensor = _Norm.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return out


class Linear(nn.Module):
    """A matrix product without bias, its weight as (M, outputs, inputs)."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (M, R, inputs) to (M, R, outputs)."""
        return torch.bmm(x, self.weight.mT)


class Embedding(nn.Module):
    """A table of vectors (M, V, C)."""

    def __init__(self, members: int, entries: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, entries, width))

    def forward(self, tokens_MR: Tensor) -> Tensor:
        """Return the vector of each token in its member's table, (M, R, C)."""
        members, entries, _ = self.weight.shape
        first = torch.arange(0, members * entries, entries, device=tokens_MR.device)
        return F.embedding(tokens_MR + first[:, None], self.weight.flatten(0, 1))


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, members: int, shape: Shape) -> None:
        super().__init__()
        width = shape.d_model
        self.heads, self.head_width = shape.heads, shape.head_width
        self.attention_norm = Norm(members, width)
        self.qkv = Linear(members, width, 3 * width)
        self.attention_out = Linear(members, width, width)
        self.feed_norm = Norm(members, width)
        self.gate_up = Linear(members, width, 2 * shape.d_ff)
        self.down = Linear(members, shape.d_ff, width)

    def forward(self, x_MRC: Tensor, rotation_TK2: Tensor, before: "_Before | None" = None) -> Tensor:
        """Apply the layer; `rotation_TK2` holds cosine and sine of position·frequency, (T, 1, 1, K/2, 2)."""
        x_MRC = x_MRC + self.attention_out(self._mix(self.attention_norm(x_MRC), rotation_TK2, before))
        gate, up = self.gate_up(self.feed_norm(x_MRC)).chunk(2, -1)
        out: Tensor = x_MRC + self.down(F.silu(gate) * up)
        return out

    def _mix(self, x_MRC: Tensor, rotation_TK2: Tensor, before: "_Before | None") -> Tensor:
        """Return attention before its output matrix, (M, R, C)."""
        if torch.compiler.is_compiling():
            return fused.attention(x_MRC, self.qkv.weight, self.heads, rotation_TK2)
        M, R, C = x_MRC.shape
        qkv = self.qkv(x_MRC).view(-1, len(rotation_TK2), 3, self.heads, self.head_width)
        pairs = torch.view_as_complex(qkv[:, :, :2].float().unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * torch.view_as_complex(rotation_TK2)).flatten(-2).to(qkv.dtype)
        q, k, v = (y.transpose(1, 2) for y in (turned[:, :, 0], turned[:, :, 1], qkv[:, :, 2]))
        if before is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k, v = before.put_before(self, k, v)
            seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen.tril(k.shape[2] - q.shape[2]))
        return mixed.transpose(1, 2).reshape(M, R, C)


class _Before:
    """Keys and values, by layer, of tokens that several rows begin with: kept as they are read, then put before."""

    def __init__(self) -> None:
        self._kept: dict[Layer, tuple[Tensor, Tensor]] = {}
        self._rows: Tensor | None = None

    def put_before(self, layer: Layer, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (B, H, T, K) behind those kept; without `rows` keep them instead."""
        if self._rows is None:
            self._kept[layer] = k, v
            return k, v
        first_k, first_v = self._kept[layer]
        return torch.cat([first_k[self._rows], k], 2), torch.cat([first_v[self._rows], v], 2)

    def rows(self, of_B: Tensor) -> Self:
        """Set which of the rows kept each following row begins with, (B,)."""
        self._rows = of_B
        return self


class Model(nn.Module):
    """A batch of decoders, one a generator. Blocks may be of any length; rotations are made up to the longest seen."""

    def __init__(self, shape: Shape, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        members = len(generators)
        self.shape = shape
        self.embedding = Embedding(members, shape.vocabulary, shape.d_model)
        self.layers = nn.ModuleList(Layer(members, shape) for _ in range(shape.layers))
        self.final_norm = Norm(members, shape.d_model)
        self._rotation = torch.empty(0)
        self.compiled: Callable[[Tensor, Tensor], Tensor] | None = None  # `through` for the loss, if set
        self.compiled_loss: Callable[..., tuple[Tensor, Tensor, Tensor]] | None = None  # of a chunk, on a GPU
        self.piece = 0  # blocks that a step takes at a time; 0: all
        self.graphable = True
        for member, generator in enumerate(generators):
            self._initialise(member, generator)

    @property
    def members(self) -> int:
        """M, the number of models."""
        return len(self.embedding.weight)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.embedding.weight.device

    @torch.no_grad()
    def _initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw the weights by rule 9 of the recipe."""
        for name, weight in self.named_parameters():
            if weight.dim() < 3:
                continue
            deviation = 0.02 if name.startswith("embedding") else 1 / math.sqrt(weight.shape[2])
            if name.endswith(("attention_out.weight", "down.weight")):
                deviation /= math.sqrt(2 * self.shape.layers)
            weight[member].normal_(0.0, deviation, generator=generator)

    def weights_of(self, member: int) -> dict[str, Tensor]:
        """Return a member's weights by name, without the axis of members; views of this model's."""
        return {name: weight.detach()[member] for name, weight in self.named_parameters()}

    @torch.no_grad()
    def load(self, member: int, weights: dict[str, Tensor]) -> Self:
        """Load the weights of one member, as `weights_of` gives them."""
        for name, weight in self.named_parameters():
            weight[member] = weights[name]
        return self

    def decays(self, weight: Tensor) -> bool:
        """Whether weight decay applies to a weight: to matrices (rule 7)."""
        return weight.dim() > 2

    def part(self, tensor: Tensor, member: int) -> Tensor:
        """Return what a member has of a weight or of its moments, a view."""
        return tensor[member]

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return a weight, or its moments, from what each member has of it."""
        return torch.stack(list(parts))

    def alone(self, member: int) -> "Model":
        """Return one member as a model of its own."""
        if self.members == 1:
            return self
        one = Model(self.shape, [torch.Generator()]).to(self.device)
        return one.load(0, self.weights_of(member))

    def through(self, x_MRC: Tensor, rotation_TK2: Tensor) -> Tensor:
        """Turn embedded tokens into final normed states, both (M, R, C)."""
        for layer in self.layers:
            x_MRC = layer(x_MRC, rotation_TK2)
        out: Tensor = self.final_norm(x_MRC)
        return out

    def hidden(self, tokens_MBT: Tensor) -> Tensor:
        """Return final normed states, (M, B, T, C); never compiled, since lengths differ from call to call."""
        x = self.embedding(tokens_MBT.flatten(1))
        return self.through(x, self._rotations(tokens_MBT.shape[2], x.device)).view(*tokens_MBT.shape, -1)

    def _states_behind(self, tokens_BT: Tensor, scored_BT: Tensor, shared: int, of_B: Tensor) -> Tensor:
        """Return the final normed states at the places of one model that are scored, (n, C), as `hidden` would.

        of: the number of each row's beginning of `shared` tokens; the first row that has it is read for all. What is
        behind is read some rows at a time, no further than any of these is scored.
        """
        firsts = torch.full((int(of_B.max()) + 1,), len(of_B), device=of_B.device)
        firsts = firsts.scatter_reduce(0, of_B, torch.arange(len(of_B), device=of_B.device), "amin")
        before, rotation = _Before(), self._rotations(tokens_BT.shape[1], self.device)
        together = _TOGETHER.get(self.device.type, _TOGETHER["cuda"])
        self._read(tokens_BT[firsts, :shared], rotation[:shared], before)
        ends, found = (scored_BT * torch.arange(1, scored_BT.shape[1] + 1, device=of_B.device)).amax(1), []
        for rows in torch.split(torch.arange(len(of_B), device=of_B.device), together):
            behind = slice(shared, int(ends[rows].max()))
            hidden = self._read(tokens_BT[rows, behind], rotation[behind], before.rows(of_B[rows]))
            found.append(hidden[scored_BT[rows, behind]])
        return torch.cat(found)

    def _read(self, tokens_BT: Tensor, rotation_TK2: Tensor, before: _Before) -> Tensor:
        x = self.embedding(tokens_BT.reshape(1, -1))
        for layer in self.layers:
            x = layer(x, rotation_TK2, before)
        out: Tensor = self.final_norm(x)
        return out.view(*tokens_BT.shape, -1)

    def logits(self, tokens_MBT: Tensor) -> Tensor:
        """Return next-token logits, (M, B, T, V)."""
        return self.hidden(tokens_MBT) @ self.embedding.weight.mT[:, None]

    def loss(self, tokens_MBT: Tensor, targets_MBT: Tensor) -> Tensor:
        """Return the mean cross-entropy of each member in nats a token, (M,)."""
        x = self.embedding(tokens_MBT.flatten(1))
        hidden = (self.compiled or self.through)(x, self._rotations(tokens_MBT.shape[2], x.device))
        out: Tensor = _ProjectedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, self.embedding.weight, targets_MBT.flatten(1), self.compiled_loss or _in_place
        )
        return out

    @torch.inference_mode()
    def log_probabilities(
        self, ids_BT: Tensor, scored_BT: Tensor, shared: int = 0, of_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return log p of the scored tokens (n,) by the first member, and whether each is its likeliest token (n,).

        scored (B, T - 1): which of the tokens but the first are scored. Only the states before these are projected to
        the vocabulary, some at a time. shared, of: rows with the same number in `of` (0, 1, …) begin with the same
        `shared` tokens, which are read once; neither these nor the one behind them is scored. This is quickest where
        rows are in the order of their lengths.
        """
        if shared and of_B is not None:
            states = self._states_behind(ids_BT[:, :-1], scored_BT, shared, of_B)
        else:
            states = self.hidden(ids_BT[None, :, :-1])[0, scored_BT]
        targets, embedding = ids_BT[:, 1:][scored_BT], self.embedding.weight[0]
        rows = max(256, _rows(max(1, len(targets)), len(embedding), self.device.type))
        parts = zip(torch.split(states, rows), torch.split(targets, rows), strict=True)
        found = [log_probability((state @ embedding.T).float(), target) for state, target in parts]
        return torch.cat([value for value, _ in found]), torch.cat([best for _, best in found])

    def _rotations(self, length: int, device: torch.device) -> Tensor:
        if len(self._rotation) < length or self._rotation.device != device:
            width = self.shape.head_width
            with torch.inference_mode(False):  # training needs them too
                frequency = ROPE_BASE ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
                angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
                self._rotation = torch.stack([angle.cos(), angle.sin()], -1)[:, None, None].to(device)
        return self._rotation[:length]
