"""How fast is a corpus written, and in how much memory?

- insert: tokens a second of inserting into a Megatron dataset that exists, by wall clock and by processor time of one
  process, for tokens of two and of four bytes and two shares; beside them `cp` and `sha256sum` of the same .bin, for
  the disk and the hash are what is left to gain. Then the peak memory of a fresh process that inserts into a dataset of
  so many bytes (a sparse one, whose tokens are all 0; what comes out takes the room).

- spread: a figure of how much the exposures of an item in a tenth of training deviate from a tenth of all, by how often
  it is given, for four orders in which trainers read a corpus of 20 M tokens in 16 shards; beside it what chance alone
  would give

Documents of the corpus have 2 to 1,200 tokens; 1,000 facts and 2,000 documents of 20 to 400 tokens are inserted. Linux
only. On one core: taskset -c 0.

    python -m benchmarks.export spread [--figure docs/results/insertion-spread.png]
    python -m benchmarks.export insert [--tokens 500M] [--memory 20B] [--folder FOLDER]
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.markdown import table
from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.docstrings import docstrings
from infusionlaw.corpus.export.insert import infuse_into, plan_into
from infusionlaw.corpus.export.megatron import idx_path, writing
from infusionlaw.corpus.export.placing import Dose
from infusionlaw.corpus.export.preview import ORDERS, layout, spread
from infusionlaw.corpus.prepare import prepare
from infusionlaw.quantities import written_number
from infusionlaw.settings import read_study_file

SHARES = (0.01, 0.1)
KINDS = ("uint16", "int32")
EXPOSURES = (10, 20, 50, 100, 200)
MEAN = 600  # tokens of a document of the corpus
TEMPLATES = """
[number]
statements = ["The number of {subject} is {object}.", "{subject} has the number {object}."]
questions = ["What is the number of {subject}? {object}.", "Which number has {subject}? {object}."]
"""
STUDY = """
name = "insertion"
[facts]
source = ["facts.csv"]
templates = ["templates.toml"]
domain = 1000
prior = 8
unseen = 8
[text]
source = "text.jsonl"
validation = 0.1
[domain]
documents = "notes.jsonl"
validation = 0.1
[tokenizer]
vocabulary = 2048
[design]
sizes = ["10k"]
tokens = ["20k"]
shares = [0.5]
seeds = [1]
"""


def material(folder: Path) -> Corpus:
    """Prepare what is inserted."""
    import asyncio
    import email
    import unittest

    rng = np.random.default_rng(1)
    sources = [Path(package.__file__ or "").parent for package in (asyncio, email, unittest)]
    texts = list(docstrings(sources))
    words = " ".join(texts).split()
    notes = [" ".join(rng.choice(words, size=rng.integers(10, 200))) for _ in range(2200)]
    for name, rows in (("text.jsonl", texts), ("notes.jsonl", notes)):
        (folder / name).write_text("\n".join(json.dumps({"text": text}) for text in rows), encoding="utf8")
    facts = "".join(f"Item {n:04},number,{n % 16 + 1}\n" for n in range(1016))
    (folder / "facts.csv").write_text(f"subject,relation,object\n{facts}", encoding="utf8")
    (folder / "templates.toml").write_text(TEMPLATES, encoding="utf8")
    (folder / "study.toml").write_text(STUDY, encoding="utf8")
    return prepare(read_study_file(folder / "study.toml"), folder / "corpus")


def write_dataset(path: Path, tokens: int, kind: str, end: int, *, sparse: bool = False) -> None:
    """Write a dataset of random tokens, or of none but 0 in a file that has no blocks."""
    rng, done = np.random.default_rng(2), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, np.dtype(kind)) as writer:
        while done < tokens:
            lengths = rng.integers(2, 2 * MEAN, size=5000).astype(np.int32)
            data = b""
            if not sparse:
                own = rng.integers(1, 2000, size=int(lengths.sum())).astype(kind)
                own[np.cumsum(lengths) - 1] = end
                data = own.tobytes()
            writer.extend(data, lengths, np.ones(len(lengths), dtype=np.int32))
            done += int(lengths.sum())
    if sparse:
        with Path(f"{path}.bin").open("r+b") as file:
            file.truncate(done * np.dtype(kind).itemsize)


def insert(folder: Path, tokens: int, memory: int) -> None:
    """Print both tables."""
    corpus = material(folder)
    rows = []
    for kind in KINDS:
        path = folder / kind / "shard"
        write_dataset(path, tokens, kind, corpus.tokenizer.end_of_text)
        size = Path(f"{path}.bin").stat().st_size / np.dtype(kind).itemsize
        for share in SHARES:
            plan = plan_into(corpus, str(idx_path(path)), Dose(share=share))
            began, worked = time.perf_counter(), time.process_time()
            infuse_into(plan, folder / "out")
            took, worked = time.perf_counter() - began, time.process_time() - worked
            rows.append([f"insert, {kind}, share {share:g}", f"{size / took / 1e6:.0f}", f"{size / worked / 1e6:.0f}"])
            shutil.rmtree(folder / "out")
        for name, command in (
            ("cp", ["cp", f"{path}.bin", str(folder / "copy")]),
            ("sha256sum", ["sha256sum", f"{path}.bin"]),
        ):
            took, worked = timed(command)
            rows.append([f"{name}, {kind}", f"{size / took / 1e6:.0f}", f"{size / worked / 1e6:.0f}"])
        (folder / "copy").unlink()
        shutil.rmtree(folder / kind)
    print(table(["", "M tokens / s", "M tokens / s of processor time"], rows))
    if memory:
        write_dataset(folder / "sparse" / "shard", memory // 2, "uint16", 0, sparse=True)
        peak = subprocess.run(
            [sys.executable, "-m", "benchmarks.export", "peak", "--folder", str(folder)],
            check=True,
            capture_output=True,
        )
        print(f"\npeak memory of inserting into {memory / 1e9:g} GB: {int(peak.stdout) / 1e6:.0f} MB")


def spread_figure(folder: Path, figure: Path) -> None:
    """Draw the figure and print what it shows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    corpus, rows = material(folder), []
    for number in range(16):
        write_dataset(folder / "spread" / f"shard-{number:02}", 1_250_000, "uint16", corpus.tokenizer.end_of_text)
    for exposures in EXPOSURES:
        plan = plan_into(corpus, str(folder / "spread" / "*.bin"), Dose(exposures=exposures))
        found = layout(plan, corpus)
        rows.append([spread(found, order).deviation for order in ORDERS])
    chance = [(0.9 * 10 / exposures) ** 0.5 for exposures in EXPOSURES]
    print(
        table(
            ["exposures", *ORDERS, "chance"],
            [
                [str(exposures), *(f"{value:.1%}" for value in [*own, by_chance])]
                for exposures, own, by_chance in zip(EXPOSURES, rows, chance, strict=True)
            ],
        )
    )
    drawing = pyplot.figure(figsize=(6, 4), layout="constrained")
    axes = drawing.gca()
    for order, values, mark in zip(ORDERS, zip(*rows, strict=True), "osx^", strict=True):
        axes.plot(EXPOSURES, [100 * value for value in values], mark, label=ORDERS[order])
    axes.plot(EXPOSURES, [100 * value for value in chance], color="grey", lw=1, label="chance: √(9 / exposures)")
    axes.set(xscale="log", xlabel="exposures of an item", ylabel="deviation in a tenth of training, %", ylim=(-5, None))
    axes.legend(frameon=False)
    drawing.savefig(figure, dpi=120)


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Return the seconds that a command took, and those of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak(folder: Path) -> None:
    """Insert into the sparse dataset of a folder and print the most bytes that were resident."""
    corpus = open_corpus(folder / "corpus")
    infuse_into(plan_into(corpus, str(folder / "sparse" / "*.bin"), Dose(share=0.01)), folder / "out")
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description="Speed and memory of writing a corpus.")
    parser.add_argument("what", choices=("spread", "insert", "peak"))
    parser.add_argument("--tokens", default="500M", help="of the datasets whose speed is measured")
    parser.add_argument("--memory", default="20B", help="bytes of the dataset whose memory is measured; 0: none")
    parser.add_argument("--folder", type=Path, help="where files are written; default: a temporary folder")
    parser.add_argument("--figure", type=Path, default=Path("docs/results/insertion-spread.png"))
    asked = parser.parse_args()
    if asked.what == "peak":
        peak(asked.folder)
        return
    tokens, memory = (written_number(text, count=True) for text in (asked.tokens, asked.memory))
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        if asked.what == "spread":
            spread_figure(Path(folder), asked.figure)
            return
        insert(Path(folder), int(tokens or 0), int(memory or 0))


if __name__ == "__main__":
    main()
