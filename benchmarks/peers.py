"""What people would use instead of our loop: Hugging Face Trainer, and a plain PyTorch loop that may be compiled.

Both train the shape of a recipe with its optimiser and learning rate on blocks (steps, B, T + 1) that lie ready in
memory, and return the seconds that their steps took, start and end of the loop not counted.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infusionlaw.training.export import llama_config
from infusionlaw.training.recipe import Recipe, Shape


class _PlainLayer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.heads = shape.d_model, shape.heads
        self.first, self.second = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate_up, self.down = (
            nn.Linear(width, 2 * shape.d_ff, bias=False),
            nn.Linear(shape.d_ff, width, bias=False),
        )

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.qkv(self.first(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = (y * cosine + torch.cat((-y.chunk(2, -1)[1], y.chunk(2, -1)[0]), -1) * sine for y in (q, k))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C))
        gate, up = self.gate_up(self.second(x)).chunk(2, -1)
        out: Tensor = x + self.down(F.silu(gate) * up)
        return out


class PlainLlama(nn.Module):
    """A Llama as one writes it in PyTorch, with tied embeddings."""

    def __init__(self, shape: Shape, block: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.d_model)
        self.embedding.weight.data.mul_(0.02)
        self.layers = nn.ModuleList(_PlainLayer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.d_model, eps=1e-5)
        frequency = 10_000.0 ** (-torch.arange(0, shape.head_width, 2) / shape.head_width)
        angle = torch.outer(torch.arange(block), frequency).repeat(1, 2)
        self.register_buffer("cosine", angle.cos())
        self.register_buffer("sine", angle.sin())

    def forward(self, blocks: Tensor) -> Tensor:
        """Mean cross-entropy of blocks (B, T + 1)."""
        x = self.embedding(blocks[:, :-1])
        for layer in self.layers:
            x = layer(x, self.cosine, self.sine)
        logits = self.norm(x) @ self.embedding.weight.t()
        return F.cross_entropy(logits.flatten(0, 1).float(), blocks[:, 1:].flatten())


def plain_loop(recipe: Recipe, device: torch.device, *, compiled: bool) -> Callable[[Tensor], float]:
    """A plain PyTorch loop, kept between calls so that it is compiled once."""
    model: Any = PlainLlama(recipe.own_shape, recipe.block).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.learning_rate, betas=recipe.betas, fused=True)
    forward = torch.compile(model, dynamic=False) if compiled else model

    def steps(blocks: Tensor) -> float:
        wait(device)
        start = time.perf_counter()
        for block in blocks:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                loss = forward(block)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimiser.step()
            optimiser.zero_grad()
        wait(device)
        return time.perf_counter() - start

    return steps


def hugging_face(recipe: Recipe, device: torch.device) -> Callable[[Tensor], float]:
    """Trainer with `LlamaForCausalLM`, as its documentation has it."""
    import transformers

    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    quiet = transformers.trainer_callback.PrinterCallback
    config: dict[str, Any] = llama_config(recipe.own_shape, 0, recipe.block)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config))

    class Clock(transformers.TrainerCallback):
        began = took = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.began = self.began or time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == state.max_steps:
                wait(device)
                self.took = time.perf_counter() - self.began

    def steps(blocks: Tensor) -> float:
        rows = [{"input_ids": row, "labels": row} for row in blocks[..., :-1].flatten(0, 1)]
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            settings = transformers.TrainingArguments(
                str(Path(folder)),
                per_device_train_batch_size=recipe.batch,
                max_steps=len(blocks),
                learning_rate=recipe.learning_rate,
                weight_decay=recipe.weight_decay,
                lr_scheduler_type="constant",
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=device.type == "cpu",
                bf16=device.type == "cuda",
            )
            trainer = transformers.Trainer(model, settings, train_dataset=rows, callbacks=[clock])
            trainer.remove_callback(quiet)
            trainer.train()
        return clock.took

    return steps


def wait(device: torch.device) -> None:
    """Return when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
