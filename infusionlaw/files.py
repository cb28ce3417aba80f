"""Writing files so that a kill or a full disk never leaves a half-written one behind."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from reprlib import repr as shorten
from typing import Any, TypeVar, cast

from infusionlaw.errors import InputError

_SMALL = 1 << 16  # bytes that a file is read in at once
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


def path_from(folder: Path, path: Path) -> str:
    """Return a path from a folder, with both made absolute; on another drive the path itself."""
    try:
        return os.path.relpath(path.resolve(), folder.resolve())
    except ValueError:
        return str(path.resolve())


def file_hash(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb", buffering=0) as handle:
        first = handle.read(_SMALL)
        if len(first) < _SMALL:  # nearly always, and thousands of them in a large study
            return hashlib.sha256(first).hexdigest()
        return hashlib.file_digest(handle, lambda: hashlib.sha256(first)).hexdigest()


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


def read_json(path: str | Path, said: bytes | None = None) -> Any:
    """Read a JSON file; a broken one is an InputError with file and line. said: its bytes, where they are known."""
    said = read_bytes(path) if said is None else said
    try:
        return _DECODER.decode(said.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # JSON or UTF-8 that is none, too long a number, too deep a nest
        raise InputError(f"{path}: not valid JSON ({error})") from error


def read_bytes(path: str | Path) -> bytes:
    """Return a file's bytes; InputError where there is none."""
    try:
        with open(path, "rb", buffering=0) as handle:
            return handle.read()
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; name a file") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


# Made once: a folder may hold thousands of files.
_DECODER, _CANONICAL = json.JSONDecoder(parse_constant=_refuse), json.JSONEncoder(sort_keys=True)


def json_hash(content: Any) -> str:
    """Return the SHA-256 of a value as canonical JSON."""
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()


def write_typed(path: str | Path, value: Any, of: Any, inside: str = "", **head: Any) -> None:
    """Write a dataclass as JSON by the types of its fields, atomically, with the version of what we write.

    of: its type; inside: the key that holds it, where it is not the whole file; head: what else the file says.
    """
    content = _adapter(of).dump_python(value, mode="json")
    write_json(Path(path), {"version": VERSION, **head, **({inside: content} if inside else content)})


def read_typed(
    path: str | Path,
    of: type[T],
    what: str,
    again: str,
    inside: str = "",
    version: int | None = VERSION,
    said: bytes | None = None,
) -> T:
    """Read a JSON file of ours by the types of its fields. what: the file in words; again: what to do with another one.

    inside: the key that holds it; version: None for files without one; said: its bytes, where they are known. Every
    field must be there, no other may be, and none is converted. Raises InputError for a file of another kind or
    version, with the first thing that is wrong.
    """
    from pydantic import ValidationError

    adapter = _adapter(cast(Hashable, of))
    try:
        said = read_bytes(path) if said is None else said
        content = _parsed(path, said)
    except InputError as error:
        raise InputError(f"{error}; {again}" if Path(path).is_file() else str(error)) from error
    if version is not None:
        if not isinstance(content, dict) or content.pop("version", None) != version:
            raise InputError(f"{path}: not {what} of version {version}; {again}")
        content = content.get(inside) if inside else content
    try:
        value: T = adapter.validate_python(content)
        written = adapter.dump_python(value, mode="json")
        text = adapter.dump_json(value)
        same = content == written and all(said.count(word) == text.count(word) for word in (b"true", b"false"))
        wrong = "" if same else _difference(content, written, inside)  # which takes its time; True equals 1
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (inside, *first["loc"]) if part != "")
        wrong = f'"{where}": {first["msg"]}' if where else first["msg"]
    if wrong:
        raise InputError(f"{path}: not {what}: {wrong}; {again}")
    return value


def _parsed(path: str | Path, said: bytes) -> Any:
    """Return what `read_json` does, in a third of the time."""
    from pydantic_core import from_json

    try:
        return from_json(said, allow_inf_nan=False)
    except ValueError:
        return read_json(path, said)  # which says what is wrong


@cache
def _adapter(of: Hashable) -> Any:
    """What reads and writes a type, made once: a folder may hold thousands of files of one."""
    from pydantic import TypeAdapter

    return TypeAdapter[Any](of)  # type: ignore[arg-type]


def _difference(found: Any, written: Any, place: str) -> str:
    """Say where JSON differs from what would be written of the value that was read from it; "": nowhere."""
    if isinstance(found, dict) and isinstance(written, dict):
        if odd := sorted(found.keys() ^ written.keys()):
            return f'"{odd[0]}" is {"missing" if odd[0] in written else "unknown"}{f" in {place}" if place else ""}'
        pairs = [(key, found[key], written[key]) for key in written]
    elif isinstance(found, list) and isinstance(written, list) and len(found) == len(written):
        pairs = [(index, *pair) for index, pair in enumerate(zip(found, written, strict=True))]
    else:
        same = found == written and isinstance(found, bool) == isinstance(written, bool)
        return "" if same else f'"{place}" is {shorten(found)}'
    return next(
        (wrong for key, *pair in pairs if (wrong := _difference(pair[0], pair[1], f"{place}.{key}".strip(".")))), ""
    )
