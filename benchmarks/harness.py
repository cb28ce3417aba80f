"""A study's tasks in lm-evaluation-harness beside our own scores of the same run, question by question.

The run is exported and its tasks are written, then the harness asks them. Every answer must be the same, and every
log-likelihood within 1e-4, but for the questions of which `infusionlaw tasks` says that the harness makes other tokens,
such as those that are too long. Seconds are those of the CPU, from the questions to their scores, on one core.

    pip install lm-eval==0.4.13
    python -m benchmarks.harness STUDY RUN
    python -m benchmarks.harness STUDY RUN --file questions.jsonl    # and a file that is not of the study
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.markdown import head, line
from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.probes import asked_facts
from infusionlaw.corpus.questions import read_questions
from infusionlaw.corpus.tasks import tag_of, write_tasks
from infusionlaw.runners.execute import export_run
from infusionlaw.starts import read_start
from infusionlaw.study.study import open_folder
from infusionlaw.training.probe import FileQuestions, Probes, answer, build_probes
from infusionlaw.training.start import load_folder, shape_in
from infusionlaw.training.trainable import Trainable

AGREE = 1e-4  # nats between log-likelihoods


@dataclass(frozen=True)
class Scored:
    """Log-likelihoods by score, the right option first, (questions, options) each; and seconds."""

    log_p: Mapping[str, NDArray[np.float64]]
    seconds: float


def ours(model: Trainable, corpus: Corpus, block: int) -> Scored:
    """Score the questions as a study does."""
    begun = time.process_time()
    probes = build_probes(corpus, block)
    asked = {score: _as_file(probes, score) for score in asked_facts(corpus)} | dict(probes.files)
    log_p = {name: answer(model, own).log_p for name, own in asked.items() if len(own.asked.options)}
    return Scored(log_p, time.process_time() - begun)


def _as_file(probes: Probes, score: str) -> FileQuestions:
    name = {"recall": "domain", "verbatim_recall": "verbatim", "retention": "prior", "unseen_recall": "unseen"}[score]
    asked = getattr(probes, name)
    return FileQuestions("domain", asked, np.ones((len(asked.options), int(asked.options.max(initial=1)))))


def harness(folder: Path, tasks: Path, tag: str, batch: int) -> Scored:
    """Score the tasks by the harness."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=str(folder), batch_size=batch, device="cpu")
    begun = time.process_time()
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    found = simple_evaluate(model=lm, tasks=[tag], task_manager=manager, log_samples=True)
    samples = {own[0]["doc"]["score"]: own for own in found["samples"].values()}
    log_p = {score: _by_option([_right_first(one) for one in own]) for score, own in samples.items()}
    return Scored(log_p, time.process_time() - begun)


def _by_option(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    found = np.full((len(rows), max(map(len, rows))), -np.inf)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found


def _right_first(sample: dict[str, Any]) -> list[float]:
    log_p = [float(value) for value, _ in sample["filtered_resps"]]
    right = log_p.pop(sample["doc"]["answer"])
    return [right, *log_p]


def main() -> None:
    """Print a row for each score: both results, answers that differ, the largest difference, and the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("run")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    study, corpus = open_folder(options.study), open_corpus(options.study / "corpus")
    if options.file:
        corpus = replace(corpus, questions={**corpus.questions, options.file.stem: read_questions(options.file)})
    with tempfile.TemporaryDirectory() as name:
        folder, tasks = Path(name, "model"), Path(name, "tasks")
        block = study.file.training.block
        export_run(options.study / "runs" / options.run, folder)
        written = write_tasks(corpus, study.file.name, block, tasks)
        found = read_start(folder)
        mine = ours(load_folder(found, shape_in(found), block), corpus, block)
        theirs = harness(folder, tasks, tag_of(study.file.name), options.batch)
    print(
        head(
            ("asked", "questions", "right here", "in the harness", "answers that differ", "apart", "told", "most nats")
        )
    )
    alike = True
    for (score, own), task in zip(mine.log_p.items(), written, strict=True):
        other = theirs.log_p[score]
        nats = np.abs(np.where(np.isfinite(own), own, 0) - np.where(np.isfinite(own), other, 0)).max(1)
        far, differ = int((nats > AGREE).sum()), int((own.argmax(1) != other.argmax(1)).sum())
        rights = [f"{(each.argmax(1) == 0).mean():.4f}" for each in (own, other)]
        most = f"{nats[nats <= AGREE].max(initial=0):.1e}"
        print(line((score, str(len(own)), *rights, str(differ), str(far), str(task.apart), most)))
        alike = alike and max(far, differ) <= task.apart
    print(f"{sum(map(len, mine.log_p.values()))} questions: {'all alike' if alike else 'NOT ALIKE'}")
    print(f"{mine.seconds:.1f} s here, {theirs.seconds:.1f} s in the harness")


if __name__ == "__main__":
    main()
