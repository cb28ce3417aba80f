"""TensorBoard: event files in the folder `tensorboard` of a study."""

import time
from collections.abc import Mapping
from typing import Any

from infusionlaw.trackers.tracker import TrackedRun

FLUSH = 2  # seconds after which what was written can be seen


class TensorBoard:
    """A folder of event files for each run, with the tokens as steps and the settings as its hyperparameters."""

    package = "tensorboard"

    def __init__(self) -> None:
        self._writers: dict[str, Any] = {}

    def start(self, run: TrackedRun, tokens: int) -> int:
        """Add an event file that replaces all points from `tokens` on."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = run.folder / "tensorboard" / run.name
        writer = self._writers[run.name] = EventFileWriter(str(folder), flush_secs=FLUSH)
        again = SessionLog(status=SessionLog.START)
        writer.add_event(Event(wall_time=time.time(), step=tokens, session_log=again))
        writer.add_event(Event(wall_time=time.time(), summary=hparams_pb(dict(run.config), trial_id=run.id)))
        return tokens - 1

    def log(self, run: str, tokens: int, values: Mapping[str, float]) -> None:
        """Write one event with all values."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writers[run].add_event(Event(wall_time=time.time(), step=tokens, summary=Summary(value=scalars)))

    def end(self, run: str) -> None:
        """Close the run's file."""
        self._writers.pop(run).close()

    def close(self) -> None:
        """Close all files."""
        for run in list(self._writers):
            self.end(run)
