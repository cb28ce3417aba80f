"""The prepared corpus as every run reads it: facts by split, templates, options of the probes, general text as tokens.

`prepare.py` makes it and says what its files are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from infusionlaw.corpus.digests import check_files, check_id, prepare_again
from infusionlaw.corpus.documents import DomainDocuments
from infusionlaw.corpus.facts import Fact, Split, Templates, fill
from infusionlaw.corpus.head import read_head
from infusionlaw.corpus.infusion.documents import DocumentCycle
from infusionlaw.corpus.infusion.general import PAGE, GeneralText
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.renderings import RenderingCycle, Renderings
from infusionlaw.corpus.questions import QuestionSet, open_questions
from infusionlaw.corpus.tokens import TokenFile, Tokenizer, open_tokens
from infusionlaw.errors import InputError
from infusionlaw.files import read_typed

SPLITS = ("domain", "prior", "unseen")
Options = tuple[tuple[str, ...] | None, ...]


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus, opened.

    `counts` are the numbers a report shows. Domain facts are stated in the first `renderings` statement templates of
    their relation; 0: in all. weights: the sources of general text and how often each is read beside the others, under
    "" the only one. most_passes: how often a run may read a source at most, where that is bounded.
    """

    folder: Path
    id: str
    end_of_text: str
    facts: Split
    options: Mapping[str, Options]
    templates: Mapping[str, Templates]
    counts: Mapping[str, Any]
    renderings: int = 0
    weights: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})
    most_passes: Mapping[str, float] = field(default_factory=dict)
    questions: Mapping[str, QuestionSet] = field(default_factory=dict)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The study's tokenizer."""
        return Tokenizer(self.folder / "tokenizer.json", self.end_of_text)

    @cached_property
    def text(self) -> dict[str, NDArray[np.integer]]:
        """General training text by source, mapped."""
        return {name: open_tokens(self.folder / text_file("train", name))[0] for name in self.weights}

    @cached_property
    def validation(self) -> dict[str, tuple[NDArray[np.integer], TokenFile]]:
        """General validation text, mapped, and its header, by source that has some."""
        files = {name: self.folder / text_file("validation", name) for name in self.weights}
        return {name: open_tokens(path) for name, path in files.items() if path.with_suffix(".json").exists()}

    @cached_property
    def documents(self) -> DomainDocuments | None:
        """The domain documents; None where there are none."""
        return DomainDocuments(self.folder) if (self.folder / "domain.bin").exists() else None

    @cached_property
    def tokens_per_fact(self) -> float:
        """Mean tokens of a rendering of a domain fact, end-of-text included; 0 where there are no facts."""
        return RenderingCycle(self._domain, [0]).tokens_per_rendering

    def passes(self, general_tokens: float) -> dict[str, float]:
        """Return how often each source is read where general text has so many tokens."""
        total = sum(self.weights.values())
        return {name: general_tokens * w / total / len(self.text[name]) for name, w in self.weights.items()}

    def tokens_per_exposure(self, domain_tokens: float | None = None) -> float:
        """Return the tokens that state every domain fact and read every domain document once.

        domain_tokens: of the documents that are read; None: all.
        """
        documents = 0 if self.documents is None else self.documents.read(domain_tokens).tokens_in_all
        return len(self.facts.domain) * self.tokens_per_fact + documents

    def mixture(
        self,
        share: float,
        prior_share: float,
        seed: int,
        *,
        questions: bool = True,
        tilt: float = 0.0,
        tokens: int = 0,
        domain_tokens: float | None = None,
        block: int = 0,
    ) -> Mixture:
        """Return the token stream of a run.

        questions: whether prior facts are stated in questions too; tilt: see `Pacing`; domain_tokens: of the documents
        that are read, None: all; block: tokens, where a block is longer than a page its pages are as long.
        """
        page = max(PAGE, block)
        facts, documents = self.infused(seed, page, domain_tokens)
        return Mixture(
            facts,
            RenderingCycle(self._prior if questions else self._plain_prior, [seed, 2]),
            GeneralText(
                list(self.text.values()), self.tokenizer.end_of_text, [seed, 3], list(self.weights.values()), page
            ),
            share=share,
            prior_share=prior_share,
            end_of_text=self.tokenizer.end_of_text,
            documents=documents,
            tilt=tilt,
            tokens=tokens,
        )

    def infused(
        self, seed: int, part: int, domain_tokens: float | None = None
    ) -> tuple[RenderingCycle, DocumentCycle | None]:
        """Return what a run is infused with, in its cycles: domain facts, and domain documents where there are any.

        part: tokens, in parts of which a document is given.
        """
        documents = self.documents.read(domain_tokens) if self.documents else None
        facts = RenderingCycle(self._domain, [seed, 1])
        return facts, DocumentCycle(documents, [seed, 4], part) if documents else None

    @cached_property
    def domain_templates(self) -> list[list[str]]:
        """By domain fact, the templates that state it: statements only."""
        stated = slice(self.renderings or None)
        return [list(self.templates[fact.relation].statements[stated]) for fact in self.facts.domain]

    def prior_templates(self, questions: bool = True) -> list[list[str]]:
        """Return, by prior fact, the templates that state it.

        They are statements and questions in turn, without the question it is probed with; or statements only.
        """
        out = []
        for index, fact in enumerate(self.facts.prior):
            forms = self.templates[fact.relation]
            used = [q for q in forms.questions if q not in probed_questions(index, forms.questions)]
            asked = _in_turn(forms.statements, used or forms.questions)
            out.append(asked if questions else list(forms.statements))
        return out

    @cached_property
    def _domain(self) -> Renderings:
        return self._tokenised(self.facts.domain, self.domain_templates)

    @cached_property
    def _prior(self) -> Renderings:
        return self._tokenised(self.facts.prior, self.prior_templates())

    @cached_property
    def _plain_prior(self) -> Renderings:
        return self._tokenised(self.facts.prior, self.prior_templates(questions=False))

    def _tokenised(self, facts: tuple[Fact, ...], templates: list[list[str]]) -> Renderings:
        texts = [fill(template, fact) for fact, each in zip(facts, templates, strict=True) for template in each]
        ids = iter(self.tokenizer.encode(texts))
        own = [[np.array([*next(ids), self.tokenizer.end_of_text]) for _ in each] for each in templates]
        return Renderings(own, self.tokenizer.dtype)


def text_file(part: str, source: str) -> str:
    """Return the name of the token file of a source of general text; part: train or validation."""
    return f"{part}-{source}.bin" if source else f"{part}.bin"


def probed_questions(index: int, questions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the questions that prior fact number `index` is probed with: one that never states it, or its only one."""
    return (questions[index % len(questions)],)


def _in_turn(statements: Iterable[str], questions: Iterable[str]) -> list[str]:
    """Alternate statements and questions until all of both are used equally often."""
    first, second = list(statements), list(questions)
    rounds = int(np.lcm(len(first), len(second)))
    return [text for i in range(rounds) for text in (first[i % len(first)], second[i % len(second)])]


@dataclass(frozen=True)
class _OptionsBySplit:
    domain: Options
    prior: Options
    unseen: Options


class _Known(TypedDict):
    """knowledge.json."""

    facts: Split
    options: _OptionsBySplit
    templates: dict[str, Templates]
    renderings: NotRequired[int]
    text: NotRequired[dict[str, float]]


def open_corpus(folder: Path) -> Corpus:
    """Open a prepared corpus; InputError when a file of it is missing, cut short or not the one that was prepared."""
    head, path, again = read_head(folder), folder / "knowledge.json", prepare_again(folder)
    known = read_typed(path, _Known, "the facts and templates of a corpus", again, version=None)
    facts, options, templates = known["facts"], vars(known["options"]), known["templates"]
    parts = {name: getattr(facts, name) for name in SPLITS}
    stated = {fact.relation for part in parts.values() for fact in part}
    if not stated <= templates.keys() or any(len(part) != len(options[name]) for name, part in parts.items()):
        raise InputError(f"{path}: some of its facts have no templates or options; {again}")
    corpus = Corpus(
        folder=folder,
        id=head.id,
        end_of_text=head.end_of_text,
        facts=facts,
        options=options,
        templates=templates,
        counts=head.counts,
        renderings=known.get("renderings", 0),
        weights=known.get("text", {"": 1.0}),
        most_passes=head.most_passes,
        questions=open_questions(folder),
    )
    for name, tokens in corpus.text.items():
        held = len(corpus.validation[name][0]) if name in corpus.validation else None
        if len(tokens) < PAGE or (held is not None and held < 2 * PAGE):
            of = f' of the source "{name}"' if name else " of general text"
            raise InputError(
                f"{folder}: {len(tokens)} training and {held or 0} validation tokens{of} are too few; "
                f"{_more_text(corpus.counts)}{', or validation = 0 for this source' if name else ''}"
            )
    check_id(folder, head.id, head.files)
    check_files(folder, head.files)
    return corpus


def _more_text(counts: Mapping[str, Any]) -> str:
    """What to do where there is too little text, by what became of it."""
    stating = counts.get("documents_that_state_a_domain_fact", 0)
    if stating <= counts.get("training_documents", 0):
        return f"at least {PAGE:,} and {2 * PAGE:,} are needed; give more text, or a larger validation in [text]"
    subjects = ", ".join(counts.get("subjects_they_name_most", {}))
    return (
        f"{stating:,} documents name subject and answer of a domain fact ({subjects}) and were left out; take out "
        "subjects that are common words, or set keep_stating = true in [text]"
    )
