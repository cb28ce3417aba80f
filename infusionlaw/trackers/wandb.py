"""Weights & Biases, online or with WANDB_MODE=offline; its files lie in the folder `wandb` of a study."""

from infusionlaw.trackers.tracker import ByHandle, TrackedRun


class WandB(ByHandle):
    """A run of Weights & Biases for each of ours, with the tokens as steps."""

    package = "wandb"

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
