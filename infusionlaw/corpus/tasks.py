"""Write what a study asks as tasks of lm-evaluation-harness: a YAML file and a JSON Lines file each.

The harness gives a model `text`, and scores each of the `choices` behind it. Both are cut here so that it sees the
tokens that our probes see, and scores all options of a question from one token. It is told to put nothing between the
two. A question begins with end-of-text, as in our probes; the options of a fact also end with it.
"""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from infusionlaw.corpus import task_scores
from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.probes import FactQuestion, asked_facts, fact_tokens
from infusionlaw.corpus.questions import Asked, QuestionSet, tokenised
from infusionlaw.corpus.tokens import Tokenizer, one_place
from infusionlaw.files import write_text
from infusionlaw.starts import read_tokenizer

SCORES = "scores.py"  # of the folder: `task_scores`
_CONFIG = """\
# {what}
task: {task}
tag: {tag}
custom_dataset: !function scores.questions
dataset_kwargs: {{file: {file}}}
test_split: test
output_type: multiple_choice
doc_to_text: text
doc_to_choice: choices
doc_to_target: answer
target_delimiter: ""
num_fewshot: 0
process_results: !function scores.{process}
metric_list:
{metrics}
metadata: {{version: 1.0, guessing: {guessing}, questions: {questions}}}
"""
_METRIC = "  - {{metric: {name}, aggregation: {aggregation}, higher_is_better: {higher}}}"


@dataclass(frozen=True)
class Reader:
    """How a model reads text in the harness. longest: the tokens that it can read at once; None: any number."""

    tokenizer: Tokenizer
    longest: int | None = None

    @cached_property
    def harness(self) -> "_Harness":
        """How the harness makes tokens with its tokenizer."""
        return _Harness(self.tokenizer)


def reader_of(model: Path) -> Reader:
    """Return how the model of a Hugging Face folder reads text."""
    found = read_tokenizer(model)
    return Reader(Tokenizer(found.tokenizer, found.end_of_text), found.longest)


@dataclass(frozen=True)
class Task:
    """A task that was written. guessing: what blind guessing gives.

    apart: questions of which the harness makes other tokens than our probes, so that answers may differ.
    """

    name: str
    questions: int
    guessing: float
    apart: int


@dataclass(frozen=True)
class _Line:
    """A question as the harness gets it. apart: it makes other tokens of it than our probes."""

    text: str
    choices: tuple[str, ...]
    apart: bool


def tag_of(study: str) -> str:
    """Return the name that stands for all tasks of a study."""
    return f"{_plain(study)}_probes"


def write_tasks(corpus: Corpus, study: str, block: int, out: Path, reader: Reader | None = None) -> list[Task]:
    """Write the tasks of a study into a folder, for one model's tokenizer. block: of the study's training.

    reader: None for the study's own tokenizer, and models that read a block.
    """
    reader = reader or Reader(corpus.tokenizer, block)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(task_scores.__file__, out / SCORES)
    written = []
    for score, questions in asked_facts(corpus).items():
        if questions:
            lines = _fact_lines(score, questions, reader)
            written.append(_write(out, study, score, lines, "about_fact", _of_facts(score)))
    for name, own in corpus.questions.items():
        lines = _file_lines(name, own, reader, block)
        written.append(_write(out, study, name, lines, "about_file", _of_file(name)))
    return written


def _of_facts(score: str) -> list[str]:
    mean, error = (f"!function scores.{name}_of_facts" for name in ("mean", "error"))
    return [_metric(score, mean), _metric(f"{score}_stderr", error, "false"), _metric(_guessing(score), "mean")]


def _of_file(name: str) -> list[str]:
    higher = {f"accuracy:{name}": "true", f"accuracy_norm:{name}": "true", f"answer_loss:{name}": "false"}
    return [_metric(metric, "mean", each) for metric, each in {**higher, _guessing(name): "true"}.items()]


def _metric(name: str, aggregation: str, higher: str = "true") -> str:
    return _METRIC.format(name=_quoted(name), aggregation=aggregation, higher=higher)


def _guessing(score: str) -> str:
    """The column that says what guessing gives of a score."""
    return "chance" if score == "recall" else f"chance:{score}"


def _write(
    out: Path, study: str, score: str, lines: Iterator[tuple[dict[str, Any], bool]], process: str, metrics: list[str]
) -> Task:
    name = f"{_plain(study)}_{_plain(score)}"
    docs, apart = zip(*lines, strict=True)
    guessing = sum(1 / len(doc["choices"]) for doc in docs) / len(docs)
    write_text(out / f"{name}.jsonl", "".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in docs))
    config = _CONFIG.format(
        what=f"{score}, {len(docs):,} questions; guessing gets {guessing:.4g} right",
        task=name,
        tag=tag_of(study),
        file=_quoted(f"{name}.jsonl"),
        process=process,
        metrics="\n".join(metrics),
        guessing=guessing,
        questions=len(docs),
    )
    write_text(out / f"{name}.yaml", config)
    return Task(name, len(docs), guessing, sum(apart))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(name: str) -> str:
    """A name as the command line of the harness takes it, which splits at commas."""
    return re.sub(r"\W+", "_", name)


def _fact_lines(score: str, questions: Sequence[FactQuestion], reader: Reader) -> Iterator[tuple[dict[str, Any], bool]]:
    end = reader.tokenizer.end_text
    texts = [(one.prompt, tuple(text + end for text in one.continuations)) for one in questions]
    lines = _lines(texts, list(fact_tokens(questions, reader.tokenizer)), reader)
    for number, (one, line) in enumerate(zip(questions, lines, strict=True)):
        place = number % len(line.choices)  # the right one is not always the first
        right, *others = line.choices
        yield (
            {
                "text": line.text,
                "choices": [*others[:place], right, *others[place:]],
                "answer": place,
                "score": score,
                "guessing": _guessing(score),
                "fact": one.fact,
            },
            line.apart,
        )


def _file_lines(name: str, own: QuestionSet, reader: Reader, block: int) -> Iterator[tuple[dict[str, Any], bool]]:
    texts = [(own.asked(one), tuple(f" {text}" for text in own.answers(one))) for one in own.questions]
    lines = _lines(texts, list(tokenised(own, reader.tokenizer, block)), reader, exact=True)
    for one, line in zip(own.questions, lines, strict=True):
        yield (
            {
                "text": line.text,
                "choices": list(line.choices),
                "answer": one.right,
                "score": name,
                "guessing": _guessing(name),
                "bytes": [len(text.encode()) for text in own.answers(one)],
                "row": one.row,
            },
            line.apart,
        )


def _lines(
    texts: Sequence[tuple[str, tuple[str, ...]]], asked: Sequence[Asked], reader: Reader, exact: bool = False
) -> Iterator[_Line]:
    """Yield questions, prompt and continuations, cut where the harness then scores from the token that we score from.

    Where it cannot be had there, all options are scored from an earlier token, before which they are alike: the answer
    is the same. exact: log-likelihoods matter too, so such a question counts as apart.
    """
    harness, before = reader.harness, reader.harness.before
    for (prompt, continuations), tokens in zip(texts, asked, strict=True):
        whole = harness.begin + prompt
        found = [harness.encode(whole + text) for text in continuations]
        rows = [before + row for row in tokens.rows]
        same = [ids[-len(row) :] for (ids, _), row in zip(found, rows, strict=True)] == rows
        over = len(found[0][0]) - len(rows[0])
        first = len(before) + tokens.first + over if same else one_place([(ids, len(ids)) for ids, _ in found])
        cut, at = harness.cut(whole, found, first)
        longest = reader.longest or max(map(len, rows))
        read = [ids[-longest - 1 :] for ids, _ in found]
        apart = read != rows or (exact and at != first)
        yield _Line(whole[:cut], tuple(whole[cut:] + text for text in continuations), apart)


class _Harness:
    """How the harness makes tokens: as `AutoTokenizer` does, which finds special tokens in a text.

    begin: what a text begins with, so that a model reads end-of-text before the question. before: tokens of it before
    that. Where the tokenizer puts end-of-text before every text, the harness does not put it before another one.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import Tokenizer as Backend

        self._backend: Any = Backend.from_file(str(tokenizer.path))
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.add_special_tokens([tokenizer.end_text])
        self.before = [tokenizer.end_of_text] if self._backend.encode("").ids == [tokenizer.end_of_text] else []
        self.begin = tokenizer.end_text * (1 + len(self.before))

    def encode(self, text: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a text and where each begins, without what is put before every text."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return encoding.ids, [start for start, _ in encoding.offsets]

    def cut(self, prompt: str, found: Sequence[tuple[list[int], list[int]]], first: int) -> tuple[int, int]:
        """Return where to end the text before the options, and the token from which the harness then scores them.

        found: tokens of the prompt with each option, alike before `first`. The harness puts white space at the end of
        the text with the options, and splits after as many tokens as the text alone has. If that is not `first`, it is
        an earlier one.
        """
        ids, starts = found[0]
        for place in (len(prompt), *reversed(starts[1 : first + 1])):
            alone, _ = self.encode(prompt[:place].rstrip())
            if len(alone) <= first and alone == ids[: len(alone)]:
                break
        return place, len(alone)
