"""Watch a study and send what it measures to trackers, without ever waiting for one.

Each tracker works in a process of its own behind a queue of limited length. What does not fit, and what a tracker fails
to take, is lost to it and counted. Results never depend on any of it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing import get_context
from queue import Full
from threading import Lock

from infusionlaw.lab import Watch
from infusionlaw.processes import check_guard, deaf
from infusionlaw.runs.names import is_measured
from infusionlaw.runs.record import Progress, RunRecord, RunSpec
from infusionlaw.study.study import Study
from infusionlaw.trackers.process import Finished, Message, Point, curve, hand_on, log_of, notes
from infusionlaw.trackers.tracker import tracked_run

WAITING = 10_000  # messages that may wait for a tracker
AT_THE_END, AFTER_A_STOP = 30.0, 5.0  # seconds that trackers have for what is still waiting
LOOK = 0.05  # seconds between looks at whether they have taken it


@contextmanager
def tracked(study: Study, watch: Watch) -> Iterator[Watch]:
    """Give a watch that tells trackers what it hears, if the study file names any, and tells `watch`, too."""
    if not study.file.track.to:
        yield watch
        return
    tracking = Tracking(study, watch)
    wait = AFTER_A_STOP
    try:
        yield tracking
        wait = AT_THE_END
    finally:
        tracking.end(wait)


class Tracking(Watch):
    """Passes on all that it hears, and tells the trackers of a study."""

    def __init__(self, study: Study, watch: Watch) -> None:
        check_guard()
        self._study, self._watch = study, watch
        self._channels: list[_Channel] = []
        for name in dict.fromkeys(study.file.track.to):
            try:
                self._channels.append(_Channel(name, study))
            except (OSError, RuntimeError) as error:  # no room for a process, or for a file
                watch.stage(f"the tracker {name} cannot be started, and training goes on: {error}")

    def stage(self, text: str) -> None:
        """Pass it on."""
        self._watch.stage(text)

    def runs(self, specs: Sequence[RunSpec], missing: Sequence[RunSpec]) -> None:
        """Announce the runs, and send those that were finished before and that a tracker has not seen."""
        self._watch.runs(specs, missing)
        for channel in self._channels:
            channel.announce(specs)
            for spec in specs:
                if (record := self._study.record(spec)) is not None:
                    channel.finish(spec.id, record)

    def progress(self, progress: Progress) -> None:
        """Send the point of a run; its last one goes with its outcomes."""
        self._watch.progress(progress)
        tokens = progress.measured.get("tokens")
        if tokens is not None and progress.step < progress.steps:
            for channel in self._channels:
                channel.offer(Point(progress.run, int(tokens), curve(progress.measured)))
        self._hear()

    def finished(self, spec: RunSpec, record: RunRecord) -> None:
        """Send the outcomes of a run."""
        self._watch.finished(spec, record)
        for channel in self._channels:
            channel.finish(spec.id, record)
        self._hear()

    def end(self, seconds: float) -> None:
        """Let the trackers take what is waiting for them, for so long at most, and say what they did not take."""
        until = time.monotonic() + seconds
        left = list(self._channels)
        while (left := [channel for channel in left if not channel.over()]) and time.monotonic() < until:
            time.sleep(LOOK)
        for channel in self._channels:
            channel.stop()
        self._hear()
        for channel in self._channels:
            if channel.lost:
                lost, offered = f"{channel.lost:,}", f"{channel.offered:,}"
                self._watch.stage(f"the tracker {channel.name} did not take {lost} of {offered} points{channel.advice}")

    def _hear(self) -> None:
        for channel in self._channels:
            if said := channel.failure():
                self._watch.stage(f"the tracker {channel.name} failed, and training goes on: {said}")


class _Channel:
    """The way to the process of one tracker."""

    def __init__(self, name: str, study: Study) -> None:
        self.name, self.offered = name, 0
        self._study = study
        notes(study.folder, name).parent.mkdir(parents=True, exist_ok=True)
        self._sent = _whole(study, name)
        context = get_context("spawn")
        with deaf():
            self._queue = context.Queue(WAITING)
            self._queue.cancel_join_thread()  # this process may end with points left
            self._taken = context.Value("q", 0)
            self._hears, says = context.Pipe(duplex=False)
            arguments = name, study.folder, self._queue, self._taken, says
            self._process = context.Process(target=hand_on, args=arguments, daemon=True)
            self._process.start()
        says.close()
        self._failed = self._closed = False
        self._lock = Lock()

    @property
    def lost(self) -> int:
        """How many points were offered and not taken."""
        return self.offered - int(self._taken.value)

    @property
    def advice(self) -> str:
        """Where to read why, and how to send them again."""
        return f"; see {log_of(self._study.folder, self.name)}; the same command sends them again"

    def announce(self, specs: Sequence[RunSpec]) -> None:
        """Tell what runs there are, before any of their points."""
        new = [spec for spec in specs if spec.id not in self._sent]
        if new:
            self.offer([tracked_run(self._study.file, self._study.folder, spec) for spec in new])

    def finish(self, run: str, record: RunRecord) -> None:
        """Offer the end of a run, once."""
        if run not in self._sent:
            self._sent.add(run)
            self.offer(Finished(run, int(record.tokens), outcomes_of(record)))

    def offer(self, message: Message) -> None:
        """Put a message into the queue if it has room."""
        with self._lock:  # points come from another thread than ends
            self.offered += not isinstance(message, list)
        with suppress(Full, OSError, RuntimeError):  # the first one starts a thread
            self._queue.put_nowait(message)

    def failure(self) -> str:
        """Return what failed first, once; "" where nothing did, or it was said."""
        with self._lock:
            if self._failed or not self._hears.poll():
                return ""
            self._failed = True
        try:
            return str(self._hears.recv())
        except EOFError:  # it has ended: at the end of all, or killed from outside
            return ""

    def over(self) -> bool:
        """Say that nothing more comes, as soon as there is room to say it; whether all was taken and it has ended."""
        if not self._closed:
            with suppress(Full, OSError, RuntimeError):
                self._queue.put_nowait(None)
                self._closed = True
        return not self._process.is_alive()

    def stop(self) -> None:
        """End the process, if it has not ended by itself."""
        self._process.kill()
        self._process.join()
        self._queue.close()


def outcomes_of(record: RunRecord) -> dict[str, float]:
    """Return the measured scores and losses of a record, by the names that trackers show."""
    values = {**asdict(record), **dict(record.more)}
    names = [name for name in values if is_measured(name) and not name.endswith("_se") and not name.startswith("start")]
    return {f"outcome/{name}": float(values[name]) for name in names if values[name] is not None}


def _whole(study: Study, name: str) -> set[str]:
    """Return the runs that a tracker has whole."""
    path = notes(study.folder, name)
    return set(path.read_text(encoding="utf8").split()) if path.exists() else set()
