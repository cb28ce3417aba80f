"""What a study takes in all, for the dry run: FLOPs, hours of all devices, and time by the clock."""

from collections.abc import Sequence
from heapq import heapreplace

from infusionlaw.law.numbers import listed, number
from infusionlaw.runs.record import Estimate

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def wall_seconds(estimates: Sequence[Estimate]) -> float:
    """Seconds by the clock when each device takes the next task as soon as it is free, as runners do.

    Runs that take several devices each come behind the others.
    """
    total = 0.0
    for gpus in sorted({run.gpus for run in estimates}):
        own = [run for run in estimates if run.gpus == gpus]
        tasks: dict[int | str, float] = {}
        for run in sorted(own, key=lambda run: run.task or 0):
            task = run.run if run.task is None else run.task
            tasks[task] = tasks.get(task, 0.0) + run.seconds
        free = [0.0] * own[0].processes
        for seconds in tasks.values():
            heapreplace(free, free[0] + seconds)
        total += max(free)
    return total


def effort_text(estimates: Sequence[Estimate]) -> str:
    """FLOPs, device-hours and time by the clock, and for which sizes the minutes were not timed."""
    device, count = estimates[0].device, max(round(run.processes * run.gpus) for run in estimates)
    hours = sum(run.seconds * run.gpus for run in estimates) / HOUR
    on = f"{count} {device}{'s' if count > 1 and device in ('core', 'GPU') else ''}"
    lines = [
        f"{len(estimates)} runs: {sum(run.flops for run in estimates):.2g} FLOPs, {_count(hours)} {device}-hours; "
        f"on {on} about {duration(wall_seconds(estimates))} of training"
    ]
    untimed = sorted({run.size for run in estimates if not run.timed})
    if untimed and any(run.timed for run in estimates):
        lines.append(
            f"Not timed, since that takes too long: {listed([number(size) for size in untimed])} parameters; their "
            "minutes are told from their FLOPs, at the speed of the largest model that was timed."
        )
    return "\n".join(lines)


def _count(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def duration(seconds: float) -> str:
    """`37.0 minutes`, `5.2 hours` or `3.1 days`."""
    if seconds < 2 * HOUR:
        return f"{max(0.1, seconds / MINUTE):.1f} minutes"
    return f"{seconds / HOUR:.1f} hours" if seconds < 3 * DAY else f"{seconds / DAY:.1f} days"
