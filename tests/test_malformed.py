"""Damaged and odd files: every reader ends in a value or in one line that names the file, and soon.

A case is a valid file that is damaged a few times (bytes flipped, cut, doubled, odd pieces put in), before or after it
is packed, or a Parquet file of odd columns.
"""

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from infusionlaw.corpus.general import documents
from infusionlaw.corpus.readers import read_facts, read_templates
from infusionlaw.errors import InputError
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.fit import fit_surface
from infusionlaw.law.surfaces.known import SURFACES
from infusionlaw.law.surfaces.losses import read_losses
from infusionlaw.runs.table import read_table, table_text
from infusionlaw.settings import TEMPLATE, read_study_file


def csv_of(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [list(rows[0]), *(row.values() for row in rows)])


def jsonl_of(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def forms(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The rows as a file of each kind of text."""
    texts = {"t.csv": csv_of(rows), "t.tsv": csv_of(rows, "\t"), "u.csv": csv_of(rows, ";"), "t.jsonl": jsonl_of(rows)}
    return texts | {"t.json": json.dumps(rows), "u.json": json.dumps(rows, indent=1)}


FACTS = [
    {"subject": name, "relation": "in", "object": f"Land {i}", "subject_type": 1990.0 + i}
    for i, name in enumerate(("Lyon", "Oslo", "São Paulo", "東京"))
]
TABLE = [
    {"size": "160M", "tokens": 3.2e9, "share": share, "recall": 0.5, "seed": seed, "held_out": "no", "status": "ok"}
    for share in (0, "5%", 0.3)
    for seed in (1, 2)
]
LOSSES = [
    {"N": size, "D": f"{tokens}B", "epochs": 2, "loss": 2 + 1e3 / size**0.5}
    for size in (1e7, 1e8, 1e9)
    for tokens in (1, 2)
]
TEMPLATE_ROWS = [
    {"relation": "in", "template": "[X] is in [Y] .", "kind": "statement"},
    {"relation": "in", "pattern": "Where is [X]? [Y]."},
]
TOML = '[in]\nstatements = ["{subject} is in {object}."]\nquestions = ["Where is {subject}? {object}."]\n'
STUDY = 'extends = "base.toml"\n' + re.sub(" *#.*", "", TEMPLATE.format(name='"mine"'))


def fitted(path: Path) -> object:
    conditions, losses = read_losses(path)
    if len(conditions) < 3 or conditions.size is None or conditions.tokens is None:
        return None
    return fit_surface(SURFACES["chinchilla"], Conditions(conditions.size, conditions.tokens), losses)


def study(path: Path) -> object:
    path.with_name("base.toml").write_text("[law]\ntolerance = 0.1\n", encoding="utf8")
    return read_study_file(path)


READERS: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "study": (study, {"s.toml": STUDY}),
    "facts": (lambda path: list(read_facts(path)), forms(FACTS)),
    "templates": (lambda path: read_templates([path]), {"t.toml": TOML, "t.jsonl": jsonl_of(TEMPLATE_ROWS)}),
    "text": (
        lambda path: list(documents(str(path), base=path.parent)),
        {
            "t.txt": "some words\n\nmore\n",
            **{name: text for name, text in forms([{"text": "é" * 9}] * 3).items() if "j" in name},
        },
    ),
    "table": (lambda path: table_text(read_table(path)), forms(TABLE)),
    "losses": (read_losses, forms(LOSSES)),
}
PACKED = {
    "": bytes,
    ".gz": partial(gzip.compress, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": pa.Codec("zstd").compress,
}
PIECES = [
    *(b"inf", b"nan", b"-1", b"0", b"1e300", b"1e999", b"-1e-300", b"true", b"null", b"[]", b"{}", b'"x"', b"9" * 5000),
    *(b"[" * 3000, b'{"a":' * 3000, b"a." * 2000, b"\0", b"\xff\xfe", b"\xe9", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000"),
    *(b"\r", b"\n", b"\r\n", b"\x0b", "\u2028".encode(), b"\t", b";", b",", b'"', b'""', b"'", b" " * 5000, b"=", b"#"),
    *(
        b"\xf0\x9f\x98\x80",
        b"1,300,000",
        b"0,5",
        b"5%",
        b"1_0",
        b"1e",
        b"{subject}",
        b"{",
        b"[X]",
        b"[Y]",
        b"1979-05-27",
    ),
]


def damaged(content: bytes, random: Random) -> bytes:
    """The content with up to four faults."""
    for _ in range(random.randrange(5)):
        at = random.randrange(len(content) + 1)
        end = min(at + random.randint(1, 40), len(content))
        how, piece = random.choice(["flip", "cut", "drop", "double", "insert", "value"]), random.choice(PIECES)
        if how == "value":  # a whole cell or value, where one begins
            at = max(content.rfind(sign, 0, at) for sign in (b",", b":", b"=", b"\n", b";", b"\t")) + 1
            ends = [found for sign in (b",", b"\n", b";", b"\t", b"}") if (found := content.find(sign, at)) >= 0]
            end = min(ends, default=len(content))
        old = content[at:end]
        flipped = bytes(byte ^ 1 << random.randrange(8) for byte in old[:1]) + old[1:]
        new = {"flip": flipped, "cut": b"", "drop": b"", "double": old * 2, "insert": piece + old, "value": piece}[how]
        content = content[:at] + new + (b"" if how == "cut" else content[end:])
    return content


def check(reader: str, path: Path) -> None:
    """A value, or one line that names the file."""
    try:
        READERS[reader][0](path)
    except InputError as error:
        message = str(error)
        assert path.name in message or path.stem in message or "holds no text" in message
        assert len(message) < 2000
        assert message.isprintable() or not any(sign in message for sign in "\r\n\0\u2028")
        message.encode("utf8")


def try_files(reader: str, folder: Path, count: int) -> None:
    @settings(max_examples=count, deadline=1000, derandomize=True, database=None)
    @given(st.sampled_from(sorted(READERS[reader][1])), st.sampled_from(sorted(PACKED)), st.integers(0, 2**64))
    def try_one(name: str, ending: str, seed: int) -> None:
        random = Random(seed)
        content = damaged(READERS[reader][1][name].encode(), random)
        if ending and reader != "study":
            content = damaged(bytes(PACKED[ending](content)), random)
            name += ending
        (folder / name).write_bytes(content)
        check(reader, folder / name)

    try_one()


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_read_or_named(tmp_path, reader) -> None:
    try_files(reader, tmp_path, 40)


@pytest.mark.parametrize("reader", READERS)
def test_a_thousand_damaged_files_are_read_or_named(tmp_path, reader) -> None:
    try_files(reader, tmp_path, 1000)


COLUMNS: list[pa.Array] = [
    *(
        pa.array([value] * 3)
        for value in (1, 1.5, 1999.0, float("inf"), float("nan"), 10**18, True, "text", "", "1e400")
    ),
    *(pa.array([value] * 3) for value in (b"bytes", b"\xff", [1, "x"][:1], {"a": 1}, Decimal("1.5"), date(1999, 1, 1))),
    pa.array([datetime(1999, 1, 1, tzinfo=UTC)] * 3),
    pa.array([10**18 + 1] * 3, pa.timestamp("ns")),
    pa.array([None, "x", "a\0\nb"]),
    pa.array([None] * 3),
    pa.array(["x", "y", "x"]).dictionary_encode(),
    pa.array(["x", "y", "x"], pa.large_string()),
    pa.array([1e4, 2e5, 3e6]),
]
NAMES = [
    "subject",
    "relation",
    "object",
    "text",
    "size",
    "tokens",
    "share",
    "recall",
    "loss",
    "N",
    " ",
    "a.b",
    "a",
    "\0",
]


def try_parquets(folder: Path, count: int) -> None:
    @settings(max_examples=count, deadline=1000, derandomize=True, database=None)
    @given(st.sampled_from(["facts", "text", "table", "losses"]), st.integers(0, 2**64))
    def try_one(reader: str, seed: int) -> None:
        random = Random(seed)
        needed = {"facts": NAMES[:3], "text": NAMES[3:4], "table": NAMES[4:8], "losses": NAMES[4:9]}[reader]
        columns = [(random.choice(NAMES), random.choice(COLUMNS)) for _ in range(random.randrange(5))]
        columns += [(name, COLUMNS[-1]) for name in needed if name not in dict(columns)]
        path = folder / "t.parquet"
        parquet.write_table(pa.table([column for _, column in columns], names=[name for name, _ in columns]), path)
        if random.randrange(3) == 0:
            path.write_bytes(damaged(path.read_bytes(), random))
        check(reader, path)

    try_one()


def test_an_odd_parquet_file_is_read_or_named(tmp_path) -> None:
    try_parquets(tmp_path, 40)


def test_a_thousand_odd_parquet_files_are_read_or_named(tmp_path) -> None:
    try_parquets(tmp_path, 1000)


HUGE = st.sampled_from([0, 1e-300, 1e-7, 0.5, 1, 1000, 1e6, 1e20, 1e300])


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(HUGE, HUGE, HUGE), min_size=3, max_size=6))
def test_a_surface_is_fitted_to_whatever_losses_can_be_read(tmp_path_factory, rows) -> None:
    path = tmp_path_factory.mktemp("losses") / "t.csv"
    path.write_text("N,D,loss\n" + "".join(f"{n!r},{d!r},{loss!r}\n" for n, d, loss in rows))
    try:
        assert fitted(path)
    except InputError as error:
        assert "\n" not in str(error)
