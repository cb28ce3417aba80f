"""How fast is text made into Megatron's .bin and .idx, beside the tools that others use for it?

- ours: `prepare` of a study file (split, check for domain facts, tokenise, look for repeats), then `infuse` at a share
  of 1 % of documents, with its ledger; and the two alone
- Megatron-core: the loop of its preprocess_data.py, a pool of processes that tokenise and IndexedDatasetBuilder
- datatrove: JsonlReader and MegatronDocumentTokenizer, one task a core

All have the same JSONL (docstrings of the standard library, several times), the same tokenizer.json and two processes.
Each runs in a process of its own, in turns. Seconds of processor time count where others use the machine. Linux only;
needs megatron-core and datatrove, of which those that are missing are left out.

    python -m benchmarks.export_text [--megabytes 100] [--turns 3] [--folder FOLDER]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import cycle
from multiprocessing import Pool
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.markdown import table
from infusionlaw.corpus.docstrings import python_docs
from infusionlaw.corpus.export.source import Stream
from infusionlaw.corpus.export.stream import write_stream
from infusionlaw.corpus.general import documents
from infusionlaw.corpus.head import read_head
from infusionlaw.corpus.prepare import prepare
from infusionlaw.corpus.tokenise import write_tokens
from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.settings import read_study_file

WORKERS, END = 2, "<|endoftext|>"
STUDY = f"""
name = "text"
[text]
source = "text"
[domain]
documents = ["domain.jsonl"]
[tokenizer]
file = "tokenizer.json"
end_of_text = "{END}"
[design]
sizes = ["14k"]
tokens = ["200k"]
shares = [0.1]
"""


def material(folder: Path, megabytes: float) -> None:
    """Write the text in as many files as there are processes, its tokenizer, and what is infused."""
    texts = list(python_docs())
    train_tokenizer((text[:2000] for text in texts[:5000]), 8192, END, folder / "tokenizer.json")
    (folder / "text").mkdir()
    left = megabytes * 1e6
    files = [(folder / "text" / f"{number}.jsonl").open("w", encoding="utf8") for number in range(WORKERS)]
    for number, text in enumerate(cycle(texts)):
        files[number % WORKERS].write(json.dumps({"text": text, "id": str(number)}) + "\n")
        left -= len(text)
        if left < 0:
            break
    for file in files:
        file.close()
    rows = [json.dumps({"text": f"Note {number}. {text}"}) for number, text in enumerate(texts[:2000])]
    (folder / "domain.jsonl").write_text("\n".join(rows), encoding="utf8")
    (folder / "study.toml").write_text(STUDY, encoding="utf8")


def prepared(folder: Path) -> int:
    """Prepare; return the tokens of general text."""
    prepare(read_study_file(folder / "study.toml"), folder / "corpus")
    return general_tokens(folder)


def infused(folder: Path) -> int:
    """Write the corpus that was prepared; return its tokens."""
    stream = Stream(folder / "corpus", 0.01, int(general_tokens(folder) / 0.99), shard=10_000_000)
    return write_stream(stream, "megatron", folder / "ours", workers=WORKERS).tokens


def both(folder: Path) -> int:
    """Do both."""
    prepared(folder)
    return infused(folder)


def tokenised(folder: Path) -> int:
    """Tokenise the text alone."""
    tokenizer = Tokenizer(folder / "tokenizer.json", END)
    return write_tokens(folder / "ours.bin", documents("text", base=folder), tokenizer)[0].tokens


def general_tokens(folder: Path) -> int:
    """The training tokens of the corpus that was prepared."""
    found = read_head(folder / "corpus").counts["training_tokens"]
    assert isinstance(found, int)
    return found


class _Encoder:
    """What a process of Megatron's pool keeps."""

    backend: Any
    end: int


def _start(path: str) -> None:
    from tokenizers import Tokenizer as Backend

    _Encoder.backend = Backend.from_file(path)
    _Encoder.end = _Encoder.backend.token_to_id(END)


def _encode(line: str) -> list[int]:
    ids: list[int] = _Encoder.backend.encode(json.loads(line)["text"]).ids
    return [*ids, _Encoder.end]


def megatron(folder: Path) -> int:
    """The loop of Megatron's tool."""
    import numpy as np
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    def lines() -> Iterator[str]:
        for path in sorted((folder / "text").iterdir()):
            with path.open(encoding="utf8") as file:
                yield from file

    builder, tokens = IndexedDatasetBuilder(str(folder / "megatron.bin"), dtype=np.uint16), 0
    with Pool(WORKERS, _start, (str(folder / "tokenizer.json"),)) as pool:
        for ids in pool.imap(_encode, lines(), 32):
            builder.add_document(torch.IntTensor(ids), [len(ids)])
            tokens += len(ids)
    builder.finalize(str(folder / "megatron.idx"))
    return tokens


def datatrove(folder: Path) -> int:
    """The pipeline of datatrove."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens.megatron_tokenizer import MegatronDocumentTokenizer

    steps = [
        JsonlReader(str(folder / "text")),
        MegatronDocumentTokenizer(
            str(folder / "datatrove"), tokenizer_name_or_path=str(folder / "tokenizer.json"), eos_token=END
        ),
    ]
    LocalPipelineExecutor(steps, tasks=WORKERS, workers=WORKERS, logging_dir=str(folder / "logs")).run()
    return sum(path.stat().st_size for path in (folder / "datatrove").glob("*.bin")) // 2


CONTENDERS: dict[str, tuple[Callable[[Path], int], str]] = {
    "prepare and infuse": (both, ""),
    "prepare": (prepared, ""),
    "infuse": (infused, ""),
    "tokenise alone": (tokenised, ""),
    "Megatron-core": (megatron, "megatron"),
    "datatrove": (datatrove, "datatrove"),
}


def measured(name: str, folder: Path) -> tuple[int, float, float, float]:
    """Tokens, seconds, processor seconds and peak MB of one contender in a fresh process."""
    for left in ("ours", "datatrove", "logs", *(["corpus"] if name in ("prepare and infuse", "prepare") else [])):
        shutil.rmtree(folder / left, ignore_errors=True)
    began = perf_counter()
    command = [sys.executable, "-m", "benchmarks.export_text", "--child", name, "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        out = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name} failed")
    tokens = int(out.split("tokens: ")[1])
    return tokens, perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Speed of text to .bin and .idx, beside others' tools.")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(f"tokens: {CONTENDERS[asked.child][0](asked.folder)}")
        return
    there = [name for name, (_, package) in CONTENDERS.items() if not package or find_spec(package)]
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        folder = Path(place)
        material(folder, asked.megabytes)
        turns = [{name: measured(name, folder) for name in there} for _ in range(asked.turns)]
        rows = []
        for name in there:
            tokens, took, used, peak = (median(column) for column in zip(*(turn[name] for turn in turns), strict=True))
            speeds = f"{tokens / took / 1e6:.2f}", f"{tokens / used / 1e6:.2f}"
            rows.append([name, f"{tokens / 1e6:.1f}", f"{took:.1f}", f"{used:.1f}", *speeds, f"{peak:.0f}"])
    print(
        f"{asked.megabytes:g} MB of text, {WORKERS} processes, medians of {asked.turns} turns, {os.cpu_count()} cores"
    )
    head = ["", "M tokens", "seconds", "of processor", "M tokens / s", "by processor", "peak MB of a process"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
