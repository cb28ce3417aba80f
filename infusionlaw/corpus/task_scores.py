"""Read and score the questions of these tasks, for lm-evaluation-harness.

`infusionlaw tasks` copied this file beside them. Scores are named as the columns of a table of runs.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

Results = Sequence[tuple[float, bool]]  # of each option: log-likelihood, and whether greedy decoding gives it


def questions(file: str, **_: Any) -> dict[str, Any]:
    """Return the questions of a file that lies here, as the split "test"."""
    from datasets import Dataset

    with Path(__file__).with_name(file).open(encoding="utf8") as lines:
        return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def about_fact(doc: dict[str, Any], results: Results) -> dict[str, Any]:
    """Score a question about a fact: right where the right option is the likeliest of all."""
    log_p = [value for value, _ in results]
    right = log_p.pop(doc["answer"]) > max(log_p)
    of_fact = doc["fact"], float(right)
    return {doc["score"]: of_fact, f"{doc['score']}_stderr": of_fact, doc["guessing"]: 1 / len(results)}


def about_file(doc: dict[str, Any], results: Results) -> dict[str, Any]:
    """Score a question of a file: right, right by likelihood per byte, and loss of the answer in bits per byte."""
    log_p = [value for value, _ in results]
    by_byte = [value / size for value, size in zip(log_p, doc["bytes"], strict=True)]
    return {
        f"accuracy:{doc['score']}": _right(log_p, doc["answer"]),
        f"accuracy_norm:{doc['score']}": _right(by_byte, doc["answer"]),
        f"answer_loss:{doc['score']}": -by_byte[doc["answer"]] / math.log(2),
        doc["guessing"]: 1 / len(results),
    }


def _right(scores: Sequence[float], answer: int) -> float:
    """1 where the answer has the best score; 1/b where b options share it."""
    best = max(scores)
    return float(scores[answer] == best) / scores.count(best)


def mean_of_facts(items: Sequence[tuple[int, float]]) -> float:
    """Return the mean over facts of the part of their questions that is answered right."""
    return fmean(_by_fact(items))


def error_of_facts(items: Sequence[tuple[int, float]]) -> float:
    """Return its standard error. The questions of one fact are not independent, so facts are counted."""
    parts = _by_fact(items)
    return stdev(parts) / math.sqrt(len(parts)) if len(parts) > 1 else math.nan


def _by_fact(items: Sequence[tuple[int, float]]) -> list[float]:
    found: dict[int, list[float]] = {}
    for fact, right in items:
        found.setdefault(fact, []).append(right)
    return [fmean(each) for each in found.values()]
