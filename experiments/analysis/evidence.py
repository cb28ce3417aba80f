"""The folders of experiments: a study file, the runs made so far, and what was predicted before the held-out ones.

Predictions and tables are evidence and are kept byte for byte. Some of their names are older than ours: columns are
read by the aliases of the table's reader, keys and hashes of predictions here.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.files import read_json
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.at_target import Target
from infusionlaw.law.planning.forecast import Forecast
from infusionlaw.law.planning.plan import Dose, Plan, Support
from infusionlaw.law.planning.predictions import WrittenPlan, WrittenPredictions
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.law import Prediction
from infusionlaw.runs.outcomes import kinds
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table, table_text
from infusionlaw.settings import StudyFile, study_content

LEAST_DOSES = 4  # of a curve
BITS = "bits/byte"  # what "general_loss" of old tables is in
# What old predictions call a score that is now called otherwise, and how old tables named the columns that are hashed.
OLD_SCORES = {"general_loss": "val_bpb"}
OLD_COLUMNS = {"verbatim_recall": "surface_recall", "val_bpb": "general_loss"}


@dataclass(frozen=True)
class Experiment:
    """One dated folder."""

    folder: Path

    @property
    def date(self) -> str:
        """The day that its runs were made, or its prediction written."""
        return self.folder.name[:10]

    @cached_property
    def study(self) -> StudyFile:
        """Its study file."""
        return read_study(self.folder / "study.toml")

    @cached_property
    def rows(self) -> list[RunRecord]:
        """All of its runs; none before the first was made."""
        path = self.folder / "runs.csv"
        return read_table(path, unit=BITS) if path.exists() else []

    @property
    def fitted(self) -> list[RunRecord]:
        """The runs of whole curves that were not held out: those that its law is fitted to."""
        return [row for row in curves_of(self.rows) if not row.held_out]

    @property
    def held_out(self) -> list[RunRecord]:
        """The runs that were predicted first."""
        return [row for row in self.rows if row.held_out]

    @cached_property
    def prediction(self) -> WrittenPredictions:
        """What was predicted of the held-out runs."""
        return read_prediction(self.folder / "prediction.json")


def experiment(root: Path, name: str) -> Experiment:
    """The folder of experiments with a name, whatever its date; InputError where there is none."""
    found = [path for path in root.glob(f"*-{name}") if path.name[11:] == name]
    if len(found) != 1:
        raise InputError(f"{root}: holds {len(found)} folders of an experiment {name}; name one DATE-{name}")
    return Experiment(found[0])


def read_study(path: Path) -> StudyFile:
    """A study file, whatever recipe its runs were made with: no older one can be trained any more."""
    content = study_content(path)
    training = {key: value for key, value in content.get("training", {}).items() if key != "recipe"}
    return StudyFile.model_validate({**content, "training": training, "base": path.parent.resolve()})


def read_prediction(path: Path) -> WrittenPredictions:
    """A committed prediction as today's types have it: its targets, points and forecasts, and nothing else."""
    content = read_json(path)
    plans = tuple(_written(content, plan) for plan in content["predictions"])
    return WrittenPredictions(content["table"], content["table_sha256"], plans)


def _written(content: dict[str, Any], plan: dict[str, Any]) -> WrittenPlan:
    asked, known = plan.get("asked", plan["target"]), content["held_out_runs_already_known"]
    return WrittenPlan((asked["size"], asked["tokens"]), content["written"], known, plan_of(plan))


def plan_of(old: dict[str, Any]) -> Plan:
    """What a plan under old keys says of points and scores."""
    size, tokens = old["target"]["size"], old["target"]["tokens"]
    target = Target(size, tokens, old["target"].get("facts"), None, old.get("risk", 0.0), old.get("most_rise"))
    points = {
        kind: Prediction(kind, size, tokens, Interval(), Interval(**own["share"]), Interval(**own["exposures"]))
        for kind in kinds()
        if (own := old.get(kind))
    }
    return bare_plan(target, points, [_forecast(each) for each in old.get("outlook", ())])


def _forecast(old: dict[str, Any]) -> Forecast:
    scores = {OLD_SCORES.get(name, name): Interval(**old[name]) for name in ("recall", "retention", "general_loss")}
    return Forecast(old["name"], old["share"], old["exposures"], scores)


def bare_plan(target: Target, points: Mapping[Kind, Prediction], forecasts: Sequence[Forecast] = ()) -> Plan:
    """A plan that says where points lie and what to expect, and nothing else."""
    nothing = Interval()
    return Plan(
        status="ok",
        notes=(),
        target=target,
        points=dict(points),
        dose=Dose(nothing, nothing, nothing, nothing),
        binding="",
        constraints=(),
        recall=nothing,
        rise=nothing,
        known=nothing,
        room=nothing,
        forecast=tuple(forecasts),
        remedies=(),
        support=Support((), (), 1.0, 1.0, ""),
    )


def table_hashes(rows: Iterable[RunRecord]) -> tuple[str, str]:
    """The SHA-256 of a table's text, with the columns' names of today and with the old ones."""
    head, _, body = table_text(rows).partition("\n")
    old = head
    for name, before in OLD_COLUMNS.items():
        old = old.replace(name, before)
    first, second = (hashlib.sha256(f"{names}\n{body}".encode()).hexdigest() for names in (head, old))
    return first, second


def curves_of(rows: Sequence[RunRecord]) -> list[RunRecord]:
    """The rows of sizes and token counts of which enough doses have been run to see a curve."""
    doses: dict[tuple[float, float], set[float | None]] = {}
    for row in rows:
        doses.setdefault((row.size, row.tokens), set()).add(row.share)
    return [row for row in rows if len(doses[row.size, row.tokens]) >= LEAST_DOSES]


@dataclass(frozen=True)
class Trial:
    """A prediction that runs have tested: the law in words, its experiment, and the one whose runs it was fitted to.

    largest: the largest size that the law was fitted to, where it was not all of them.
    """

    law: str
    name: str
    base: str
    largest: float = inf


# In the order of time.
TRIALS = (
    Trial("first grid", "reference", "reference"),
    Trial("first grid, law fixed", "repaired", "reference"),
    Trial("first grid up to 267k, recipe fixed", "retuned", "reference", 3e5),
    Trial("grid with many heads", "extended", "extended"),
    Trial("main grid", "reshaped", "reshaped"),
    Trial("second family up to 4M", "rarer", "rarer"),
    Trial("main grid, law fixed", "longer", "reshaped"),
    Trial("main grid, law fixed twice", "longer-again", "reshaped"),
    Trial("second family up to 16M", "larger", "larger"),
    Trial("main grid, law fixed twice: larger sizes", "longer-larger", "reshaped"),
    Trial("main grid, deviation between seeds in its law", "other-seeds", "reshaped"),
)


def fitted_to(root: Path, trial: Trial) -> list[RunRecord]:
    """The rows that a trial's law was fitted to; InputError where its prediction was made from others."""
    rows = [row for row in experiment(root, trial.base).fitted if row.size <= trial.largest]
    # Part of a grid: its rows had other ids in the study that predicted, and so another hash.
    tested = experiment(root, trial.name)
    if trial.largest == inf and tested.prediction.table_sha256 not in table_hashes(rows):
        raise InputError(f"{tested.folder}: its prediction was made from another table than that of {trial.base}")
    return rows
