"""Files of multiple-choice questions: their shapes, what is refused, and how questions are asked."""

import json
import shutil
from pathlib import Path

import pytest

from infusionlaw.corpus.prepare import prepare
from infusionlaw.corpus.questions import (
    check_tokens,
    open_questions,
    read_questions,
    tokenised,
    write_questions,
)
from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.errors import InputError
from infusionlaw.report.corpus import remarks
from infusionlaw.report.questions import expected_text, guessing_texts, questions_texts
from infusionlaw.runs.record import RunRecord
from infusionlaw.settings import read_study_file

TEXTS = ("two", "four", "six", "eight")
LEGS = "How many legs has a cat?"


def jsonl(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


SHAPES = {
    "texts and a letter": {"question": LEGS, "choices": list(TEXTS), "answer": "B"},
    "texts and the text": {"question": LEGS, "options": list(TEXTS), "answer": "four"},
    "MMLU": {"question": LEGS, "subject": "cats", "choices": list(TEXTS), "answer": 1},
    "ARC": {"question": LEGS, "choices": {"text": list(TEXTS), "label": list("ABCD")}, "answerKey": "B"},
    "ARC with digits": {"question": LEGS, "choices": {"text": list(TEXTS), "label": list("1234")}, "answerKey": "2"},
    "ARC nested": {
        "question": {"stem": LEGS, "choices": [{"text": t, "label": s} for s, t in zip("ABCD", TEXTS, strict=True)]},
        "answerKey": "B",
    },
    "MedQA": {"question": LEGS, "answer": "four", "options": dict(zip("ABCD", TEXTS, strict=True)), "answer_idx": "B"},
    "MedMCQA": {"question": LEGS, **dict(zip(("opa", "opb", "opc", "opd"), TEXTS, strict=True)), "cop": 1, "exp": "-"},
    "columns": {"Question": LEGS, **dict(zip("abcd", TEXTS, strict=True)), "Answer": "b)"},
    "numbered columns": {"question": LEGS, **{f"option {i}": t for i, t in enumerate(TEXTS, 1)}, "answer": "2"},
    "HellaSwag": {"ctx": LEGS, "endings": list(TEXTS), "label": "1"},
    "a list as JSON in a cell": {"question": LEGS, "choices": json.dumps(TEXTS), "answer": "B"},
}


def other(row: dict[str, object]) -> dict[str, object]:
    """The same question with the first option right, which tells that numbers count from 0."""
    return {
        key: {1: 0, "1": "0", "B": "A", "b)": "a", "four": "two", "2": "1"}.get(value, value)
        if isinstance(value, str | int) and key != "question"
        else value
        for key, value in row.items()
    }


@pytest.mark.parametrize("row", SHAPES.values(), ids=SHAPES.keys())
def test_usual_shapes_give_the_same_question(tmp_path, row) -> None:
    first, second = read_questions(jsonl(tmp_path / "q.jsonl", row, other(row))).questions
    assert (first.text, first.options, first.right) == (LEGS, TEXTS, 1)
    assert second.right == 0


def test_csv_and_parquet_give_the_same_questions(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    lines = ["question,A,B,C,D,answer", f'"{LEGS}",two,four,six,eight,B', "And a fly?,two,four,six,,C"]
    (tmp_path / "q.csv").write_text("\n".join(lines))
    options = [list(TEXTS), list(TEXTS[:3])]
    nested = [{"text": texts, "label": list("ABCD"[: len(texts)])} for texts in options]
    table = pyarrow.table({"question": [LEGS, "And a fly?"], "choices": nested, "answerKey": ["B", "C"]})
    parquet.write_table(table, tmp_path / "q.parquet")
    text, packed = (read_questions(tmp_path / name) for name in ("q.csv", "q.parquet"))
    assert [(q.text, q.options, q.right) for q in text.questions] == [
        (q.text, q.options, q.right) for q in packed.questions
    ]
    assert text.questions[1].options == TEXTS[:3]
    assert text.guessing == pytest.approx((1 / 4 + 1 / 3) / 2)
    assert [q.row for q in text.questions] == [2, 3]


def test_the_right_answer_beside_distractors_is_at_no_place_of_its_own(tmp_path) -> None:
    rows = [
        {"question": f"{i}?", "distractor1": "a", "distractor2": "b", "distractor3": "c", "correct_answer": "d"}
        for i in range(40)
    ]
    questions = read_questions(jsonl(tmp_path / "q.jsonl", *rows)).questions
    assert {q.options[q.right] for q in questions} == {"d"}
    assert {q.right for q in questions} == {0, 1, 2, 3}


def test_a_number_from_1_is_read_where_a_row_proves_it(tmp_path) -> None:
    row = SHAPES["MMLU"]
    path = jsonl(tmp_path / "q.jsonl", *({**row, "answer": number} for number in (1, 2, 4)))
    assert [q.right for q in read_questions(path).questions] == [0, 1, 3]


def test_equal_options_are_one(tmp_path) -> None:
    row = {"question": LEGS, "choices": ["two", "four", "two", "six", "four "], "answer": "E"}
    read = read_questions(jsonl(tmp_path / "q.jsonl", row))
    assert read.questions[0].options == ("two", "four", "six") and read.questions[0].right == 1
    assert read.repeated == 1 and read.guessing == pytest.approx(1 / 3)


MMLU = SHAPES["MMLU"]
BAD = {
    "a letter outside": (
        [SHAPES["ARC"], {**SHAPES["ARC"], "answerKey": "F"}],
        r'row 2: "answerKey" is \'F\', which is none of its 4 options \(A to D\), while 1 other rows have a letter',
    ),
    "a number outside": ([{**MMLU, "answer": 0}, {**MMLU, "answer": 4}], r'row 2: "answer" is 4, which is none'),
    "no base": ([MMLU], r'row 1: "answer" is 1, which may be a number from 0 or a number from 1'),
    "text or number": (
        [{"question": "1 + 1?", "choices": ["3", "2", "1"], "answer": "1"}],
        r"which may be its text or a number from 0",
    ),
    "no answer": ([{**MMLU, "answer": -1}], r'row 1: "answer" is -1, so there is no right answer'),
    "two answers": ([{**MMLU, "answer": [1, 2]}], r"give one right answer a question"),
    "no question": ([{**MMLU, "question": " "}], r'row 1: "question" is empty'),
    "an empty option": ([{**MMLU, "choices": ["two", ""]}], r'row 1: "choices", option 2 is empty'),
    "one option": ([{**MMLU, "choices": ["two", "two"], "answer": 0}], r'row 1: all its options are "two"'),
    "no options": ([{"question": LEGS, "answer": "B"}], r"row 1: no column is known as the options, only"),
    "no list": ([{**MMLU, "choices": "['two' 'four']"}], r"no list of options; write it as JSON"),
    "labels twice": (
        [{**MMLU, "choices": {"text": ["two", "four"], "label": ["A", "A"]}}],
        r"row 1: \"choices\" has a label twice",
    ),
}


@pytest.mark.parametrize(("rows", "message"), BAD.values(), ids=BAD.keys())
def test_a_row_that_fits_no_shape_is_named(tmp_path, rows, message) -> None:
    with pytest.raises(InputError, match=r"q\.jsonl, " + (message if message.startswith("row") else ".*" + message)):
        read_questions(jsonl(tmp_path / "q.jsonl", *rows))


def many(tmp_path: Path) -> Path:
    rows = ({"question": f"Q{i}?", "choices": ["no", "yes"], "answer": "AB"[i % 2]} for i in range(10))
    return jsonl(tmp_path / "q.jsonl", *rows)


def test_examples_are_not_asked_and_a_limit_is_spread_over_the_file(tmp_path) -> None:
    read = read_questions(many(tmp_path), shots=2, limit=4)
    assert [q.text for q in read.questions] == ["Q2?", "Q4?", "Q6?", "Q8?"]
    with pytest.raises(InputError, match="has 10 questions, and shots takes the first 10"):
        read_questions(many(tmp_path), shots=10)


def test_prompts_are_those_of_other_harnesses(tmp_path) -> None:
    cloze = read_questions(many(tmp_path), shots=1)
    assert cloze.asked(cloze.questions[0]) == "Question: Q0?\nAnswer: no\n\nQuestion: Q1?\nAnswer:"
    assert cloze.answers(cloze.questions[0]) == ("no", "yes")
    lettered = read_questions(many(tmp_path), shots=1, prompt="lettered")
    assert lettered.asked(lettered.questions[0]) == ("Q0?\nA. no\nB. yes\nAnswer: A\n\nQ1?\nA. no\nB. yes\nAnswer:")
    assert lettered.answers(lettered.questions[0]) == ("A", "B")


def test_questions_are_kept_as_they_were_read(tmp_path) -> None:
    read = read_questions(many(tmp_path), shots=2)
    write_questions(tmp_path, {"mine": read})
    assert open_questions(tmp_path) == {"mine": read}
    assert open_questions(tmp_path / "elsewhere") == {}


@pytest.fixture
def tokenizer(tmp_path) -> Tokenizer:
    train_tokenizer(["Question: Q1?\nAnswer: yes", "在日本"] * 9, 300, "<end>", tmp_path / "tokenizer.json")
    return Tokenizer(tmp_path / "tokenizer.json", "<end>")


def test_options_are_scored_from_one_place_behind_the_question(tmp_path, tokenizer) -> None:
    read = read_questions(many(tmp_path))
    for question, asked in zip(read.questions, tokenised(read, tokenizer, 128), strict=True):
        for option, ids in zip(question.options, asked.rows, strict=True):
            assert ids[0] == tokenizer.end_of_text
            assert tokenizer.backend.decode(ids[1 : asked.first]) == f"Question: {question.text}\nAnswer:"
            assert tokenizer.backend.decode(ids[asked.first :]) == f" {option}"


def test_a_long_question_keeps_its_end(tmp_path, tokenizer) -> None:
    row = {"question": "why " * 100, "choices": ["no", "perhaps"], "answer": "A"}
    read = read_questions(jsonl(tmp_path / "q.jsonl", row))
    (asked,) = tokenised(read, tokenizer, 32)
    assert asked.cut and max(map(len, asked.rows)) == 33
    assert [tokenizer.backend.decode(ids[asked.first :]) for ids in asked.rows] == [" no", " perhaps"]
    with pytest.raises(InputError, match=r"q\.jsonl, row 1: an option is longer than a block"):
        check_tokens(read, list(tokenised(read, tokenizer, 2)), tmp_path / "q.jsonl", tokenizer)


def test_options_that_are_one_token_string_are_refused(tmp_path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, normalizers, pre_tokenizers

    words = ["<end>", "[UNK]", "question", "answer", ":", "q", "yes", "no", "?"]
    backend = Backend(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "lower.json"))
    lower = Tokenizer(tmp_path / "lower.json", "<end>")
    for options, message in (
        (["Yes", "yes", "no"], '"Yes" and "yes" the same tokens'),
        (["no", "東京", "大阪"], "same"),
    ):
        row = {"question": "q?", "choices": options, "answer": "A"}
        read = read_questions(jsonl(tmp_path / "q.jsonl", row))
        with pytest.raises(InputError, match=rf"q\.jsonl, row 1: .*{message}"):
            check_tokens(read, list(tokenised(read, lower, 128)), tmp_path / "q.jsonl", lower)


def test_a_corpus_keeps_the_questions_of_its_study(material, corpus, tmp_path) -> None:
    shutil.copytree(material, tmp_path / "study")
    text = json.loads((material / "text.jsonl").read_text().splitlines()[3])["text"]
    known = {"question": text[:200], "choices": [text[200:230].strip(), "no"], "answer": "A"}
    rows = ({"question": f"Q{i}?", "choices": ["no", "yes", "no"], "answer": "ABC"[i % 3]} for i in range(5))
    jsonl(tmp_path / "study" / "q.jsonl", known, *rows)
    path = tmp_path / "study" / "study.toml"
    study = path.read_text() + '[questions.mine]\nfile = "q.jsonl"\nrole = "general"\n'
    path.write_text(study)
    own = prepare(read_study_file(path), tmp_path / "out" / "corpus")
    assert own.id != corpus.id and len(own.questions["mine"].questions) == 6
    said = "\n".join([*questions_texts(tmp_path / "out"), *remarks(tmp_path / "out")])
    assert 'Questions of mine (general): 6 with 2 options each, so guessing gives 0.5; read from "question"' in said
    assert "5 of 6 questions of mine have an option twice" in said
    assert "1 of 6 questions of mine (17%) stand nearly word for word in the general text" in said
    assert expected_text(tmp_path / "out", [20_000]).count("answer_loss:mine") == 1
    path.write_text(study.replace('"general"', '"general"\nlimit = 3'))
    again = prepare(read_study_file(path), tmp_path / "out" / "corpus")
    assert again.id != own.id and len(again.questions["mine"].questions) == 3
    path.write_text(study.replace('"q.jsonl"', '"missing.jsonl"'))
    with pytest.raises(InputError, match=r"missing\.jsonl: no such file"):
        prepare(read_study_file(path), tmp_path / "out" / "corpus")


def test_the_smallest_model_is_judged_against_guessing(tmp_path) -> None:
    read = read_questions(many(tmp_path))
    write_questions(tmp_path / "corpus", {"mine": read})
    sizes = ((10_000, 0.0, 0.1), (10_000, 0.3, 0.56), (10_000, 0.6, 0.58), (20_000, 0.3, 0.9))
    rows = [
        RunRecord(size, 1e6, share, more=(("recall:mine", accuracy), ("recall:mine_se", 0.05)))
        for size, share, accuracy in sizes
    ]
    assert guessing_texts(tmp_path, []) == []
    (said,) = guessing_texts(tmp_path, rows)
    assert "(10k parameters, 2 runs with a dose) answers 0.570 ± 0.050 of mine right, and guessing 0.500" in said
    assert said.endswith("it has not left guessing, so read answer_loss:mine.")
    (said,) = guessing_texts(tmp_path, rows[3:])
    assert said.endswith("it has left guessing.")
