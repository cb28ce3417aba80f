"""The state of a study in its folder: which runs are done, begun, missing, diverged, and what has been written."""

from collections.abc import Sequence
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING

from infusionlaw.errors import visible
from infusionlaw.law.dose import Interval, Scale
from infusionlaw.law.numbers import aligned, count, dose, number, share, when
from infusionlaw.report.effort import duration
from infusionlaw.report.questions import guessing_texts
from infusionlaw.runs.begun import begun_step, read_metrics
from infusionlaw.runs.record import RunSpec
from infusionlaw.study.journal import predicted_on
from infusionlaw.study.progress import Running, read_now
from infusionlaw.study.study import Study, is_held, open_folder
from infusionlaw.study.verify import doubts

if TYPE_CHECKING:
    from infusionlaw.study.search import State

_RESULTS = {"law": "law.json", "table": "table.csv", "report": "report.html"}
GONE = 60.0  # seconds after which whoever said nothing may be gone
MARKS = {"done": "+", "begun": "~", "missing": ".", "diverged": "x"}


def status_text(folder: Path) -> str:
    """Say which runs of a study are done, begun, missing or diverged, and which results are there."""
    study = open_folder(folder)
    parts = [f"study {study.file.name} in {study.folder}"]
    if study.searches:
        parts.append(_search_text(study))
    for name, specs in (("fitted", study.fitted), ("held out", study.held_out)):
        if specs:
            parts.append(_runs_text(name, study, specs))
    parts.append(_now_text(study.folder))
    done = [record for spec in (*study.fitted, *study.held_out) if (record := study.record(spec)) is not None]
    parts += guessing_texts(study.folder, done)
    parts.append(_results_text(study.folder))
    return "\n\n".join(filter(None, [*parts, *doubts(study)]))


def _now_text(folder: Path) -> str:
    """Which runs are in training where, how far they are and how long the study takes still; "" where none is."""
    found, held = read_now(folder), is_held(folder)
    if found is None:
        return "A process is running this study now." if held else ""
    now, age = found
    who = f"process {now.process} on {now.host}"
    if age > GONE or (now.host == gethostname() and not held):
        said = f"The last word of {who} is {duration(age)} old, so it may be gone; the same command goes on."
    else:
        left = "" if now.left is None else f", about {duration(now.left)} left"
        said = f"Running now, by {who}: {now.done} of {now.asked} runs are done{left}. {visible(now.stage)}"
    groups: dict[tuple[str, int, int, int, int], list[Running]] = {}
    for run in now.runs:
        groups.setdefault((run.device, run.size, run.tokens, run.step, run.steps), []).append(run)
    return "\n".join([said, *(_running_text(runs) for _, runs in sorted(groups.items()))])


def _running_text(runs: Sequence[Running]) -> str:
    """`28k, 1.5M tokens, share 0.35, seed 2: 340 of 1,200 steps on node3 GPU 1`; a batch of models has one line."""
    run = runs[0]
    which = f"{run.unit} {share(run.dose) if run.unit == 'share' else count(run.dose)}, seed {run.seed}"
    which = which if len(runs) == 1 else f"{len(runs)} runs together"
    place = f" on {run.device}" if run.device else ""
    quiet = min(run.quiet for run in runs)
    unheard = f", not heard of for {duration(quiet)}" if quiet > GONE else ""
    return (
        f"{number(run.size)}, {number(run.tokens)} tokens, {which}: {run.step:,} of {run.steps:,} steps{place}{unheard}"
    )


def state_text(state: "State") -> str:
    """Where the search of one curve stands: `28k, 1.5M tokens: 23 runs, located: a share of 0.79 [0.72, 0.85]`."""
    scale = Scale(state.unit)
    interval = state.x.map(lambda end: float(scale.dose(end)))
    where = f": {dose(interval, state.unit)}" if state.x != Interval() else ""
    return f"{number(state.size)}, {number(state.tokens)} tokens: {state.runs} runs, {state.over or 'open'}{where}"


def _search_text(study: Study) -> str:
    """How far a search is, a line a curve; it cannot know how many runs it will take."""
    from infusionlaw.study.search import most_runs  # scipy, which a grid does without

    design, states = study.file.design, study.states
    begun = {(state.size, state.tokens) for state in states}
    waiting = [f"{number(n)}, {number(d)} tokens: not begun" for n, d in design.places if (n, d) not in begun]
    over = sum(bool(state.over) for state in states)
    head = f"search: {over} of {len(design.places)} curves are over; a curve takes {most_runs(study.file)} runs at most"
    return "\n".join([head, *map(state_text, states), *waiting])


def _state(study: Study, spec: RunSpec) -> str:
    record = study.record(spec)
    if record is not None:
        return "done" if record.status == "ok" else "diverged"
    return "begun" if (study.folder / "runs" / spec.id).exists() else "missing"


def _runs_text(name: str, study: Study, specs: Sequence[RunSpec]) -> str:
    """Counts by state, a line a size with one mark a seed under each dose, and the runs that need a word."""
    states = {spec: _state(study, spec) for spec in specs}
    counts = [f"{n} {state}" for state in MARKS if (n := list(states.values()).count(state))]
    doses = sorted({spec.dose for spec in specs})
    show = share if specs[0].unit == "share" else count
    rows: list[list[str]] = [["size", "tokens", f"{specs[0].unit} {show(doses[0])}", *map(show, doses[1:])]]
    for size, tokens in sorted({(spec.size, spec.tokens) for spec in specs}):
        mine = [spec for spec in specs if (spec.size, spec.tokens) == (size, tokens)]
        marks = ["".join(MARKS[states[spec]] for spec in mine if spec.dose == dose) for dose in doses]
        rows.append([number(size), number(tokens), *marks])
    legend = "one mark a seed: " + ", ".join(f"{mark} {state}" for state, mark in MARKS.items())
    words = [
        f"{spec.id}  {number(spec.size)}, {number(spec.tokens)} tokens, {spec.unit} {show(spec.dose)}, "
        f"seed {spec.seed}: {state if state == 'diverged' else _progress(study.folder / 'runs' / spec.id, spec)}"
        for spec, state in states.items()
        if state in ("begun", "diverged")
    ]
    return "\n".join([f"{name}: {len(specs)} runs, {', '.join(counts)}", aligned(rows), legend, *words])


def _progress(run: Path, spec: RunSpec) -> str:
    """How far an unfinished run is on disk: its checkpoint's step, and how much of its tokens the metrics show."""
    step = begun_step(run)
    if not step:
        return "begun, no checkpoint yet"
    tokens = max((tokens for _, tokens, _ in read_metrics(run, step)), default=None)
    return f"begun, {step} steps done" + (f" ({tokens / spec.tokens:.0%})" if tokens else "")


def _results_text(folder: Path) -> str:
    written = [predicted_on(path) for path in sorted(folder.glob("predictions/*.json"))]
    found = {
        "prediction": f"written {when(max(written))}" if written else "not yet",
        **{name: "there" if (folder / file).exists() else "not yet" for name, file in _RESULTS.items()},
    }
    return "\n".join(f"{name}: {text}" for name, text in found.items())
