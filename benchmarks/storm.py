"""Stop small studies at random moments, go on with the same command, and compare with an undisturbed study.

A grid, token counts that share a stable phase, and a search run once undisturbed. Then each runs once for every signal,
stopped at random moments, which hit each target in turn: the main process, its process group, and one worker. At the
end the files must be the undisturbed ones: the same names, and the same bytes of everything that holds no time. The
study must verify, and no process, lock, half-written or temporary file may be left. Needs Linux.

With --on ray the studies run on a cluster of three nodes on this machine, two of which do not see the studies' folder
and which is whole again after each kill. In random order and at random moments, 30 workers and nodes and 10 main
processes are killed. The undisturbed study is that of this machine alone, and no run may be told of twice. With
--on client the main processes are outside the cluster, and reach it through the port of Ray's client.

    python -m benchmarks.storm FOLDER [--seed 1] [--repeats 1] [--on ray|client]
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.markdown import head, line
from infusionlaw.corpus.docstrings import docstrings
from infusionlaw.errors import InputError
from infusionlaw.study.study import is_held, open_folder
from infusionlaw.study.verify import first_break

if TYPE_CHECKING:
    from benchmarks.clusters import Nodes

SIGNALS = ("KILL", "TERM", "INT", "HUP", "STOP")  # after STOP comes TERM, to the main process or its group
TARGETS = ("process", "group", "worker")
ON_CLUSTER = {"worker": 5, "node": 5, "process": 4}  # kills of each study
SAME = ("*.csv", "points.json", "law.json", "plan.json", "runs/*/*.safetensors", "runs/*/*.json")
MOST = 8  # faults that are named
PATIENCE = 600.0  # seconds within which a process that was hit must end or finish the study
EARLY = 0.6  # of an undisturbed study's time: a kill comes no later, or those that go on would be done before the next
GONE = 60.0  # seconds within which its workers must; those of a lost client wait for it for 30
HEADINGS = ("study", "signal", "target", "kills", "equal", "faults")

SUBJECTS = [f"{first}{second}" for first in ("Ar", "Be", "Cor", "Dal", "Es", "Fen") for second in ("dis", "mor", "vik")]
COLOURS = ("red", "green", "blue", "white", "black", "brown")
TEMPLATES = """
[colour]
statements = ["The flag of {subject} is {object}.", "{subject} flies a {object} flag.", "A {object} flag: {subject}."]
questions = ["What colour is the flag of {subject}? {object}.", "Which flag has {subject}? {object}."]
"""
BASE = """
name = "storm"
[facts]
source = ["facts.csv"]
templates = ["templates.toml"]
domain = 6
prior = 6
unseen = 6
[text]
source = "text.jsonl"
[tokenizer]
vocabulary = 512
[law]
draws = 100
[run]
devices = {processes}
[training]
checkpoint_every = 20
[design]
"""
DESIGNS = {
    "grid": """sizes = [10_000]
tokens = [16_000]
shares = [0.3, 0.6]
seeds = [1]
[held_out]
sizes = [14_000]
doses = [0.6]
""",
    "stable phase": """sizes = [10_000]
tokens = [12_000, 24_000]
shares = [0.3]
seeds = [1]
""",
    "search": """design = "search"
sizes = [10_000]
tokens = [12_000]
shares = [0.1, 0.3, 0.6]
[search]
runs = 6
round = 2
""",
}


@dataclass
class Storm:
    """One study in its folder: the kills that hit it by target, what went wrong, and how often it stopped by itself."""

    folder: Path
    design: str
    signal: str
    kills: dict[str, int]
    faults: list[str]
    stops: int = 0


def write_material(folder: Path) -> None:
    """Write facts, templates and text, and a study file for every design."""
    with (folder / "facts.csv").open("w", newline="", encoding="utf8") as handle:
        rows = [(name, "colour", COLOURS[number % len(COLOURS)]) for number, name in enumerate(SUBJECTS)]
        csv.writer(handle).writerows([("subject", "relation", "object"), *rows])
    texts = docstrings([Path(os.__file__).parent / package for package in ("asyncio", "email", "unittest")])
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf8")
    (folder / "templates.toml").write_text(TEMPLATES, encoding="utf8")
    for name, design in DESIGNS.items():
        (study_file(folder, name)).write_text(
            BASE.format(processes=2 if name == "grid" else 1) + design, encoding="utf8"
        )


def study_file(folder: Path, design: str) -> Path:
    """Where the study file of a design is."""
    return folder / f"{design.replace(' ', '-')}.toml"


def said(folder: Path) -> Path:
    """Where what a study prints is kept."""
    return folder.with_name(f"{folder.name}.txt")


def temporary(folder: Path) -> Path:
    """The folder for a study's temporary files."""
    return folder.with_name(f"{folder.name}.tmp")


def begin(study: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start a study in a session of its own; temporary files and what it says go beside its folder."""
    temporary(folder).mkdir(parents=True, exist_ok=True)
    with said(folder).open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "infusionlaw", "run", str(study), "--out", str(folder), *more],
            stdout=out,
            stderr=out,
            env={**os.environ, "TMPDIR": str(temporary(folder))},
            start_new_session=True,
            preexec_fn=_hear_all,
        )


def _hear_all() -> None:
    """Undo what a shell does to a process in the background."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


def processes(session: int, containing: str = "") -> list[int]:
    """Return the processes of a session that have not ended, of those the ones with a text in their command."""
    out = subprocess.run(["ps", "-s", str(session), "-o", "pid=,stat=,args="], capture_output=True, text=True)
    rows = [row.split(maxsplit=2) for row in out.stdout.splitlines()]
    return [int(row[0]) for row in rows if not row[1].startswith("Z") and containing in row[2]]


def lasting(session: int) -> list[int]:
    """Return the processes of a session that have not ended within some seconds."""
    deadline = time.monotonic() + GONE
    while (left := processes(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def hit(main: subprocess.Popen[bytes], name: str, target: str, rng: np.random.Generator) -> bool:
    """Send a signal to a target, and return whether there was one to hit; STOP is followed by TERM."""
    workers = processes(main.pid, "multiprocessing.spawn") if target == "worker" else []
    if main.poll() is not None or (target == "worker" and not workers):
        return False
    number = signal.Signals[f"SIG{name}"]
    try:
        if target == "worker":
            os.kill(int(rng.choice(workers)), number)
        elif target == "group":
            os.killpg(main.pid, number)
        else:
            main.send_signal(number)
    except ProcessLookupError:
        return False
    if name == "STOP":
        time.sleep(0.5)
        for each in (signal.SIGTERM, signal.SIGCONT):  # a worker is not woken: it must end all the same
            os.killpg(main.pid, each) if target == "group" else main.send_signal(each)
    return True


def weather_here(place: Path, design: str, seconds: float, repeats: int, rng: np.random.Generator) -> Iterator[Storm]:
    """Yield a study for every signal, once it has been stopped and has ended."""
    for name in SIGNALS:
        folder = place / f"{study_file(place, design).stem}-{name}"
        storm = Storm(folder, design, name, dict.fromkeys(TARGETS, 0), [])
        weather(storm, study_file(place, design), seconds, repeats, rng)
        yield storm


def weather(storm: Storm, study: Path, seconds: float, repeats: int, rng: np.random.Generator) -> None:
    """Run a study, stopped at random moments within `seconds`, until each target is hit, and then to its end."""
    for target in rng.permutation(TARGETS * repeats):
        main = begin(study, storm.folder)
        struck = False
        try:
            main.wait(rng.uniform(0, EARLY * seconds))
        except subprocess.TimeoutExpired:
            while main.poll() is None and not (struck := hit(main, storm.signal, target, rng)):
                time.sleep(0.02)  # until there is a worker
            storm.kills[target] += struck
        end(storm, main)
    main = begin(study, storm.folder)
    if end(storm, main):
        storm.faults.append(f"status {main.returncode} at the end")


def weather_on(
    nodes: "Nodes", address: str, place: Path, design: str, seconds: float, rng: np.random.Generator
) -> Iterator[Storm]:
    """Run a study on a cluster again and again, until each target is hit so often; yield each that ended."""
    study, on = study_file(place, design), ("--on", "ray", "--address", address, "--json")
    targets = rng.permutation([target for target, kills in ON_CLUSTER.items() for _ in range(kills)]).tolist()
    for number in count():
        folder = place / f"{study.stem}-ray-{number}"
        storm = Storm(folder, design, "KILL", dict.fromkeys(ON_CLUSTER, 0), [])
        main, pause = begin(study, folder, *on), rng.uniform(0, seconds / 4)
        while targets:
            with suppress(subprocess.TimeoutExpired):
                if not _stopped(storm, main.wait(pause)):
                    break
                main = begin(study, folder, *on)
            pause = 0.1  # until there is a worker
            if _strike(main, nodes, targets[-1], rng):
                storm.kills[targets.pop()] += 1
                main = main if main.poll() is None else begin(study, folder, *on)
                pause = rng.uniform(0, seconds / 4)
        while _stopped(storm, end(storm, main)):
            main = begin(study, folder, *on)
        if main.returncode:
            storm.faults.append(f"status {main.returncode} at the end")
        storm.faults += _left_on(nodes, folder)
        yield storm
        if storm.faults or not targets:
            return


def _stopped(storm: Storm, status: int) -> bool:
    """Count a study that stops, as it says it does, because one run lost three workers at the same steps."""
    stopped = status == 2 and "lost its worker" in said(storm.folder).read_text(encoding="utf8").splitlines()[-1]
    storm.stops += stopped
    return stopped


def _strike(main: subprocess.Popen[bytes], nodes: "Nodes", target: str, rng: np.random.Generator) -> bool:
    """Kill a target, and return whether there was one; a node is replaced."""
    if target == "process":
        main.kill()
        main.wait()
    elif target == "node":
        nodes.kill(int(rng.integers(nodes.count)))
        nodes.add()
    else:
        workers = nodes.actors()
        if not workers:
            return False
        with suppress(ProcessLookupError):
            os.kill(int(rng.choice(workers)), signal.SIGKILL)
    return True


def _left_on(nodes: "Nodes", folder: Path) -> Iterator[str]:
    """Say what is left on the nodes of a study that has ended, and which runs were told of twice."""
    from infusionlaw.runners.carried import root

    deadline = time.monotonic() + GONE
    while nodes.actors() and time.monotonic() < deadline:
        time.sleep(0.1)
    if left := nodes.actors():
        yield f"{len(left)} workers left"
    if root().exists():
        yield f"{root()} is left"
    events = [json.loads(row) for row in said(folder).read_text(encoding="utf8").splitlines() if row.startswith("{")]
    runs = [event["run"] for event in events if event["event"] == "finished"]
    yield from (f"run {run} done {runs.count(run)} times" for run in sorted(set(runs)) if runs.count(run) > 1)


def end(storm: Storm, main: subprocess.Popen[bytes]) -> int:
    """Wait for a study and return its status; it is a fault if it stays, or leaves a process or a lock."""
    try:
        main.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        storm.faults.append("it did not end")
    if left := lasting(main.pid):
        with suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGCONT)
            still = lasting(main.pid)
            storm.faults.append(f"{len(left)} processes left, {len(still)} of them after SIGCONT")
            os.killpg(main.pid, signal.SIGKILL)
    if is_held(storm.folder):
        storm.faults.append("its lock is held")
    return main.wait()


def differences(folder: Path, whole: Path) -> Iterator[str]:
    """Say what of a finished study is not as in the undisturbed one."""
    names, expected = ({str(path.relative_to(each)) for path in each.rglob("*")} for each in (folder, whole))
    yield from (f"{name} is left" for name in sorted(names - expected))
    yield from (f"{name} is missing" for name in sorted(expected - names))
    same = {path.relative_to(whole) for pattern in SAME for path in whole.glob(pattern)}
    for name in sorted(same):
        if (folder / name).is_file() and (folder / name).read_bytes() != (whole / name).read_bytes():
            yield f"{name} differs"


def judge(storm: Storm, whole: Path) -> bool:
    """Add to a storm's faults what else is wrong, and return whether the study equals the undisturbed one."""
    wrong = list(differences(storm.folder, whole))
    left, before = ({path.name for path in temporary(each).iterdir()} for each in (storm.folder, whole))
    storm.faults += [f"temporary: {name}" for name in sorted(left - before)]
    if b"Traceback" in said(storm.folder).read_bytes():
        storm.faults.append(f"a traceback in {said(storm.folder).name}")
    try:
        broken = first_break(open_folder(storm.folder), whole=True)
    except InputError as error:
        broken = str(error)
    storm.faults += [*wrong, *filter(None, [broken])]
    return not wrong


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder, which keeps the studies")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the order of targets")
    parser.add_argument("--repeats", type=int, default=1, help="rounds of targets for every design and signal")
    parser.add_argument("--on", choices=["local", "ray", "client"], default="local")
    given = parser.parse_args(arguments)
    if given.folder.exists():
        parser.error(f"{given.folder} exists already; name a new folder")
    place = given.folder.absolute()
    place.mkdir(parents=True)
    write_material(place)
    print(head(HEADINGS), flush=True)
    rng, sound = np.random.default_rng(given.seed), True
    nodes = None if given.on == "local" else _cluster(place)
    for design in DESIGNS:
        whole = Storm(place / f"{study_file(place, design).stem}-undisturbed", design, "none", {}, [])
        begun = time.monotonic()
        if end(whole, begin(study_file(place, design), whole.folder)):
            parser.error(f"{whole.folder}: the undisturbed study fails; see {said(whole.folder)}")
        seconds = time.monotonic() - begun
        if nodes is None:
            storms = weather_here(place, design, seconds, given.repeats, rng)
        else:
            address = nodes.client if given.on == "client" else nodes.address
            storms = weather_on(nodes, address, place, design, seconds, rng)
        for storm in storms:
            equal = "yes" if judge(storm, whole.folder) else "no"
            sound = sound and not storm.faults
            for target, kills in storm.kills.items():
                row = [design, storm.signal, target, str(kills), equal, "; ".join(storm.faults[:MOST]) or "–"]
                print(line(row), flush=True)
            if storm.stops:
                print(f"| {design} | | three workers of one run | {storm.stops} | the same command went on | – |")
    if nodes is not None:
        nodes.close()
    sys.exit(not sound)


def _cluster(place: Path) -> "Nodes":
    """Start the cluster, of whose nodes only the head sees the studies."""
    from benchmarks.clusters import Nodes

    nodes = Nodes(3, hidden=place)
    nodes.wait()
    return nodes


if __name__ == "__main__":
    main()
