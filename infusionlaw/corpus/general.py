"""General text: where the documents come from that are not infused.

A source is `python-docs` (docstrings on this machine) or paths, folders and globs of text files, or a list of these.
Everything is streamed: the memory needed does not grow with the corpus. Files are read in sorted order, each once, so
the same files give the same documents in the same order.

    source -> files -> lines or record batches -> documents

Duplicate documents in the user's files are kept: what their corpus repeats is theirs to decide, and finding repeats
would take memory that grows with it.
"""

import codecs
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from io import StringIO, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, Any, TextIO

from infusionlaw.corpus.docstrings import python_docs, python_docs_versions
from infusionlaw.errors import InputError, nearest

PYTHON_DOCS = "python-docs"
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
ENDINGS = {kind + packed for kind in (".txt", ".md", ".jsonl") for packed in ("", *COMPRESSIONS)} | {".parquet"}
WHOLE = 1_000_000  # characters up to which a text file is one document; a longer one is cut
PIECE = 100_000  # bytes at which a document cut from a long file ends at the latest
LINE = 10_000  # characters read at a time, so that a file that is one endless line can be cut as well
BATCH = 1024  # rows of a parquet file held at a time


def documents(source: str | Sequence[str], *, text_field: str = "text", base: Path) -> Iterator[str]:
    """The documents of a source, one at a time; documents of white space only are left out.

    source: "python-docs", or a path, folder (searched through and through, hidden files left out) or glob relative to
    `base`, or several of these. `.txt` and `.md` files are one document each, above WHOLE characters cut at blank
    lines into documents of at most about PIECE bytes; `.jsonl` lines and `.parquet` rows are one document each, in
    `text_field`. `.gz` and `.zst` may follow all but `.parquet`. A folder of your own called python-docs is
    "./python-docs". Paths that match nothing or cannot be read are refused at the call, bad contents while reading.
    """
    with_docs, files = _resolve(source, base)
    streams = (_file_documents(path, text_field) for path in files)
    return _filled(chain(python_docs() if with_docs else (), chain.from_iterable(streams)), source)


def source_hash(source: str | Sequence[str], *, text_field: str = "text", base: Path) -> str:
    """SHA-256, in hex, of what `documents` would read: names and bytes of files, versions behind python-docs.

    Only a file's own name counts, so that a study folder may be moved.
    """
    with_docs, files = _resolve(source, base)
    digest = hashlib.sha256()
    for version in python_docs_versions() if with_docs else ():
        digest.update(version.encode("utf8"))
    for path in files:
        with _readable(path), path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        field = text_field if _has_fields(path) else None
        digest.update(json.dumps([path.name, field, content]).encode("utf8"))
    return digest.hexdigest()


def source_fingerprint(source: str | Sequence[str], *, base: Path) -> list[str]:
    """A cheap sign that a source is as it was: versions of python-docs' packages; names, sizes and times of files."""
    with_docs, files = _resolve(source, base)
    found = [(path, path.stat()) for path in files]
    return [*(python_docs_versions() if with_docs else ()), *(f"{p} {s.st_size} {s.st_mtime_ns}" for p, s in found)]


def is_validation(document: str, rate: float) -> bool:
    """Whether a document belongs to the validation split: the hash of its text, as a fraction of 1, is below `rate`.

    It depends on nothing but the text, so that equal documents are always on the same side of the split.
    """
    digest = hashlib.blake2b(document.encode("utf8"), digest_size=8, person=b"validation").digest()
    return int.from_bytes(digest, "big") < rate * 2**64


def _resolve(source: str | Sequence[str], base: Path) -> tuple[bool, list[Path]]:
    """Whether python-docs is asked for, and the files to read: each once, sorted."""
    entries = [source] if isinstance(source, str) else list(source)
    if not entries:
        raise InputError(f'general text: the list of sources is empty; give "{PYTHON_DOCS}" or files')
    paths = [path for entry in entries if entry != PYTHON_DOCS for path in _files_of(entry, base)]
    for path in paths:
        if _ending(path) not in ENDINGS:
            hint = nearest(_ending(path), ENDINGS)
            raise InputError(f'{path}: files ending in "{_ending(path)}" cannot be read as text; {hint}')
    return PYTHON_DOCS in entries, sorted({Path(os.path.abspath(path)) for path in paths})


def _files_of(entry: str, base: Path) -> list[Path]:
    """The files that a path, a folder or a glob stands for. What exists under that very name is not a glob."""
    name = os.path.expanduser(entry)
    exists = bool(entry) and (base / name).exists()
    matches = [base / name] if exists else [base / match for match in glob(name, root_dir=base, recursive=True)]
    files = [path for match in matches for path in (_folder_files(match) if match.is_dir() else [match])]
    if not files:
        endings = ", ".join(sorted(ENDINGS))
        raise InputError(
            f'general text: "{entry}" matches nothing to read in {base}; '
            f'give "{PYTHON_DOCS}", or a file, folder or glob with files of {endings}'
        )
    return files


def _folder_files(folder: Path) -> list[Path]:
    """The text files under a folder; anything else that lies there, and what is hidden, is none of ours."""
    paths = (path for path in folder.rglob("*") if _ending(path) in ENDINGS and path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _ending(path: Path) -> str:
    endings = [suffix.lower() for suffix in path.suffixes[-2:]]
    return "".join(endings if endings and endings[-1] in COMPRESSIONS else endings[-1:])


def _has_fields(path: Path) -> bool:
    return _ending(path).startswith((".jsonl", ".parquet"))


def _filled(stream: Iterable[str], source: str | Sequence[str]) -> Iterator[str]:
    """The stream less its blank documents; InputError at the end when nothing came."""
    empty = True
    for document in stream:
        if document.strip():
            empty = False
            yield document
    if empty:
        raise InputError(f"general text: {source!r} holds no text; give a source with at least one document")


def _file_documents(path: Path, text_field: str) -> Iterator[str]:
    if _ending(path) == ".parquet":
        yield from _parquet_documents(path, text_field)
        return
    with _readable(path), _open_bytes(path) as stream, TextIOWrapper(stream, encoding="utf-8-sig") as lines:
        yield from _jsonl_documents(lines, path, text_field) if _has_fields(path) else _text_documents(lines)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a file's bytes into one sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        place = f"the text is not UTF-8 at byte {_bad_byte(path)}"
        raise InputError(f"{path}: {place}; convert the file to UTF-8, for instance with iconv") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); make it readable or replace it") from error


def _open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked. pyarrow unpacks because it also notices when a packed file is cut short."""
    compression = COMPRESSIONS.get(path.suffix.lower())
    if compression is None:
        return path.open("rb")
    import pyarrow

    stream: IO[bytes] = pyarrow.input_stream(str(path), compression=compression)
    return stream


def _bad_byte(path: Path) -> int:
    """Offset, from 0, of the first unpacked byte that is not UTF-8: a second reading, for the error only."""
    decoder, offset = codecs.getincrementaldecoder("utf8")(), 0
    with _open_bytes(path) as stream:
        for chunk in chain(iter(lambda: stream.read(2**20), b""), [b""]):
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return offset - waiting + error.start
            offset += len(chunk)
    return offset


def _text_documents(text: TextIOWrapper) -> Iterator[str]:
    """One document, or pieces of a long file: to the first blank line after half a PIECE, or to a whole PIECE."""
    head = text.read(WHOLE)
    if len(head) < WHOLE:
        yield head
        return
    lines = chain(_lines(StringIO(head + text.readline(LINE), newline="\n")), _lines(text))
    piece: list[str] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line.encode("utf8"))
        if size >= PIECE or (size >= PIECE // 2 and not line.strip()):
            yield "".join(piece)
            piece, size = [], 0
    yield "".join(piece)


def _lines(text: TextIO) -> Iterator[str]:
    return iter(lambda: text.readline(LINE), "")


def _jsonl_documents(lines: Iterable[str], path: Path, text_field: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _jsonl_text(line, f"{path}, line {number}", text_field)


def _jsonl_text(line: str, place: str, text_field: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not valid JSON ({error}); fix or remove that line") from error
    if not isinstance(row, dict):
        raise InputError(f'{place}: not an object; each line must be like {{"{text_field}": "..."}}')
    if text_field not in row:
        raise InputError(
            f'{place}: field "{text_field}" is missing; fix that line or name another text field'
            f" ({nearest(text_field, row)})"
        )
    return _text_value(row[text_field], place, text_field)


def _parquet_documents(path: Path, text_field: str) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet

    row = 0
    try:
        # left to itself, pyarrow fetches the whole file ahead and keeps it
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            if text_field not in (names := file.schema_arrow.names):
                hint = nearest(text_field, names)
                raise InputError(f'{path}: column "{text_field}" is missing; name another text field ({hint})')
            for batch in file.iter_batches(BATCH, columns=[text_field]):
                for value in batch.column(text_field):
                    row += 1
                    yield _text_value(value.as_py(), f"{path}, row {row}", text_field)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, row {row}: the text is not UTF-8 at byte {error.start}; fix that row") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}); replace it") from error


def _text_value(value: Any, place: str, text_field: str) -> str:
    """A field's text; null is an empty text, as in data sets that keep a row for what they could not fetch."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f'{place}: "{text_field}" must be text, not {type(value).__name__}; fix that value')
    try:
        value.encode("utf8")  # JSON can spell half a surrogate pair
    except UnicodeEncodeError as error:
        raise InputError(f'{place}: "{text_field}" is not UTF-8 at character {error.start}; fix that text') from error
    return value
