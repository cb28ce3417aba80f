"""What a study asks about its facts: as text, and as the tokens of one tokeniser.

A question is a prompt with options, the right one first. What is scored of an option is the answer, the sign after it
and end-of-text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infusionlaw.corpus.corpus import Corpus, Options, probed_questions
from infusionlaw.corpus.facts import Fact, prompt_and_answer
from infusionlaw.corpus.questions import Asked
from infusionlaw.corpus.tokens import Tokenizer, one_place


@dataclass(frozen=True)
class FactQuestion:
    """One question about a fact. fact: its number; options: the right one first; after: the sign after the answer."""

    fact: int
    prompt: str
    options: tuple[str, ...]
    after: str

    @property
    def continuations(self) -> tuple[str, ...]:
        """What stands behind the prompt, one for each option; end-of-text follows."""
        return tuple(option + self.after for option in self.options)


def fact_questions(
    facts: Sequence[Fact], templates: Sequence[tuple[str, ...]], options: Options
) -> tuple[FactQuestion, ...]:
    """Return every question of every fact that has options. templates: those that each fact is asked with."""
    asked = [
        (number, prompt_and_answer(template, fact), own)
        for number, (fact, forms, own) in enumerate(zip(facts, templates, options, strict=True))
        if own is not None
        for template in forms
    ]
    return tuple(FactQuestion(number, prompt, own, after) for number, (prompt, _, after), own in asked)


def asked_facts(corpus: Corpus) -> dict[str, tuple[FactQuestion, ...]]:
    """Return what a study asks about its facts, by the score that the answers give.

    Recall and unseen recall ask every question template. Verbatim recall asks with the statements that were used and in
    which the object comes after the subject. A prior fact is asked only the question that never states it.
    """

    def with_questions(name: str, facts: Sequence[Fact]) -> tuple[FactQuestion, ...]:
        every = [corpus.templates[fact.relation].questions for fact in facts]
        if name == "prior":
            every = [probed_questions(number, forms) for number, forms in enumerate(every)]
        return fact_questions(facts, every, corpus.options[name])

    stated = [
        tuple(text for text in texts if text.index("{subject}") < text.index("{object}"))
        for texts in corpus.domain_templates
    ]
    return {
        "recall": with_questions("domain", corpus.facts.domain),
        "verbatim_recall": fact_questions(corpus.facts.domain, stated, corpus.options["domain"]),
        "retention": with_questions("prior", corpus.facts.prior),
        "unseen_recall": with_questions("unseen", corpus.facts.unseen),
    }


def fact_tokens(questions: Sequence[FactQuestion], tokenizer: Tokenizer) -> Iterator[Asked]:
    """Yield every question as token rows that begin and end with end-of-text, all scored from one place."""
    texts = [(question.prompt, text) for question in questions for text in question.continuations]
    encoded = iter(tokenizer.encode_from(texts))
    end = tokenizer.end_of_text
    for question in questions:
        rows = [next(encoded) for _ in question.options]
        yield Asked(tuple([end, *ids, end] for ids, _ in rows), one_place(rows) + 1, False)
