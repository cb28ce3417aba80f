"""From files to knowledge: facts in CSV, TSV, JSONL or Parquet, templates in TOML or JSONL.

Facts have the columns subject, relation, object and, if wanted, subject_type; JSONL rows may follow LAMA instead
(sub_label, predicate_id, obj_label; without predicate_id the relation is the file's stem). Templates are TOML tables,
one a relation, with `statements` and `questions`, or JSONL rows with `[X]` and `[Y]` as in LAMA (`relation`,
`template`) and ParaRel (`pattern`, the relation being the file's stem); there a text with "?" before `[Y]` is a
question. Whatever cannot be used is refused in one sentence with file and line.
"""

import csv
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from infusionlaw.corpus import atlas
from infusionlaw.corpus.facts import INCOMPLETE, Fact, Knowledge, Templates, check_template, clean, complete
from infusionlaw.errors import InputError, nearest

COLUMNS = ("subject", "relation", "object")
LAMA_COLUMNS = {"subject": "sub_label", "relation": "predicate_id", "object": "obj_label"}
KINDS = ("statements", "questions")


class _Found(NamedTuple):
    """A template as it was found in a file."""

    relation: str
    kind: str
    text: str
    place: str


def load_knowledge(
    facts: str | Path | Sequence[str | Path],
    templates: Sequence[str | Path] = (),
    relations: Sequence[str] | None = None,
) -> Knowledge:
    """Facts and templates from files, checked and cleaned.

    `facts`: one or several files, or "atlas" for the built-in ones, which bring their templates; template files are
    merged. `relations`: those to use (None or empty: all in the facts). Of the atlas only subjects with all the chosen
    relations of their type are kept. Raises InputError with file and line.
    """
    sources = [facts] if isinstance(facts, str | Path) else list(facts)
    if not sources:
        raise InputError('no facts are named; give files, or "atlas" for the built-in ones')
    found = _templates([atlas.TEMPLATES, *templates] if "atlas" in sources else templates)
    known = {template.relation for template in found}
    for relation in relations or ():
        if relation not in known:
            raise InputError(f'relations: "{relation}" has no templates; {_near(relation, known)}')
    raw, left_out = _raw_facts(sources, set(relations or ()), known)
    merged = _merged(found, {fact.relation for fact in raw})
    kept, reasons = clean(raw)
    whole = complete(kept, atlas.TYPES) if "atlas" in sources else kept
    left_out += reasons + Counter({INCOMPLETE: len(kept) - len(whole)})
    used = {fact.relation for fact in whole}
    for relation in relations or sorted(merged):
        if relation not in used:
            there = nearest(relation, used) if used else "give other facts"
            raise InputError(f'{sources[0]}: no usable fact has the relation "{relation}" ({dict(left_out)}); {there}')
    return Knowledge(tuple(whole), merged, dict(left_out))


def _raw_facts(sources: Sequence[str | Path], wanted: set[str], known: set[str]) -> tuple[list[Fact], Counter[str]]:
    """The facts of the wanted relations (empty: all, and then each must have templates), not yet cleaned."""
    facts: list[Fact] = []
    left_out: Counter[str] = Counter()
    for source in sources:
        if source == "atlas":
            found, left_out = atlas.atlas_facts(wanted or None)
            facts += found
            continue
        for place, fact in read_facts(source):
            if not wanted and fact.relation not in known:
                raise InputError(
                    f'{place}: the relation "{fact.relation}" has no templates; {_near(fact.relation, known)}'
                )
            if not wanted or fact.relation in wanted:
                facts.append(fact)
    return facts, left_out


def _near(relation: str, known: set[str]) -> str:
    return nearest(relation, known) if known else "give a template file"


def read_facts(path: str | Path) -> Iterator[tuple[str, Fact]]:
    """The facts of one file, each with the place (file and line, or row) it was read at.

    Raises InputError for a missing column, an empty cell, or a file that cannot be read.
    """
    path = Path(path)
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise InputError(f'{path}: facts are read from {", ".join(readers)}, or named "atlas"; rename or convert it')
    empty = True
    for place, row in readers[path.suffix](path):
        empty = False
        yield place, _fact(row, path, place)
    if empty:
        raise InputError(f"{path}: there are no facts in it; give one a row")


def _fact(row: Mapping[str, Any], path: Path, place: str) -> Fact:
    names = dict(LAMA_COLUMNS) if "sub_label" in row else {name: name for name in COLUMNS}
    if "sub_label" in row and "predicate_id" not in row:
        row = {**row, "predicate_id": path.stem}
    subject, relation, answer = (_cell(row, name, place) for name in names.values())
    return Fact(subject, relation, answer, _text(row.get("subject_type")) or "")


def _cell(row: Mapping[str, Any], name: str, place: str) -> str:
    if name not in row:
        raise InputError(f'{place}: "{name}" is missing; a fact needs {", ".join(COLUMNS)}')
    text = _text(row[name])
    if text is None:
        raise InputError(f'{place}: "{name}" is {row[name]!r}, which is neither text nor a number; fix that cell')
    if not text:
        raise InputError(f'{place}: "{name}" is empty; fill it in or take the row out')
    return text


def _text(value: Any) -> str | None:
    """A cell as one line of text, None when it is neither text nor a number (NaN counts as empty)."""
    if value is None or value != value:
        return ""
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else None


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(
        StringIO(_read(path), newline=""), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in COLUMNS:
            if name not in header:
                raise InputError(f'{path}, line 1: column "{name}" is missing; facts need {", ".join(COLUMNS)}')
        for cells in reader:
            if not cells:
                continue
            place = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise InputError(f"{place}: {len(cells)} cells where the header has {len(header)}; fix that row")
            yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: broken CSV ({error}); fix the quotes of that row") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: broken JSON ({error}); fix or take out that line") from error
        if not isinstance(row, dict):
            raise InputError(f'{path}, line {number}: not a JSON object; write one {{"name": value}} object a line')
        yield f"{path}, line {number}", row


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet as parquet

    _refuse_absent(path)
    try:
        table = parquet.read_table(path)
    except Exception as error:  # pyarrow raises many kinds, some of them its own
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable Parquet file ({reason}); write it again") from error
    for name in COLUMNS:
        if name not in table.column_names and "sub_label" not in table.column_names:
            raise InputError(f'{path}: column "{name}" is missing; facts need {", ".join(COLUMNS)}')
    number = 0
    for batch in table.to_batches():
        for row in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", row


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: {'a folder; name the files in it' if path.is_dir() else 'no such file'}")


def _read(path: Path) -> str:
    """The text of a UTF-8 file; InputError with the line where it is not UTF-8."""
    _refuse_absent(path)
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error


def read_templates(paths: Sequence[str | Path]) -> dict[str, Templates]:
    """All templates of the files by relation, merged. Raises InputError with file and line.

    Every relation needs at least one statement and one question template, and no text may be both.
    """
    found = _templates(paths)
    return _merged(found, {template.relation for template in found})


def _templates(paths: Sequence[str | Path]) -> list[_Found]:
    """Every template of every file, each checked by itself."""
    found: list[_Found] = []
    for path in map(Path, paths):
        if path.suffix not in (".toml", ".jsonl"):
            raise InputError(f"{path}: templates are read from .toml and .jsonl; rename or convert it")
        found += _toml_templates(path) if path.suffix == ".toml" else _jsonl_templates(path)
    for template in found:
        check_template(template.text, template.place, question=template.kind == "questions")
    return found


def _merged(found: Sequence[_Found], used: set[str]) -> dict[str, Templates]:
    """The templates of the used relations, each with at least one statement and one question that differ."""
    merged = {}
    for relation in dict.fromkeys(template.relation for template in found if template.relation in used):
        own = [template for template in found if template.relation == relation]
        texts = {kind: tuple(dict.fromkeys(t.text for t in own if t.kind == kind)) for kind in KINDS}
        for kind in KINDS:
            if not texts[kind]:
                raise InputError(f'{own[0].place}: the relation "{relation}" has no {kind[:-1]} template; add one')
        for template in own:
            if template.kind == "questions" and template.text in texts["statements"]:
                raise InputError(f'{template.place}: "{template.text}" is also a statement; a question must differ')
        merged[relation] = Templates(relation, texts["statements"], texts["questions"])
    return merged


def _toml_templates(path: Path) -> Iterator[_Found]:
    source = _read(path)
    try:
        tables = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: broken TOML ({error}); fix that line") from error
    at = 0
    for relation, table in tables.items():
        line, at = _line(source, (f"[{relation}]",), at)
        place = f"{path}{line}, [{relation}]"
        if not isinstance(table, dict) or not any(table.values()):
            raise InputError(f"{place}: a relation is a table with {' and '.join(KINDS)}; write at least one of each")
        for kind, texts in table.items():
            if kind not in KINDS:
                raise InputError(f'{place}: unknown key "{kind}"; {nearest(kind, KINDS)}')
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise InputError(f'{place}: "{kind}" must be a list of texts; write {kind} = ["...", "..."]')
            for number, text in enumerate(texts, start=1):
                line, at = _line(source, (f'"{text}"', f"'{text}'"), at)
                yield _Found(relation, kind, text, f"{path}{line}, [{relation}] {kind}, text {number}")


def _line(source: str, spellings: tuple[str, ...], start: int) -> tuple[str, int]:
    """`, line 12` and the place of the first spelling found from `start` on; empty where it is written otherwise."""
    at = max(source.find(spelling, start) for spelling in spellings)
    return (f", line {source.count(chr(10), 0, at) + 1}", at) if at >= 0 else ("", start)


def _jsonl_templates(path: Path) -> Iterator[_Found]:
    for place, row in _jsonl_rows(path):
        text, relation = row.get("template", row.get("pattern")), row.get("relation", path.stem)
        if not isinstance(text, str) or not isinstance(relation, str):
            raise InputError(f'{place}: a template row needs a text "template" (or "pattern") with [X] and [Y]')
        for mark in re.findall(r"\[\w+\]", text):
            if mark not in ("[X]", "[Y]"):
                raise InputError(f'{place}: unknown placeholder "{mark}" in "{text}"; known: [X], [Y]')
        for mark in ("[X]", "[Y]"):
            if text.count(mark) != 1:
                raise InputError(f'{place}: "{text}" has {text.count(mark)} times "{mark}"; write it exactly once')
        kind = "questions" if "?" in text.split("[Y]")[0] else "statements"
        yield _Found(relation, kind, _sentence(text), place)


def _sentence(text: str) -> str:
    """The text with our placeholders, without the space that LAMA sets before a full stop."""
    text = text.replace("[X]", "{subject}").replace("[Y]", "{object}")
    return re.sub(r" +([.,;:?!])", r"\1", text).strip()
