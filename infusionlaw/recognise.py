"""What a file is by its first bytes, whatever its name promises: for the sentence where it is not what was meant."""

import json
import re
from pathlib import Path

from infusionlaw.errors import InputError

HEAD = 4096  # bytes that are looked at
TABLE = re.compile(r"\.(csv|tsv|txt|jsonl|ndjson|parquet)(\.(gz|zst|zstd|bz2|xz))?$", re.IGNORECASE)
STUDY = re.compile(r"^(\[(design|facts|held_out)\]|extends\s*=)", re.MULTILINE)
JSON = ("JSON lines", "JSON list")
# By its ending, what packs a file, and by its first bytes the ending that it should have.
PACKERS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}
PACKED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz"}
# What each is in words, and what to do with it.
KINDS = {
    "table": ("a table", "fit it first: infusionlaw fit {path}"),
    "law": ("a law", "infusionlaw predict reads it"),
    "plan": ("a plan", "infusionlaw predict writes it from a law"),
    "points": ("a points file", "infusionlaw fit writes it from a table"),
    "comparison": ("a study's comparison", "infusionlaw report shows it"),
    "predictions": ("a study's prediction", "infusionlaw report shows it"),
    "study": ("a study file", "infusionlaw run reads it"),
    "results": ("what lm-evaluation-harness found of one model", "write its scores into a table of one row a run"),
    "workbook": ("an Excel workbook", "save its sheet as CSV (UTF-8)"),
    "spreadsheet": ("an OpenDocument spreadsheet", "save its sheet as CSV (UTF-8)"),
    "Parquet": ("a Parquet file", "name it .parquet"),
    "JSON lines": ("JSON with an object a line", "name it .jsonl"),
    "JSON list": ("a JSON list", "name it .json"),
    "UTF-16": ("text in UTF-16 without a byte-order mark", "save it as UTF-8, for instance with iconv -f UTF-16LE"),
    "Git LFS": ("a pointer of Git LFS and not the file itself", "fetch the file with git lfs pull"),
    **{end: (f"packed with {what}", f"name it {{path}}{end}") for end, what in PACKERS.items()},
}


def kind_of(path: Path) -> str:
    """Return the kind of a file, a key of KINDS; "" where it is none of these or cannot be read."""
    head = _head(path)
    if head.startswith(b"PK\x03\x04") and b"opendocument.spreadsheet" in head:
        return "spreadsheet"
    if head.startswith(b"PK\x03\x04") and (b"[Content_Types].xml" in head or b"xl/" in head):
        return "workbook"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "workbook"  # of the older kind
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.startswith(b"version https://git-lfs"):
        return "Git LFS"
    if _is_utf16(head):
        return "UTF-16"
    return _kind_of_text(head.decode("utf8", "replace").lstrip("\ufeff \t\r\n"), path)


def is_table(path: Path) -> bool:
    """Whether a file is a table of runs, by its first bytes and its name."""
    found = kind_of(path)
    return found in ("table", *JSON, "Parquet") or (not found and bool(TABLE.search(path.name)) and path.is_file())


def refuse_others(path: str | Path, wanted: str) -> None:
    """Raise InputError where a file is clearly another than the one wanted ("law", "plan", "points" or "study")."""
    path = Path(path)
    found = "table" if is_table(path) else kind_of(path)
    if found and found != wanted:
        raise _other(path, found)


def refuse_no_rows(path: Path, kind: str) -> None:
    """Raise InputError where a file holds no rows of the kind that its ending (".csv", ".jsonl", …) promises."""
    found = kind_of(path)
    fits = {
        "Parquet": kind == ".parquet",
        "JSON lines": kind in (".jsonl", ".ndjson", ".json"),
        "JSON list": kind == ".json",
    }
    if found and not fits.get(found, False):
        raise _other(path, found)


def refuse_no_text(path: Path, packed: bool) -> None:
    """Raise InputError where a file is no text although it could be read as one, or is packed and its name hides it.

    UTF-16 without a mark can be read as UTF-8 with a NUL a letter, and a pointer of Git LFS is a text of its own.
    """
    found = kind_of(path)
    if found in ("UTF-16", "Git LFS"):
        raise _other(path, found)
    for first, end in PACKED.items():
        if not packed and _head(path).startswith(first):
            raise _other(path, end)


def _other(path: Path, found: str) -> InputError:
    what, fix = KINDS[found]
    return InputError(f"{path}: this is {what}; {fix.format(path=path)}")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError):  # a NUL in its name
        return b""


def _is_utf16(head: bytes) -> bool:
    """Whether every other byte of a text is mostly 0, as in UTF-16 of any script that spaces its words."""
    if len(head) < 4 or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return False
    even, odd = head[::2].count(0), head[1::2].count(0)
    return min(even, odd) == 0 and 4 * max(even, odd) > len(head)


def _kind_of_text(head: str, path: Path) -> str:
    if re.match(r'\{\s*"version":', head):
        if '"already_known"' in head:
            return "comparison"
        found = re.search(r'"(law|plan|points|predictions)":\s*[\[{]', head)
        return found.group(1) if found else ""
    if re.match(r'\{\s*"results":\s*\{', head):
        return "results"
    first = head.split("\n", 1)[0]
    if first.startswith("{") and _is_object(first, whole="\n" in head):
        return "JSON lines"
    if re.match(r"\[\s*\{\s*\"", head):
        return "JSON list"
    return "study" if path.suffix.lower() == ".toml" and STUDY.search(head) else ""


def _is_object(line: str, whole: bool) -> bool:
    """Whether a line is an object of JSON; of a line that is not whole, whether it begins as one."""
    try:
        row = json.loads(line)
        return isinstance(row, dict) and bool(row)
    except (ValueError, RecursionError):
        return not whole and re.match(r'\{\s*"[^"]*"\s*:', line) is not None
