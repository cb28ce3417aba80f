"""Writing files so that a kill or a full disk never leaves a half-written one behind."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from infusionlaw.errors import InputError

VERSION = 1  # of every JSON file that we write
T = TypeVar("T")
OURS = re.compile(r"\..+\.\d+\.part")  # what `atomic_path` names a file that is not yet whole


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the name when the block ends well."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if _disk_full(error):
            raise InputError(
                f"{path}: the disk is full; free some space and run the same command again, finished runs are kept"
            ) from error
        raise


def _disk_full(error: BaseException) -> bool:
    """Whether an error, of Python or of a library written in Rust, says that nothing more can be written."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(f"(os error {code})" in str(error) for code in full)


def remove_leftovers(folder: Path, below: Sequence[str] = ()) -> None:
    """Remove what a killed process of ours left half-written in a folder, and in those of its folders that match.

    Files that `atomic_path` has not named stay.
    """
    for place in (folder, *(found for pattern in below for found in folder.glob(pattern) if found.is_dir())):
        for part in place.glob(".*.part"):
            if OURS.fullmatch(part.name) and part.is_file():
                part.unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, keys in their given order, NaN refused, numpy's numbers as plain ones."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own; TypeError for what is no number."""
    if getattr(value, "shape", None) != ():
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    return value.item()


def read_json(path: Path) -> Any:
    """Read a JSON file; a broken one is an InputError with file and line."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; name a file") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error


def write_typed(path: str | Path, value: Any, of: Any, inside: str = "", **head: Any) -> None:
    """Write a dataclass as JSON by the types of its fields, atomically, with the version of what we write.

    of: its type; inside: the key that holds it, where it is not the whole file; head: what else the file says.
    """
    from pydantic import TypeAdapter

    content = TypeAdapter(of).dump_python(value, mode="json")
    write_json(Path(path), {"version": VERSION, **head, **({inside: content} if inside else content)})


def read_typed(path: str | Path, of: type[T], what: str, again: str, inside: str = "") -> T:
    """Read back what `write_typed` wrote. what: the file in words; again: how to make it again, where it is another.

    inside: the key that holds it. Raises InputError for a file of another kind or version, with the first thing that is
    wrong in it.
    """
    from pydantic import TypeAdapter, ValidationError

    content = read_json(Path(path))
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise InputError(f"{path}: not {what} of version {VERSION}; {again}")
    try:
        return TypeAdapter(of).validate_python(content.get(inside) if inside else content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (inside, *first["loc"]) if part != "")
        raise InputError(f"{path}: not {what}: {where} {first['msg'].lower()}; {again}") from error
