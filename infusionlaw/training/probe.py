"""Probe a trained model: which facts it answers, each score with its standard error over facts.

Recall is multiple choice: the option whose answer has the highest log-likelihood after the prompt wins,

    score(option) = sum of log p(token) over the answer, the sign after it and end-of-text,

so that "Niger" does not win by being the beginning of "Nigeria". A fact's recall is its part of question templates
answered right. Cloze asks the same prompts without options: greedy decoding must give the answer and stop. Only the
states at answer positions are projected to the vocabulary, which makes a probe cheap beside a run.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infusionlaw.corpus.corpus import Corpus, probed_questions
from infusionlaw.corpus.facts import Fact, prompt_and_answer
from infusionlaw.corpus.tokens import TokenFile, Tokenizer
from infusionlaw.training.trainable import Trainable

_ROWS = 512  # sequences scored at a time
_NATS_TO_BITS = 1 / math.log(2)


@dataclass(frozen=True)
class Row:
    """One prompt with one option: `answer` is where the scored tokens begin."""

    question: int
    option: int
    ids: list[int]
    answer: int


@dataclass(frozen=True)
class Questions:
    """A set of prompts with options: `fact[q]` is the fact that question q asks for; option 0 is right."""

    fact: NDArray[np.int64]
    options: NDArray[np.int64]
    rows: tuple[Row, ...]

    @property
    def chance(self) -> float:
        """What blind guessing gives: mean of 1 / options."""
        return float(np.mean(1 / self.options)) if len(self.options) else math.nan

    @cached_property
    def batches(self) -> list[tuple[list[int], torch.Tensor, torch.Tensor]]:
        """The rows in batches of about one length, made once for all models.

        Each has the rows' numbers, tokens (rows, T), and which of the tokens but the first are scored (rows, T - 1).
        """
        order = sorted(range(len(self.rows)), key=lambda i: len(self.rows[i].ids))
        parts = [order[start : start + _ROWS] for start in range(0, len(order), _ROWS)]
        return [(part, *_padded([self.rows[i] for i in part])) for part in parts]


def _padded(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and what is scored of rows sorted by length, as `Questions.batches` has them."""
    shape = len(rows), len(rows[-1].ids)
    ids, scored = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
        scored[place, row.answer : len(row.ids)] = True
    return torch.from_numpy(ids), torch.from_numpy(scored[:, 1:])


@dataclass(frozen=True)
class Answers:
    """Results by fact, each (facts,): part answered right, margin in nats, part exactly right by greedy decoding."""

    recall: NDArray[np.float64]
    margin: NDArray[np.float64]
    cloze: NDArray[np.float64]


@dataclass(frozen=True)
class Probes:
    """All that a run is asked."""

    domain: Questions
    verbatim: Questions
    prior: Questions
    unseen: Questions


def build_probes(corpus: Corpus) -> Probes:
    """Return the probes of a corpus: questions for domain, prior and unseen facts, used renderings for verbatim recall.

    A prior fact is asked only the question that never states it. Verbatim recall uses the renderings in which the
    object comes after the subject.
    """

    def questions(name: str, facts: Sequence[Fact]) -> Questions:
        templates = [
            probed_questions(i, forms) if name == "prior" else forms
            for i, forms in enumerate(corpus.templates[fact.relation].questions for fact in facts)
        ]
        return questions_about(facts, templates, corpus.options[name], corpus.tokenizer)

    domain, used = corpus.facts.domain, corpus.domain_templates
    verbatim = [tuple(t for t in texts if t.index("{subject}") < t.index("{object}")) for texts in used]
    return Probes(
        domain=questions("domain", domain),
        verbatim=questions_about(domain, verbatim, corpus.options["domain"], corpus.tokenizer),
        prior=questions("prior", corpus.facts.prior),
        unseen=questions("unseen", corpus.facts.unseen),
    )


def questions_about(
    facts: Sequence[Fact],
    templates: Sequence[tuple[str, ...]],
    options: Sequence[tuple[str, ...] | None],
    tokenizer: Tokenizer,
) -> Questions:
    """Every question of every fact that has options, as token rows; all options of one are scored from one place."""
    asked = [(i, t, o) for i, o in enumerate(options) if o is not None for t in templates[i]]
    texts, places = [], []
    for question, (index, template, choices) in enumerate(asked):
        prompt, _, after = prompt_and_answer(template, facts[index])
        texts += [(prompt, choice + after) for choice in choices]
        places += [(question, option) for option in range(len(choices))]
    end = tokenizer.end_of_text
    rows = []
    encoded = zip(places, tokenizer.encode_from(texts), strict=True)
    for question, group in groupby(encoded, key=lambda item: item[0][0]):
        own = list(group)
        # All options are scored from one place, the first token in which any of them has a part.
        alike = takewhile(lambda ids: len(set(ids)) == 1, zip(*(ids for _, (ids, _) in own), strict=False))
        first = min(*(first for _, (_, first) in own), len(list(alike)))
        rows += [Row(question, option, [end, *ids, end], first + 1) for (_, option), (ids, _) in own]
    return Questions(
        np.array([i for i, _, _ in asked], dtype=np.int64),
        np.array([len(choices) for _, _, choices in asked], dtype=np.int64),
        tuple(rows),
    )


def ask(model: Trainable, questions: Questions, facts: int) -> Answers:
    """Put questions to a model; facts without a question get NaN."""
    log_p, greedy = _score(model, questions)
    best = np.full((len(questions.fact), int(questions.options.max(initial=1))), -np.inf)
    exact = np.zeros(len(questions.fact))
    for row, value, match in zip(questions.rows, log_p, greedy, strict=True):
        best[row.question, row.option] = value
        if row.option == 0:
            exact[row.question] = match
    margin = best[:, 0] - best[:, 1:].max(axis=1, initial=-np.inf)

    def by_fact(values: NDArray[np.float64]) -> NDArray[np.float64]:
        count = np.bincount(questions.fact, minlength=facts)
        total = np.bincount(questions.fact, weights=values, minlength=facts)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    return Answers(by_fact((margin > 0).astype(float)), by_fact(margin), by_fact(exact))


def _score(model: Trainable, questions: Questions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the log-likelihood of each row's answer, and whether greedy decoding would have given it."""
    log_p, greedy = np.zeros(len(questions.rows)), np.zeros(len(questions.rows), dtype=bool)
    for batch, ids, scored in questions.batches:
        value, best = model.log_probabilities(ids.to(model.device), scored.to(model.device))
        where = scored.nonzero()[:, 0].to(model.device)
        total, missed = torch.zeros(2, len(batch), device=model.device)
        total.index_add_(0, where, value)
        missed.index_add_(0, where, (~best).float())
        log_p[batch], greedy[batch] = total.cpu().numpy(), (missed == 0).cpu().numpy()
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


def losses(model: Trainable, corpus: Corpus, block: int) -> dict[str, float]:
    """Return validation loss, that of each source of general text, and domain loss, with their standard errors.

    Validation loss over several sources is the mean by their weights.
    """
    each = {name: loss_of(model, text, block) for name, text in corpus.validation.items()}
    found = {"val_bpb": _weighted(list(each.values()), [corpus.weights[name] for name in each])}
    found |= {f"val_bpb:{name}": loss for name, loss in each.items() if name}
    if corpus.documents is not None:
        found["domain_loss"] = loss_of(model, corpus.documents.validation, block)
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
    scores |= losses(model, corpus, block)
    scores["facts"] = {name: _plain(values) for name, values in columns.items()}
    return {
        key: (value if not isinstance(value, float) or math.isfinite(value) else None) for key, value in scores.items()
    }


def _plain(values: Iterable[float]) -> list[float | None]:
    return [round(float(value), 6) if math.isfinite(value) else None for value in values]


def _mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean, and standard deviation / sqrt(n); NaN where there is nothing to take it from."""
    if len(values) == 0:
        return math.nan, math.nan
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return float(values.mean()), spread / math.sqrt(len(values))
