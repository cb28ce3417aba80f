"""From files to knowledge: facts in any file of rows, templates in TOML or JSON Lines.

Facts have the columns subject, relation, object and, if wanted, subject_type, or other usual names (`NAMES`); where
LAMA's rows have no predicate_id, the relation is the file's stem. Templates are TOML tables, one a relation, with
`statements` and `questions`, or JSON rows with `[X]` and `[Y]` as in LAMA (`relation`, `template`) and ParaRel
(`pattern`, the relation being the file's stem); there a text with a question mark before `[Y]` is a question, unless
its `kind` says otherwise. Whatever cannot be used is refused in one sentence with file and row.
"""

import math
import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr
from typing import Any, NamedTuple

import regex

from infusionlaw.corpus import atlas
from infusionlaw.corpus.facts import (
    INCOMPLETE,
    INVERSE,
    Fact,
    Knowledge,
    Templates,
    check_template,
    clean,
    complete,
    one_way,
)
from infusionlaw.errors import InputError, nearest
from infusionlaw.runs.packed import ending, open_text
from infusionlaw.runs.tabular import JSON, TEXT_TABLES, bare, read_rows

PARTS = ("subject", "relation", "object")
# Other names of the parts, as in LAMA, PopQA, ConceptNet and tables of triples; a label goes before an identifier.
NAMES = {
    "subject": (
        "sub_label",
        "subject_label",
        "subj_label",
        "subject",
        "sub",
        "subj",
        "head",
        "head_entity",
        "entity",
        "s",
    ),
    "relation": ("relation", "predicate_id", "relation_label", "predicate", "pred", "property", "prop", "rel", "p"),
    "object": ("obj_label", "object_label", "object", "obj", "tail", "tail_entity", "answer", "o"),
    "subject_type": ("subject_type",),
}
KINDS = ("statements", "questions")
LONGEST = 10_000  # characters of a subject, a relation, an object and a template
LONGEST_TOML = 1_000_000  # characters of a TOML file of templates
# What ends a sentence in any script; Unicode does not count colons, dots and Tibetan strokes among these.
SENTENCE_END = regex.compile(r"[\p{Sentence_Terminal}:\uff1a\ufe13\ufe55\u2026\u0f0d-\u0f11\u0f14\u1801]\W*$")
WHOLE = re.compile(r"-?(0|[1-9]\d*)\.0")
GREEK = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")


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
    relations of their type are kept. Raises InputError with file and row.
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
    complete_ones = complete(kept, atlas.TYPES) if "atlas" in sources else kept
    whole = one_way(complete_ones)
    left_out += reasons + Counter(
        {INCOMPLETE: len(kept) - len(complete_ones), INVERSE: len(complete_ones) - len(whole)}
    )
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
    """The facts of one file, each with the place (file and row) it was read at.

    Raises InputError for a missing column, an empty cell, or a file that cannot be read.
    """
    path = Path(path)
    header, rows = read_rows(path)
    default = {"subject_type": "", **({"relation": path.stem} if "sub_label" in header else {})}
    columns = _columns(header, default, path)
    if ending(path) in TEXT_TABLES:
        _without_point(rows, {name for own in columns.values() for name in own})
    for number, row in rows.items():
        place = f"{path}, row {number}"
        yield place, Fact(**{name: _cell(row, own, default.get(name), place) for name, own in columns.items()})


def _without_point(rows: Mapping[int, dict[str, Any]], columns: Collection[str]) -> None:
    """Take the ".0" off where a whole column is like 1999.0: a program has kept its whole numbers as floats."""
    for column in columns:
        filled = [row for row in rows.values() if row[column] is not None]
        if all(WHOLE.fullmatch(row[column]) for row in filled):
            for row in filled:
                row[column] = row[column].removesuffix(".0")


def _columns(header: Sequence[str], default: Mapping[str, str], path: Path) -> dict[str, list[str]]:
    """The file's columns that may hold each part of a fact, the likeliest first; none for a part with a default."""
    found = {}
    for name, names in NAMES.items():
        known = [bare(other) for other in names]
        mine = [column for column in header if bare(column) in known]
        if twice := next((column for column, n in Counter(map(bare, mine)).items() if n > 1), None):
            both = " and ".join(f'"{column}"' for column in mine if bare(column) == twice)
            raise InputError(f"{path}: the columns {both} may both be the {name}; rename or remove one")
        found[name] = sorted(mine, key=lambda column: known.index(bare(column)))
    missing = [name for name in PARTS if not found[name] and name not in default]
    if missing:
        has = ", ".join(header[:8])
        raise InputError(
            f"{path}: no column is known as the {' or the '.join(missing)}; a fact needs {', '.join(PARTS)}, and this "
            f"file has {has}; rename its columns (the first row must hold their names)"
        )
    return found


def _cell(row: Mapping[str, Any], columns: Sequence[str], default: str | None, place: str) -> str:
    """One part of a fact as one line of text, from the first of the columns that is filled in."""
    column = next((name for name in columns if row[name] is not None and row[name] == row[name]), None)
    if column is None:
        if default is None:
            raise InputError(f'{place}: "{columns[0]}" is empty; fill it in or take the row out')
        return default
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value in (math.inf, -math.inf):
        raise InputError(f'{place}: "{column}" is {repr(value)}, which is neither text nor a number; fix that cell')
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a year that was kept as 1999.0
    if len(lines := str(value).splitlines()) > 1:
        raise InputError(f'{place}: "{column}" has {len(lines)} lines, the first "{lines[0]}"; write it on one line')
    if len(str(value)) > LONGEST:
        raise InputError(f'{place}: "{column}" has {len(str(value)):,} characters and may have {LONGEST:,}; shorten it')
    return " ".join(str(value).split())


def _read(path: Path) -> str:
    with open_text(path) as text:
        source = text.read(LONGEST_TOML + 1)
    if len(source) > LONGEST_TOML:
        raise InputError(f"{path}: longer than {LONGEST_TOML:,} characters; split it into several template files")
    return source


def read_templates(paths: Sequence[str | Path]) -> dict[str, Templates]:
    """All templates of the files by relation, merged. Raises InputError with file and row.

    Every relation needs at least one statement and one question template, and no text may be both.
    """
    found = _templates(paths)
    return _merged(found, {template.relation for template in found})


def _templates(paths: Sequence[str | Path]) -> list[_Found]:
    """Every template of every file, each checked by itself."""
    found: list[_Found] = []
    for path in map(Path, paths):
        if ending(path) not in (".toml", *JSON):
            raise InputError(f"{path}: templates are read from .toml, {', '.join(JSON)}; rename or convert it")
        found += _toml_templates(path) if ending(path) == ".toml" else _json_templates(path)
    for template in found:
        if len(template.text) > LONGEST:
            raise InputError(f"{template.place}: a template may have {LONGEST:,} characters; shorten it")
        check_template(template.text, template.place, question=template.kind == "questions")
    return found


def _merged(found: Sequence[_Found], used: set[str]) -> dict[str, Templates]:
    """The templates of the used relations, each with at least one statement and one question that differ."""
    merged = {}
    by_relation: dict[str, list[_Found]] = defaultdict(list)
    for template in found:
        by_relation[template.relation].append(template)
    for relation, own in by_relation.items():
        if relation not in used:
            continue
        texts = {kind: tuple(dict.fromkeys(t.text for t in own if t.kind == kind)) for kind in KINDS}
        for kind in KINDS:
            if not texts[kind]:
                raise InputError(f'{own[0].place}: the relation "{relation}" has no {kind[:-1]} template; add one')
        statements = set(texts["statements"])
        for template in own:
            if template.kind == "questions" and template.text in statements:
                raise InputError(f'{template.place}: "{template.text}" is also a statement; a question must differ')
        merged[relation] = Templates(relation, texts["statements"], texts["questions"])
    return merged


def _toml_templates(path: Path) -> Iterator[_Found]:
    source = _read(path)
    try:
        tables = tomllib.loads(source)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and deep nesting
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


def _json_templates(path: Path) -> Iterator[_Found]:
    for number, row in read_rows(path)[1].items():
        place = f"{path}, row {number}"
        texts = (row.get(name) for name in ("template", "pattern"))
        text = next((text for text in texts if text is not None), None)
        relation = path.stem if row.get("relation") is None else row["relation"]
        if not isinstance(text, str) or not isinstance(relation, str):
            raise InputError(f'{place}: a template row needs a text "template" (or "pattern") with [X] and [Y]')
        for mark in re.findall(r"\[\w+\]", text):
            if mark not in ("[X]", "[Y]"):
                raise InputError(f'{place}: unknown placeholder "{mark}" in "{text}"; known: [X], [Y]')
        for mark in ("[X]", "[Y]"):
            if text.count(mark) != 1:
                raise InputError(f'{place}: "{text}" has {text.count(mark)} times "{mark}"; write it exactly once')
        yield _Found(relation, _kind(text, row.get("kind"), place), _sentence(text), place)


def _kind(text: str, given: Any, place: str) -> str:
    """What a row says it is; else a question where a question mark of any script stands before the answer."""
    if given is not None:
        kinds = {word: kind for kind in KINDS for word in (kind, kind.removesuffix("s"))}
        if not isinstance(given, str) or given not in kinds:
            raise InputError(f'{place}: "kind" is {repr(given)}; write "statement" or "question"')
        return kinds[given]
    before = text.split("[Y]")[0]
    if _asks(before):
        return "questions"
    if SENTENCE_END.search(before):
        raise InputError(
            f'{place}: "{text}" may be a statement or a question, for its answer is a sentence of its own and there is '
            'no question mark; add "kind": "question" or "kind": "statement" to the row'
        )
    return "statements"


def _asks(text: str) -> bool:
    """Whether there is a question mark of any script in a text; the Greek one is written as a semicolon."""
    names = (unicodedata.name(sign, "") for sign in text if unicodedata.category(sign) in ("Po", "So"))
    asks = any("QUESTION" in name or "INTERROBANG" in name for name in names)
    return asks or (";" in text and GREEK.search(text) is not None)


def _sentence(text: str) -> str:
    """The text with our placeholders, without the space that LAMA sets before a full stop."""
    text = text.replace("[X]", "{subject}").replace("[Y]", "{object}")
    return re.sub(r"(?<! ) +([.,;:?!])", r"\1", text).strip()
