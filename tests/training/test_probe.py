"""The probes: against a plain calculation, on a model that knows, and on one that knows nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from infusionlaw.corpus.facts import Split
from infusionlaw.corpus.heldout import held_out
from infusionlaw.corpus.questions import Question, QuestionSet
from infusionlaw.training.export import export
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model
from infusionlaw.training.probe import FileQuestions, answer, ask, build_probes, losses, measure, questions_of
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


def test_val_bpb_is_bits_per_byte(corpus) -> None:
    model = Model(shape_for(10_000, corpus.tokenizer.vocabulary), [torch.Generator().manual_seed(1)])
    with torch.no_grad():
        model.embedding.weight.zero_()
    found = losses(model, held_out(corpus), 128)
    value, error = found["val_bpb"], found["val_bpb_se"]
    tokens, header = corpus.validation[""]
    uniform = math.log2(corpus.tokenizer.vocabulary) * len(tokens) / header.text_bytes
    assert value == pytest.approx(uniform, rel=1e-6)
    assert error == pytest.approx(0, abs=1e-6)


LEGS = [
    *[("How many legs has a cat?", ("two", "four", "six"), 1), ("And a fly?", ("two", "six legs"), 1)],
    *[("Which of these can fly, and is an insect with four wings?", ("a bee", "a cat", "a fly", "a bat"), 0)],
]


def file_of(prompt: str, shots: int = 0) -> QuestionSet:
    questions = tuple(Question(text, options, right, row) for row, (text, options, right) in enumerate(LEGS, start=1))
    return QuestionSet("domain", prompt, "a list", questions[:shots], questions[shots:], 0)


@pytest.mark.parametrize(("prompt", "shots"), [("cloze", 0), ("lettered", 0), ("cloze", 1)])
def test_questions_of_a_file_are_scored_as_a_plain_loop_over_transformers_does(corpus, tmp_path, prompt, shots) -> None:
    transformers = pytest.importorskip("transformers")
    model = Model(shape_for(12_000, corpus.tokenizer.vocabulary), [torch.Generator().manual_seed(7)])
    export(model, corpus.tokenizer.path, corpus.tokenizer.end_of_text, 128, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    own = file_of(prompt, shots)
    scores = answer(model, questions_of(own, corpus.tokenizer, 128))
    for number, question in enumerate(own.questions):
        context = [tokenizer.eos_token_id, *tokenizer.encode(own.asked(question))]
        log_p = []
        for text in own.answers(question):
            ids = context + tokenizer.encode(own.asked(question) + f" {text}")[len(context) - 1 :]
            with torch.no_grad():
                each = theirs(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            log_p.append(sum(each[i - 1, ids[i]].item() for i in range(len(context), len(ids))))
        sizes = [len(text) for text in own.answers(question)]
        right = question.right
        assert scores.log_p[number, 0] == pytest.approx(log_p[right], abs=1e-4)
        assert scores.answer_loss[number] == pytest.approx(-log_p[right] / math.log(2) / sizes[right], abs=1e-4)
        assert scores.accuracy[number] == (int(np.argmax(log_p)) == right)
        assert scores.accuracy_norm[number] == (int(np.argmax(np.array(log_p) / sizes)) == right)


def test_of_options_that_are_equally_likely_one_in_so_many_counts_as_right(corpus) -> None:
    model = Model(shape_for(10_000, corpus.tokenizer.vocabulary), [torch.Generator().manual_seed(1)])
    with torch.no_grad():
        model.embedding.weight.zero_()
    questions = [("Q?", (" 1", " 2", " 3"), 0), ("Q?", (" 1", " 2 2"), 0), ("Q?", (" 1 1", " 2"), 0)]
    own = replace(file_of("cloze"), questions=tuple(Question(*each, 1) for each in questions))
    scores = answer(model, questions_of(own, corpus.tokenizer, 128))
    assert scores.accuracy.tolist() == pytest.approx([1 / 3, 1, 0])


def test_files_of_questions_are_recall_and_retention_where_no_facts_are_infused(corpus, ignorant) -> None:
    general = replace(file_of("cloze"), role="general", questions=file_of("cloze").questions[:1])
    files = {"legs": file_of("cloze"), "cats": general}
    bare = replace(
        corpus,
        facts=Split((), (), ()),
        options=dict.fromkeys(corpus.options, ()),
        questions=files,
    )
    scores = measure(ignorant, bare, build_probes(bare, 128), 128)
    assert scores["recall"] == scores["recall:legs"] and scores["recall_se"] == scores["recall:legs_se"]
    assert scores["chance"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 4) / 3)
    assert scores["retention"] == scores["retention:cats"] and scores["chance:retention"] == pytest.approx(1 / 3)
    assert scores["retention:cats_se"] is None and scores["verbatim_recall"] is None
    assert scores["answer_loss"] == scores["answer_loss:legs"] > 0
    both = measure(ignorant, replace(corpus, questions=files), build_probes(replace(corpus, questions=files), 128), 128)
    assert both["recall:legs"] == scores["recall:legs"] and both["chance"] == 1 / 8
    assert both["chance:recall:legs"] == scores["chance"] and both["chance:retention:cats"] == pytest.approx(1 / 3)


def test_a_sample_of_questions_is_scored_as_they_are_among_all(corpus, ignorant) -> None:
    own = questions_of(file_of("cloze"), corpus.tokenizer, 128)
    few = FileQuestions(own.role, own.asked.sample(2), own.bytes[:2, :3])
    every, few = answer(ignorant, own), answer(ignorant, few)
    assert few.answer_loss == pytest.approx(every.answer_loss[[0, 1]], abs=1e-5)
    assert len(own.asked.sample(99).options) == 3
