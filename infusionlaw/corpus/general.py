"""Documents of text: where those come from that are not infused, and those that are.

A source is `python-docs` (docstrings on this machine) or paths, folders and globs of text files, or a list of these.
Everything is streamed: the memory needed does not grow with the corpus. Files are read in sorted order, each once, so
the same files give the same documents in the same order.

    source -> files -> lines or record batches -> documents

Duplicate documents in the user's files are kept: what their corpus repeats is theirs to decide, and finding repeats
would take memory that grows with it.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from glob import glob
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from infusionlaw.corpus.docstrings import python_docs, python_docs_versions
from infusionlaw.errors import InputError
from infusionlaw.runs.packed import PACKED, ending, open_text, packing
from infusionlaw.runs.tabular import JSON, stream_rows

PYTHON_DOCS = "python-docs"
GENERAL = "general text"
TEXT, ROWS = (".txt", ".md"), (*JSON, ".parquet")  # one document a file, and one a row
WHOLE = 1_000_000  # characters up to which a text file is one document; a longer one is cut
PIECE = 100_000  # bytes at which a document cut from a long file ends at the latest
LINE = 10_000  # characters read at a time, so that a file that is one endless line can be cut as well


def documents(
    source: str | Sequence[str], *, text_field: str = "text", base: Path, what: str = GENERAL
) -> Iterator[str]:
    """The documents of a source, one at a time; documents of white space only are left out.

    source: "python-docs", or a path, folder (searched through and through, links followed, hidden files left out) or
    glob relative to `base`, or several of these. A file of TEXT is one document, and of a file of ROWS each row,
    in `text_field`; above WHOLE characters it is cut at blank lines into documents of at most about PIECE bytes. All
    but Parquet may be packed. A folder of your own called python-docs is "./python-docs". Paths that match nothing or
    cannot be read are refused at the call, bad contents while reading. what: what messages call the text.
    """
    return (text for _, text in documents_by_file(source, text_field=text_field, base=base, what=what))


def documents_by_file(
    source: str | Sequence[str], *, text_field: str = "text", base: Path, what: str = GENERAL
) -> Iterator[tuple[str, str]]:
    """What `documents` gives, each with the path of its file from `base`, or "python-docs"."""
    with_docs, files, _ = _resolve(source, base, what)
    docs = ((PYTHON_DOCS, text) for text in (python_docs() if with_docs else ()))
    streams = ((name, text) for path in files for name in [_from(base, path)] for text in _read(path, text_field))
    return _filled(chain(docs, streams), source, what)


def _from(base: Path, path: Path) -> str:
    try:
        return Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def unread_files(source: str | Sequence[str], *, base: Path) -> list[Path]:
    """The files in the folders of a source that are of no kind that is read, hidden ones left out."""
    return _resolve(source, base)[2]


def source_hash(source: str | Sequence[str], *, text_field: str = "text", base: Path) -> str:
    """SHA-256, in hex, of what `documents` would read: names and bytes of files, versions behind python-docs.

    Only a file's own name counts, so that a study folder may be moved.
    """
    with_docs, files, _ = _resolve(source, base)
    digest = hashlib.sha256()
    for version in python_docs_versions() if with_docs else ():
        digest.update(version.encode("utf8"))
    for path in files:
        try:
            with path.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); make it readable") from error
        field = text_field if ending(path) in ROWS else None
        digest.update(json.dumps([path.name, field, content]).encode("utf8"))
    return digest.hexdigest()


def source_fingerprint(source: str | Sequence[str], *, base: Path, what: str = GENERAL) -> list[str]:
    """A cheap sign that a source is as it was: versions of python-docs' packages; names, sizes and times of files."""
    with_docs, files, _ = _resolve(source, base, what)
    found = [(path, path.stat()) for path in files]
    return [*(python_docs_versions() if with_docs else ()), *(f"{p} {s.st_size} {s.st_mtime_ns}" for p, s in found)]


def is_validation(document: str, rate: float) -> bool:
    """Whether a document belongs to the validation split: the hash of its text, as a fraction of 1, is below `rate`.

    It depends on nothing but the text, so that equal documents are always on the same side of the split.
    """
    digest = hashlib.blake2b(document.encode("utf8"), digest_size=8, person=b"validation").digest()
    return int.from_bytes(digest, "big") < rate * 2**64


def _resolve(source: str | Sequence[str], base: Path, what: str = GENERAL) -> tuple[bool, list[Path], list[Path]]:
    """Whether python-docs is asked for, the files to read (each once, sorted), and those of folders that are not."""
    entries = [source] if isinstance(source, str) else list(source)
    if not entries:
        raise InputError(f'{what}: the list of sources is empty; give "{PYTHON_DOCS}" or files')
    found = [_files_of(entry, base, what) for entry in entries if entry != PYTHON_DOCS]
    once: dict[Path, Path] = {}  # a file that links lead to as well is read under the first of its names
    for path in sorted(Path(os.path.abspath(path)) for files, _ in found for path in files):
        if not _is_text(path):
            kinds = ", ".join((*TEXT, *ROWS))
            raise InputError(
                f"{path}: cannot be read as text by its ending; text is read from {kinds} (all but .parquet also "
                f"packed: {', '.join(PACKED)})"
            )
        once.setdefault(Path(os.path.realpath(path)), path)
    return PYTHON_DOCS in entries, list(once.values()), sorted({path for _, unread in found for path in unread})


def _files_of(entry: str, base: Path, what: str) -> tuple[list[Path], list[Path]]:
    """The files that a path, a folder or a glob stands for, and those in folders that are no text.

    What exists under that very name is not a glob.
    """
    name = os.path.expanduser(entry)
    exists = bool(entry) and os.path.exists(base / name)
    matches = [base / name] if exists else [base / match for match in glob(name, root_dir=base, recursive=True)]
    inside = [path for match in matches if match.is_dir() for path in _folder_files(match)]
    files = [*(match for match in matches if not match.is_dir()), *(path for path in inside if _is_text(path))]
    if not files:
        kinds = ", ".join((*TEXT, *ROWS))
        raise InputError(
            f'{what}: "{entry}" matches nothing to read in {base}; '
            f'give "{PYTHON_DOCS}", or a file, folder or glob with files of {kinds}'
        )
    return files, [path for path in inside if not _is_text(path)]


def _folder_files(folder: Path) -> list[Path]:
    """The files under a folder that are not hidden; links to folders are followed, each folder once."""
    seen, files = {os.path.realpath(folder)}, []
    for place, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        # a link may lead back to where it lies
        folders[:] = [name for name in sorted(folders) if not name.startswith(".")]
        real = {name: os.path.realpath(os.path.join(place, name)) for name in folders}
        folders[:] = [name for name in folders if real[name] not in seen]
        seen |= set(real.values())
        files += [Path(place, name) for name in names if not name.startswith(".")]
    return [path for path in files if path.is_file() or (path.is_symlink() and not path.exists())]


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be looked into ({error.strerror}); make it readable") from error


def _is_text(path: Path) -> bool:
    return ending(path) in (*TEXT, *ROWS) and not (ending(path) == ".parquet" and packing(path))


def _filled(stream: Iterable[tuple[str, str]], source: str | Sequence[str], what: str) -> Iterator[tuple[str, str]]:
    """The stream less its blank documents; InputError at the end when nothing came."""
    empty = True
    for name, document in stream:
        if document.strip():
            empty = False
            yield name, document
    if empty:
        raise InputError(f"{what}: {source!r} holds no text; give a source with at least one document")


def _read(path: Path, text_field: str) -> Iterator[str]:
    if ending(path) in ROWS:
        for number, row in stream_rows(path, text_field):
            text = _text_value(row[text_field], f"{path}, row {number}", text_field)
            yield from _text_documents(StringIO(text)) if len(text) >= WHOLE else [text]
        return
    with open_text(path) as stream:
        yield from _text_documents(stream)


def _text_documents(text: TextIO) -> Iterator[str]:
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


def _text_value(value: Any, place: str, text_field: str) -> str:
    """A field's text; null is an empty text, as in data sets that keep a row for what they could not fetch."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f'{place}: "{text_field}" must be text, not {type(value).__name__}; fix that value')
    return value
