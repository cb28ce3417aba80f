"""The probes: against a plain calculation, on a model that knows, and on one that knows nothing."""

import math

import numpy as np
import pytest
import torch

from infusionlaw.corpus.facts import Fact
from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model
from infusionlaw.training.probe import ask, build_probes, losses, measure, questions_about
from infusionlaw.training.recipe import recipe_for, shape_for


@pytest.fixture(scope="module")
def probes(corpus):
    return build_probes(corpus, 128)


@pytest.fixture(scope="module")
def ignorant(corpus) -> Model:
    return Model(shape_for(10_000, corpus.tokenizer.vocabulary), [torch.Generator().manual_seed(1)])


@pytest.fixture(scope="module")
def taught(corpus, tmp_path_factory) -> Model:
    torch.set_num_threads(1)
    recipe = recipe_for(28_000, 400_000, vocabulary=corpus.tokenizer.vocabulary)
    model = Model(recipe.shape, [torch.Generator().manual_seed(1)])
    train(model, recipe, [corpus.mixture(0.6, 0.4, 1)], [tmp_path_factory.mktemp("run")], checkpoint_every=10**9)
    return model


def plain_score(model: Model, ids: list[int], answer: int) -> float:
    """Sum of log p of the tokens from `answer` on, one sequence at a time."""
    with torch.no_grad():
        log_p = model.logits(torch.tensor([[ids]]))[0, 0].log_softmax(-1)
    return sum(log_p[i - 1, ids[i]].item() for i in range(answer, len(ids)))


def test_batched_scores_equal_one_by_one(corpus, ignorant, probes) -> None:
    questions = probes.domain
    answers = ask(ignorant, questions, len(corpus.facts.domain))
    for q in (0, 7, len(questions.fact) - 1):
        rows = sorted((row for row in questions.rows if row.question == q), key=lambda row: row.option)
        scores = [plain_score(ignorant, row.ids, row.answer) for row in rows]
        margin = scores[0] - max(scores[1:])
        same = [i for i, fact in enumerate(questions.fact) if fact == questions.fact[q]]
        assert len(same) == 2
        other = next(i for i in same if i != q)
        rows = sorted((row for row in questions.rows if row.question == other), key=lambda row: row.option)
        scores = [plain_score(ignorant, row.ids, row.answer) for row in rows]
        mean = (margin + scores[0] - max(scores[1:])) / 2
        assert answers.margin[questions.fact[q]] == pytest.approx(mean, abs=1e-3)


def test_scored_tokens_are_the_answer_and_the_end(corpus, probes) -> None:
    tokenizer = corpus.tokenizer
    for row in probes.domain.rows[:40]:
        tail = row.ids[row.answer :]
        assert tail[-1] == tokenizer.end_of_text
        fact = corpus.facts.domain[probes.domain.fact[row.question]]
        options = corpus.options["domain"][probes.domain.fact[row.question]]
        assert tokenizer.backend.decode(tail[:-1]).strip() == options[row.option] + "."
        assert options[0] == fact.object


def test_a_model_that_knows_nothing_guesses(corpus, ignorant, probes) -> None:
    scores = measure(ignorant, corpus, probes, 128)
    assert scores["chance"] == 1 / 8
    assert scores["recall"] < 0.45
    assert scores["cloze"] == 0
    assert scores["val_bpb"] > 3


def test_a_taught_model_recalls_what_was_stated_and_only_that(corpus, taught, probes) -> None:
    scores = measure(taught, corpus, probes, 128)
    assert scores["recall"] > 0.6
    assert scores["verbatim_recall"] > 0.9
    assert scores["retention"] > 0.6
    assert scores["unseen_recall"] < 0.5
    assert scores["margin"] > 0
    assert scores["cloze"] <= scores["recall"]
    assert len(scores["facts"]["recall"]) == len(corpus.facts.domain)
    by_fact = np.array(scores["facts"]["recall"])
    assert scores["recall"] == pytest.approx(by_fact.mean())
    assert scores["recall_se"] == pytest.approx(by_fact.std(ddof=1) / math.sqrt(len(by_fact)))


def test_cloze_is_what_greedy_decoding_gives(corpus, taught, probes) -> None:
    answers = ask(taught, probes.domain, len(corpus.facts.domain))
    right = np.zeros(len(corpus.facts.domain))
    for row in probes.domain.rows:
        if row.option == 0:
            ids = list(row.ids[: row.answer])
            with torch.no_grad():
                for _ in range(len(row.ids) - row.answer):
                    ids.append(int(taught.logits(torch.tensor([[ids]]))[0, 0, -1].argmax()))
            right[probes.domain.fact[row.question]] += ids == row.ids
    assert answers.cloze.tolist() == (right / 2).tolist()


def test_all_options_of_a_question_are_scored_from_one_place(tmp_path) -> None:
    train_tokenizer(["在日本"] * 9, 300, "<end>", tmp_path / "tokenizer.json")  # one token, with the prompt's last word
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", "<end>")
    facts = [Fact("东京塔", "in", "日本"), Fact("奥斯陆", "in", "挪威")]
    options = [("日本", "挪威"), ("挪威", "日本")]
    rows = questions_about(facts, [("{subject}在{object}。",)] * 2, options, tokenizer).rows
    told = {row.question: set() for row in rows}
    for row in rows:
        told[row.question].add(tokenizer.backend.decode(row.ids[1 : row.answer]))
    assert [len(prompts) for prompts in told.values()] == [1, 1]


def test_val_bpb_is_bits_per_byte(corpus) -> None:
    model = Model(shape_for(10_000, corpus.tokenizer.vocabulary), [torch.Generator().manual_seed(1)])
    with torch.no_grad():
        model.embedding.weight.zero_()
    found = losses(model, corpus, 128)
    value, error = found["val_bpb"], found["val_bpb_se"]
    tokens, header = corpus.validation[""]
    uniform = math.log2(corpus.tokenizer.vocabulary) * len(tokens) / header.text_bytes
    assert value == pytest.approx(uniform, rel=1e-6)
    assert error == pytest.approx(0, abs=1e-6)
