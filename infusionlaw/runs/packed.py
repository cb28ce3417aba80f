"""Files as text, packed or not: UTF-8 with or without a byte-order mark, and what is wrong in one sentence."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import IO, cast

from infusionlaw.errors import InputError
from infusionlaw.recognise import refuse_utf16

PACKED = (".gz", ".zst", ".zstd", ".bz2", ".xz")
LONGEST = 64_000_000  # characters that a line, a cell or a JSON list may have
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
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    refuse_utf16(path)
    try:
        with open_bytes(path) as stream, TextIOWrapper(stream, encoding="utf-8-sig", newline=newline) as text:
            yield text
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {_not_utf8(path)}; save the file as UTF-8, for instance with iconv") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        why = " ".join(str(error).split())
        fix = "unpack it with zstd -d --long=31" if "memory" in why.lower() else "make it readable or replace it"
        raise InputError(f"{path}: cannot be read to its end ({why}); {fix}") from error


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
    import pyarrow

    stream: IO[bytes] = pyarrow.input_stream(str(path), compression="zstd")
    return stream


def lines(text: TextIOWrapper, path: Path) -> Iterator[str]:
    """The lines of a text with their ends; InputError for one that is no line of anything."""
    for number, line in enumerate(iter(lambda: text.readline(LONGEST), ""), start=1):
        if len(line) == LONGEST:
            raise InputError(f"{path}, line {number}: longer than {LONGEST:,} characters; check what the file is")
        yield line


def _not_utf8(path: Path) -> str:
    """Where a file stops being UTF-8, at an offset from 0 in the unpacked bytes: a second reading, for the error."""
    decoder, offset, line = codecs.getincrementaldecoder("utf8")(), 0, 1
    with open_bytes(path) as stream:
        for chunk in chain(iter(lambda: stream.read(2**20), b""), [b""]):
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
