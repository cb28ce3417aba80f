"""A Llama-style decoder: RMSNorm, rotary positions, SwiGLU, tied embeddings, no biases.

The mathematics is that of Hugging Face's `LlamaForCausalLM`; `export.py` writes it in that form. Three pieces are
written out with their own gradients because small models spend most of their time in them: the norm, the rotation (one
complex product) and the output projection fused with the cross-entropy, which never keeps the logits.

Shapes: B sequences, T tokens, C width, H heads, K head width, V vocabulary, F feed-forward width.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infusionlaw.lab.recipe import Shape

NORM_EPS = 1e-5
ROPE_BASE = 10_000.0
# Logits held at a time by the loss: as many as stay in a core's cache, or as keep a GPU busy.
_CHUNK = {"cpu": 1 << 18, "cuda": 1 << 26}


class _Norm(torch.autograd.Function):
    """y = w x / rms(x), with its gradient in five passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        inverse = torch.rsqrt(torch.linalg.vecdot(x, x).mul_(1 / x.shape[-1]).add_(NORM_EPS)).unsqueeze(-1)
        unit = x * inverse
        ctx.save_for_backward(unit, inverse, weight)
        return unit * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grads
        unit, inverse, weight = ctx.saved_tensors
        grad_weight = (grad * unit).sum(tuple(range(grad.dim() - 1)))
        grad_unit = grad * weight
        along = torch.linalg.vecdot(grad_unit, unit).mul_(1 / unit.shape[-1]).unsqueeze(-1)
        return torch.addcmul(grad_unit, unit, along, value=-1).mul_(inverse), grad_weight


class _ProjectedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of h Eᵀ against targets; gradients are formed chunk by chunk in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
        count = targets.numel()
        rows = max(1, _CHUNK.get(hidden.device.type, _CHUNK["cuda"]) // embedding.shape[0])
        grad_hidden = torch.empty_like(hidden)
        grad_embedding = torch.zeros_like(embedding)
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            target = targets[part, None]
            logits = (hidden[part] @ embedding.T).float()
            top, right = logits.amax(-1, keepdim=True), logits.gather(1, target)
            weights = logits.sub_(top).exp_()
            mass = weights.sum(-1, keepdim=True)
            total += (mass.log() + top - right).sum()
            grad = weights.mul_(1 / (count * mass))
            grad = grad.scatter_add_(1, target, torch.full_like(mass, -1 / count)).to(hidden.dtype)
            grad_hidden[part] = grad @ embedding
            grad_embedding += grad.T @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_embedding)
        return total / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden, grad_embedding = ctx.saved_tensors
        return grad_hidden * grads[0], grad_embedding * grads[0], None


class Norm(nn.Module):
    """Root-mean-square norm with a learned scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x and result: (…, C)."""
        out: Tensor = _Norm.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return out


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.d_model
        self.heads, self.head_width = shape.heads, shape.head_width
        self.attention_norm = Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.feed_norm = Norm(width)
        self.gate_up = nn.Linear(width, 2 * shape.d_ff, bias=False)
        self.down = nn.Linear(shape.d_ff, width, bias=False)

    def forward(self, x_BTC: Tensor, rotation_TK: Tensor) -> Tensor:
        """One layer; `rotation_TK` holds exp(i·position·frequency), (T, 1, 1, K/2) complex."""
        B, T, C = x_BTC.shape
        qkv = self.qkv(self.attention_norm(x_BTC)).view(B, T, 3, self.heads, self.head_width)
        pairs = torch.view_as_complex(qkv[:, :, :2].float().unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * rotation_TK).flatten(-2).to(qkv.dtype)
        q, k, v = (y.transpose(1, 2) for y in (turned[:, :, 0], turned[:, :, 1], qkv[:, :, 2]))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTC = x_BTC + self.attention_out(mixed.transpose(1, 2).reshape(B, T, C))
        gate, up = self.gate_up(self.feed_norm(x_BTC)).chunk(2, -1)
        out: Tensor = x_BTC + self.down(F.silu(gate) * up)
        return out


class Model(nn.Module):
    """The decoder. Blocks may be of any length; rotations are made up to the longest seen."""

    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.d_model)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.final_norm = Norm(shape.d_model)
        self._rotation = torch.empty(0)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        """Rule 9 of the recipe."""
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                continue
            deviation = 0.02 if name.startswith("embedding") else 1 / math.sqrt(weight.shape[1])
            if name.endswith(("attention_out.weight", "down.weight")):
                deviation /= math.sqrt(2 * self.shape.layers)
            weight.normal_(0.0, deviation, generator=generator)

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Final normed states, (B, T, C)."""
        x = self.embedding(tokens_BT)
        rotation = self._rotations(tokens_BT.shape[1], x.device)
        for layer in self.layers:
            x = layer(x, rotation)
        out: Tensor = self.final_norm(x)
        return out

    def logits(self, tokens_BT: Tensor) -> Tensor:
        """Next-token logits, (B, T, V)."""
        return self.hidden(tokens_BT) @ self.embedding.weight.T

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy in nats a token."""
        hidden = self.hidden(tokens_BT).flatten(0, 1)
        out: Tensor = _ProjectedCrossEntropy.apply(hidden, self.embedding.weight, targets_BT.flatten())  # type: ignore[no-untyped-call]
        return out

    def _rotations(self, length: int, device: torch.device) -> Tensor:
        if len(self._rotation) < length or self._rotation.device != device:
            width = self.shape.head_width
            frequency = ROPE_BASE ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
            angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
            self._rotation = torch.polar(torch.ones_like(angle), angle)[:, None, None, :].to(device)
        return self._rotation[:length]
