"""Trackio: its local store, or the Space or server that its environment variables name."""

from infusionlaw.trackers.tracker import ByHandle, TrackedRun


class Trackio(ByHandle):
    """A run of Trackio for each of ours, with the tokens as steps."""

    package = "trackio"

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
