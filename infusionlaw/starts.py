"""Read what a checkpoint's folder says of itself: its parameters, its tokenizer and its hash.

A start is a Hugging Face causal LM: config.json, tokenizer.json and safetensors, in one file or in shards. Only heads
and small files are read here, so neither torch nor transformers is needed. Pickled weights are never opened.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.files import file_hash, read_json

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LONGEST_HEAD = 100_000_000  # bytes
TO_SAFETENSORS = (
    'AutoModelForCausalLM.from_pretrained("FOLDER").save_pretrained("NEW"), on a machine where you trust the file'
)
FROM_GGUF = "convert it to safetensors with transformers as docs/how-to/checkpoint.md shows"
SAVE_TOKENIZER = 'save it there with AutoTokenizer.from_pretrained("MODEL").save_pretrained("FOLDER")'
# What old files hold beside parameters.
_BUFFERS = (".attn.masked_bias", ".attention.masked_bias", ".rotary_emb.inv_freq")
_MASKS = (".attn.bias", ".attention.bias")  # of four axes


@dataclass(frozen=True)
class StartFolder:
    """A checkpoint's folder. shapes: of its tensors by name; files: those that hold them."""

    folder: Path
    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    files: tuple[Path, ...]

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return int(self.config["vocab_size"])

    @property
    def size(self) -> int:
        """N: parameters without the embedding and the matrix that maps to the vocabulary."""
        tables = self._by_token[:1] if self.config.get("tie_word_embeddings") else self._by_token
        return self.total_size - sum(math.prod(self.shapes[name]) for name in tables)

    @cached_property
    def total_size(self) -> int:
        """All parameters, tied ones once."""
        copies = self._by_token[1:] if self.config.get("tie_word_embeddings") else []
        kept = {name: shape for name, shape in self.shapes.items() if name not in copies}
        return sum(math.prod(shape) for name, shape in kept.items() if not _is_buffer(name, shape))

    @property
    def _by_token(self) -> list[str]:
        """The matrices that have a row for each token."""
        return [name for name, shape in self.shapes.items() if len(shape) == 2 and shape[0] == self.vocabulary]

    @property
    def width(self) -> int:
        """Width of its states."""
        return self._number("hidden_size", "n_embd", "d_model") or self.shapes[self._by_token[0]][1]

    @property
    def layers(self) -> int:
        """Its layers."""
        return self._number("num_hidden_layers", "n_layer", "num_layers") or 1

    @property
    def feed_width(self) -> int:
        """Width of its feed-forward layers."""
        return self._number("intermediate_size", "n_inner", "ffn_dim") or 4 * self.width

    @property
    def longest(self) -> int | None:
        """The tokens that it can read at once; None where its config does not say."""
        return self._number("max_position_embeddings", "n_positions", "max_sequence_length")

    def _number(self, *names: str) -> int | None:
        """The first of these keys of the config that holds a number."""
        return next((int(value) for name in names if isinstance(value := self.config.get(name), int)), None)

    @property
    def tokenizer(self) -> Path:
        """Its tokenizer.json."""
        return self.folder / "tokenizer.json"

    @cached_property
    def end_of_text(self) -> str:
        """Its end-of-text token: that of tokenizer_config.json, of special_tokens_map.json, or of config.json."""
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            path = self.folder / name
            said = _object(path).get("eos_token") if path.is_file() else None
            if isinstance(said, dict):
                said = said.get("content")
            if isinstance(said, str) and said:
                return said
        ids = self.config.get("eos_token_id")
        wanted = ids[0] if isinstance(ids, list) and ids else ids
        found = next((text for text, number in self._tokens() if number == wanted), None)
        if found is None:
            raise InputError(
                f"{self.folder}: neither its tokenizer_config.json nor its config.json names an end-of-text token; set "
                "end_of_text in [tokenizer] to the token that ends its documents"
            )
        return found

    def _tokens(self) -> list[tuple[str, int]]:
        content = _object(self.tokenizer)
        try:
            vocabulary = content["model"]["vocab"]
            if isinstance(vocabulary, list):  # of a Unigram model
                vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
            added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
            return list((vocabulary | added).items())
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.tokenizer}: not a tokenizer; {SAVE_TOKENIZER}") from error

    @property
    def hash(self) -> str:
        """Sixteen hex digits of the SHA-256 of its config and weights."""
        stamps = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self._hashed)
        return _hash(stamps)

    @property
    def _hashed(self) -> tuple[Path, ...]:
        return (self.folder / "config.json", *self.files)


@lru_cache(maxsize=64)
def _hash(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """The hash of files, which are read again only where their size or time is another."""
    content = [[Path(path).name, file_hash(Path(path))] for path, _, _ in stamps]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def read_start(folder: Path) -> StartFolder:
    """Read a checkpoint's folder; InputError where it is none that can be trained."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder of a checkpoint, with its config.json")
    if not (folder / "config.json").is_file():
        adapter = "; it is an adapter, so merge it into its model first" if _has(folder, "adapter_config.json") else ""
        fix = adapter or "; name the folder of a Hugging Face model, which save_pretrained writes"
        raise InputError(f"{folder}: has no config.json{fix}")
    config = _object(folder / "config.json")
    files = _weights(folder)
    shapes = {name: shape for path in files for name, shape in _head(path).items()}
    if not isinstance(config.get("vocab_size"), int) or config["vocab_size"] < 1:
        raise InputError(f"{folder / 'config.json'}: has no vocab_size, so it is not a causal language model's")
    if "quantization_config" in config:
        raise InputError(f"{folder}: its weights are quantised, and such weights are not trained; take the whole ones")
    start = StartFolder(folder, config, shapes, files)
    if not start._by_token:
        raise InputError(
            f"{folder}: no tensor has vocab_size = {start.vocabulary:,} rows, so its embedding is missing; save the "
            "whole model there again"
        )
    _check_tokenizer(start)
    return start


def read_tokenizer(folder: Path) -> StartFolder:
    """Read what a folder says of a model's tokenizer; its weights need not be there."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: has no config.json; name the folder of a Hugging Face model")
    found = StartFolder(folder, _object(folder / "config.json"), {}, ())
    _check_tokenizer(found)
    return found


def _check_tokenizer(start: StartFolder) -> None:
    if not start.tokenizer.is_file():
        raise InputError(f"{start.folder}: has no tokenizer.json; {SAVE_TOKENIZER}")


def _object(path: Path) -> dict[str, Any]:
    """The content of one of its small files."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not what save_pretrained writes; save the model and its tokenizer there again")
    return content


def _has(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern))


def _weights(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that hold its weights, by name."""
    if (folder / WHOLE).is_file():
        return (folder / WHOLE,)
    if (folder / INDEX).is_file():
        names = _object(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
            raise InputError(f"{folder / INDEX}: names no files of weights; save the model there again")
        files = sorted(set(names.values()))
        for name in files:
            if Path(name).name != name or not (folder / name).is_file():
                raise InputError(f"{folder}: {name} is missing, which {INDEX} names; copy the whole checkpoint")
        return tuple(folder / name for name in files)
    if _has(folder, "*.bin") or _has(folder, "*.pt") or _has(folder, "*.pth"):
        raise InputError(
            f"{folder}: has pickled weights only, which may run any code when they are opened; convert them to "
            f"safetensors with {TO_SAFETENSORS}"
        )
    if _has(folder, "*.gguf"):
        raise InputError(f"{folder}: has a GGUF file and no safetensors; {FROM_GGUF}")
    raise InputError(f"{folder}: has no {WHOLE}; copy the weights there too")


def _head(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a safetensors file, by name."""
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if not 0 < length <= LONGEST_HEAD:
                raise ValueError("its head has no length")
            head = json.loads(handle.read(length))
        end = max(entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__")
        if path.stat().st_size != 8 + length + end:
            raise ValueError(f"it has {path.stat().st_size:,} bytes and should have {8 + length + end:,}")
        return {name: tuple(map(int, entry["shape"])) for name, entry in head.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); copy it again") from error


def _is_buffer(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(_BUFFERS) or (len(shape) == 4 and name.endswith(_MASKS))
