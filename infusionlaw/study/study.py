"""Track a study in its folder: which runs its file asks for, which are done, which are missing.

The folder is the only state. A run is done when its `record.json` is there, or its row in `runs.csv`: the table of runs
that were done elsewhere. One process at a time may write a study.
"""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import chain, count
from os.path import basename, dirname, exists, join
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from infusionlaw.errors import InputError, nearest
from infusionlaw.files import path_from, read_bytes, read_typed, write_json
from infusionlaw.law.dose import same_dose, x_at
from infusionlaw.runs.ledger import read_ledger
from infusionlaw.runs.record import AGAIN, RunRecord, RunSpec, read_record, read_spec
from infusionlaw.runs.table import read_table, table_hash
from infusionlaw.settings import StudyFile
from infusionlaw.study.design import grid, held_out, run_spec
from infusionlaw.study.folder import check_lock
from infusionlaw.study.journal import Journal

if TYPE_CHECKING:
    from infusionlaw.study.search import State

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
LOOK, WAIT = 0.1, 2.0  # seconds for which a lock that is taken is asked for again: to look at it, and to hold it


@dataclass(frozen=True)
class Saved:
    """study.json: the id of the corpus, where paths start from, and the study file with all defaults."""

    data: str
    base: str
    file: StudyFile


@dataclass(frozen=True)
class Study:
    """A study file, the folder it is worked out in, and the id of its prepared corpus."""

    file: StudyFile
    folder: Path
    data: str

    @property
    def searches(self) -> bool:
        """Whether it is a search, whose runs depend on the ones before, or a grid."""
        return self.file.design.design == "search"

    @property
    def opening(self) -> list[RunSpec]:
        """The runs that are known before any is made: a grid whole, or what every curve of a search may start from."""
        if not self.searches:
            return list(self._grid)
        from infusionlaw.study.search import opening  # scipy, which a grid does without

        return opening(self.file, self.data)

    @cached_property
    def _grid(self) -> tuple[RunSpec, ...]:
        """The runs of a grid, made once: each keeps its id."""
        return tuple(grid(self.file, self.data))

    def rounds(self) -> Iterator[list[RunSpec]]:
        """Yield the runs that the law is fitted to, in rounds; make those of one before asking for the next."""
        if not self.searches:
            yield list(self._grid)
            return
        from infusionlaw.study.search import rounds

        for step in rounds(self.file, self.data, self.record):
            yield list(step.specs)

    @property
    def fitted(self) -> list[RunSpec]:
        """The runs that the law is fitted to; of a search, those asked for so far."""
        return [spec for specs in self.rounds() for spec in specs]

    @property
    def states(self) -> "tuple[State, ...]":
        """Where the search of every curve stands that has begun; none of a grid."""
        if not self.searches:
            return ()
        from infusionlaw.study.search import rounds

        return list(rounds(self.file, self.data, self.record))[-1].states

    @property
    def held_out(self) -> list[RunSpec]:
        """Return the runs that are predicted first."""
        held = held_out(self.file, self.data)
        return [*held, *self._looked_at(held)]

    @cached_property
    def journal(self) -> Journal:
        """What was written of the study and when; InputError where its lines do not hold."""
        return Journal(self.folder)

    @property
    def prediction(self) -> Path:
        """Where the prediction from the finished runs is, or will be."""
        return self.folder / "predictions" / f"{table_hash(self.records(self.fitted))[:12]}.json"

    def _looked_at(self, held: Sequence[RunSpec]) -> list[RunSpec]:
        """Return the runs of the held-out targets at the doses that the prediction looks at, once it is written.

        Only if they are asked for, and none that is there already or states a fact less than once or too often.
        """
        section = self.file.held_out
        if section is None or not section.advised or not self.prediction.exists():
            return []
        from infusionlaw.law.planning.predictions import read_predictions

        places: dict[tuple[int, int], set[float]] = {}
        for spec in held:
            places.setdefault((spec.size, spec.tokens), set()).add(spec.dose)
        most = self.file.infusion.max_exposures
        return [
            run_spec(self.file, self.data, *place, dose, seed, True)
            for item in read_predictions(self.prediction).predictions
            if (place := (int(item.asked[0]), int(item.asked[1]))) in places
            for forecast in item.plan.forecast
            if (dose := _rounded(getattr(forecast, self.file.unit))) and 1 <= (forecast.exposures or 1) <= most
            if not any(same_dose(*x_at([dose, other], self.file.unit)) for other in places[place])
            for seed in section.seeds or self.file.design.seeds
        ]

    def spec(self, run: str) -> RunSpec:
        """Return a run by its id; InputError where the study asks for none of that name."""
        known = {spec.id: spec for spec in [*self.opening, *self.fitted, *self.held_out]}
        if run not in known:
            raise InputError(f'{self.folder}: has no run "{run}"; {nearest(run, known)}')
        return known[run]

    def record(self, spec: RunSpec) -> RunRecord | None:
        """Return the record of a finished run, or None; a broken record.json is an InputError that names it.

        A record is final once it is there, so each is read once.
        """
        if spec.id not in self._known:
            path = join(self.folder, "runs", spec.id, "record.json")
            if exists(path):
                self._read(path)
            elif spec.id in self._elsewhere:
                self._known[spec.id] = self._elsewhere[spec.id]
            else:
                return None
        record = self._known[spec.id]
        return record if record.held_out == spec.held_out else replace(record, held_out=spec.held_out)

    def _read(self, path: str | Path) -> None:
        """Read a record.json, and keep what it says and the hash of it."""
        run, said = basename(dirname(path)), read_bytes(path)
        self._known[run] = read_record(path, said)
        self.read[run] = sha256(said).hexdigest()

    @cached_property
    def read(self) -> dict[str, str]:
        """The SHA-256 of each record.json that was read, by run."""
        return {}

    @cached_property
    def _known(self) -> dict[str, RunRecord]:
        """The records seen so far, by run."""
        return {}

    @cached_property
    def _elsewhere(self) -> dict[str, RunRecord]:
        """Rows of `runs.csv` by run; InputError when one names no run."""
        path = self.folder / "runs.csv"
        rows = read_table(path) if path.exists() else []
        for number, row in enumerate(rows, start=1):
            if not row.run:
                raise InputError(f'{path}: run {number} of it has no "run"; make the table with `infusionlaw table`')
        return {row.run: row for row in rows}

    def gone(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """Return those runs of which no record is on disk now, whatever was there before, nor in runs.csv."""
        runs = self.folder / "runs"
        return [s for s in specs if s.id not in self._elsewhere and not exists(join(runs, s.id, "record.json"))]

    def check_elsewhere(self, asked: Sequence[RunSpec]) -> None:
        """Refuse a `runs.csv` that holds none of the runs asked for: whoever put it there means to go on from it."""
        if self._elsewhere and not any(spec.id in self._elsewhere for spec in asked):
            raise InputError(
                f"{self.folder / 'runs.csv'}: none of its {len(self._elsewhere)} runs is one of this study's, which "
                f"have corpus {self.data} and recipe {self.file.training.recipe}; take the study file and the data "
                "that they were made with, or take runs.csv away"
            )

    def put_aside_broken(self) -> None:
        """Move the folders of runs with a file that cannot be read to `put-aside`, and log why: they are made again."""
        for run in sorted(path for path in self.folder.glob("runs/*") if path.is_dir()):
            try:
                for name, read in (("spec.json", read_spec), ("ledger.json", read_ledger)):
                    if (run / name).exists():
                        read(run / name)
                if (run / "record.json").exists():
                    self._read(run / "record.json")
            except InputError as error:
                aside = self.put_aside(run)
                why = str(error).removesuffix(f"; {AGAIN}")
                logging.getLogger(__name__).warning("%s; the run is put aside in %s and made again", why, aside)

    def put_aside(self, run: Path) -> Path:
        """Move the folder of a run to `put-aside`, and return where it lies now."""
        aside = _free(self.folder / "put-aside" / run.name)
        aside.parent.mkdir(exist_ok=True)
        run.rename(aside)
        return aside

    @property
    def of_other_data(self) -> int:
        """How many finished runs of the folder are of another corpus: facts, text or tokenizer have changed."""
        done = (path.parent for path in self.folder.glob("runs/*/record.json"))
        return sum(read_spec(run / "spec.json").data != self.data for run in done if (run / "spec.json").exists())

    @property
    def table(self) -> list[RunRecord]:
        """The records of all finished runs, held-out ones last."""
        return self.records([*self.fitted, *self.held_out])

    def missing(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """Return those runs that have no record yet."""
        return [spec for spec in specs if self.record(spec) is None]

    def records(self, specs: Sequence[RunSpec]) -> list[RunRecord]:
        """Return the records there are, in the order of the specs."""
        return [record for spec in specs if (record := self.record(spec)) is not None]


def _free(path: Path) -> Path:
    """Return a path that is not there yet: the one given, or the same with a number."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(each for each in chain([path], numbered) if not each.exists())


def _rounded(dose: float | None) -> float:
    return float(f"{dose or 0.0:.5g}")


def open_folder(folder: Path) -> Study:
    """Return the study that a folder holds; InputError when it is none."""
    path = Path(folder) / "study.json"
    if not path.exists():
        why = "no study.json here, so no study was begun in it" if path.parent.is_dir() else "no such folder"
        raise InputError(f"{folder}: {why}; name the folder of a study, as `infusionlaw run` made it")
    saved = read_typed(path, Saved, "a study's settings", "run the study file again to write it again", version=None)
    base = Path(folder).resolve() / saved.base
    return Study(saved.file.model_copy(update={"base": base}), Path(folder), saved.data)


def write_settings(study: Study) -> None:
    """Write study.json, which `open_folder` reads: the settings, where their paths start from, and the corpus id."""
    base = path_from(study.folder, study.file.base)
    write_json(
        study.folder / "study.json", {"data": study.data, "base": base, "file": study.file.model_dump(mode="json")}
    )


def folder_of(file: StudyFile, asked: str | Path | None) -> Path:
    """Return the study's folder: the one asked for, or its name in the current folder."""
    return Path(file.name if asked is None else asked)


def is_held(folder: Path) -> bool:
    """Return whether a process is running the study in a folder; False where that cannot be told for lack of rights.

    Looking takes the lock for microseconds, and whoever finds it taken asks again: so nobody who looks stops a run.
    """
    path = folder / ".lock"
    if not path.exists() or path.is_symlink():
        return False
    try:
        with FileLock(path).acquire(LOOK, LOOK / 10):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's folder; InputError when another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    check_lock(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(WAIT, LOOK)
    except Timeout as error:
        raise InputError(f"{folder}: another process is running this study; wait for it or stop it") from error
    except (OSError, NotImplementedError) as error:
        if getattr(error, "errno", None) not in (None, *NO_LOCKS):
            raise
        why = "the file system there has no locks, so two processes could run one study at once"
        raise InputError(f"{folder}: {why}; put the study on another, with --out") from error
    try:
        yield
    finally:
        lock.release()
