"""The seam between the lab and the law: what a run is, and what came of it.

A `RunSpec` says everything that decides a run's bytes; its `id` is a hash of that content. A `RunRecord` is one row of
the table. The lab makes records, people with their own trainers bring them as a table, and the law half reads nothing
else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from os.path import basename, dirname
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

from infusionlaw.errors import InputError
from infusionlaw.files import json_hash, read_typed

DoseUnit = Literal["share", "exposures", "facts"]
UNSTATED = 1.0  # token count of runs that nobody states: they all have one, and it is the unit
# Steps between metrics, progress and the check for a non-finite loss, and steps whose blocks go to the device at once:
# within them a GPU is never waited for.
REPORT_EVERY = 25
AGAIN = "run the study again, which puts this run aside and makes it again"


@dataclass(frozen=True)
class RunSettings:
    """What decides a run's result besides its size, token count, dose, seed and corpus.

    Fields are named as in the study file. shortest: the shortest token count of the runs that it shares its stable
    phase with; 0: it is on its own. matched_to: training tokens of the planned run whose repetition of the domain
    documents this one has; corpus_tokens: tokens of all domain documents of that run, where the study has a sample.
    start: the hash of the weights that it begins from; None: it begins from scratch. start_rate: the peak learning rate
    as a part of the one from scratch.
    """

    recipe: Literal["2026-11"] = "2026-11"
    block: int = 128
    learning_rate_factor: float = 1.0
    batch_factor: float = 1.0
    weight_decay: float = 0.1
    shortest: int = 0
    prior_share: float = 0.25
    prior_questions: bool = True
    schedule: Literal["even", "early", "late"] = "even"
    max_exposures: int = 5000
    start: str | None = None
    start_rate: float | None = None
    matched_to: int | None = None
    corpus_tokens: int | None = None

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class RunSpec:
    """One training run. `size` is the target of non-embedding parameters, `tokens` the token count D.

    `dose` is in `unit`: a share of D, or exposures per domain fact. `data` is the hash of the prepared corpus.
    """

    size: int
    tokens: int
    dose: float
    unit: DoseUnit
    seed: int
    data: str
    settings: RunSettings = RunSettings()
    held_out: bool = False

    __pydantic_config__ = ConfigDict(extra="forbid")

    @cached_property
    def id(self) -> str:
        """Twelve hex digits of the SHA-256 of the content as canonical JSON; `held_out` and what is None are none."""
        content = {
            "size": self.size,
            "tokens": self.tokens,
            "dose": float(self.dose),  # a dose of 1 is 1.0
            "unit": self.unit,
            "seed": self.seed,
            "data": self.data,
            "settings": _content_of(self.settings),
        }
        return json_hash(content)[:12]


_SETTINGS = TypeAdapter(RunSettings)


@lru_cache(maxsize=64)
def _content_of(settings: RunSettings) -> Any:
    """Settings as JSON has them; all runs of a study share a few."""
    return json.loads(_SETTINGS.dump_json(settings, exclude_none=True))


def read_spec(path: Path) -> RunSpec:
    """Read a run's spec.json; InputError when it is none."""
    return read_typed(path, RunSpec, "the settings of a run", AGAIN, version=None)


@dataclass(frozen=True)
class RunRecord:
    """One row of the table: a run's measured results. Every score lies beside its standard error over facts.

    size: non-embedding parameters; tokens: D, UNSTATED where all runs have one count that nobody states; share: infused
    tokens / D; exposures: mean renderings of a domain fact; recall, cloze, verbatim_recall, retention, unseen_recall:
    0..1; margin: nats; val_bpb: validation loss, in loss_unit. None means not measured (a diverged or unfinished run
    has no scores). loss_unit: of all losses; None is bits per byte. curve: the training run that rows of this name are
    checkpoints of; they are not independent. more: scores and errors of other outcomes and losses (`domain_loss`,
    `val_bpb:wiki`), and of the start (`start_val_bpb`). trained_on: the kind of processor that trained it,
    which tables leave out.
    """

    size: float
    tokens: float
    share: float | None = None
    exposures: float | None = None
    recall: float | None = None
    recall_se: float | None = None
    facts: float | None = None
    tokens_per_fact: float | None = None
    verbatim_recall: float | None = None
    verbatim_recall_se: float | None = None
    retention: float | None = None
    retention_se: float | None = None
    val_bpb: float | None = None
    val_bpb_se: float | None = None
    margin: float | None = None
    margin_se: float | None = None
    cloze: float | None = None
    cloze_se: float | None = None
    unseen_recall: float | None = None
    unseen_recall_se: float | None = None
    chance: float | None = None
    seed: int | None = None
    total_size: float | None = None
    held_out: bool = False
    status: str = "ok"
    run: str = ""
    loss_unit: str | None = None
    curve: str | None = None
    more: tuple[tuple[str, float], ...] = ()
    trained_on: str = field(default="", compare=False)

    def score(self, name: str) -> float | None:
        """The measured value of an outcome; None where it was not measured."""
        return self._value(name)

    def error(self, name: str) -> float | None:
        """The standard error of an outcome's value; None where it is not known."""
        return self._value(f"{name}_se")

    def start(self, name: str) -> float | None:
        """The value of an outcome at the checkpoint that the run began from; None where it is not known."""
        return self._value(f"start_{name}")

    def chance_of(self, name: str) -> float | None:
        """What blind guessing gives of an outcome: its own `chance:NAME`, else `chance`; None where it is not known."""
        own = self._value(f"chance:{name}")
        return self.chance if own is None else own

    def _value(self, column: str) -> float | None:
        value: float | None = self.__dict__[column] if column in self.__dict__ else dict(self.more).get(column)
        return value

    def __repr__(self) -> str:
        values = ((field, getattr(self, field.name)) for field in fields(self))
        given = [f"{field.name}={value!r}" for field, value in values if value != field.default]
        return f"RunRecord({', '.join(given)})"


def read_record(path: str | Path, said: bytes | None = None) -> RunRecord:
    """Read a run's record.json; InputError when it is none, or that of another run. said: its bytes, if known."""
    record = read_typed(path, RunRecord, "a run's record", AGAIN, version=None, said=said)
    if record.run not in ("", basename(dirname(path))):
        raise InputError(f"{path}: the record of run {record.run}; {AGAIN}")
    return record


@dataclass(frozen=True)
class Estimate:
    """What a run will hold and take.

    gpus: how many train it together, with `memory` bytes on each, memory_parts by what takes them, or the part of one
    that it has where runs share it; seconds: its part of the time of a worker of one `device`, or of `gpus` of them;
    processes: workers at once; passes: how often it reads the general text; flops: of its training; task: the runs that
    one worker does together or one after another have one number, in the order in which workers take them, None: it is
    alone; timed: whether seconds come from steps that were timed, or from FLOPs.
    """

    run: str
    size: int
    total_size: int
    tokens: int
    share: float
    exposures: float
    seed: int
    held_out: bool
    steps: int
    memory: int
    seconds: float
    processes: int
    passes: float
    memory_parts: Mapping[str, int] = field(default_factory=dict)
    gpus: float = 1
    flops: float = 0.0
    task: int | None = None
    device: str = "core"
    timed: bool = True


@dataclass(frozen=True)
class Progress:
    """A run's id and how many of its steps are done.

    measured: the line of metrics.jsonl at that step; empty where the run has diverged. device: what it trains on, in a
    few words, such as "node-3 cuda:1"; "" where nobody says.
    """

    run: str
    step: int
    steps: int
    measured: Mapping[str, float] = field(default_factory=dict)
    device: str = ""
