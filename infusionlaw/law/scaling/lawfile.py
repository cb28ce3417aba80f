"""law.json: a law on disk. Reading it back gives the same predictions to the last digit."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.law.dose import COORDINATES, LEVEL, Interval
from infusionlaw.law.points.detect import Level
from infusionlaw.law.points.point import point_from, point_json
from infusionlaw.law.scaling.forms import known_forms
from infusionlaw.law.scaling.law import FittedForm, KindLaw, Law
from infusionlaw.law.scores.cost import Cost
from infusionlaw.law.scores.loss_floor import LossFloor
from infusionlaw.law.scores.plateaus import Plateaus
from infusionlaw.law.scores.seeds import Shift
from infusionlaw.law.scores.zero_dose import Line, ZeroDose
from infusionlaw.runs.record import DoseUnit

VERSION = 10


def law_json(law: Law) -> dict[str, Any]:
    """The content of law.json."""
    return {
        "version": VERSION,
        "level": LEVEL,
        "unit": law.unit,
        "coordinate": COORDINATES[law.unit],
        "support": {"sizes": law.sizes, "token_counts": law.token_counts, "doses": law.doses},
        "facts": law.facts,
        "tokens_per_fact": law.tokens_per_fact,
        "table": law.table,
        "kinds": {kind.kind: _kind_json(kind) for kind in law.kinds},
        "plateaus": asdict(law.plateaus) if law.plateaus else None,
        "retention_plateaus": asdict(law.retention_plateaus) if law.retention_plateaus else None,
        "cost": asdict(law.cost) if law.cost else None,
        "bare": asdict(law.zero_dose) if law.zero_dose else None,
        "notes": law.notes,
    }


def _kind_json(law: KindLaw) -> dict[str, Any]:
    return {
        "status": law.status,
        "reason": law.reason,
        "notes": law.notes,
        "varied": law.varied,
        "facts": law.facts,
        "tokens_per_fact": law.tokens_per_fact,
        "coefficients": {name: value.as_dict() for name, value in law.coefficients.items()},
        "forms": [_form_json(fitted) for fitted in law.forms],
        "points": [point_json(point) for point in law.points],
    }


def _form_json(fitted: FittedForm) -> dict[str, Any]:
    form = fitted.form
    return {
        "name": form.name,
        "formula": form.formula,
        "source": form.source,
        "weight": fitted.weight,
        "constants": asdict(form),  # type: ignore[call-overload]
        "coefficients": {name: value.as_dict() for name, value in fitted.coefficients.items()},
        "draws": fitted.draws,
    }


def write_law(path: str | Path, law: Law) -> None:
    """Write law.json atomically."""
    write_json(Path(path), law_json(law))


def read_law(path: str | Path) -> Law:
    """Read law.json; InputError when it is not one of this version, or needs a form that is not installed."""
    content = read_json(Path(path))
    if not isinstance(content, dict) or content.get("version") != VERSION or "kinds" not in content:
        raise InputError(f"{path}: not a law file of version {VERSION}; fit it again from its table")
    try:
        return _law_from(content, path)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: the law lacks or garbles {error}; fit it again from its table") from error


def _law_from(content: dict[str, Any], path: str | Path) -> Law:
    unit: DoseUnit = content["unit"]
    support = content["support"]
    kinds = tuple(
        KindLaw(
            kind=kind,
            status=law["status"],
            reason=law["reason"],
            forms=tuple(_form_from(form, path) for form in law["forms"]),
            points=tuple(point_from(point, unit) for point in law["points"]),
            varied=tuple(law["varied"]),
            facts=law["facts"],
            tokens_per_fact=law["tokens_per_fact"],
            notes=tuple(law["notes"]),
        )
        for kind, law in content["kinds"].items()
    )
    sizes, token_counts, doses = (tuple(support[name]) for name in ("sizes", "token_counts", "doses"))
    return Law(
        unit,
        kinds,
        sizes,
        token_counts,
        (doses[0], doses[1]),
        content["facts"],
        content["tokens_per_fact"],
        content["table"],
        plateaus=_plateaus_from(content["plateaus"]) if content["plateaus"] else None,
        cost=_cost_from(content["cost"]) if content["cost"] else None,
        retention_plateaus=_plateaus_from(content["retention_plateaus"]) if content["retention_plateaus"] else None,
        zero_dose=_zero_dose_from(content["bare"]) if content["bare"] else None,
        notes=tuple(content["notes"]),
    )


def _form_from(content: dict[str, Any], path: str | Path) -> FittedForm:
    known = known_forms()
    if content["name"] not in known:
        raise InputError(f'{path}: the form "{content["name"]}" is not installed; install the package that has it')
    return FittedForm(
        form=known[content["name"]](**content["constants"]),
        weight=content["weight"],
        coefficients={name: Interval(**value) for name, value in content["coefficients"].items()},
        draws=tuple(tuple(row) for row in content["draws"]),
    )


def _plateaus_from(content: dict[str, Any]) -> Plateaus:
    levels = {name: Level(**content[name]) for name in ("floor", "rise", "fall")}
    covariance = tuple(tuple(row) for row in content["covariance"])
    return Plateaus(**{**content, **levels, "mean": tuple(content["mean"]), "covariance": covariance})


def _cost_from(content: dict[str, Any]) -> Cost:
    covariance = tuple(tuple(row) for row in content["covariance"])
    return Cost(**{**content, "theta": tuple(content["theta"]), "covariance": covariance})


def _zero_dose_from(content: dict[str, Any]) -> ZeroDose:
    retention, loss = content["retention"], content["val_bpb"]
    return ZeroDose(
        retention=_line_from(retention) if retention else None,
        val_bpb=None if not loss else _loss_floor_from(loss) if "posterior" in loss else _line_from(loss),
        shift=Shift(**content["shift"]) if content["shift"] else None,
    )


def _line_from(content: dict[str, Any]) -> Line:
    covariance = tuple(tuple(row) for row in content["covariance"])
    return Line(**{**content, "mean": tuple(content["mean"]), "covariance": covariance})


def _loss_floor_from(content: dict[str, Any]) -> LossFloor:
    return LossFloor(**{**content, "posterior": tuple(tuple(row) for row in content["posterior"])})
