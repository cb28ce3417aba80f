"""The columns that a table can have, and the names by which a file may call them.

A name is tried whole first: `n_params` is the size. Then its last parts, the longest first: `config/model/n_params`
and `params.n_params` are the size as well, and `acc,none` is an accuracy.
"""

import re
from collections.abc import Collection
from dataclasses import fields

from infusionlaw.runs.outcomes import ACCURACIES, LOSSES, is_loss, measure_of, outcomes, scale_of
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.tabular import bare

FIELDS = tuple(field.name for field in fields(RunRecord) if field.name not in ("more", "trained_on"))
# Other names that a column may have. Case, spaces, hyphens and underscores do not matter.
ALIASES: dict[str, tuple[str, ...]] = {
    "size": (
        *("params", "n_params", "num_params", "parameters", "n_parameters", "num_parameters", "model_size", "N"),
        *("model_params", "non_embedding_params", "non_embedding_parameters", "params_non_embedding"),
    ),
    "tokens": (
        *("n_tokens", "num_tokens", "train_tokens", "training_tokens", "total_tokens", "tokens_seen"),
        *("token_budget", "budget", "D"),
    ),
    "share": (
        *("domain_share", "infusion_share", "infused_share", "domain_ratio", "infusion_ratio", "domain_fraction"),
        *("infusion_fraction", "domain_proportion", "mix", "mix_ratio", "mixing_ratio", "mixture_ratio", "ratio", "r"),
    ),
    "exposures": (
        *("n_exposures", "num_exposures", "repetitions", "n_repetitions", "repeats", "duplicates", "n_duplicates"),
        *("duplications", "insertions", "n_insertions", "frequency", "infusion_frequency", "epochs", "k"),
    ),
    "recall": (
        *("accuracy", "acc", "domain_recall", "domain_accuracy", "fact_recall", "exact_match", "em"),
        *("memorization", "memorisation"),
    ),
    "facts": ("n_facts", "num_facts", "domain_facts", "number_of_facts", "S"),
    "tokens_per_fact": ("tokens_per_statement", "fact_tokens", "statement_tokens"),
    "verbatim_recall": ("surface_recall", "surface_accuracy", "statement_recall"),
    "retention": ("prior_recall", "prior_accuracy", "retention_rate"),
    "val_bpb": ("bpb", "validation_bpb", "general_bpb", "bits_per_byte"),
    "margin": ("log_prob_margin", "answer_margin"),
    "cloze": ("cloze_recall", "cloze_accuracy"),
    "unseen_recall": ("unseen_accuracy",),
    "chance": ("chance_level", "chance_accuracy", "guessing", "guess_rate", "random_baseline"),
    "seed": ("random_seed", "rng_seed"),
    "total_size": ("total_params", "total_parameters", "params_total", "n_params_total"),
    "held_out": ("holdout", "is_held_out", "is_holdout"),
    "run": ("run_id",),
    "status": ("state", "run_state", "run_status"),
    "domain_loss": ("domain_bpb", "domain_val_loss", "domain_validation_loss"),
    "answer_loss": ("answer_bpb", "answer_nll"),
    "domain_tokens": ("n_domain_tokens", "infused_tokens", "n_infused_tokens"),
    "step": ("global_step",),
    "name": ("run_name", "dir_name"),
    "loss": (
        *("val_loss", "valid_loss", "validation_loss", "test_loss", "eval_loss", "final_loss", "general_loss"),
        *("domain_loss", "bpb", "val_bpb", "nll"),
    ),
    "compute": ("flop", "flops", "training_flop", "training_flops", "train_flops", "C"),
    "unique_tokens": ("n_unique_tokens", "unique", "unique_data", "U"),
    "passes": ("epochs", "n_epochs", "num_epochs"),
}
# Names of the validation loss that do not say its unit: they count where no column says that it is in bits per byte.
UNITLESS = ("val_loss", "valid_loss", "validation_loss", "eval_loss", "general_loss")
DOSES = frozenset({"share", "exposures", "domain_tokens"})
# What is read to fill other columns: the share, and what rows are checkpoints of one run.
HELPERS = ("domain_tokens", "step", "name")
# What only a surface reads: one loss, the share of the text that it is of, and other conditions.
OF_SURFACES = ("loss", "loss_share", "compute", "unique_tokens", "passes")
# Other names of the exposures that trainers also give to something else: passes over the corpus, top k, how often
# anything is logged, runs of one setting. They count only where no other column holds a dose.
LOOSE = ("epochs", "k", "frequency", "repeats", "repetitions", "n_repetitions")
# Names that say too little as the last part of a longer one, as in "lora/r", "batch/size" or "warmup/ratio".
WHOLE_ONLY = (*LOOSE, "mix", "ratio", "budget", "size", "parameters", "state", "status", "run", "name", "loss")
SE_ENDINGS = ("_se", "_stderr", "_sem", "_standard_error")  # behind any name of the score
OF_TRAINING = ("train", "training")
# What else may be said of one file of questions, or of one outcome, behind a colon: chance:retention.
OF_ONE = {bare(name): name for score in ACCURACIES for name in (score, f"start_{score}")} | {"chance": "chance"}
FILTER = re.compile(r",[\w-]+$")  # what lm-evaluation-harness adds to a score's name


def score_columns() -> tuple[str, ...]:
    """The columns of a table that hold a score or its standard error."""
    names = columns()
    return tuple(name for name in names if name.endswith("_se") or f"{name}_se" in names)


def columns() -> tuple[str, ...]:
    """All columns that a table can have: those of every record, then those of other outcomes and losses."""
    more = (name for measure in measures() for name in (measure, f"{measure}_se"))
    return tuple(dict.fromkeys((*FIELDS, *more)))


def measures() -> tuple[str, ...]:
    """What a run can be measured by: the outcomes, then the other losses."""
    return tuple(dict.fromkeys((*(outcome.name for outcome in outcomes()), *LOSSES)))


def is_measured(column: str) -> bool:
    """Whether a column holds a score or a loss, of a run or of its start, or the standard error of one."""
    return column in score_columns() or measure_of(column) in (*measures(), *ACCURACIES)


def names_of(column: str) -> tuple[str, ...]:
    """All names that a column of the table may have in a file, its own first."""
    if column.endswith("_se"):
        return tuple(name + ending for name in names_of(column.removesuffix("_se")) for ending in SE_ENDINGS)
    return (column, *ALIASES.get(column, ()))


def names_its_unit(name: str) -> bool:
    """Whether the name of a loss says that it is in bits per byte."""
    return "bpb" in bare(name) or "bitsperbyte" in bare(name)


class Names:
    """Every name that a column of a table of runs can have, by what it means. Made once a table."""

    loose: tuple[str, ...] = LOOSE

    def __init__(self) -> None:
        found = {name: column for column in (*columns(), *HELPERS) for name in names_of(column)}
        found |= dict.fromkeys(UNITLESS, "val_bpb")
        found |= {name + ending: "val_bpb_se" for name in UNITLESS for ending in SE_ENDINGS}
        scores = {measure: f"start_{measure}" for measure in measures()}
        scores |= {f"{measure}_se": f"start_{measure}_se" for measure in measures()}
        found |= {f"start_{name}": scores[column] for name, column in found.items() if column in scores}
        found["start_tokens"] = "start_tokens"  # what the start was trained on before
        self._known = {bare(name): column for name, column in found.items()}

    def ours(self) -> list[str]:
        """Our columns that a person may name."""
        return [name for name in (*columns(), *HELPERS) if not name.endswith("_se")]

    def lacking(self, known: Collection[str]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """What a table with some of our columns needs yet and what it may have yet, each with its names in a file.

        What it may have is only a slip of the pen away: a table of losses by size has no dose.
        """
        needed = {ours: names_of(ours) for ours in ("size", "tokens") if ours not in known}
        if not any(measure_of(ours) in measures() and not ours.startswith("start_") for ours in known):
            needed["recall"] = tuple(name for measure in measures() for name in names_of(measure))
        doses = () if not DOSES.isdisjoint(known) else ("share", "exposures")
        return needed, {ours: names_of(ours) for ours in doses}

    def whole(self, name: str) -> str | None:
        """The column of a whole name; `val_loss:wiki` is the loss of one source, `recall:medqa` a score on a file."""
        base, colon, source = name.partition(":")
        column = self._known.get(bare(base))
        if not colon:
            return column
        of_one = column is not None and (is_loss(column) or scale_of(measure_of(column)) is not None)
        column = OF_ONE.get(bare(base)) or (column if of_one else None)
        return f"{column}:{source.strip()}" if column and source.strip() else None

    def parts(self, name: str) -> str | None:
        """The column that the last parts of a name mean, the longest that means one."""
        *_, last = parts = parts_of(name)
        for start in range(len(parts)):
            column = self.whole("".join(parts[start:]))
            if not column or (start == len(parts) - 1 > 0 and (len(bare(last)) < 3 or bare(last) in _TOO_SHORT)):
                continue
            of_training = any(part.casefold() in OF_TRAINING for part in parts[:-1])
            return None if of_training and measure_of(column) in (*measures(), "loss") else column
        return None


class SurfaceNames(Names):
    """The same for a surface: one loss, and what it depends on."""

    loose = ()
    meanings = ("size", "tokens", "share", "status", "run", "name", "step", *OF_SURFACES)

    def __init__(self) -> None:
        self._known = {bare(name): ours for ours in self.meanings for name in names_of(ours)}

    def ours(self) -> list[str]:
        """Our columns that a person may name."""
        return list(self.meanings)

    def lacking(self, known: Collection[str]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """One loss is needed; what it depends on may be any of the conditions."""
        needed = {} if "loss" in known else {"loss": names_of("loss")}
        return needed, {ours: names_of(ours) for ours in ("size", "tokens", "share") if ours not in known}


_TOO_SHORT = frozenset(map(bare, WHOLE_ONLY))


def parts_of(name: str) -> list[str]:
    return [part for part in re.split(r"[/.]", FILTER.sub("", name)) if part.strip()] or [name]
