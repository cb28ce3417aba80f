"""Weights & Biases, online or with WANDB_MODE=offline; its files lie in the folder `wandb` of a study."""

from collections.abc import Mapping
from typing import Any

from infusionlaw.trackers.tracker import TrackedRun


class WandB:
    """A run of Weights & Biases for each of ours, with the tokens as steps."""

    package = "wandb"

    def __init__(self) -> None:
        self._runs: dict[str, Any] = {}

    def start(self, run: TrackedRun, tokens: int) -> int:
        """Begin the run, or go on with it. Offline nobody can tell what it has, so it begins again there."""
        import wandb

        own = self._runs[run.name] = wandb.init(
            project=run.project,
            group=run.group,
            id=run.name,
            name=run.name,
            config=dict(run.config),
            dir=run.folder,
            resume="allow",
            reinit="create_new",  # several runs are open at once
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )
        return int(own.step) - 1

    def log(self, run: str, tokens: int, values: Mapping[str, float]) -> None:
        """Hand on a point."""
        self._runs[run].log(dict(values), step=tokens)

    def end(self, run: str) -> None:
        """Finish the run, which waits for its points to be sent."""
        self._runs.pop(run).finish()

    def close(self) -> None:
        """Finish all runs; one that is not complete stays open for the next time under its name."""
        for run in list(self._runs):
            self.end(run)
