"""Trackio: its local store, or the Space or server that its environment variables name."""

from collections.abc import Mapping
from typing import Any

from infusionlaw.trackers.tracker import TrackedRun


class Trackio:
    """A run of Trackio for each of ours, with the tokens as steps."""

    package = "trackio"

    def __init__(self) -> None:
        self._runs: dict[str, Any] = {}

    def start(self, run: TrackedRun, tokens: int) -> int:
        """Begin the run, or go on where Trackio has its last point."""
        import trackio

        own = self._runs[run.name] = trackio.init(
            project=run.project,
            name=run.name,
            group=run.group,
            config=dict(run.config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,  # this process trains nothing
            auto_log_cpu=False,
        )
        return int(own._next_step) - 1

    def log(self, run: str, tokens: int, values: Mapping[str, float]) -> None:
        """Hand on a point."""
        self._runs[run].log(dict(values), step=tokens)

    def end(self, run: str) -> None:
        """Finish the run, which waits for its points to be stored."""
        self._runs.pop(run).finish()

    def close(self) -> None:
        """Finish all runs."""
        for run in list(self._runs):
            self.end(run)
