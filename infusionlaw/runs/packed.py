"""Files as text, packed or not: UTF-8 with or without a byte-order mark, and what is wrong in one sentence."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, cast

from infusionlaw.errors import InputError, needing
from infusionlaw.recognise import refuse_no_text

PACKED = (".gz", ".zst", ".zstd", ".bz2", ".xz")
LONGEST = 32_000_000  # characters that a line, a row or a document's row may have
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)  # what reading a damaged file raises
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def ending(path: Path) -> str:
    """The ending that tells what a file holds, in lower case and without that of its packing: ".csv" of "a.CSV.gz"."""
    endings = [suffix.lower() for suffix in path.suffixes]
    while endings and endings[-1] in PACKED:
        endings.pop()
    return endings[-1] if endings else ""


def packing(path: Path) -> str:
    """The ending of its packing, "" where there is none."""
    last = path.suffix.lower()
    return last if last in PACKED else ""


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIOWrapper]:
    """The file as text, newline as `open` has it. InputError where it is absent, cut short, or not UTF-8."""
    check_file(path)
    refuse_no_text(path, packed=bool(packing(path)))
    try:
        with open_bytes(path) as stream, TextIOWrapper(stream, encoding="utf-8-sig", newline=newline) as text:
            yield text
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {_not_utf8(path)}; save the file as UTF-8, for instance with iconv") from error
    except _DAMAGE as error:
        why = " ".join(str(error).split())
        fix = "unpack it with zstd -d --long=31" if "memory" in why.lower() else "make it readable or replace it"
        raise InputError(f"{path}: cannot be read to its end ({why}); {fix}") from error


def check_file(path: Path) -> None:
    """Refuse what is no file, or none that can be found, before it is opened."""
    try:
        found = "" if path.is_file() else "a folder, not a file" if path.is_dir() else "no such file"
        if found == "no such file" and path.exists():
            found = "a pipe or a device, not a file"
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be entered
        found = f"cannot be looked up ({getattr(error, 'strerror', None) or error})"
    if found:
        raise InputError(f"{path}: {found}")


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked."""
    last = packing(path)
    if last == ".bz2":
        return bz2.open(path)
    if last == ".xz":
        return lzma.open(path)
    if last == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    if not last:
        return path.open("rb")
    with needing("parquet", f"{path}: a file packed with Zstandard"):
        import pyarrow
    stream: IO[bytes] = pyarrow.input_stream(str(path), compression="zstd")
    return stream


def lines(text: TextIOWrapper, path: Path) -> Iterator[str]:
    """The lines of a text with their ends; InputError for one that is no line of anything.

    A second byte-order mark, as joined files and careless editors leave it, is no part of the first.
    """
    for number, line in enumerate(iter(lambda: text.readline(LONGEST), ""), start=1):
        if len(line) == LONGEST:
            raise InputError(f"{path}, line {number}: longer than {LONGEST:,} characters; check what the file is")
        yield line if number > 1 else line.lstrip("\ufeff")


def _not_utf8(path: Path) -> str:
    """Where a file stops being UTF-8, at an offset from 0 in the unpacked bytes: a second reading, for the error."""
    decoder, offset, line = codecs.getincrementaldecoder("utf8")(), 0, 1
    with open_bytes(path) as stream:
        for chunk in chain(_chunks(stream), [b""]):
            if not offset and chunk.startswith(_UTF16):
                return "the text is UTF-16, not UTF-8"
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += chunk.count(b"\n", 0, max(error.start - waiting, 0))
                return f"the text is not UTF-8 at byte {offset - waiting + error.start}, in line {line}"
            offset, line = offset + len(chunk), line + chunk.count(b"\n")
    return "the text is not UTF-8"


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a stream, small enough that none before its damage are lost; it ends where it cannot be read on."""
    with suppress(*_DAMAGE):
        yield from iter(lambda: stream.read(2**13), b"")
