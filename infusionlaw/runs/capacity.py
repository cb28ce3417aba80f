"""Tables of capacity: where what changes from row to row is how many facts a model is given, that is the dose.

Share and exposures stay the dose where they vary. Where they do not, or are not there, and some size was given two
numbers of facts or more, the number of facts is it. Its rows then have neither share nor exposures.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from infusionlaw.runs.record import UNSTATED, RunRecord

SAME = 1.01  # doses within this factor are one


def with_facts_as_dose(records: Sequence[RunRecord], columns: Collection[str] = ()) -> tuple[list[RunRecord], str]:
    """The rows with the number of facts as their dose where it is, and a sentence on what the dose is.

    columns: ours that the file has. The sentence is "" where only one thing varies that may be a dose. A token count
    that goes with the number of facts is left out, since it is no choice of its own.
    """
    if any(row.facts is None for row in records) or not _several_facts(records, with_tokens=False):
        return list(records), ""
    doses = [row.exposures if row.exposures is not None else row.share for row in records]
    known = [dose for dose in doses if dose is not None]
    if known and (len(known) < len(doses) or max(known) > SAME * min(known)):
        in_share = all(row.share is not None for row in records)
        in_exposures = any(row.exposures is not None for row in records)
        has_values = {"share": in_share, "domain_tokens": in_share, "exposures": in_exposures}
        named = [name for name, has in has_values.items() if has and name in columns]
        return list(records), (
            f"the number of facts varies too, and the dose is {'the share' if in_share else 'exposures'}; to ask how "
            "many facts a model can hold, read the rows of one dose with --where, or leave it out: "
            f"{' '.join(f'--column {name}=' for name in named)}"
        )
    goes_along = not _several_facts(records, with_tokens=True)
    each = f", at {known[0]:g} exposures each" if known and records[0].exposures is not None else ""
    tokens = "; the token count goes with it and is no covariate of its own" if goes_along else ""
    found = [replace(row, share=None, exposures=None, tokens=UNSTATED if goes_along else row.tokens) for row in records]
    return found, f"the number of facts is the dose{each}{tokens}"


def _several_facts(records: Sequence[RunRecord], *, with_tokens: bool) -> bool:
    """Whether some size, or some size at one token count, was given two numbers of facts."""
    found: dict[tuple[float, float], set[float | None]] = defaultdict(set)
    for row in records:
        found[row.size, row.tokens if with_tokens else 0.0].add(row.facts)
    return any(len(facts) > 1 for facts in found.values())
