"""Run a study on a Ray cluster: a laptop, machines, Kubernetes or Slurm alike.

One actor a GPU, or a core without; as `lab` says, actors share a GPU, or one has several. An actor works in the study's
own folder where its machine sees it, and in a folder of its own elsewhere. The main process asks every actor each
second what is new: that carries progress and checkpoints, and shows that the actor is alive. So a lost worker or
machine costs the steps since its last checkpoint, and its task goes to another.
"""

import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from infusionlaw.errors import InputError
from infusionlaw.processes import PROCESS
from infusionlaw.quantities import in_bytes
from infusionlaw.runners import lab
from infusionlaw.runners.carried import HEADS, Bundle, bundle_of, corpus_here, own_folder, stamps, sweep, write
from infusionlaw.runners.lab import MIG, Machine, OnProgress, Part, dropped_if_it_fails, sharers
from infusionlaw.runners.schedule import MOST
from infusionlaw.runners.together import ERROR
from infusionlaw.runners.worker import VISIBLE
from infusionlaw.runs.begun import begun_step
from infusionlaw.runs.record import Progress
from infusionlaw.training.recipe import Recipe

T = TypeVar("T")
ASK, SILENT = 1.0, 120.0  # seconds between two questions to an actor, and without an answer until it is given up
JOINS = 10.0  # seconds within which a cluster must answer
WAITS = 60.0  # seconds without any worker after which it is said
TRIES = 3  # times that a task may lose its worker, and that a busy head may be too late
LATE = "Starting Ray client server failed"  # says a head that did not do so within half a minute
DONE = 1 << 40  # steps that a finished run counts, whose checkpoint is gone
CHUNK = 1 << 26  # bytes of the corpus that are carried at a time
INSTALL = 'install infusionlaw on its machines, with pip install ".[lab,ray]"'
LOST = (RayActorError, OutOfMemoryError, ObjectLostError)  # say that an actor is lost, or its machine
QUIET = {"include_dashboard": False}
MARK = ".seen"  # how the file ends by which an actor sees whether its machine has the study's folder
logger = logging.getLogger(__name__)
_joined: dict[str, str] = {}  # the address of the cluster that this process joined here, if it did


class Lab(lab.Lab):
    """Trains on a Ray cluster: that of `address`, or of RAY_ADDRESS, or one that is started here."""

    def __init__(self, address: str = "") -> None:
        self._address = address

    def machine(self, recipes: Sequence[Recipe]) -> Machine:
        """Return the GPUs of the cluster, or its cores where there are none, with the memory of the smallest."""
        nodes = self._nodes()
        with_gpus = _with_gpus(nodes)
        if not with_gpus:
            least = min((int(there.get("memory", 0)) for there in nodes.values() if there.get("CPU")), default=0)
            count = int(sum(there.get("CPU", 0) for there in nodes.values()))
            if not count:
                raise InputError("the Ray cluster has no machine with a core or a GPU; start its workers and run again")
            return Machine(False, count, least)
        found = _gpus_of(with_gpus)
        counts = [int(there["GPU"]) for there in with_gpus.values()]
        cores = min(there.get("CPU", 0) / there["GPU"] for there in with_gpus.values())
        return Machine(
            True,
            sum(counts),
            min(gpu.memory for gpu in found),
            room=MOST * min(gpu.free for gpu in found),
            together=1 if any(gpu.slice for gpu in found) else max(counts),
            sharing=sharers(cores),
        )

    @contextmanager
    def workers(
        self, folder: Path, part: Part, count: int, on_progress: OnProgress = lambda progress: None
    ) -> Iterator["_Cluster"]:
        """Open actors; leaving early stops them, and their checkpoints stay."""
        if _with_gpus(self._nodes()):
            needs = {"num_cpus": max(1, part.gpus), "num_gpus": part.gpus}
        else:
            needs = {"num_cpus": 1, "memory": max(recipe.memory for recipe in part.recipes) + PROCESS}
        cluster = _Cluster(folder.resolve(), count, needs, on_progress)
        try:
            yield cluster
        finally:
            cluster.close()

    def _nodes(self) -> dict[str, dict[str, float]]:
        """What each machine of the cluster has, by its id."""
        _join(self._address or os.environ.get("RAY_ADDRESS") or "local")
        return _nodes()


def _nodes() -> dict[str, dict[str, float]]:
    """What each machine of the cluster has that is alive, by its id."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _with_gpus(nodes: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {node: there for node, there in nodes.items() if there.get("GPU", 0) >= 1}


def _join(address: str) -> None:
    """Join a cluster, or start one here; InputError where none answers."""
    if ray.is_initialized() and _joined.get("address", address) == address:
        return
    ray.shutdown()
    more = QUIET if address == "local" else {"runtime_env": {"py_modules": [str(Path(__file__).parents[1])]}}
    terminated = signal.getsignal(signal.SIGTERM)
    for number in range(1, TRIES + 1):
        try:
            _check_port(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **more)
            break
        except (OSError, ValueError, RuntimeError, RayError) as error:
            if LATE in str(error) and number < TRIES:
                continue
            why = LATE if LATE in str(error) else " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"no Ray cluster answers at {address}: {why}; start one, or give its --address (and where it asks for "
                "a token, set RAY_AUTH_MODE=token)"
            ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminated)  # Ray puts its own in place
    _joined["address"] = address


def _check_port(address: str) -> None:
    """OSError where nobody listens at a host and port: Ray would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), JOINS).close()


class _Gpu(NamedTuple):
    """Bytes of a GPU that are free, and all; slice: whether it is a part of one."""

    free: int
    memory: int
    slice: bool


def _gpus_of(nodes: Iterable[str]) -> list[_Gpu]:
    """Look at a free GPU of each machine; says so where it has to wait for one."""
    looked = ray.remote(max_calls=1)(_gpu)  # so that its process does not stay on the GPU
    asked = [looked.options(num_gpus=1, **_on(node)).remote() for node in nodes]
    _, waiting = ray.wait(asked, num_returns=len(asked), timeout=WAITS)
    if waiting:
        logger.warning("waiting: %s machines of the Ray cluster have no GPU free", len(waiting))
    try:
        found: list[_Gpu] = ray.get(asked)
    except RayError as error:
        raise InputError(f"a machine of the Ray cluster cannot look at its GPU ({_last(error)}); {INSTALL}") from error
    return found


def _last(error: Exception) -> str:
    """Return the last line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _gpu() -> _Gpu:
    """Look at the GPU of a task."""
    import torch

    free, there = torch.cuda.mem_get_info()
    return _Gpu(int(free), int(there), os.environ.get(VISIBLE, "").startswith(MIG))


def _on(node: str) -> dict[str, Any]:
    """Return the options that put a task on a machine."""
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


class _Answer(NamedTuple):
    """What an actor has made of a task.

    failed: why it could not; elsewhere: whether another machine may; killed: whether one of its own processes was.
    """

    value: Any
    bundles: list[Bundle]
    failed: str = ""
    elsewhere: bool = False
    killed: bool = False


class _Where(NamedTuple):
    """The name and the id of an actor's machine, its process, and whether it sees the study's folder."""

    host: str
    node: str
    process: int
    shared: bool


class _Actor:
    """A worker of a study on some machine of the cluster."""

    def __init__(self, folder: str, mark: str) -> None:
        self._study, self._queue = Path(folder), SimpleQueue[Progress]()
        self._shared = (self._study / mark).exists()
        self._folder = self._study
        self._known: dict[str, dict[str, tuple[int, int]]] = {}
        self._places: Sequence[str] = ()
        self._lock = threading.Lock()  # of these two, which two threads use

    def where(self) -> "_Where":
        """Say where it is."""
        return _Where(socket.gethostname(), ray.get_runtime_context().get_node_id(), os.getpid(), self._shared)

    def open(self, corpus: dict[str, list[Any]], gpus: int) -> str:
        """Take the corpus, and serve; return why it cannot.

        corpus: references to the parts of each file; none where the folder is seen; gpus: that train a run together.
        """
        from infusionlaw.runners.worker import serve_folder

        try:
            if corpus:
                self._folder = own_folder()
                corpus_here(corpus, ray.get, self._folder / "corpus")
        except (InputError, OSError) as error:
            return str(error)
        serve_folder(self._folder, self._queue, gpus)
        return ""

    def do(self, work: Callable[..., Any], args: Sequence[Any], places: Sequence[str], given: list[Bundle]) -> _Answer:
        """Do a function of `runners.worker`, going on from what is given."""
        value, failed, elsewhere, killed = None, "", False, False
        try:
            for bundle in given:
                write(self._folder, bundle)
            self._known = {bundle.place: stamps(self._folder / bundle.place) for bundle in given}
            self._places = () if self._shared else places
            value = work(*args)
        except (InputError, OSError) as error:
            failed = str(error).replace(str(self._folder), str(self._study))
            cause = error.__cause__ or error.__context__ or error
            killed = isinstance(cause, ChildProcessError)
            elsewhere = isinstance(cause, OSError | MemoryError) and not killed
        with self._lock:
            places, self._places = self._places, ()
            bundles = self._new(places)
            if failed and not self._shared:
                bundles += [
                    Bundle(place, [], {ERROR: path.read_bytes()})
                    for place in ("", *places)
                    if (path := self._folder / place / ERROR).exists()
                ]
            for place in places:
                shutil.rmtree(self._folder / place, ignore_errors=True)
        return _Answer(value, bundles, failed, elsewhere, killed)

    @ray.method(concurrency_group="news")  # type: ignore[untyped-decorator]
    def news(self) -> tuple[list[Progress], list[Bundle]]:
        """Return the progress since the last time, and the checkpoints and finished runs."""
        progress = []
        with suppress(Empty):
            while True:
                progress.append(self._queue.get_nowait())
        with self._lock:
            return progress, self._new(self._places)

    def _new(self, places: Sequence[str]) -> list[Bundle]:
        """Return the places whose heads have changed."""
        found = []
        for place in places:
            now, known = stamps(self._folder / place), self._known.get(place, {})
            if any(now.get(head) != known.get(head) for head in HEADS):
                bundle = bundle_of(self._folder, place, known)
                if bundle is not None:
                    self._known[place] = now
                    found.append(bundle)
        return found


@dataclass
class _Job:
    work: Callable[..., Any]
    args: Sequence[Any]
    places: Sequence[str]
    future: Future[Any]
    losses: int = 0  # of its workers, since it came to the steps of its checkpoints
    steps: int = 0

    def count_loss(self, folder: Path) -> None:
        """Count that its worker is lost; a task that came further since the last time has a new count."""
        steps = sum(begun_step(folder / place) for place in self.places)
        steps += DONE * sum((folder / place / "record.json").exists() for place in self.places)
        self.losses = 1 if steps > self.steps else self.losses + 1
        self.steps = steps


class _Slot:
    """An actor and what it is at: `doing` is the reference that ends its opening or its task."""

    def __init__(self, actor: Any) -> None:
        self.actor, self.open = actor, False
        self.at: _Where | None = None
        self.where: Any = actor.where.remote()
        self.doing: Any = None
        self.job: _Job | None = None
        self.news: Any = None
        self.asked = 0.0  # when it was last asked for news
        self.looked = True  # whether it was seen since then if its task is done

    @property
    def refs(self) -> list[Any]:
        """What it is waited for: what a task gave comes after the news before it, or these would undo its end."""
        return [ref for ref in (self.where, self.doing if self.news is None else self.news) if ref is not None]

    @property
    def host(self) -> str:
        """The name of its machine, once it has said so."""
        return self.at.host if self.at else ""


class _Cluster:
    """Actors that serve a study's folder, looked after by a thread of the main process."""

    def __init__(self, folder: Path, count: int, needs: dict[str, Any], on_progress: OnProgress) -> None:
        self._folder, self._count, self._hear_progress = folder, count, dropped_if_it_fails(on_progress)
        for left in folder.glob(f".*{MARK}"):  # by a driver that was killed
            left.unlink()
        self._mark = folder / f".{uuid4().hex}{MARK}"
        if not ray.util.client.ray.is_connected():  # a lost client's actors live on for half a minute: they may not
            self._mark.touch()  # write in the study's folder, where others go on
        kind = ray.remote(concurrency_groups={"news": 1})(_Actor)
        self._kind = kind.options(max_restarts=0, **needs)
        self._sweep = ray.remote(num_cpus=0, max_retries=0)(sweep)  # once, since Ray sends each such function out
        self._gpus = max(1, int(needs.get("num_gpus", 1)))
        self._corpus: dict[str, list[Any]] = {}
        self._jobs: deque[_Job] = deque()
        self._slots: list[_Slot] = []
        self._failed: Exception | None = None
        self._lock = threading.Lock()  # of jobs and failed, which two threads use
        self._served, self._told = time.monotonic(), False  # when it last had a worker, and whether it said so
        self._needs = " and ".join(
            in_bytes(number) + " of memory" if name == "memory" else f"{number:.3g} {name.removeprefix('num_').upper()}"
            for name, number in needs.items()
        )
        self._unopened = 0  # times in a row that actors were lost before they were open
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[..., T], *args: Any, places: Sequence[str] = ()) -> "Future[T]":
        """Have an actor do a function of `runners.worker`."""
        future: Future[T] = Future()
        with self._lock:
            if self._failed:
                future.set_exception(self._failed)
            else:
                self._jobs.append(_Job(work, args, places, future))
        return future

    def close(self) -> None:
        """Stop all actors and remove what they have on their machines."""
        self._over.set()
        self._thread.join()
        self._mark.unlink(missing_ok=True)
        with suppress(RayError, ConnectionError):
            for slot in self._slots:
                ray.kill(slot.actor)
            swept = [self._swept(node, [slot.at for slot in self._slots if slot.at]) for node in _nodes()]
            ray.wait(swept, num_returns=len(swept), timeout=30)

    def _swept(self, node: str, actors: Sequence[_Where]) -> Any:
        """Have a machine end those of some actors that are on it, also one that is stopped, and remove what is left."""
        there = [actor.process for actor in actors if actor.node == node]
        return self._sweep.options(**_on(node)).remote(there)

    def _serve(self) -> None:
        try:
            while not self._over.is_set():
                self._turn()
        except Exception as error:  # the thread's own end must not leave anybody waiting
            with self._lock:
                self._failed = error
                jobs = [*self._jobs, *(slot.job for slot in self._slots if slot.job)]
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(error)

    def _turn(self) -> None:
        """Give work to those who have none, and hear whoever has something to say."""
        busy = sum(slot.job is not None for slot in self._slots)
        while len(self._slots) < min(self._count, len(self._jobs) + busy):
            self._slots.append(_Slot(self._kind.remote(str(self._folder), self._mark.name)))
        for slot in list(self._slots):
            self._next(slot)
        refs = {ref: slot for slot in self._slots for ref in slot.refs}
        if not refs:
            time.sleep(0.05)
            return
        ray.wait(list(refs), num_returns=1, timeout=0.2)
        ready, _ = ray.wait(list(refs), num_returns=len(refs), timeout=0)
        looked = [slot for slot in self._slots if slot.news is None]
        unopened: Exception | None = None
        for ref in ready:
            slot = refs[ref]
            if slot in self._slots:
                try:
                    self._hear(slot, ref, ray.get(ref))
                except LOST as error:
                    unopened = unopened if slot.open else error
                    self._lose(slot)
                except RayError as error:
                    raise InputError(f"the Ray cluster failed: {_last(error)}; run the same command again") from error
        for slot in looked:
            slot.looked = True
        if unopened is not None:
            self._count_unopened(unopened)
        for slot in list(self._slots):
            late = slot.news is not None and time.monotonic() - slot.asked > SILENT
            if late and not ray.wait([slot.news], timeout=0, fetch_local=False)[0]:
                self._lose(slot)
        if any(slot.at for slot in self._slots):
            self._served, self._told = time.monotonic(), False
        elif not self._told and time.monotonic() - self._served > WAITS:
            self._told = True
            logger.warning("waiting: the Ray cluster has no %s free for a worker", self._needs)

    def _next(self, slot: _Slot) -> None:
        """Ask an actor for news when it is time, and give it a task when it has none."""
        now = time.monotonic()
        if slot.at and slot.news is None and slot.looked and now - slot.asked > ASK:
            slot.news, slot.asked, slot.looked = slot.actor.news.remote(), now, False
        if slot.at and slot.doing is None and self._jobs:
            slot.job = job = self._jobs.popleft()
            given = [] if slot.at.shared else [each for place in job.places if (each := bundle_of(self._folder, place))]
            slot.doing = slot.actor.do.remote(job.work, job.args, job.places, given)

    def _hear(self, slot: _Slot, ref: Any, said: Any) -> None:
        if ref == slot.where:
            slot.where, slot.at = None, said
            slot.doing = slot.actor.open.remote({} if said.shared else self._carried(), self._gpus)
        elif ref == slot.news:
            slot.news = None
            progress, bundles = said
            self._keep(bundles)
            for each in progress:
                self._hear_progress(each)
        elif slot.job is None and said:
            if self._count == 1:
                raise InputError(f"{slot.host}: {said}")
            self._leave_out(slot, said)
        elif slot.job is None:
            slot.doing, slot.open, self._unopened = None, True, 0
        else:
            job, slot.job, slot.doing = slot.job, None, None
            self._keep(said.bundles)
            if said.killed:
                slot.job = job
                self._lose(slot, said.failed)
            elif said.failed and said.elsewhere and self._count > 1:
                slot.job = job
                self._leave_out(slot, said.failed)
            elif said.failed:
                job.future.set_exception(InputError(said.failed))
            else:
                job.future.set_result(said.value)

    def _leave_out(self, slot: _Slot, why: str) -> None:
        """Go on without a worker whose machine cannot do its work: its disk is full, its memory too small."""
        self._count -= 1
        logger.warning("goes on without a worker on %s: %s", slot.host, why)
        self._lose(slot, why)

    def _count_unopened(self, error: Exception) -> None:
        """Go on with fewer where actors end before they are open, again and again; InputError where none is open."""
        self._unopened += 1
        if self._unopened < TRIES:
            return
        if not any(slot.open for slot in self._slots):
            raise InputError(f"actors do not start on the Ray cluster ({_last(error)}); {INSTALL}") from error
        self._count, self._unopened = max(1, self._count - 1), 0
        logger.warning("goes on with %s workers at most, since others do not start: %s", self._count, _last(error))

    def _keep(self, bundles: Sequence[Bundle]) -> None:
        for bundle in bundles:
            write(self._folder, bundle)

    def _lose(self, slot: _Slot, why: str = "") -> None:
        """Give the task of an actor that is gone, or silent for too long, to another. why: what it said, if it did."""
        self._slots.remove(slot)
        ray.kill(slot.actor)
        stands = slot.at is not None and slot.at.node in _nodes()
        if slot.at and stands:
            self._swept(slot.at.node, [slot.at])  # it may live, and write where the next goes on
        job = slot.job
        if job is None:
            return
        if stands:  # a run may end its worker, but not a machine
            job.count_loss(self._folder)
        if job.losses < TRIES:
            self._jobs.appendleft(job)
            return
        at = ", ".join(place for place in job.places if place.startswith("runs/")) or job.work.__name__
        job.future.set_exception(
            InputError(
                why
                or f"{self._folder}: {at} lost its worker {TRIES} times, the last on {slot.host} (out of memory?); "
                "run the same command again to go on"
            )
        )

    def _carried(self) -> dict[str, list[Any]]:
        """Return references to the parts of the corpus's files, put into Ray's store when first needed."""
        if (self._folder / "starts").exists():
            raise InputError(
                f"{self._folder}: a study that begins from checkpoints needs a folder that all machines of the "
                "cluster see; name one with --out, and give the command on one of them"
            )
        if not self._corpus:
            for path in sorted((self._folder / "corpus").iterdir()):
                if path.is_file():
                    with path.open("rb") as handle:
                        parts = iter(partial(handle.read, CHUNK), b"")
                        self._corpus[path.name] = [ray.put(part) for part in parts] or [ray.put(b"")]
        return self._corpus
