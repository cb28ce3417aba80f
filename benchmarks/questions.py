"""Questions of a file: our scores and speed beside those of lm-evaluation-harness 0.4.13, on one model and one core.

The model has random weights, and is exported as a Hugging Face folder for the harness, which begins each row with
end-of-text as ours does (add_bos_token=True). Questions, of four options of one to eight words, are drawn from the
words of docstrings. Accuracy must be the same and every log-likelihood within 1e-4. The time is the CPU's of a task
from its file to its scores, on one core; the harness takes --batch rows at a time.

    pip install lm-eval==0.4.13
    python -m benchmarks.questions                    # 500 questions and a small model: do the scores agree?
    python -m benchmarks.questions --count 10000 --size 25000000     # and how long does it take?
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.markdown import head, line
from infusionlaw.corpus.general import documents
from infusionlaw.corpus.questions import QuestionSet, read_questions
from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.training.export import export
from infusionlaw.training.model import Model
from infusionlaw.training.probe import answer, questions_of
from infusionlaw.training.recipe import shape_for

END, BLOCK = "<|endoftext|>", 1024  # no question is longer
AGREE = 1e-4  # nats between log-likelihoods


@dataclass(frozen=True)
class Scored:
    """Accuracies, log-likelihoods of all options (questions, options) in the order of the file, and seconds."""

    accuracy: float
    accuracy_norm: float
    log_p: NDArray[np.float64]
    seconds: float


def words() -> list[str]:
    """The words of some docstrings."""
    return " ".join(islice(documents("python-docs", base=Path()), 2000)).split()


def write_file(path: Path, count: int, seed: int = 0) -> None:
    """Write questions of 5 to 60 words with four options of 1 to 8."""
    rng, known = np.random.default_rng(seed), words()

    def phrase(least: int, most: int) -> str:
        start = int(rng.integers(len(known) - most))
        return " ".join(known[start : start + int(rng.integers(least, most + 1))])

    with path.open("w", encoding="utf8") as file:
        for number in range(count):
            choices = list(dict.fromkeys(f"{phrase(1, 8)}{'' if i else '.'}" for i in range(4)))
            choices += [f"none of these {i}" for i in range(len(choices), 4)]
            row = {"question": phrase(5, 60), "choices": choices, "answer": "ABCD"[number % 4]}
            file.write(json.dumps(row) + "\n")


def ours(path: Path, prompt: Any, shots: int, model: Model, tokenizer: Tokenizer) -> Scored:
    """Score a file as a study does."""
    begun = time.process_time()
    own = read_questions(path, prompt=prompt, shots=shots)
    asked = questions_of(own, tokenizer, BLOCK)
    scores = answer(model, asked)
    seconds = time.process_time() - begun
    return Scored(
        float(scores.accuracy.mean()), float(scores.accuracy_norm.mean()), _in_file(own, scores.log_p), seconds
    )


def _in_file(own: QuestionSet, log_p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-likelihoods in the order of the file, from those with the right option first."""
    rows = [np.insert(each[1:], one.right, each[0]) for one, each in zip(own.questions, log_p, strict=True)]
    return np.array(rows)


def harness(path: Path, prompt: str, shots: int, folder: Path, batch: int) -> Scored:
    """Score the same file by the harness, with the task that a person would write."""
    from lm_eval import simple_evaluate
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    lettered = "{{question}}\n" + "".join(f"{letter}. {{{{choices[{i}]}}}}\n" for i, letter in enumerate("ABCD"))
    lm = HFLM(pretrained=str(folder), add_bos_token=True, batch_size=batch, device="cpu", dtype="float32")
    begun = time.process_time()
    task = ConfigurableTask(
        config={
            "task": "mine",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(path)}},
            "test_split": "test",
            "fewshot_split": "test",
            "fewshot_config": {"sampler": "first_n"},
            "output_type": "multiple_choice",
            "doc_to_text": (lettered if prompt == "lettered" else "Question: {{question}}\n") + "Answer:",
            "doc_to_choice": list("ABCD") if prompt == "lettered" else "choices",
            "doc_to_target": "{{'ABCD'.index(answer)}}",
            "num_fewshot": shots,
            "metric_list": [{"metric": "acc"}, {"metric": "acc_bytes"}],
        }
    )
    found = simple_evaluate(model=lm, tasks=[task], num_fewshot=shots, bootstrap_iters=0, log_samples=True)
    seconds = time.process_time() - begun
    samples = sorted(found["samples"]["mine"], key=lambda sample: sample["doc_id"])[shots:]
    log_p = np.array([[float(one[0]) for one in sample["filtered_resps"]] for sample in samples])
    accuracy, per_byte = (float(np.mean([sample[name] for sample in samples])) for name in ("acc", "acc_bytes"))
    return Scored(accuracy, per_byte, log_p, seconds)


def main() -> None:
    """Print a row for each way of asking: accuracies, the largest difference, seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--ways", nargs="+", default=["cloze 0", "cloze 2", "lettered 0", "lettered 2"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_file(folder / "questions.jsonl", options.count)
        texts = islice(documents("python-docs", base=folder), 5000)
        train_tokenizer(texts, options.vocabulary, END, folder / "tokenizer.json")
        tokenizer = Tokenizer(folder / "tokenizer.json", END)
        model = Model(shape_for(options.size, tokenizer.vocabulary), [torch.Generator().manual_seed(0)])
        export(model, folder / "tokenizer.json", tokenizer.end_of_text, BLOCK, folder / "model")
        print(
            f"{options.count:,} questions, {model.shape.size:,} + {model.shape.total_size - model.shape.size:,} weights"
        )
        print(
            head(("asked", "accuracy", "harness", "per byte", "harness", "nats apart", "s", "harness", "times", "same"))
        )
        for way in options.ways:
            prompt, shots = way.split()
            mine = ours(folder / "questions.jsonl", prompt, int(shots), model, tokenizer)
            theirs = harness(folder / "questions.jsonl", prompt, int(shots), folder / "model", options.batch)
            apart = float(np.abs(mine.log_p - theirs.log_p).max())
            same = mine.accuracy == theirs.accuracy and mine.accuracy_norm == theirs.accuracy_norm and apart <= AGREE
            scores = [f"{x:.4f}" for x in (mine.accuracy, theirs.accuracy, mine.accuracy_norm, theirs.accuracy_norm)]
            times = [f"{mine.seconds:.1f}", f"{theirs.seconds:.1f}", f"{theirs.seconds / mine.seconds:.1f}"]
            print(line((way, *scores, f"{apart:.1e}", *times, "yes" if same else "NO")), flush=True)


if __name__ == "__main__":
    main()
