"""Probe a trained model: which facts it answers, each score with its standard error over facts.

Recall is multiple choice: the option whose answer has the highest log-likelihood after the prompt wins,

    score(option) = sum of log p(token) over the answer, the sign after it and end-of-text,

so that "Niger" does not win by being the beginning of "Nigeria". A fact's recall is its part of question templates
answered right. Cloze asks the same prompts without options: greedy decoding must give the answer and stop. Only the
states at answer positions are projected to the vocabulary, and what all options of a question begin with is read once,
which makes a probe cheap beside a run.

Questions of files are scored as lm-evaluation-harness does: the option alone, without an end. Accuracy takes the option
of the highest log-likelihood, normalised accuracy that of the highest per byte of its text; of b best options of which
one is right, the question counts 1/b. The loss of an answer is that of the right option, in bits per byte of its text.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.heldout import HeldOut, held_out
from infusionlaw.corpus.probes import FactQuestion, asked_facts, fact_tokens
from infusionlaw.corpus.questions import QuestionSet, tokenised
from infusionlaw.corpus.tokens import TokenFile, Tokenizer
from infusionlaw.runs.outcomes import ACCURACY_OF, BY_BYTE
from infusionlaw.training.trainable import Trainable

_ROWS = 512  # sequences scored at a time
_ENOUGH, _LONGER = 64, 8  # so many are scored with none whose beginning is longer, others with none so much longer
_QUESTIONS, _BLOCKS = 64, 16  # of each kind and of each text, from which the time of all is told
_NATS_TO_BITS = 1 / math.log(2)


@dataclass(frozen=True)
class Row:
    """One prompt with one option: `answer` is where the scored tokens begin."""

    question: int
    option: int
    ids: list[int]
    answer: int


@dataclass(frozen=True)
class Batch:
    """Rows that are scored together, by their numbers. ids: (B, T); scored: of the tokens but the first, (B, T - 1).

    of: the number of each row's question in the batch, (B,); shared: tokens that all rows of a question begin with.
    """

    rows: list[int]
    ids: Tensor
    scored: Tensor
    shared: int
    of: Tensor


@dataclass(frozen=True)
class Questions:
    """A set of prompts with options: `fact[q]` is the fact that question q asks for; option 0 is right.

    The rows of a question follow each other and are scored from one place.
    """

    fact: NDArray[np.int64]
    options: NDArray[np.int64]
    rows: tuple[Row, ...]

    @property
    def chance(self) -> float:
        """What blind guessing gives: mean of 1 / options."""
        return float(np.mean(1 / self.options)) if len(self.options) else math.nan

    def sample(self, most: int) -> "Questions":
        """Return at most so many of the questions, evenly spread."""
        count = len(self.options)
        chosen = np.arange(min(most, count)) * count // max(min(most, count), 1)
        ends = np.cumsum(self.options)
        rows = tuple(
            replace(row, question=place)
            for place, number in enumerate(chosen)
            for row in self.rows[ends[number] - self.options[number] : ends[number]]
        )
        return Questions(self.fact[chosen], self.options[chosen], rows)

    @cached_property
    def batches(self) -> list[Batch]:
        """The rows in batches of about one length, made once for all models."""
        ends = np.cumsum(self.options)
        members = [range(end - count, end) for count, end in zip(self.options, ends, strict=True)]
        members.sort(key=lambda rows: (self.rows[rows[0]].answer, max(len(self.rows[i].ids) for i in rows)))
        parts: list[list[range]] = []
        for rows in members:
            last = parts[-1] if parts else []
            more = self.rows[rows[0]].answer - self.rows[last[0][0]].answer if last else 0
            count = sum(map(len, last))
            if not last or more > (_LONGER if count < _ENOUGH else 0) or count + len(rows) > _ROWS:
                parts.append([])
            parts[-1].append(rows)
        return [self._batch(part) for part in parts]

    def _batch(self, questions: Sequence[range]) -> Batch:
        places = [(i, place) for place, rows in enumerate(questions) for i in rows]
        places.sort(key=lambda each: len(self.rows[each[0]].ids))
        numbers, of = map(list, zip(*places, strict=True))
        shape = len(numbers), max(len(self.rows[i].ids) for i in numbers)
        ids, scored = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        for place, row in enumerate(self.rows[i] for i in numbers):
            ids[place, : len(row.ids)] = row.ids
            scored[place, row.answer : len(row.ids)] = True
        shared = min(self.rows[rows[0]].answer for rows in questions) - 1
        return Batch(numbers, torch.from_numpy(ids), torch.from_numpy(scored[:, 1:]), shared, torch.tensor(of))


@dataclass(frozen=True)
class FileQuestions:
    """The questions of a file. bytes: of what is scored of each option, (questions, most options); 1 where none is."""

    role: str
    asked: Questions
    bytes: NDArray[np.float64]


@dataclass(frozen=True)
class FileScores:
    """Results by question, each (questions,): answered right, and so by likelihood per byte; loss of the answer in bits
    per byte. log_p: of every option, the right one first, (questions, most options)."""

    log_p: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    accuracy_norm: NDArray[np.float64]
    answer_loss: NDArray[np.float64]

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The results that become columns of a table, by name."""
        return {name: getattr(self, name) for name in ("accuracy", BY_BYTE, "answer_loss")}


@dataclass(frozen=True)
class Answers:
    """Results by fact, each (facts,): part answered right, margin in nats, part exactly right by greedy decoding."""

    recall: NDArray[np.float64]
    margin: NDArray[np.float64]
    cloze: NDArray[np.float64]


@dataclass(frozen=True)
class Probes:
    """All that a run is asked, and the text that its losses are measured on."""

    domain: Questions
    verbatim: Questions
    prior: Questions
    unseen: Questions
    text: HeldOut
    files: Mapping[str, FileQuestions] = field(default_factory=dict)


def build_probes(corpus: Corpus, block: int, tokenizer: Tokenizer | None = None) -> Probes:
    """Return what a corpus asks of a run. block: the length of a training block, beyond which a question is cut.

    tokenizer: of a model that has another one than the study.
    """
    own = tokenizer or corpus.tokenizer
    asked = {name: _as_rows(questions, own) for name, questions in asked_facts(corpus).items()}
    return Probes(
        domain=asked["recall"],
        verbatim=asked["verbatim_recall"],
        prior=asked["retention"],
        unseen=asked["unseen_recall"],
        text=held_out(corpus, tokenizer),
        files={name: questions_of(questions, own, block) for name, questions in corpus.questions.items()},
    )


def _as_rows(questions: Sequence[FactQuestion], tokenizer: Tokenizer) -> Questions:
    return Questions(
        np.array([question.fact for question in questions], dtype=np.int64),
        np.array([len(question.options) for question in questions], dtype=np.int64),
        tuple(
            Row(number, option, ids, asked.first)
            for number, asked in enumerate(fact_tokens(questions, tokenizer))
            for option, ids in enumerate(asked.rows)
        ),
    )


def questions_of(own: QuestionSet, tokenizer: Tokenizer, block: int) -> FileQuestions:
    """Return the questions of a file as token rows, the right option first."""
    counts = np.array([len(question.options) for question in own.questions], dtype=np.int64)
    rows, sizes = [], np.ones((len(counts), int(counts.max())))
    for number, (question, asked) in enumerate(zip(own.questions, tokenised(own, tokenizer, block), strict=True)):
        order = sorted(range(len(question.options)), key=lambda option: option != question.right)
        answers = own.answers(question)
        rows += [Row(number, place, asked.rows[option], asked.first) for place, option in enumerate(order)]
        sizes[number, : len(order)] = [len(answers[option].encode()) for option in order]
    return FileQuestions(own.role, Questions(np.arange(len(counts)), counts, tuple(rows)), sizes)


def answer(model: Trainable, questions: FileQuestions) -> FileScores:
    """Put the questions of a file to a model."""
    score = _by_option(questions.asked, _score(model, questions.asked)[0])
    return FileScores(
        log_p=score,
        accuracy=_right(score),
        accuracy_norm=_right(score / questions.bytes),
        answer_loss=-score[:, 0] * _NATS_TO_BITS / questions.bytes[:, 0],
    )


def _right(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whether option 0 has the best score (questions,): 1/b where b options have it."""
    best = score == score.max(axis=1, keepdims=True)
    return np.asarray(best[:, 0] / best.sum(axis=1))


def _by_option(questions: Questions, log_p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what rows scored as (questions, most options), -inf where there is no such option."""
    found = np.full((len(questions.options), int(questions.options.max(initial=1))), -np.inf)
    found[[row.question for row in questions.rows], [row.option for row in questions.rows]] = log_p
    return found


def ask(model: Trainable, questions: Questions, facts: int) -> Answers:
    """Put questions to a model; facts without a question get NaN."""
    log_p, greedy = _score(model, questions)
    best = _by_option(questions, log_p)
    exact = np.array([match for row, match in zip(questions.rows, greedy, strict=True) if row.option == 0], dtype=float)
    margin = best[:, 0] - best[:, 1:].max(axis=1, initial=-np.inf)

    def by_fact(values: NDArray[np.float64]) -> NDArray[np.float64]:
        count = np.bincount(questions.fact, minlength=facts)
        total = np.bincount(questions.fact, weights=values, minlength=facts)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    return Answers(by_fact((margin > 0).astype(float)), by_fact(margin), by_fact(exact))


def _score(model: Trainable, questions: Questions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the log-likelihood of each row's answer, and whether greedy decoding would have given it."""
    log_p, greedy = np.zeros(len(questions.rows)), np.zeros(len(questions.rows), dtype=bool)
    for batch in questions.batches:
        ids, scored, of = (each.to(model.device) for each in (batch.ids, batch.scored, batch.of))
        value, best = model.log_probabilities(ids, scored, batch.shared, of)
        where = scored.nonzero()[:, 0]
        total, missed = torch.zeros(2, len(ids), dtype=torch.float64, device=model.device)
        total.index_add_(0, where, value.double())
        missed.index_add_(0, where, (~best).double())
        log_p[batch.rows], greedy[batch.rows] = total.cpu().numpy(), (missed == 0).cpu().numpy()
    return log_p, greedy


def block_losses(model: Trainable, blocks: Tensor) -> Iterator[Tensor]:
    """Yield the nats of every target of blocks (n, length + 1) of token ids, a part (up to 32, length) at a time."""
    for part in torch.split(blocks, 32):
        every = torch.ones_like(part[:, 1:], dtype=torch.bool, device=model.device)
        yield -model.log_probabilities(part.to(model.device), every)[0].view(every.shape)


def loss_of(model: Trainable, text: tuple[NDArray[np.integer], TokenFile], block: int) -> tuple[float, float]:
    """Return the loss in bits per byte over held-out text, tokens and header, and its standard error over blocks."""
    tokens, header = text
    count = (len(tokens) - 1) // block
    ids = torch.from_numpy(np.asarray(tokens[: count * block + 1], dtype=np.int64))
    blocks = torch.as_strided(ids, (count, block + 1), (block, 1))
    nats_a_token = torch.cat([nats.mean(1).double().cpu() for nats in block_losses(model, blocks)]).numpy()
    scale = _NATS_TO_BITS * header.tokens / header.text_bytes
    return _mean_and_error(nats_a_token * scale)


def losses(model: Trainable, held: HeldOut, block: int) -> dict[str, float]:
    """Return validation loss, that of each source of general text, and domain loss, with their standard errors.

    Validation loss over several sources is the mean by their weights.
    """
    each = {name: loss_of(model, text, block) for name, text in held.general.items()}
    found = {"val_bpb": _weighted(list(each.values()), [held.weights[name] for name in each])}
    found |= {f"val_bpb:{name}": loss for name, loss in each.items() if name}
    if held.domain is not None:
        found["domain_loss"] = loss_of(model, held.domain, block)
    return {key: value for name, pair in found.items() for key, value in zip((name, f"{name}_se"), pair, strict=True)}


def _weighted(pairs: Sequence[tuple[float, float]], weights: Sequence[float]) -> tuple[float, float]:
    """Return the weighted mean of values with errors, and its error."""
    if len(pairs) == 1:
        return pairs[0]
    parts = [weight / sum(weights) for weight in weights]
    mean = sum(part * value for part, (value, _) in zip(parts, pairs, strict=True))
    return mean, math.hypot(*(part * error for part, (_, error) in zip(parts, pairs, strict=True)))


def measure(model: Trainable, corpus: Corpus, probes: Probes, block: int) -> dict[str, Any]:
    """Return every score of a run, with its standard error, and under `facts` the results by fact."""
    asked = {
        "domain": ask(model, probes.domain, len(corpus.facts.domain)),
        "verbatim": ask(model, probes.verbatim, len(corpus.facts.domain)),
        "prior": ask(model, probes.prior, len(corpus.facts.prior)),
        "unseen": ask(model, probes.unseen, len(corpus.facts.unseen)),
    }
    columns = {
        "recall": asked["domain"].recall,
        "cloze": asked["domain"].cloze,
        "margin": asked["domain"].margin,
        "verbatim_recall": asked["verbatim"].recall,
        "retention": asked["prior"].recall,
        "unseen_recall": asked["unseen"].recall,
    }
    scores: dict[str, Any] = {"chance": probes.domain.chance}
    for name, values in columns.items():
        scores[name], scores[f"{name}_se"] = _mean_and_error(values[~np.isnan(values)])
    answered = {name: answer(model, questions) for name, questions in probes.files.items()}
    scores |= _of_files(answered, probes)
    scores |= losses(model, probes.text, block)
    scores["facts"] = {name: _plain(values) for name, values in columns.items()}
    if answered:
        scores["questions"] = {
            name: {score: _plain(values) for score, values in own.columns.items()} for name, own in answered.items()
        }
    return {
        key: (value if not isinstance(value, float) or math.isfinite(value) else None) for key, value in scores.items()
    }


def time_probing(model: Trainable, probes: Probes, block: int) -> float:
    """Return the seconds that `measure` takes, told from a few questions of each kind and a few blocks of each text."""
    files = (own.asked for own in probes.files.values())
    kinds = [each for each in (probes.domain, probes.verbatim, probes.prior, probes.unseen, *files) if each.rows]
    texts = [text for text in (*probes.text.general.values(), probes.text.domain) if text is not None]

    def score(few: Questions) -> None:
        _score(model, few)

    def read(text: tuple[NDArray[np.integer], TokenFile], blocks: int) -> None:
        loss_of(model, (text[0][: blocks * block + 1], text[1]), block)

    def taken(work: Callable[..., None], *given: Any) -> float:
        begun = time.perf_counter()
        work(*given)
        return time.perf_counter() - begun

    for each in kinds[:1]:
        score(each.sample(1))  # makes what is made once
    read(texts[0], 1)
    seconds = 0.0
    for each in kinds:
        few = each.sample(_QUESTIONS)
        seconds += taken(score, few) * len(each.options) / len(few.options)
    for text in texts:
        count = (len(text[0]) - 1) // block
        seconds += taken(read, text, min(count, _BLOCKS)) * max(1.0, count / _BLOCKS)
    return seconds


def _of_files(answered: Mapping[str, FileScores], probes: Probes) -> dict[str, float]:
    """Return the scores of files of questions by column.

    Accuracy on a file of the domain is recall of that file, and on a general file retention of it. Where no facts are
    infused, recall and retention are those over all files.
    """
    scores: dict[str, float] = {}
    for name, own in answered.items():
        accuracy = f"{ACCURACY_OF[probes.files[name].role]}:{name}"
        scores[f"chance:{accuracy}"] = float(np.mean(1 / probes.files[name].asked.options))
        for score, values in own.columns.items():
            column = accuracy if score == "accuracy" else f"{score}:{name}"
            scores[column], scores[f"{column}_se"] = _mean_and_error(values)
    roles = {role: [name for name in answered if probes.files[name].role == role] for role in ("domain", "general")}
    if names := roles["domain"]:
        each = [(scores[f"answer_loss:{name}"], scores[f"answer_loss:{name}_se"]) for name in names]
        scores["answer_loss"], scores["answer_loss_se"] = _weighted(each, [1.0] * len(each))
    if len(probes.domain.options):
        return scores
    for role, score in ACCURACY_OF.items():
        if names := roles[role]:
            chance = "chance" if score == "recall" else f"chance:{score}"
            values = np.concatenate([answered[name].accuracy for name in names])
            scores[score], scores[f"{score}_se"] = _mean_and_error(values)
            options = np.concatenate([probes.files[name].asked.options for name in names])
            scores[chance] = float(np.mean(1 / options))
    return scores


def _plain(values: Iterable[float]) -> list[float | None]:
    return [round(float(value), 6) if math.isfinite(value) else None for value in values]


def _mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean, and standard deviation / sqrt(n); NaN where there is nothing to take it from."""
    if len(values) == 0:
        return math.nan, math.nan
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return float(values.mean()), spread / math.sqrt(len(values))
