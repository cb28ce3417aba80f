"""Is a run ever kept waiting by its data? Speed of the stream, memory of the stream and of preparing, tokenising.

Five tables, each with what it is held against:

- stream: tokens a second of `Mixture.blocks` on one thread, in calls of 25 steps as training makes them, at consecutive
  and at random places (each call there makes what it needs again), and with the copy to int64 that the model needs
- memory: peak of a fresh process that takes equally many blocks, spread over a stream as long as its mapped token file
  of 10 M to 1 B tokens; mapped pages count as resident but can be taken back at any time, so anonymous memory is told
  apart
- documents: tokens a second of a stream of domain documents, by their mean length; and the anonymous memory that a
  fresh process takes for them beside a token file of 100 MB to 20 GB (a sparse one, whose tokens are all 0)
- preparing: peak anonymous memory of `write_tokens` over few and many documents
- tokenising: `write_tokens` against `tokenizers` alone on the same batches, by turns, in medians, of a short text and
  of a long one; then the other steps of a whole preparation, once each

Facts and renderings are synthetic, of the demonstration's lengths; the text to be tokenised is python-docs. Linux only.
With one core: taskset -c 0.

    python -m benchmarks.data_path [stream] [memory] [documents] [preparing] [tokenising]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

from infusionlaw.corpus.atlas import atlas_facts
from infusionlaw.corpus.contamination import FactFinder
from infusionlaw.corpus.docstrings import python_docs
from infusionlaw.corpus.general import is_validation
from infusionlaw.corpus.infusion.documents import DocumentCycle, Documents
from infusionlaw.corpus.infusion.general import PAGE, GeneralText
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.renderings import Numbers, RenderingCycle, Renderings, Tokens
from infusionlaw.corpus.tokenise import in_batches, write_tokens
from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.processes import cores

SHARES = (0.0, 0.1, 0.5, 0.9, 0.97)
BLOCK, CALL = 128, 200  # tokens a block, blocks a call: 25 steps of 8
FILES = (10_000_000, 100_000_000, 1_000_000_000)
DOCUMENTS = (60, 500, 4000)  # mean tokens
DOMAINS = (50_000_000, 500_000_000, 10_000_000_000)  # tokens: 100 MB to 20 GB
LENGTHS = (1, 8)  # times python-docs; the longer is beyond what is tokenised without processes
RELATIONS = ("city-country", "city-population")
T = TypeVar("T")


def renderings(facts: int, forms: int, seed: int) -> Renderings:
    """Random tokens, in renderings as long as the demonstration's: 12 to 28 tokens, 20 on average."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(11, 28, size=(facts, forms)).tolist()
    told = [[np.append(rng.integers(1, 1024, size=size), 0) for size in own] for own in sizes]
    return Renderings(told, np.dtype(np.uint16))


def mixture(share: float, text: Tokens, facts: int = 64) -> Mixture:
    """A stream over the text, of so many domain facts and 64 prior facts."""
    return Mixture(
        RenderingCycle(renderings(facts, 6, 1), [41, 1]),
        RenderingCycle(renderings(64, 12, 2), [41, 2]),
        GeneralText(text, 0, [41, 3]),
        share=share,
        prior_share=0.25,
        end_of_text=0,
    )


def rate(mix: Mixture, places: Sequence[int], dtype: str = "uint16") -> float:
    """Million tokens a second of a call of blocks at each place."""
    start = time.perf_counter()
    for place in places:
        mix.blocks(place, CALL, BLOCK).astype(dtype, copy=False)
    return len(places) * CALL * BLOCK / (time.perf_counter() - start) / 1e6


def stream(repeats: int) -> None:
    """Speed of the stream."""
    text = np.random.default_rng(0).integers(1, 1024, size=5_000_000).astype(np.uint16)
    cases = [(share, 64) for share in SHARES] + [(0.9, 16), (0.9, 10_000)]
    mixtures = [mixture(share, text, facts) for share, facts in cases]
    rates: list[list[tuple[float, ...]]] = [[] for _ in cases]
    anywhere = np.random.default_rng(1).integers(10_000_000, size=(repeats, 20)).tolist()
    for turn, places in enumerate(anywhere):
        onwards = [(100 * turn + call) * CALL for call in range(100)]
        for mix, found in zip(mixtures, rates, strict=True):
            found.append((rate(mix, onwards), rate(mix, onwards, "int64"), rate(mix, places)))
    print(f"\nstream: million tokens a second on one thread, median (best) of {repeats} turns")
    print("share  facts    consecutive   and to int64         random")
    for (share, facts), found in zip(cases, rates, strict=True):
        cells = (f"{median(each):6.0f} ({max(each):4.0f})" for each in zip(*found, strict=True))
        print(f"{share:5}  {facts:5}", *(f"{cell:>14}" for cell in cells))


def memory(repeats: int) -> None:
    """Memory of the stream by size of the token file."""
    print("\nmemory: 400 calls of blocks, share .5; peak MB of a fresh process, and above what it had before the first")
    print("tokens in the file  resident  anonymous   + by the calls")
    with tempfile.TemporaryDirectory() as folder:
        for tokens in FILES:
            path = Path(folder) / "tokens.bin"
            rng = np.random.default_rng(0)
            with path.open("wb") as handle:
                for _ in range(tokens // 10_000_000):
                    handle.write(rng.integers(1, 1024, size=10_000_000, dtype=np.uint16).tobytes())
            found = in_process("blocks", path, tokens)
            print(
                f"{tokens:18,}  {found['resident']:8.1f}  {found['peak']:9.1f}  {found['peak'] - found['before']:9.1f}"
            )


def of_documents(share: float, tokens: Tokens, ends: Numbers) -> Mixture:
    """A stream over documents that are general text as well, without any facts."""
    none = Renderings([], tokens.dtype)
    return Mixture(
        RenderingCycle(none, [41, 1]),
        RenderingCycle(none, [41, 2]),
        GeneralText(tokens, 0, [41, 3]),
        share=share,
        prior_share=0.25,
        end_of_text=0,
        documents=DocumentCycle(Documents(tokens, ends), [41, 4], PAGE),
    )


def documents(repeats: int) -> None:
    """Speed of a stream of documents by their length, and its memory by the size of the domain."""
    print(f"\ndocuments: million tokens a second on one thread, consecutive, median (best) of {repeats} turns")
    print("mean tokens  share 0.5      share 0.9")
    for mean in DOCUMENTS:
        ends = np.cumsum(np.random.default_rng(0).exponential(mean, 20_000_000 // mean).astype(np.int64) + 2)
        text = np.random.default_rng(0).integers(1, 1024, size=int(ends[-1])).astype(np.uint16)
        cells = []
        for share in (0.5, 0.9):
            mix = of_documents(share, text, ends)
            found = [rate(mix, [(100 * turn + call) * CALL for call in range(100)]) for turn in range(repeats)]
            cells.append(f"{median(found):6.0f} ({max(found):4.0f})")
        print(f"{mean:11,}", *(f"{cell:>14}" for cell in cells))
    print("\ndocuments of 500 tokens: 400 calls of blocks, share .5; peak MB of anonymous memory of a fresh process,")
    print("and above what it had before\ntokens in the file   peak      +")
    with tempfile.TemporaryDirectory() as folder:
        for tokens in DOMAINS:
            path = Path(folder) / "tokens.bin"
            with path.open("wb") as handle:
                handle.truncate(2 * tokens)
            np.save(path.with_suffix(".npy"), 500 * np.arange(1, tokens // 500 + 1))
            peaks = in_process("documents", path, tokens)
            print(f"{tokens:18,}  {peaks['peak']:6.1f} {peaks['peak'] - peaks['before']:6.1f}")


def preparing(repeats: int) -> None:
    """Memory of preparing by number of documents."""
    print("\npreparing: write_tokens; peak MB of anonymous memory of a fresh process, and above what it had before")
    with tempfile.TemporaryDirectory() as folder:
        _tokenizer(Path(folder), list(islice(python_docs(), 2000)))
        for documents in (2_000, 10_000, 50_000):
            found = in_process("write", Path(folder), documents)
            print(f"{documents:6,} documents  {found['peak']:6.1f}  {found['peak'] - found['before']:6.1f}")


def tokenising(repeats: int) -> None:
    """Time of write_tokens beside tokenizers alone, by length of the text, and of the other steps of preparing."""
    texts, reading = timed(lambda: list(python_docs()))
    with tempfile.TemporaryDirectory() as name:
        tokenizer, training = timed(lambda: _tokenizer(Path(name), texts))
        for times in LENGTHS:
            _beside_tokenizers(texts * times, tokenizer, Path(name), repeats)
        finder = FactFinder((fact.subject, fact.object) for fact in atlas_facts(RELATIONS)[0][:64])

        def checked() -> int:
            return sum(1 for text in texts if not is_validation(text, 0.02) and bool(finder.stated(text)))

        print("the other steps of preparing, once each:")
        print(f"reading python-docs {reading:.2f} s")
        print(f"training the tokenizer {training:.2f} s, split and contamination check {timed(checked)[1]:.2f} s")


def _beside_tokenizers(texts: list[str], tokenizer: Tokenizer, folder: Path, repeats: int) -> None:
    def alone() -> None:
        for batch in in_batches(texts):
            tokenizer.backend.encode_batch_fast(batch, add_special_tokens=False)

    def written() -> None:
        write_tokens(folder / "t.bin", texts, tokenizer)

    turns = [in_turn(alone, written, number % 2 == 1) for number in range(repeats)]
    size = sum(len(text.encode("utf8")) for text in texts) / 1e6
    print(f"\ntokenising: {len(texts):,} documents, {size:.1f} MB, {cores()} cores, {len(turns)} turns each")
    for at, what in enumerate(("wall clock", "processor")):
        bare, whole = ([turn[which][at] for turn in turns] for which in (0, 1))
        ratios = [b / a - 1 for a, b in zip(bare, whole, strict=True)]
        print(
            f"{what:10}: tokenizers alone {median(bare):.2f} s (least {min(bare):.2f}), "
            f"write_tokens {median(whole):.2f} s ({min(whole):.2f}): "
            f"{median(whole) / median(bare) - 1:+.1%} ({min(whole) / min(bare) - 1:+.1%}), "
            f"turn by turn {median(ratios):+.1%}"
        )


def in_turn(
    first: Callable[[], None], second: Callable[[], None], swapped: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Wall clock and processor seconds of both, the second before the first if swapped."""
    took = {}
    for act in (second, first) if swapped else (first, second):
        start, used = time.perf_counter(), _processor()
        act()
        took[act] = time.perf_counter() - start, _processor() - used
    return took[first], took[second]


def _processor() -> float:
    """Processor seconds of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def timed(act: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds it takes."""
    start = time.perf_counter()
    return act(), time.perf_counter() - start


def _tokenizer(folder: Path, texts: list[str]) -> Tokenizer:
    train_tokenizer((text[:2000] for text in texts), 1024, "<end>", folder / "tokenizer.json")
    return Tokenizer(folder / "tokenizer.json", "<end>")


def in_process(what: str, path: Path, number: int) -> dict[str, float]:
    """The peaks that a fresh process measures of itself."""
    command = [sys.executable, "-m", "benchmarks.data_path", "--child", what, str(path), str(number)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(out))


def child(what: str, path: Path, number: int) -> None:
    """Blocks spread over a stream as long as the token file, or so many documents written; prints the peaks in MB."""
    make = {"blocks": _spread_blocks, "documents": _spread_documents, "write": _write}
    act = make[what](path, number)
    before, peak, over = status("RssAnon"), [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            peak[0] = max(peak[0], status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    act()
    over.set()
    watcher.join()
    print(json.dumps({"before": before, "peak": peak[0], "resident": status("VmHWM")}))


def _spread_blocks(path: Path, tokens: int) -> Callable[[], None]:
    mix, calls = mixture(0.5, np.memmap(path, dtype=np.uint16, mode="r")), 400

    def act() -> None:
        for call in range(calls):
            mix.blocks(call * (tokens // BLOCK // calls), CALL, BLOCK)

    return act


def _spread_documents(path: Path, tokens: int) -> Callable[[], None]:
    text, calls = np.memmap(path, dtype=np.uint16, mode="r"), 400
    ends = np.load(path.with_suffix(".npy"), mmap_mode="r")

    def act() -> None:
        mix = of_documents(0.5, text, ends)
        for call in range(calls):
            mix.blocks(call * (tokens // BLOCK // calls), CALL, BLOCK)

    return act


def _write(folder: Path, documents: int) -> Callable[[], None]:
    tokenizer = Tokenizer(folder / "tokenizer.json", "<end>")
    some = list(islice(python_docs(), 2000))
    return lambda: print(write_tokens(folder / "t.bin", islice(cycle(some), documents), tokenizer), file=sys.stderr)


def status(name: str) -> float:
    """A line of this process's memory, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


PARTS = {"stream": stream, "memory": memory, "documents": documents, "preparing": preparing, "tokenising": tokenising}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_path", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them if none is named")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        child(given.child[0], Path(given.child[1]), int(given.child[2]))
        return
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    for part in given.parts or PARTS:
        PARTS[part](given.repeats)


if __name__ == "__main__":
    main()
