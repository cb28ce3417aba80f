"""A checkpoint of any architecture of transformers, behind what our loop, checkpoints and probes need of a model.

It trains alone, a batch of one, in fp32. Nothing is dropped out: a run draws nothing, so that one which is resumed is
bit for bit the run that was never stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infusionlaw.errors import InputError, needing
from infusionlaw.training.model import log_probability
from infusionlaw.training.recipe import MOST_LOGITS, OtherShape

SHOWN = 3  # tensors that are named


class Pretrained:
    """One causal LM of transformers. Its weights have no axis of members.

    first: the token that its tokenizer puts before every text, such as <bos>; every row is read behind it.
    """

    members = 1
    graphable = False

    def __init__(self, network: Any, shape: OtherShape, piece: int = 0, first: int | None = None) -> None:
        self.network, self.shape, self.piece, self.first = network.eval(), shape, piece, first

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights, tied ones once."""
        weights: Iterator[nn.Parameter] = self.network.parameters()
        return weights

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the weights with their names in the checkpoint."""
        weights: Iterator[tuple[str, nn.Parameter]] = self.network.named_parameters()
        return weights

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        self.network.zero_grad(set_to_none)

    def decays(self, weight: Tensor) -> bool:
        """Whether weight decay applies to a weight: to matrices (rule 7)."""
        return weight.dim() > 1

    def part(self, tensor: Tensor, member: int) -> Tensor:
        """Return the whole tensor: there is one member."""
        return tensor

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the only one."""
        (one,) = parts
        return one

    def weights_of(self, member: int) -> dict[str, Tensor]:
        """Return the weights by their names in the checkpoint; views."""
        return {name: weight.detach() for name, weight in self.named_parameters()}

    @torch.no_grad()
    def load(self, member: int, weights: Mapping[str, Tensor]) -> Self:
        """Load weights, as `weights_of` gives them."""
        for name, weight in self.named_parameters():
            weight.copy_(weights[name])
        return self

    def alone(self, member: int) -> Self:
        """Return it itself."""
        return self

    def to(self, device: torch.device) -> Self:
        """Move it to a device."""
        self.network.to(device)
        return self

    def logits(self, tokens_BT: Tensor) -> Tensor:
        """Return next-token logits in fp32, (B, T, V)."""
        if self.first is not None:
            tokens_BT = F.pad(tokens_BT, (1, 0), value=self.first)
        out: Tensor = self.network(input_ids=tokens_BT, use_cache=False).logits
        return (out if self.first is None else out[:, 1:]).float()

    def loss(self, tokens_MBT: Tensor, targets_MBT: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats a token, (1,)."""
        logits = self.logits(tokens_MBT[0])
        return F.cross_entropy(logits.flatten(0, 1), targets_MBT[0].flatten())[None]

    @torch.no_grad()
    def log_probabilities(
        self, ids_BT: Tensor, scored_BT: Tensor, shared: int = 0, of_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return log p of the scored tokens (n,), and whether each is its likeliest token (n,).

        scored (B, T - 1): which of the tokens but the first are scored. Every row is read whole: what rows share, which
        `shared` and `of` say, would save time only.
        """
        rows = max(1, MOST_LOGITS // (ids_BT.shape[1] * self.shape.vocabulary))
        found = [
            log_probability(self.logits(ids[:, :-1])[scored], ids[:, 1:][scored])
            for ids, scored in zip(torch.split(ids_BT, rows), torch.split(scored_BT, rows), strict=True)
        ]
        return torch.cat([value for value, _ in found]), torch.cat([best for _, best in found])


def check_config(folder: Path, config: Mapping[str, Any]) -> None:
    """InputError where the config of a folder is none of a causal LM that the installed transformers has."""
    transformers = _transformers(folder)
    auto = import_module("transformers.models.auto.modeling_auto")
    causal: Mapping[str, Any] = auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    kind, heads = config.get("model_type"), config.get("architectures") or []
    if kind not in causal:
        raise InputError(
            f"{folder}: its model_type is {kind!r}, of which transformers {transformers.__version__} has no causal "
            "language model; name another checkpoint, or install a newer transformers"
        )
    known = {name for names in causal.values() for name in (names if isinstance(names, tuple | list) else (names,))}
    if heads and heads[0] not in known:
        raise InputError(
            f"{folder}: its architecture is {heads[0]}, which is no causal language model; name the folder of one, "
            "such as a ...ForCausalLM"
        )


def first_token(tokenizer: Path) -> int | None:
    """Return the token that a tokenizer puts before every text; None where it puts none."""
    from tokenizers import Tokenizer

    ids: list[int] = Tokenizer.from_file(str(tokenizer)).encode("").ids
    return ids[0] if len(ids) == 1 else None


def load_pretrained(folder: Path, shape: OtherShape, piece: int = 0, first: int | None = None) -> Pretrained:
    """Load a checkpoint's folder in fp32. Only safetensors are opened, and no code of the folder is run.

    InputError where its tensors are not those of its architecture, or not finite.
    """
    transformers = _transformers(folder)
    with _quiet(transformers):
        try:
            network, said = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except MemoryError:
            raise
        except Exception as error:  # a config can make it fail in any way
            why = " ".join(str(error).split())[:300]
            raise InputError(f"{folder}: transformers cannot load it ({why}); save the model there again") from error
    refuse_others(folder, set(said["missing_keys"]), set(said["unexpected_keys"]))
    model = Pretrained(network, shape, piece, first)
    refuse_not_finite(folder, model.weights_of(0))
    return model


def refuse_others(folder: Path, missing: set[str], extra: set[str]) -> None:
    """InputError where a checkpoint lacks tensors of its architecture, or has others."""
    for names, said in ((missing, "lacks"), (extra, "also has")):
        if names:
            listed = ", ".join(sorted(names)[:SHOWN]) + (" and more" if len(names) > SHOWN else "")
            raise InputError(
                f"{folder}: {said} {len(names):,} tensor{'s' if len(names) > 1 else ''} ({listed}) beside what its "
                "config.json asks for; save the model there again"
            )


def refuse_not_finite(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """InputError for the first weight that is not finite."""
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise InputError(f"{folder}: {name} has values that are not finite; take an undamaged checkpoint")


def _transformers(folder: Path) -> Any:
    with needing("hf", f"{folder}: a checkpoint"):
        return import_module("transformers")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Have transformers say nothing: what is wrong is said in a sentence of ours."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
