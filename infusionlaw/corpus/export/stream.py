"""Write the training stream of a run in shards, in any format, with its ledger.

The stream is cut where pages begin, so that no rendering and no part of a document lies in two shards. It ends with the
piece that holds token D, the one after the last that a run of D tokens has as its input: so a trainer that is asked for
D tokens finds them all, and nothing that was inserted is cut. What a shard holds depends on nothing but the stream and
the shard's number: one process or many write the same bytes, and after a kill the shards that are complete stay.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.corpus.export.formats import Format, format_named
from infusionlaw.corpus.export.ledger import LEDGER, PARTS, Ledger, Part, finished, join, part_of, read_ledger
from infusionlaw.corpus.export.source import Documents, Source, Stream
from infusionlaw.errors import InputError
from infusionlaw.files import read_json, remove_leftovers, write_json
from infusionlaw.processes import Pool, check_guard, serve
from infusionlaw.quantities import in_bytes

STRETCH = 1 << 16  # tokens of the stream that are made at a time
TRIED = 1_000_000  # tokens that are written to tell how much room all will need
MARGIN = 1.1
SETTINGS = "settings.json"  # among the parts, of a corpus that is not yet complete


def write_stream(
    stream: Stream, name: str, out: Path, *, workers: int = 1, say: Callable[[str], None] = lambda text: None
) -> Ledger:
    """Write a stream in the format of a name and return its ledger; after a stop, go on where it was.

    say: hears what room is needed, and of each shard. InputError where there is not the room, or the folder holds
    something else.
    """
    check_guard()
    with held(out):
        if missing := begin_stream(stream, name, out):
            say(room(out, bytes_needed(stream, name) * len(missing) // len(stream.shards)))
        for number in _written(stream, name, out, missing, workers):
            say(f"wrote {stream.shards[number]}")
        return finish_stream(stream, name, out)


@dataclass(frozen=True)
class Step:
    """The work of one of many tasks, on one machine or many, as datatrove's executors call it.

    `begin_stream` comes before the first, and `finish_stream` after the last.
    """

    stream: Stream
    format: str
    out: Path

    def __call__(self, data: object = None, rank: int = 0, world_size: int = 1) -> None:
        """Do task `rank` of `world_size`: write its shards that are not there."""
        for number in range(rank, len(self.stream.shards), world_size):
            if not finished(self.out, self.stream.shards[number]):
                write_shard(self.stream, self.format, self.out, number)


def begin_stream(stream: Stream, name: str, out: Path) -> list[int]:
    """Make a folder that of a stream and return the shards that are missing; InputError where it is another's."""
    settings = _settings(stream)
    if (out / LEDGER).exists():
        ledger = read_ledger(out)
        if (ledger.format, ledger.settings) != (name, settings):
            raise InputError(f"{out}: holds another corpus, written with other settings; name another folder")
        shutil.rmtree(out / PARTS, ignore_errors=True)
        return []
    format_named(name)
    begin(out, {"format": name, **settings})
    return [number for number, shard in enumerate(stream.shards) if not finished(out, shard)]


def finish_stream(stream: Stream, name: str, out: Path) -> Ledger:
    """Join the ledgers of all shards, once all are there."""
    if (out / LEDGER).exists():
        return read_ledger(out)
    form = format_named(name)
    dtype = form.dtype(open_corpus(stream.corpus).tokenizer.vocabulary).name
    return join(out, stream.shards, format=name, unit=form.unit, dtype=dtype, settings=_settings(stream))


def _settings(stream: Stream) -> dict[str, Any]:
    corpus = open_corpus(stream.corpus)
    return {**asdict(stream), "corpus": corpus.id, "end_of_text": corpus.tokenizer.end_of_text}


def bytes_needed(stream: Stream, name: str) -> int:
    """Return about how many bytes a stream takes in a format, with its ledger, from how many its beginning takes."""
    tried = replace(stream, tokens=min(stream.tokens, stream.shard, TRIED))
    with tempfile.TemporaryDirectory() as folder:
        write_shard(tried, name, Path(folder), 0)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        twice = [path for path in files if path.suffix == ".parquet" and path.parent.name == PARTS]  # until joined
        size = sum(path.stat().st_size for path in [*files, *twice])
    return int(size * stream.tokens / tried.tokens * MARGIN)


def write_shard(stream: Stream, name: str, out: Path, number: int) -> int:
    """Write one shard with its part of the ledger, and return its number."""
    source, form, shard = *_opened(stream, name), stream.shards[number]
    out.mkdir(parents=True, exist_ok=True)
    with part_of(out, shard) as part:
        part.files = form.write(out / shard, _documents(source, form, number, part), source.dtype)
    return number


@lru_cache(maxsize=1)
def _opened(stream: Stream, name: str) -> tuple[Source, Format]:
    form = format_named(name)
    return Source(stream, form.dtype), form


def _documents(source: Source, form: Format, number: int, part: Part) -> Iterator[Documents]:
    """Yield the documents of a shard, and tell its ledger of them."""
    size, is_text = source.stream.shard, form.unit == "bytes"
    end = None if number == len(source.stream.shards) - 1 else (number + 1) * size
    for first in count(number * size, STRETCH):
        last = first + STRETCH if end is None else min(first + STRETCH, end)
        found, is_last = source.documents(first, last, blank=not is_text)
        data = [text.encode() for text in found.texts] if is_text else found.tokens
        part.insert(found.rows(data, part.documents, part.tokens))
        part.content(b"".join(data) if is_text else data, len(found.kinds), len(found.tokens))
        yield found
        if last == end or (end is None and is_last):
            return


def _written(stream: Stream, name: str, out: Path, missing: Sequence[int], workers: int) -> Iterator[int]:
    """Write shards, in as many processes, and yield the number of each that is complete."""
    if min(workers, len(missing)) <= 1:
        for number in missing:
            yield write_shard(stream, name, out, number)
        return
    with Pool(min(workers, len(missing)), _serve) as pool:
        running = [pool.submit(write_shard, stream, name, out, number) for number in missing]
        try:
            for done in as_completed(running):
                yield done.result()
        except BrokenProcessPool as error:
            raise InputError(
                f"{out}: a process that wrote was killed (out of memory?); fix that, or take fewer --workers, and run "
                "the same command again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _serve() -> None:
    serve()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process a core is enough


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold a folder; InputError when another process does."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(0)
    except Timeout as error:
        raise InputError(f"{out}: another process is writing here; wait for it or stop it") from error
    try:
        yield
    finally:
        lock.release()


def begin(out: Path, settings: dict[str, object]) -> None:
    """Make a folder that of a corpus with these settings, or find it to be; InputError where it is anything else."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / PARTS / SETTINGS
    if path.exists():
        if read_json(path) != settings:
            raise InputError(f"{out}: holds a part of another corpus; delete it, or name another folder")
        remove_leftovers(out, (PARTS,))
        return
    if others := sorted(path.name for path in out.iterdir() if path.name not in (".lock", PARTS)):
        raise InputError(f"{out}: holds {others[0]}, which is not of a corpus that was written here; name a new folder")
    write_json(path, settings)


def room(out: Path, need: int) -> str:
    """Say how much room is needed; InputError where there is less."""
    free = shutil.disk_usage(out).free
    said = f"{out}: about {in_bytes(need)} are needed and {in_bytes(free)} are free"
    if need > free:
        raise InputError(f"{said}; free some, or name a folder on another disk")
    return said
