"""Write a trained model as a Hugging Face `LlamaForCausalLM` folder: config, safetensors, tokenizer.

Our rotation pairs neighbours (0, 1), (2, 3), …; theirs pairs the two halves (0, K/2), (1, K/2 + 1), …, so the rows of
the query and key matrices are put in that order within each head, which leaves every attention score as it was.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from infusionlaw.files import atomic_path, write_json
from infusionlaw.training.model import NORM_EPS, ROPE_BASE, Model
from infusionlaw.training.recipe import Shape

LLAMA_DEFAULTS = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False}


def export(model: Model, tokenizer: Path, end_of_text: int, block: int, folder: Path) -> None:
    """Write `folder` so that `AutoModelForCausalLM` and `AutoTokenizer` of transformers can load it.

    End-of-text is what a text begins and ends with, as in training, and what fills up the short ones of a batch: before
    them, so that a batch goes on as each of its texts would alone.
    """
    from tokenizers import Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "model.safetensors") as part:
        save_file(_llama_weights(model), part, metadata={"format": "pt"})
    write_json(folder / "config.json", llama_config(model.shape, end_of_text, block))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    end = Tokenizer.from_file(str(tokenizer)).id_to_token(end_of_text)
    marks = dict.fromkeys(("bos_token", "eos_token", "pad_token"), end)
    content = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **marks,
        "model_max_length": block,
        "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    write_json(folder / "tokenizer_config.json", content)
    write_json(folder / "generation_config.json", {f"{mark}_id": end_of_text for mark in marks})


def _llama_weights(model: Model) -> dict[str, Tensor]:
    state = {name: weight.float().cpu() for name, weight in model.weights_of(0).items()}
    out = {
        "model.embed_tokens.weight": state["embedding.weight"],
        "model.norm.weight": state["final_norm.weight"],
    }
    for i in range(model.shape.layers):
        ours, theirs = f"layers.{i}.", f"model.layers.{i}."
        query, key, value = state[f"{ours}qkv.weight"].chunk(3)
        gate, up = state[f"{ours}gate_up.weight"].chunk(2)
        layer = {
            "input_layernorm": state[f"{ours}attention_norm.weight"],
            "post_attention_layernorm": state[f"{ours}feed_norm.weight"],
            "self_attn.q_proj": _by_halves(query, model.shape),
            "self_attn.k_proj": _by_halves(key, model.shape),
            "self_attn.v_proj": value,
            "self_attn.o_proj": state[f"{ours}attention_out.weight"],
            "mlp.gate_proj": gate,
            "mlp.up_proj": up,
            "mlp.down_proj": state[f"{ours}down.weight"],
        }
        out |= {f"{theirs}{name}.weight": weight for name, weight in layer.items()}
    return {name: weight.contiguous().clone() for name, weight in out.items()}


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """Return the shape of a checkpoint that `export` could have written; None for any other architecture."""
    keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    numbers = [value for key in keys if isinstance(value := config.get(key), int) and value > 0]
    rope = config.get("rope_parameters") or config
    if config.get("model_type") != "llama" or len(numbers) < len(keys) or not isinstance(rope, Mapping):
        return None
    shape = Shape(*numbers)
    width, heads = shape.d_model, shape.heads
    ours = llama_config(shape, 0, 0)
    alike = ("num_key_value_heads", "head_dim", "hidden_act", "attention_bias", "mlp_bias", "tie_word_embeddings")
    usual = {"num_key_value_heads": heads, "head_dim": width // heads, **LLAMA_DEFAULTS}
    same = all(config.get(key, usual[key]) == ours[key] for key in alike)
    plain = rope.get("rope_theta", ROPE_BASE) == ROPE_BASE and rope.get("rope_type", "default") == "default"
    plain = plain and not config.get("rope_scaling") and config.get("pretraining_tp", 1) == 1
    halves = shape.head_width * heads == width and shape.head_width % 2 == 0
    return shape if same and plain and halves and config.get("rms_norm_eps") == NORM_EPS else None


def our_weights(tensor: Callable[[str], Tensor], shape: Shape) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of a `Model` by name, one after another, from those that `export` wrote."""
    yield "embedding.weight", tensor("model.embed_tokens.weight")
    yield "final_norm.weight", tensor("model.norm.weight")
    for i in range(shape.layers):
        ours, theirs = f"layers.{i}.", f"model.layers.{i}."
        query, key, value, gate, up = (
            tensor(f"{theirs}{name}.weight")
            for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
        )
        by_neighbours = [_by_neighbours(weight, shape) for weight in (query, key)]
        yield f"{ours}attention_norm.weight", tensor(f"{theirs}input_layernorm.weight")
        yield f"{ours}feed_norm.weight", tensor(f"{theirs}post_attention_layernorm.weight")
        yield f"{ours}qkv.weight", torch.cat([*by_neighbours, value])
        yield f"{ours}attention_out.weight", tensor(f"{theirs}self_attn.o_proj.weight")
        yield f"{ours}gate_up.weight", torch.cat([gate, up])
        yield f"{ours}down.weight", tensor(f"{theirs}mlp.down_proj.weight")


def tensor_names(shape: Shape) -> set[str]:
    """Return the names of the tensors that `export` writes."""
    names = ("input_layernorm", "post_attention_layernorm", *(f"self_attn.{x}_proj" for x in "qkvo"))
    names += tuple(f"mlp.{name}_proj" for name in ("gate", "up", "down"))
    layers = {f"model.layers.{i}.{name}.weight" for i in range(shape.layers) for name in names}
    return layers | {"model.embed_tokens.weight", "model.norm.weight"}


def _by_neighbours(weight: Tensor, shape: Shape) -> Tensor:
    """Reorder the rows of each head from halves to neighbouring pairs: `_by_halves` undone."""
    rows = weight.view(shape.heads, 2, shape.head_width // 2, shape.d_model)
    return rows.transpose(1, 2).reshape(shape.d_model, shape.d_model)


def _by_halves(weight: Tensor, shape: Shape) -> Tensor:
    """Reorder the rows of each head from neighbouring pairs to halves."""
    rows = weight.view(shape.heads, shape.head_width // 2, 2, shape.d_model)
    return rows.transpose(1, 2).reshape(shape.d_model, shape.d_model)


def llama_config(shape: Shape, end_of_text: int, block: int) -> dict[str, Any]:
    """Return the fields of a `LlamaConfig` for a shape."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": block,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_BASE,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": end_of_text,
        "torch_dtype": "float32",
    }
