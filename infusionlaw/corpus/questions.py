"""Multiple-choice questions: files of the usual shapes in one form, and how a model is asked them.

A file is read as any file of rows is (`runs.tabular`). Its columns are known by their names:

    the question     QUESTION, with a PASSAGE before it where there is one
    its options      a list of texts or of {text, label}, or {text: [...], label: [...]}, or {A: ..., B: ...} (LISTS);
                     or a column an option: A, B, …, opa, opb, … or option1, option2, …;
                     or the right one and distractor1, distractor2, …
    its answer       one of ANSWERS: a label or letter, a number from 0 or from 1, or the text of the option

How an answer is meant is decided from all rows together, and a file whose rows allow two readings is refused. Options
of equal text are one option.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from reprlib import repr
from string import ascii_uppercase
from typing import Any, Literal

from infusionlaw.corpus.digests import prepare_again
from infusionlaw.corpus.tokens import Tokenizer, one_place
from infusionlaw.errors import InputError
from infusionlaw.files import read_typed, write_typed
from infusionlaw.runs.tabular import Cells, bare, read_rows

FILE = "questions.json"  # of a corpus, where its study has files of questions
QUESTION = ("question", "question_text", "query", "question_stem", "stem", "prompt", "problem", "input", "ctx", "goal")
PASSAGE = ("passage", "article", "context")
LISTS = ("choices", "options", "answer_choices", "answer_options", "endings", "candidates", "alternatives")
ANSWERS = (
    *("answerKey", "answer_index", "answer_idx", "answer", "correct_answer", "correct_option", "correct_choice"),
    *("correct", "right_answer", "cop", "label", "gold", "target"),
)
RIGHT = ("correct_answer", "right_answer", "best_answer", "correct", "answer")  # its text, beside wrong ones
WRONG = re.compile(r"(distractor|(incorrect|wrong)(answer|option|choice)?)s?\d*")
OPTION = re.compile(r"(option|choice|answer|ending|sol|op|)([a-z]|\d{1,2})")
MOST = 26  # options, for so many letters there are
_AT_ONCE = 1000  # questions tokenised at a time


@dataclass(frozen=True)
class Question:
    """One question. right: the number of the right option, from 0; row: where it stands in its file."""

    text: str
    options: tuple[str, ...]
    right: int
    row: int


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one file, and how they are asked. shape: how the file was read, in words.

    examples: solved questions that are put before each; repeated: questions of which equal options were made one.
    """

    role: Literal["domain", "general"]
    prompt: Literal["cloze", "lettered"]
    shape: str
    examples: tuple[Question, ...]
    questions: tuple[Question, ...]
    repeated: int

    @property
    def guessing(self) -> float:
        """What blind guessing gives: mean of 1 / options."""
        return math.fsum(1 / len(question.options) for question in self.questions) / len(self.questions)

    @property
    def options(self) -> tuple[int, int]:
        """The fewest and the most options of a question."""
        counts = [len(question.options) for question in self.questions]
        return min(counts), max(counts)

    @cached_property
    def _before(self) -> str:
        return "".join(f"{self._shown(one)} {self.answers(one)[one.right]}\n\n" for one in self.examples)

    def asked(self, question: Question) -> str:
        """Return the text before an answer: solved examples, then the question, up to "Answer:"."""
        return self._before + self._shown(question)

    def answers(self, question: Question) -> tuple[str, ...]:
        """Return what is scored behind a space, one for each option: its text, or its letter."""
        return question.options if self.prompt == "cloze" else tuple(ascii_uppercase[: len(question.options)])

    def _shown(self, question: Question) -> str:
        if self.prompt == "cloze":
            return f"Question: {question.text}\nAnswer:"
        listed = "".join(f"{letter}. {text}\n" for letter, text in zip(ascii_uppercase, question.options, strict=False))
        return f"{question.text}\n{listed}Answer:"


@dataclass(frozen=True)
class Asked:
    """One question as tokens: a row for each option, all alike before `first`, from where they are scored."""

    rows: tuple[list[int], ...]
    first: int
    cut: bool


def write_questions(folder: Path, sets: Mapping[str, QuestionSet]) -> None:
    """Write the questions of a study into the folder of its corpus."""
    write_typed(folder / FILE, dict(sets), dict[str, QuestionSet], "files")


def open_questions(folder: Path) -> dict[str, QuestionSet]:
    """Read the questions of a corpus by the names of their files; none where the study has none."""
    if not (folder / FILE).exists():
        return {}
    return read_typed(
        folder / FILE, dict[str, QuestionSet], "the questions of a corpus", prepare_again(folder), "files"
    )


def tokenised(own: QuestionSet, tokenizer: Tokenizer, block: int) -> Iterator[Asked]:
    """Yield every question as token rows that begin with end-of-text.

    Of one that is longer than a block only the last `block` + 1 tokens are kept, of which the last is only scored.
    """
    for start in range(0, len(own.questions), _AT_ONCE):
        part = own.questions[start : start + _AT_ONCE]
        texts = [(own.asked(one), f" {answer}") for one in part for answer in own.answers(one)]
        encoded = iter(tokenizer.encode_from(texts))
        for question in part:
            rows = [next(encoded) for _ in question.options]
            first = one_place(rows) + 1
            over = max(0, max(len(ids) for ids, _ in rows) - block)
            yield Asked(tuple([tokenizer.end_of_text, *ids][over:] for ids, _ in rows), first - over, over > 0)


def check_tokens(own: QuestionSet, asked: Sequence[Asked], file: Path, tokenizer: Tokenizer) -> None:
    """Refuse options that are equal for a model, that have no tokens, and that are longer than a block."""
    for question, tokens in zip(own.questions, asked, strict=True):
        place, answers = f"{file}, row {question.row}", own.answers(question)
        if tokens.first < 1:
            raise InputError(f"{place}: an option is longer than a block; raise block in [training], or shorten it")
        seen: dict[tuple[int, ...], str] = {}
        for ids, answer in zip(tokens.rows, answers, strict=True):
            scored = tuple(ids[tokens.first :])
            if not scored:
                raise InputError(
                    f'{place}: {tokenizer.path.name} gives the option "{answer}" no tokens of its own, so it cannot be '
                    "scored; use another tokenizer, or take the question out"
                )
            if scored in seen:
                raise InputError(
                    f'{place}: {tokenizer.path.name} gives the options "{seen[scored]}" and "{answer}" the same '
                    "tokens, so no model can tell them apart; use another tokenizer, or take the question out"
                )
            seen[scored] = answer


def read_questions(
    path: Path,
    *,
    role: Literal["domain", "general"] = "domain",
    prompt: Literal["cloze", "lettered"] = "cloze",
    shots: int = 0,
    limit: int = 0,
) -> QuestionSet:
    """Read a file of multiple-choice questions; InputError with file and row where it cannot be used.

    shots: its first questions are the solved examples and are not asked; limit: of the others at most so many are
    asked, evenly spread over the file; 0: all.
    """
    header, rows = read_rows(path)
    if any(isinstance(row.get(name), dict) for row in rows.values() for name in header if bare(name) == "question"):
        rows = {number: _unnested(row) for number, row in rows.items()}
        header = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = _columns(path, header, rows)
    found = [_found(columns, f"{path}, row {number}", number, row) for number, row in rows.items()]
    way, rights = columns.decide(path, found)
    questions, repeated = [], []
    for one, right in zip(found, rights, strict=True):
        distinct = list(dict.fromkeys(one.options))
        if len(distinct) < 2:
            raise InputError(
                f"{path}, row {one.row}: {_few(one.options)}; give at least two different ones, or take it out"
            )
        if len(distinct) < len(one.options):
            repeated.append(one.row)
        questions.append(Question(one.text, tuple(distinct), distinct.index(one.options[right]), one.row))
    if shots >= len(questions):
        raise InputError(
            f"{path}: has {len(questions):,} questions, and shots takes the first {shots:,} as solved examples, so "
            "none is left to ask; lower shots"
        )
    asked = _spread(questions[shots:], limit)
    return QuestionSet(
        role=role,
        prompt=prompt,
        shape=columns.words(way),
        examples=tuple(questions[:shots]),
        questions=tuple(asked),
        repeated=len({one.row for one in asked}.intersection(repeated)),
    )


def _few(options: Sequence[str]) -> str:
    return f'all its options are "{options[0]}"' if len(options) > 1 else "it has one option"


def _spread(questions: list[Question], limit: int) -> list[Question]:
    """At most `limit` of the questions, evenly spread; 0: all."""
    if not limit or limit >= len(questions):
        return questions
    return [questions[i * len(questions) // limit] for i in range(limit)]


def _unnested(row: Cells) -> Cells:
    """A row whose question is an object {stem, choices}, as in the first files of ARC, with its keys as columns."""
    name = next((name for name in row if bare(name) == "question" and isinstance(row[name], dict)), None)
    return row if name is None else {**{key: cell for key, cell in row.items() if key != name}, **row[name]}


# Columns


@dataclass(frozen=True)
class _Found:
    """A row: its question, options and their labels, and what it says of the answer."""

    row: int
    text: str
    options: tuple[str, ...]
    labels: tuple[str, ...]
    answer: Any


@dataclass(frozen=True)
class _Columns:
    """The columns of a file. listed: of the list of options; each: the columns of one option each, by their labels;
    wrong: those of wrong options, where `answer` is the text of the right one."""

    question: str
    passage: str | None
    listed: str | None
    each: tuple[tuple[str, str], ...]
    wrong: tuple[str, ...]
    answer: str

    def words(self, way: str) -> str:
        """How the file is read, in words."""
        if self.wrong:
            options = f'"{self.answer}" (right) and {_named(self.wrong)} (wrong)'
        else:
            options = f'"{self.listed}" (a list)' if self.listed else _named([name for _, name in self.each])
            options += f' and "{self.answer}" ({way})'
        asked = f'"{self.passage}" and "{self.question}"' if self.passage else f'"{self.question}"'
        return f"{asked}, {options}"

    def decide(self, path: Path, rows: Sequence[_Found]) -> tuple[str, list[int]]:
        """Return how all answers are meant, in words, and the right option of each row.

        Raises InputError where no way fits all rows, or two that differ do.
        """
        if self.wrong:
            return "text", [one.options.index(one.answer) for one in rows]
        for one in rows:
            self._check_given(f"{path}, row {one.row}", one)
        meant = {way: [read(one) for one in rows] for way, read in _WAYS.items()}
        fit = [way for way, rights in meant.items() if None not in rights]
        if not fit:
            raise self._unfit(path, rows, meant)
        best = fit[0]
        for other in fit[1:]:
            if {best, other} in _DOUBTFUL and meant[best] != meant[other]:
                pairs = zip(rows, meant[best], meant[other], strict=True)
                odd = next(one for one, first, second in pairs if first != second)
                raise InputError(
                    f'{path}, row {odd.row}: "{self.answer}" is {repr(odd.answer)}, which may be {best} or {other}, '
                    "and no row tells which; write the letter of the right option, as in A"
                )
        return best, [right for right in meant[best] if right is not None]

    def _check_given(self, place: str, one: _Found) -> None:
        if one.answer in (None, "", -1, "-1"):
            raise InputError(
                f'{place}: "{self.answer}" is {"empty" if one.answer in (None, "") else -1}, so there is no right '
                "answer; take such rows out (files made for a test keep the answers back)"
            )
        if isinstance(one.answer, list | tuple | dict):
            raise InputError(f'{place}: "{self.answer}" is {repr(one.answer)}; give one right answer a question')

    def _unfit(self, path: Path, rows: Sequence[_Found], meant: Mapping[str, Sequence[int | None]]) -> InputError:
        """What to say where no way fits all rows: the first row that does not fit the way of most."""
        way = max(meant, key=lambda way: sum(right is not None for right in meant[way]))
        one = rows[meant[way].index(None)]
        known = _span(one.labels or ascii_uppercase[: len(one.options)])
        others = sum(right is not None for right in meant[way])
        return InputError(
            f'{path}, row {one.row}: "{self.answer}" is {repr(one.answer)}, which is none of its {len(one.options)} '
            + (f"options ({known}), while {others:,} other rows have {way}; " if others else f"options ({known}); ")
            + "write the letter of the right one, its text, or its number from 0"
        )


def _span(labels: Sequence[str]) -> str:
    return f"{labels[0]} to {labels[-1]}"


def _named(columns: Sequence[str]) -> str:
    return f'"{columns[0]}" to "{columns[-1]}"' if len(columns) > 1 else f'"{columns[0]}"'


def _columns(path: Path, header: Sequence[str], rows: Mapping[int, Cells]) -> _Columns:
    """Which columns hold what; InputError where some are missing."""

    def first(names: Sequence[str], header: Sequence[str]) -> str | None:
        known = [bare(name) for name in names]
        return min((n for n in header if bare(n) in known), key=lambda name: known.index(bare(name)), default=None)

    filled = [name for name in header if any(row.get(name) is not None for row in rows.values())]
    question = first(QUESTION, filled) or first(QUESTION, header)
    passage, listed = first(PASSAGE, filled), first(LISTS, filled)
    wrong = tuple(name for name in header if WRONG.fullmatch(bare(name)))
    each = () if listed or wrong else _option_columns([name for name in header if name != question])
    right = RIGHT if wrong else ANSWERS
    answer = first(right, filled) or first(right, header)
    lacking = [
        what
        for what, there in (("question", question), ("options", listed or wrong or each), ("right answer", answer))
        if not there
    ]
    if question is None or answer is None or lacking:
        has = ", ".join(f'"{name}"' for name in header[:12])
        raise InputError(
            f"{path}, row {min(rows)}: no column is known as the {' or the '.join(lacking)}, only {has} are there; "
            "name the columns question, A, B, C, D and answer (the first row of a text table names them)"
        )
    return _Columns(question, passage, None if wrong else listed, each, wrong, answer)


def _option_columns(header: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The columns of one option each with their labels: A, B, … or 0, 1, … or 1, 2, …, behind one lead or none."""
    leads: dict[str, dict[str, str]] = {}
    for name in header:
        if found := OPTION.fullmatch(bare(name)):
            leads.setdefault(found[1], {})[found[2]] = name
    for labels in ([chr(97 + i) for i in range(MOST)], list(map(str, range(MOST))), list(map(str, range(1, MOST)))):
        for lead, own in leads.items():
            count = next((i for i, label in enumerate(labels) if label not in own), len(labels))
            if count >= 2 and (lead or labels[0] == "a"):
                return tuple((label.upper(), own[label]) for label in labels[:count])
    return ()


# Rows


def _found(columns: _Columns, place: str, number: int, row: Cells) -> _Found:
    text = _text(row.get(columns.question), f'{place}: "{columns.question}"')
    if columns.passage and row.get(columns.passage) is not None:
        text = f"{_text(row[columns.passage], f'{place}: {columns.passage}')}\n{text}"
    answer = row.get(columns.answer)
    labels: tuple[str, ...] = ()
    if columns.wrong:
        cells = [cell for name in columns.wrong for cell in _cells(row.get(name))]
        answer = _text(answer, f'{place}: "{columns.answer}"')
        wrong = [_text(cell, f'{place}: "{columns.wrong[0]}"') for cell in cells]
        options = tuple(sorted({answer, *wrong}, key=lambda option: _drawn(text, option)))
    elif columns.listed:
        options, labels = _listed(row.get(columns.listed), f'{place}: "{columns.listed}"')
    else:
        filled = [(label, name) for label, name in columns.each if row.get(name) is not None]
        options = tuple(_text(row[name], f'{place}: "{name}"') for _, name in filled)
        labels = tuple(label for label, _ in filled)
    if not options:
        raise InputError(f"{place}: there are no options; fill them in or take the row out")
    if len(options) > MOST:
        raise InputError(f"{place}: there are {len(options)} options, and {MOST} are the most; take some out")
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)  # as pandas keeps whole numbers beside empty cells
    return _Found(number, text, options, labels, answer.strip() if isinstance(answer, str) else answer)


def _drawn(question: str, option: str) -> bytes:
    """An order of options that says nothing of which is right, and is the same every time."""
    return hashlib.blake2b(f"{question}\0{option}".encode("utf8", "replace"), digest_size=8).digest()


def _cells(cell: Any) -> list[Any]:
    """The wrong options of a cell: one, or a list of them; none where it is empty."""
    if isinstance(cell, str) and cell.startswith("["):
        cell = _json(cell)
    return [one for one in (cell if isinstance(cell, list | tuple) else [cell]) if one is not None]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


_TEXTS, _LABELS = ("text", "value", "option", "choice", "content"), ("label", "key", "id", "letter")


def _listed(cell: Any, place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Options and labels ("" for none) of one cell that holds them all."""
    value = _json(cell) if isinstance(cell, str) else cell
    pairs: list[tuple[Any, Any]]
    if isinstance(value, dict) and all(isinstance(value.get(key), list | tuple) for key in ("text", "label")):
        if len(value["text"]) != len(value["label"]):
            raise InputError(f"{place} has {len(value['text'])} texts and {len(value['label'])} labels; fix that row")
        pairs = list(zip(value["label"], value["text"], strict=True))
    elif isinstance(value, dict):
        pairs = [(label, text) for label, text in value.items() if text is not None]
    elif isinstance(value, list | tuple) and value and all(isinstance(one, dict) for one in value):
        pairs = [(_first(one, _LABELS), _first(one, _TEXTS)) for one in value]
    elif isinstance(value, list | tuple):
        pairs = [(None, text) for text in value]
    else:
        raise InputError(
            f'{place} is {repr(cell)}, which is no list of options; write it as JSON, ["...", "..."], or give each '
            "option a column: A, B, C, D"
        )
    labels = tuple("" if label is None else str(label).strip() for label, _ in pairs)
    options = tuple(_text(text, f"{place}, option {i}") for i, (_, text) in enumerate(pairs, start=1))
    folded = [label.casefold() for label in labels]
    if any(labels) and len(set(folded)) < len(folded):
        raise InputError(f"{place} has a label twice ({', '.join(labels)}); fix that row")
    return options, labels if any(labels) else ()


def _first(cells: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((cells[name] for name in names if name in cells), None)


def _text(cell: Any, place: str) -> str:
    """A cell as text."""
    if cell is None or (isinstance(cell, str) and not cell.strip()) or cell != cell:
        raise InputError(f"{place} is empty; fill it in or take the row out")
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise InputError(f"{place} is {repr(cell)}, which is neither text nor a number; fix that row")
    text = str(cell).strip()
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise InputError(f"{place} is not UTF-8: half of a surrogate pair; fix that text") from error
    return text


# What an answer may mean: the number of the option, None where it cannot mean that.


def _by_label(one: _Found) -> int | None:
    """By its label, or its letter where options have none."""
    word = str(one.answer).strip("().: ").casefold()
    labels = [label.casefold() for label in one.labels or ascii_uppercase[: len(one.options)]]
    return labels.index(word) if word in labels else None


def _by_text(one: _Found) -> int | None:
    if not isinstance(one.answer, str):
        return None
    if one.answer in one.options:
        return one.options.index(one.answer)
    folded = [option.casefold() for option in one.options]
    return folded.index(one.answer.casefold()) if folded.count(one.answer.casefold()) == 1 else None


def _number(one: _Found, first: int) -> int | None:
    digits = str(one.answer)
    if isinstance(one.answer, bool) or not (digits.isascii() and digits.isdecimal() and len(digits) < 3):
        return None
    place = int(digits) - first
    return place if 0 <= place < len(one.options) else None


_LABEL, _TEXT, _FROM_0, _FROM_1 = "a letter or label", "its text", "a number from 0", "a number from 1"
_WAYS: dict[str, Callable[[_Found], int | None]] = {
    _LABEL: _by_label,
    _TEXT: _by_text,
    _FROM_0: lambda one: _number(one, 0),
    _FROM_1: lambda one: _number(one, 1),
}
# Two ways between which nothing is guessed where both fit all rows. A label goes before a number.
_DOUBTFUL = ({_LABEL, _TEXT}, {_TEXT, _FROM_0}, {_TEXT, _FROM_1}, {_FROM_0, _FROM_1})
