"""Tasks for lm-evaluation-harness: it sees the tokens of our probes, and its scores are ours."""

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from infusionlaw.corpus.facts import Fact, Split, Templates
from infusionlaw.corpus.options import option_sets
from infusionlaw.corpus.probes import asked_facts, fact_tokens
from infusionlaw.corpus.questions import Question, QuestionSet, tokenised
from infusionlaw.corpus.tasks import Reader, reader_of, tag_of, write_tasks
from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer

LEGS = (
    Question("How many legs has a cat?", ("two", "four", "six"), 1, 1),
    Question("And a fly {{sic}}?", ("two", "six legs"), 1, 2),
    Question("Which of these can fly?", ("a bée", "a cat", "a fly", "a bat"), 0, 3),
)
FILES = {
    "legs": QuestionSet("domain", "cloze", "a list", (), LEGS, 0),
    "let, tered": QuestionSet("general", "lettered", "a list", LEGS[:1], LEGS[1:], 0),
}
FACT_TASKS = ("recall", "verbatim_recall", "retention", "unseen_recall")


@pytest.fixture(scope="module")
def asked(corpus):
    return replace(corpus, questions=FILES)


def read(folder: Path) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Tasks by name, as the harness reads them: the YAML and the questions."""
    yaml = pytest.importorskip("yaml")

    class Loader(yaml.SafeLoader):
        pass

    module = scores_in(folder)
    Loader.add_constructor("!function", lambda loader, node: getattr(module, node.value.removeprefix("scores.")))
    found = {}
    for path in folder.glob("*.yaml"):
        config = yaml.load(path.read_text(encoding="utf8"), Loader)
        with (folder / config["dataset_kwargs"]["file"]).open(encoding="utf8") as lines:
            found[config["task"]] = config, [json.loads(line) for line in lines]
    return found


def scores_in(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("scores", folder / "scores.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def harness_tokens(tokenizer: Any, doc: dict[str, Any]) -> list[tuple[list[int], int]]:
    """Tokens of each option and the first that is scored, by the rules of lm-evaluation-harness (`_encode_pair`)."""
    alone = tokenizer.encode(doc["text"].rstrip(), add_special_tokens=False).ids
    wholes = [tokenizer.encode(doc["text"] + choice, add_special_tokens=False).ids for choice in doc["choices"]]
    return [(whole, len(alone)) for whole in wholes]


def right_first(doc: dict[str, Any], rows: list[Any]) -> list[Any]:
    return [rows[doc["answer"]], *(row for place, row in enumerate(rows) if place != doc["answer"])]


def test_the_harness_sees_the_tokens_that_our_probes_see(asked, tmp_path) -> None:
    written = write_tasks(asked, "my study", 128, tmp_path)
    assert [task.name for task in written] == [
        *(f"my_study_{score}" for score in (*FACT_TASKS, "legs")),
        "my_study_let_tered",
    ]
    assert all(task.apart == 0 for task in written) and written[0].guessing == 1 / 8
    tasks = read(tmp_path)
    backend = tokenizers.Tokenizer.from_file(str(asked.tokenizer.path))
    for score, questions in asked_facts(asked).items():
        config, docs = tasks[f"my_study_{score}"]
        assert config["metadata"]["questions"] == len(docs) == len(questions)
        for doc, ours in zip(docs, fact_tokens(questions, asked.tokenizer), strict=True):
            assert right_first(doc, harness_tokens(backend, doc)) == [(row, ours.first) for row in ours.rows]
    for name, own in FILES.items():
        config, docs = tasks[f"my_study_{name.replace(', ', '_')}"]
        assert config["metadata"]["guessing"] == pytest.approx(own.guessing)
        for doc, ours in zip(docs, tokenised(own, asked.tokenizer, 128), strict=True):
            assert harness_tokens(backend, doc) == [(row, ours.first) for row in ours.rows]
    for config, docs in tasks.values():
        assert config["tag"] == tag_of("my study") == "my_study_probes"
        assert config["output_type"] == "multiple_choice" and config["target_delimiter"] == ""
        assert all(docs[0][config[key]] for key in ("doc_to_text", "doc_to_choice"))
        assert all(isinstance(doc[config["doc_to_target"]], int) for doc in docs)


def test_whoever_does_not_read_the_question_is_right_at_guessing_exactly(asked, tmp_path) -> None:
    write_tasks(asked, "mine", 128, tmp_path)
    tasks = read(tmp_path)
    for score in FACT_TASKS:
        config, docs = tasks[f"mine_{score}"]
        liked = sorted({choice for doc in docs for choice in doc["choices"]})
        results = [
            config["process_results"](doc, [(-liked.index(choice), False) for choice in doc["choices"]]) for doc in docs
        ]
        mean = config["metric_list"][0]["aggregation"]([result[score] for result in results])
        assert mean == pytest.approx(config["metadata"]["guessing"])
        assert {doc["answer"] for doc in docs} == set(range(8))


def test_scores_count_facts_and_halve_ties(asked, tmp_path) -> None:
    write_tasks(asked, "mine", 128, tmp_path)
    scores = scores_in(tmp_path)
    of_fact = {"answer": 1, "score": "recall", "guessing": "chance"}
    facts = [(0, (-3.0, -1.0)), (0, (-1.0, -3.0)), (0, (-1.0, -1.0)), (5, (-2.0, -1.0))]
    results = [scores.about_fact({**of_fact, "fact": fact}, [(p, False) for p in log_p]) for fact, log_p in facts]
    parts = [result["recall_stderr"] for result in results]
    assert scores.mean_of_facts(parts) == pytest.approx((1 / 3 + 1) / 2)
    assert scores.error_of_facts(parts) == pytest.approx((2 / 3) / 2)
    assert math.isnan(scores.error_of_facts(parts[:2])) and results[0]["chance"] == 1 / 2
    doc = {"answer": 0, "score": "legs", "guessing": "chance:legs", "bytes": [4, 2, 4]}
    found = scores.about_file(doc, [(-4.0, False), (-4.0, False), (-8.0, False)])
    assert found["accuracy:legs"] == 1 / 2 and found["accuracy_norm:legs"] == 1
    assert found["answer_loss:legs"] == pytest.approx(1 / math.log(2))


def asking(corpus: Any, pairs: list[tuple[str, str]], question: str) -> Any:
    """The corpus with these facts alone, each asked one question."""
    facts = tuple(Fact(subject, "in", answer) for subject, answer in pairs)
    options = {**dict.fromkeys(corpus.options, ()), "domain": option_sets(facts, 0)}
    templates = {"in": Templates("in", (question,), (question,))}
    return replace(corpus, facts=Split(facts, (), ()), options=options, templates=templates, questions={})


def test_options_that_share_a_token_with_the_question_are_scored_from_it(corpus, tmp_path) -> None:
    train_tokenizer(
        ["在日本"] * 9, 300, "<end>", tmp_path / "tokenizer.json"
    )  # one token, with the question's last word
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", "<end>")
    own = asking(corpus, [("东京塔", "日本"), ("奥斯陆", "挪威")], "{subject}在{object}。")
    written = write_tasks(own, "mine", 128, tmp_path / "out", Reader(tokenizer))
    assert [task.apart for task in written] == [0, 0]
    _, docs = read(tmp_path / "out")["mine_recall"]
    for doc, ours in zip(docs, fact_tokens(asked_facts(own)["recall"], tokenizer), strict=True):
        assert right_first(doc, harness_tokens(tokenizer_of(tmp_path), doc)) == [(row, ours.first) for row in ours.rows]
    assert all("在" in choice for choice in docs[0]["choices"])


def test_all_options_of_a_question_have_one_first_token(corpus, tmp_path) -> None:
    train_tokenizer(["在日本"] * 9, 300, "<end>", tmp_path / "tokenizer.json")
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", "<end>")
    own = asking(corpus, [("东京塔", "日本"), ("奥斯陆", "挪威")], "{subject}在{object}。")
    for asked in fact_tokens(asked_facts(own)["recall"], tokenizer):
        assert len({tuple(ids[: asked.first]) for ids in asked.rows}) == 1
        assert all("在" in tokenizer.backend.decode(ids[asked.first :]) for ids in asked.rows)


def tokenizer_of(folder: Path) -> Any:
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_questions_that_the_harness_reads_as_other_tokens_are_counted(corpus, tmp_path) -> None:
    own = asking(
        corpus, [("Lyon", "France"), ("<|endoftext|>", "Norway"), ("Graz", "Austria")], "Where? {subject}, {object}."
    )
    assert write_tasks(own, "mine", 128, tmp_path)[0].apart == 1
    assert write_tasks(own, "mine", 8, tmp_path)[0].apart == 3  # longer than what the model reads


def test_a_model_whose_text_begins_with_its_end_of_text_gets_it_twice(corpus, tmp_path) -> None:
    """As `Pretrained` puts it before our rows too: the harness puts it before no text that begins with it."""
    backend = tokenizer_of(corpus.folder)
    end = backend.token_to_id("<|endoftext|>")
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", end)]
    )
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": end, "max_position_embeddings": 64}))
    reader = reader_of(tmp_path)
    assert reader.longest == 64
    assert all(task.apart == 0 for task in write_tasks(corpus, "mine", 128, tmp_path / "out", reader))
    _, docs = read(tmp_path / "out")["mine_recall"]
    ours = next(fact_tokens(asked_facts(corpus)["recall"], reader.tokenizer))
    assert harness_tokens(backend, docs[0]) == [([end, *row], ours.first + 1) for row in ours.rows]


def test_the_harness_gives_our_scores_to_the_last_question(asked, tmp_path) -> None:
    pytest.importorskip("transformers")
    lm_eval = pytest.importorskip("lm_eval")
    import torch
    from lm_eval.tasks import TaskManager

    from infusionlaw.training.export import export
    from infusionlaw.training.model import Model
    from infusionlaw.training.probe import build_probes, measure
    from infusionlaw.training.recipe import shape_for

    model = Model(shape_for(12_000, asked.tokenizer.vocabulary), [torch.Generator().manual_seed(7)])
    export(model, asked.tokenizer.path, asked.tokenizer.end_of_text, 128, tmp_path / "model")
    write_tasks(asked, "mine", 128, tmp_path / "tasks")
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tmp_path / "model")},
        tasks=[tag_of("mine")],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
        device="cpu",
        batch_size=16,
    )["results"]
    theirs = {key: value for task in found.values() for key, value in task.items()}
    ours = measure(model, asked, build_probes(asked, 128), 128)
    files = [f"{score}:{name}" for name in FILES for score in ("accuracy", "accuracy_norm", "answer_loss")]
    for score in (*FACT_TASKS, *files):
        assert theirs[f"{score},none"] == pytest.approx(ours[score], rel=1e-4)
        assert theirs[f"{score}_stderr,none"] == pytest.approx(ours[f"{score}_se"], rel=1e-4)
    assert theirs["chance,none"] == ours["chance"]
