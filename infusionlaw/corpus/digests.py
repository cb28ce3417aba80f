"""Whether the files of a prepared corpus are still those that were prepared: by size and time, or by every byte.

`corpus.json` keeps size, time and SHA-256 of each file, and the corpus id, which is a hash of these. A corpus has
`tokenizer.json` and `knowledge.json`, token files of general text, and what else its study asks for.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from infusionlaw.errors import InputError
from infusionlaw.files import file_hash

FIRST = ("tokenizer.json", "knowledge.json", "train.bin", "validation.bin")  # in the id by their content alone


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file has changed: its bytes, when it was changed, and its SHA-256."""

    size: int
    mtime_ns: int
    sha256: str


def stamps(folder: Path, names: Iterable[str]) -> dict[str, Stamp]:
    """Return the stamps of a corpus's files."""
    found = {name: (folder / name).stat() for name in names}
    return {name: Stamp(stat.st_size, stat.st_mtime_ns, file_hash(folder / name)) for name, stat in found.items()}


def content_id(files: Mapping[str, Stamp]) -> str:
    """Return the id of a corpus: a hash of all that a run reads of it, so not of the headers of token files."""
    others = sorted(files.keys() - {*FIRST} - _headers(files))
    parts = [bytes.fromhex(files[name].sha256) for name in FIRST if name in files]
    parts += [f"{name} {files[name].sha256}\n".encode() for name in others]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _headers(files: Iterable[str]) -> set[str]:
    """Return the names of the headers that the token files among these have."""
    return {PurePath(name).with_suffix(".json").name for name in files if name.endswith(".bin")}


def check_id(folder: Path, own: str, files: Mapping[str, Stamp]) -> None:
    """Raise InputError where the id of a corpus is not that of the files it lists."""
    if files and (not _headers(files) <= files.keys() or content_id(files) != own):
        text = f"its id {own} is not that of the files it lists"
        raise InputError(f"{folder / 'corpus.json'}: {text}; {prepare_again(folder)}")


def check_files(folder: Path, files: Mapping[str, Stamp], whole: bool = False) -> dict[str, Stamp]:
    """Return the stamps of a corpus's files as they are now; InputError for the first that is not the one prepared.

    A file whose size and time are as they were is read only if `whole`.
    """
    now = {}
    for name, was in files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: is missing; {prepare_again(folder)}")
        stat = path.stat()
        if stat.st_size != was.size:
            text = f"has {stat.st_size:,} bytes and had {was.size:,} when prepared"
            raise InputError(f"{path}: {text}; {prepare_again(folder)}")
        if (whole or stat.st_mtime_ns != was.mtime_ns) and (found := file_hash(path)) != was.sha256:
            text = f"its SHA-256 is {found[:12]} and was {was.sha256[:12]} when prepared"
            raise InputError(f"{path}: {text}; {prepare_again(folder)}")
        now[name] = replace(was, mtime_ns=stat.st_mtime_ns)
    return now


def prepare_again(folder: Path) -> str:
    """Say what to do about a corpus that is not what it was."""
    return f"delete {folder} and run the study file again, which prepares the same corpus from the same sources"
