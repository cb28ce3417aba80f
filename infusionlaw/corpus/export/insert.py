"""Put a study's facts and documents into a corpus that exists, and take them out again.

`plan_into` says what goes where, and reads no more than indexes and a sample. `infuse_into` copies every shard with its
insertions into a new folder; the corpus that exists stays as it is. A shard depends on the plan and its own number
alone: any number of workers, on one machine or many, write the same bytes, and after a stop the shards that are done
are kept. `take_out` gives the original bytes again, and compares their SHA-256 with those of the original.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from glob import glob
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import numpy as np

from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.export import insert_rows, insert_tokens
from infusionlaw.corpus.export.ledger import (
    LEDGER,
    PARTS,
    Ledger,
    Unit,
    check_finished,
    finished,
    join,
    part_of,
    read_ledger,
    rows_of,
)
from infusionlaw.corpus.export.megatron import bin_path, idx_path, open_indexed, prefix_of
from infusionlaw.corpus.export.placing import Dose, Given, Insertions, Wrapping
from infusionlaw.corpus.export.stream import begin, held, room
from infusionlaw.errors import InputError, naming
from infusionlaw.files import read_json, remove_leftovers, write_json
from infusionlaw.processes import Pool, check_guard
from infusionlaw.runs.packed import ending

ROW = 120  # bytes of a row of the ledger
STRETCHES, LEAST_STRETCHES = 2048, 64  # of text whose tokens are counted, of all files and of one
CUTS = 0.001  # by how much of the tokens an estimate may be wrong because stretches end within a word
TOKENS = (".bin", ".idx")


@dataclass(frozen=True)
class Existing:
    """A shard that exists. path: without the ending where it is of two files; size: tokens, or bytes of text."""

    name: str
    path: str
    documents: int
    size: int


@dataclass(frozen=True)
class Plan:
    """What is put into a corpus that exists.

    field: of the text in files of rows, "" where shards are of tokens; per_token: what of a shard's size is a token;
    error: standard error of the tokens that the corpus has / these tokens, 0 where they are not an estimate; given:
    by source, pieces and tokens; items: by source, how many facts or documents; sequence, inside: see `plan_into`.
    """

    corpus: str
    corpus_id: str
    shards: tuple[Existing, ...]
    field: str
    per_token: float
    error: float
    dtype: str
    ended: bool
    given: tuple[Given, ...]
    kinds: tuple[str, ...]
    items: tuple[int, ...]
    seed: int
    sequence: int
    inside: bool
    domain_tokens: float | None

    @property
    def wrapping(self) -> Wrapping:
        """How a piece stands in the corpus."""
        return Wrapping(np.dtype(self.dtype), self.ended, self.inside and self.ended)

    @property
    def size(self) -> int:
        """Tokens of the corpus as it is; an estimate where it is of text."""
        return round(self.whole / self.per_token)

    @property
    def whole(self) -> int:
        """Size of all shards."""
        return sum(shard.size for shard in self.shards)

    @property
    def tokens(self) -> int:
        """Tokens that it gains."""
        return sum(given.tokens + self.wrapping.more * given.count for given in self.given)

    @property
    def share(self) -> float:
        """Infused tokens / tokens of the corpus that comes out."""
        return self.tokens / (self.size + self.tokens)

    @property
    def exposures(self) -> tuple[float, ...]:
        """How often each item is stated or read, by kind, on average."""
        return tuple(given.count / items for given, items in zip(self.given, self.items, strict=True))

    def bytes_of(self, number: int) -> int:
        """Return about how many bytes a shard takes with its insertions and its part of the ledger."""
        path = Path(self.shards[number].path)
        files = [path] if self.field else [bin_path(path), idx_path(path)]
        size = sum(file.stat().st_size for file in files)
        rows = sum(given.count for given in self.given) * self.shards[number].size / self.whole
        return round(size / (1 - self.share) + 2 * ROW * rows)

    def begins(self) -> list[int]:
        """Return the size of the corpus before each shard."""
        return list(accumulate((shard.size for shard in self.shards), initial=0))[:-1]

    def insertions(self, corpus: Corpus | None = None) -> Insertions:
        """Return all pieces, to be asked for any stretch of the corpus."""
        corpus = corpus or open_corpus(Path(self.corpus))
        if corpus.id != self.corpus_id:
            raise InputError(f"{self.corpus}: was prepared again since this insertion began; insert again elsewhere")
        return Insertions(
            corpus, self.wrapping, self.given, self.whole, seed=self.seed, domain_tokens=self.domain_tokens
        )


def plan_into(
    corpus: Corpus,
    into: str | Sequence[str | Path],
    dose: Dose,
    *,
    seed: int = 0,
    sequence: int = 0,
    inside: bool = False,
    field: str = "",
    domain_tokens: float | None = None,
) -> Plan:
    """Return what would be inserted; nothing is written.

    into: a pattern or files, of .bin and .idx, Parquet or JSON Lines. sequence: tokens of a training sequence, 0: not
    known. inside: insert where the place is, within a document too, but not across the end of a training sequence.
    field: of the text in files of rows, "": found.
    """
    paths = _found(into)
    base = Path(os.path.commonpath([path.parent for path in paths]))
    of_rows = paths[0].suffix not in TOKENS
    if of_rows and inside:
        raise InputError(f"{base}: rows of text go between others; only datasets of tokens can be inserted into inside")
    field = (field or insert_rows.field_of(paths[0])) if of_rows else ""
    found = _of_rows(paths, base, corpus, field) if of_rows else _of_tokens(paths, base, corpus, inside)
    shards, per_token, error, way = found
    insertions = Insertions(corpus, way, seed=seed, domain_tokens=domain_tokens)
    size = sum(shard.size for shard in shards)
    if not size:
        raise InputError(f"{base}: holds no text; give a corpus that has some")
    return Plan(
        corpus=str(corpus.folder.resolve()),
        corpus_id=corpus.id,
        shards=tuple(shards),
        field=field,
        per_token=per_token,
        error=error,
        dtype=way.dtype.name,
        ended=way.ended,
        given=insertions.dosed(dose, size / per_token),
        kinds=tuple(source.kind for source in insertions.sources),
        items=tuple(source.items for source in insertions.sources),
        seed=seed,
        sequence=sequence,
        inside=inside,
        domain_tokens=domain_tokens,
    )


def _found(into: str | Sequence[str | Path]) -> list[Path]:
    """The shards that a pattern or files name, each once, sorted; of a dataset the .bin."""
    names = glob(into, recursive=True) if isinstance(into, str) else into
    paths = {Path(name).resolve() for name in names if Path(name).is_file()}
    tokens = {bin_path(path) for path in paths if path.suffix in TOKENS}
    rows = {path for path in paths if ending(path) in insert_rows.ENDINGS}
    if not tokens and not rows:
        raise InputError(
            f"{into}: names no shards; give a pattern in quotes, such as 'data/*.bin', 'data/*.parquet' or "
            "'data/*.jsonl.zst'"
        )
    if tokens and rows:
        raise InputError(
            f"{into}: names {min(tokens).name} and {min(rows).name}; insert into one kind of file at a time"
        )
    return sorted(tokens or rows)


def _of_tokens(
    paths: Sequence[Path], base: Path, corpus: Corpus, inside: bool
) -> tuple[list[Existing], float, float, Wrapping]:
    shards = []
    for path in paths:
        name = prefix_of(path.relative_to(base)).as_posix()
        shards.append(Existing(name, str(prefix_of(path)), *insert_tokens.measure(path)))
    kinds = {open_indexed(path).dtype.name for path in paths}
    if len(kinds) > 1:
        raise InputError(f"{base}: has tokens of {' and '.join(sorted(kinds))}; insert into each")
    ways = {way for path in paths if (way := insert_tokens.wrapping(path, corpus.tokenizer, inside)) is not None}
    if not ways:
        raise InputError(f"{base}: holds no tokens; give a corpus that has some")
    if len(ways) > 1:
        raise InputError(f"{base}: some shards have documents that end with end-of-text and some not; insert into each")
    return shards, 1.0, 0.0, ways.pop()


def _of_rows(
    paths: Sequence[Path], base: Path, corpus: Corpus, field: str
) -> tuple[list[Existing], float, float, Wrapping]:
    most = max(LEAST_STRETCHES, STRETCHES // len(paths))
    measured = [insert_rows.measure(path, field, most) for path in paths]
    shards = [
        Existing(path.relative_to(base).as_posix(), str(path), own.rows, own.bytes)
        for path, own in zip(paths, measured, strict=True)
    ]
    tokens, errors = np.array([own.tokens(corpus.tokenizer.encode) for own in measured]).T
    size, total = sum(shard.size for shard in shards), float(tokens.sum())
    error = max(CUTS, float(np.sqrt(np.sum(errors**2))) / total) if total else 0.0
    return shards, size / total if size else 1.0, error, Wrapping(corpus.tokenizer.dtype)


def infuse_into(plan: Plan, out: Path, *, workers: int = 1, say: Callable[[str], None] = lambda text: None) -> Ledger:
    """Write the corpus with its insertions into a folder, and its ledger; what is done of it is not done again.

    say: hears what room is needed. InputError where there is not the room, or the folder holds something else.
    """
    check_guard()
    with held(out):
        if prepare_folder(plan, out):
            return read_ledger(out)
        left = [number for number, shard in enumerate(plan.shards) if not finished(out, shard.name)]
        if left:
            say(room(out, sum(plan.bytes_of(number) for number in left)))
        if min(workers, len(left)) > 1:
            _together(plan, left, out, min(workers, len(left)))
        else:
            for number in left:
                insert_shard(plan, number, out)
        return finish(plan, out)


def prepare_folder(plan: Plan, out: Path) -> bool:
    """Make the folder ready; return whether all is there already. InputError where it holds anything else."""
    own = _as_json(asdict(plan))
    out.mkdir(parents=True, exist_ok=True)
    if not (out / LEDGER).exists():
        begin(out, {"plan": own})
        return False
    if read_ledger(out).settings.get("plan") != own:
        raise InputError(f"{out}: holds another corpus, written with other settings; name another folder")
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return True


def _as_json(value: Any) -> Any:
    """What JSON makes of a value: lists of tuples."""
    return json.loads(json.dumps(value))


@dataclass(frozen=True, repr=False)
class Step:
    """The work of one of many tasks, on one machine or many, as datatrove's executors and others call it.

    Every task writes its shards of the plan, those that are not there. The folder has been made ready before by
    `prepare_folder`, and `finish` is called once all tasks are done.
    """

    plan: Plan
    out: Path

    def __repr__(self) -> str:
        return f"insertion into {len(self.plan.shards):,} shards, to {self.out}"

    def __call__(self, data: object = None, rank: int = 0, world_size: int = 1) -> None:
        """Do task `rank` of `world_size`."""
        for number in range(rank, len(self.plan.shards), world_size):
            insert_shard(self.plan, number, self.out)


@lru_cache(maxsize=1)
def _opened(plan: Plan) -> Insertions:
    return plan.insertions()


def insert_shard(plan: Plan, number: int, out: Path) -> None:
    """Write one shard and its part of the ledger, if they are not there: any machine can write any shard."""
    shard, first = plan.shards[number], plan.begins()[number]
    if finished(out, shard.name):
        return
    with part_of(out, shard.name) as part:
        path, new, pieces = Path(shard.path), out / shard.name, _opened(plan)
        if plan.field:
            sums = insert_rows.copy(path, new, plan.field, pieces, first, part, plan.per_token)
        else:
            sums = insert_tokens.copy(path, new, pieces, first, part, sequence=plan.sequence, inside=plan.inside)
        write_json(_sums_of(out, shard.name), sums)


def _sums_of(out: Path, shard: str) -> Path:
    return out / PARTS / f"{shard}.original.json"


def finish(plan: Plan, out: Path) -> Ledger:
    """Join what the shards say into one ledger, once all are written."""
    names = [shard.name for shard in plan.shards]
    check_finished(out, names)
    for folder in {(out / name).parent for name in names}:
        remove_leftovers(folder)
    originals = {name: read_json(_sums_of(out, name)) for name in names}
    settings = {"plan": _as_json(asdict(plan)), "originals": originals}
    form, unit = (f"rows:{plan.field}", "bytes") if plan.field else ("megatron", "tokens")
    error = plan.error * plan.size / (plan.size + plan.tokens)
    return join(out, names, format=form, unit=cast("Unit", unit), dtype=plan.dtype, settings=settings, error=error)


def _together(plan: Plan, left: Iterable[int], out: Path, workers: int) -> None:
    try:
        with Pool(workers) as pool:
            running = [pool.submit(insert_shard, plan, number, out) for number in left]
            try:
                for done in as_completed(running):
                    done.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    except BrokenProcessPool as error:
        raise InputError(
            f"{out}: a process that inserted was killed (out of memory?); run the same command again, "
            "finished shards are kept"
        ) from error


def take_out(folder: Path, out: Path) -> int:
    """Write the corpus as it was before its insertions, and return of how many shards it is.

    InputError where a file that comes out is not the original, byte for byte by its SHA-256.
    """
    ledger = read_ledger(folder)
    originals = ledger.settings.get("originals")
    if originals is None:
        raise InputError(f"{folder}: was not made from a corpus that exists, so nothing can be taken out of it")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; give another --out")
    rows = _by_shard(folder)
    for shard in ledger.shards:
        document, offset, tokens = rows.pop(shard.name, (np.empty(0, dtype=np.int64),) * 3)
        with naming(shard.name):
            old, new, field = folder / shard.name, out / shard.name, ledger.settings["plan"]["field"]
            if field:
                sums = insert_rows.take_out(old, new, field, document)
            else:
                sums = insert_tokens.take_out(old, new, document, offset, tokens)
        for name, digest in sums.items():
            if digest != originals[shard.name][name]:
                raise InputError(
                    f"{(out / shard.name).parent / name}: is not what the original was (SHA-256 {digest[:12]}, not "
                    f"{originals[shard.name][name][:12]}); infusionlaw verify {folder} says what was changed"
                )
    return len(ledger.shards)


def _by_shard(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Document, offset and tokens of the insertions of each shard."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for shard, columns in _rows(folder):
        found.setdefault(shard, []).append(columns)
    return {shard: tuple(np.concatenate(own) for own in zip(*parts, strict=True)) for shard, parts in found.items()}


def _rows(folder: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for table in rows_of(folder):
        shards = table["shard"].to_numpy()
        columns = [table[name].to_numpy() for name in ("document", "offset", "tokens")]
        changes = np.flatnonzero(shards[1:] != shards[:-1]) + 1
        for low, high in zip([0, *changes], [*changes, len(shards)], strict=True):
            if high > low:
                yield shards[low], tuple(column[low:high] for column in columns)
