"""Stop small studies by signals at random moments, go on with the same command, and compare with an undisturbed study.

A grid, token counts that share a stable phase, and a search run once undisturbed. Then each runs once for every signal,
stopped at random moments, which hit each target in turn: the main process, its process group, and one worker. At the
end the files must be the undisturbed ones: the same names, and the same bytes of everything that holds no time. The
study must verify, and no process, lock, half-written or temporary file may be left. Needs Linux.

    python -m benchmarks.storm FOLDER [--seed 1] [--repeats 1]
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
from pathlib import Path

import numpy as np

from benchmarks.markdown import head, line
from infusionlaw.corpus.docstrings import docstrings
from infusionlaw.errors import InputError
from infusionlaw.study.study import is_held, open_folder
from infusionlaw.study.verify import first_break

SIGNALS = ("KILL", "TERM", "INT", "HUP", "STOP")  # after STOP comes TERM, to the main process or its group
TARGETS = ("process", "group", "worker")
SAME = ("*.csv", "points.json", "law.json", "plan.json", "runs/*/*.safetensors", "runs/*/*.json")
PATIENCE = 600.0  # seconds within which a process that was hit must end or finish the study
EARLY = 0.6  # of an undisturbed study's time: a kill comes no later, or those that go on would be done before the next
GONE = 20.0  # seconds within which its workers must
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
    """One study in its folder: the kills that hit it by target, and what went wrong."""

    folder: Path
    design: str
    signal: str
    kills: dict[str, int]
    faults: list[str]


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


def begin(study: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start a study in a session of its own; temporary files and what it says go beside its folder."""
    temporary(folder).mkdir(parents=True, exist_ok=True)
    with said(folder).open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "infusionlaw", "run", str(study), "--out", str(folder)],
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
    given = parser.parse_args(arguments)
    if given.folder.exists():
        parser.error(f"{given.folder} exists already; name a new folder")
    place = given.folder.absolute()
    place.mkdir(parents=True)
    write_material(place)
    print(head(HEADINGS), flush=True)
    rng, sound = np.random.default_rng(given.seed), True
    for design in DESIGNS:
        whole = Storm(place / f"{study_file(place, design).stem}-undisturbed", design, "none", {}, [])
        begun = time.monotonic()
        if end(whole, begin(study_file(place, design), whole.folder)):
            parser.error(f"{whole.folder}: the undisturbed study fails; see {said(whole.folder)}")
        seconds = time.monotonic() - begun
        for name in SIGNALS:
            folder = place / f"{study_file(place, design).stem}-{name}"
            storm = Storm(folder, design, name, dict.fromkeys(TARGETS, 0), [])
            weather(storm, study_file(place, design), seconds, given.repeats, rng)
            equal = "yes" if judge(storm, whole.folder) else "no"
            sound = sound and not storm.faults
            for target, kills in storm.kills.items():
                row = [design, name, target, str(kills), equal, "; ".join(storm.faults) or "–"]
                print(line(row), flush=True)
    sys.exit(not sound)


if __name__ == "__main__":
    main()
