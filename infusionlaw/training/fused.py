"""Norm, attention and loss in plain arithmetic, which `torch.compile` fuses better than what is quickest without it.

`model.py` takes these pieces while it is being compiled and its own otherwise; the mathematics is the same. On the CPU
attention over short blocks is three passes over small matrices, and batched products with the mask, scale and softmax
fused between them beat `scaled_dot_product_attention`. The loss is compiled on a GPU only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Scores are kept for the backward pass up to this block length; beyond it they would outgrow all else.
_LONGEST = 256


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return w x / rms(x) with x (M, R, C) and w (M, C)."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight[:, None]


def attention(x: Tensor, weight: Tensor, heads: int, rotation: Tensor) -> Tensor:
    """Return rotated causal attention before its output matrix.

    x: (M, R, C); weight: (M, 3 C, C); rotation: (T, 1, 1, K/2, 2).

    The rows of the weight are first put by halves within each head, so that a rotation works on neighbouring lanes.
    """
    M, R, C = x.shape
    T, K = len(rotation), C // heads
    turned = weight[:, : 2 * C].view(M, 2 * heads, K // 2, 2, C).transpose(2, 3).reshape(M, 2 * C, C)
    projected = torch.bmm(x, torch.cat([turned, weight[:, 2 * C :]], 1).mT)
    q, k, v = projected.view(-1, T, 3, heads, K).permute(2, 0, 3, 1, 4)
    cosine, sine = rotation[:, 0, 0].unbind(-1)
    q, k = (_turn(y, cosine, sine) for y in (q, k))
    if T > _LONGEST or x.is_cuda:
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        mixed = _by_rows(*(y.reshape(-1, T, K) for y in (q * K**-0.5, k, v))).view(-1, heads, T, K)
    return mixed.transpose(1, 2).reshape(M, R, C)


def _turn(y: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    a, b = y.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)


def _by_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention (G, T, K), made in two halves of the rows: a quarter of the scores is never formed.

    Weights are divided by their sum after the product with v, where there are fewer numbers.
    """
    length = q.shape[1]
    ahead = torch.full((length, length), float("-inf"), device=q.device).triu(1)
    out = []
    for first, last in ((0, length // 2), (length // 2, length)):
        scores = torch.bmm(q[:, first:last], k[:, :last].mT) + ahead[first:last, :last]
        weights = (scores - scores.amax(-1, keepdim=True).detach()).exp()
        out.append(torch.bmm(weights, v[:, :last]) / weights.sum(-1, keepdim=True))
    return torch.cat(out, 1)


def projected_loss(hidden: Tensor, embedding: Tensor, target: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses of a chunk summed (M,), and the gradients of their mean by its states and by the embedding.

    targets: (M, rows, 1), of `count` rows in all.
    """
    product = hidden @ embedding.mT
    logits = product.float()
    top = logits.amax(-1, keepdim=True)
    mass = (logits - top).exp().sum(-1, keepdim=True)
    lost = (mass.log() + top - logits.gather(2, target)).sum((1, 2))
    right = torch.arange(logits.shape[2], device=target.device) == target
    grad = (((logits - top).exp() / mass - right.float()) / count).to(product.dtype)
    return lost, grad @ embedding, grad.mT @ hidden
