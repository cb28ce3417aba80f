"""What is carried between the machines of a study: its corpus, checkpoints and finished runs.

A machine that does not see the study's folder has one of its own below `root`, for each process that works there. What
a process has written goes back as bundles.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from filelock import FileLock

from infusionlaw.files import atomic_path
from infusionlaw.runners.together import ERROR

GONE = 5.0  # seconds within which a process that was killed is gone
HEADS = ("checkpoint.json", "record.json")  # written after the files that they speak of


class Bundle(NamedTuple):
    """A folder below the study's as it is at one moment: the names of its files, and the bytes of those to write."""

    place: str
    names: list[str]
    files: dict[str, bytes]


def bundle_of(folder: Path, place: str, known: Mapping[str, tuple[int, int]] | None = None) -> Bundle | None:
    """Read a place whole, but for files of the size and time that are known; None where it is written meanwhile."""
    there = stamps(folder / place)
    try:
        new = [name for name, stamp in there.items() if known is None or known.get(name) != stamp]
        files = {name: (folder / place / name).read_bytes() for name in new}
    except FileNotFoundError:
        return None
    same = all(stamps(folder / place).get(head) == there.get(head) for head in HEADS)
    return Bundle(place, list(there), files) if same else None


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of the files of a folder."""
    found = {}
    for path in folder.glob("[!.]*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                stat = path.stat()
                found[path.name] = (stat.st_size, stat.st_mtime_ns)
    return found


def write(folder: Path, bundle: Bundle) -> None:
    """Write what a bundle holds, heads last, then remove the checkpoints that it has no more."""
    into = folder / bundle.place
    for name in sorted(bundle.files, key=lambda name: HEADS.index(name) if name in HEADS else -1):
        with atomic_path(into / name) as part:
            part.write_bytes(bundle.files[name])
    if bundle.names:
        for path in into.glob("checkpoint*"):
            if path.name not in bundle.names:
                path.unlink(missing_ok=True)
    if "record.json" in bundle.names:
        (into / ERROR).unlink(missing_ok=True)  # of an actor before


def root() -> Path:
    """Return where actors work that do not see the study's folder."""
    return Path(tempfile.gettempdir()) / f"infusionlaw-ray-{os.getuid()}"


def own_folder() -> Path:
    """Make a folder that is this process's own; `sweep` removes it once the process is gone."""
    folder = root() / f"{os.getpid()}-{uuid4().hex[:8]}"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def corpus_here(corpus: dict[str, list[Any]], get: Callable[[Any], bytes], link: Path) -> None:
    """Write the corpus to this machine, once for all actors on it, and make a link to it."""
    name = next(iter(corpus.values()))[0].hex()  # the reference is the same in every actor of one study
    place = root() / f"corpus-{name}"
    with FileLock(root() / "corpus.lock"):
        for file, parts in corpus.items():
            if not (place / file).exists():
                with atomic_path(place / file) as path, path.open("wb") as handle:
                    for part in parts:
                        handle.write(get(part))
        link.symlink_to(place)


def sweep(ended: Sequence[int] = ()) -> None:
    """End processes of this machine, and remove the folders of actors that are gone and corpora that no actor has."""
    for process in ended:
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + GONE
    while any(map(_alive, ended)) and time.monotonic() < deadline:
        time.sleep(0.02)
    place = root()
    if not place.exists():
        return
    with FileLock(place / "corpus.lock"):
        folders = [path for path in place.iterdir() if path.is_dir()]
        own = [path for path in folders if not path.name.startswith("corpus-")]
        for path in own:
            if not _alive(int(path.name.partition("-")[0])):
                shutil.rmtree(path, ignore_errors=True)
        used = {path.resolve() for path in place.glob("*/corpus")}
        for path in folders:
            if path not in own and path not in used:
                shutil.rmtree(path, ignore_errors=True)
        if not any(path.is_dir() for path in place.iterdir()):
            (place / "corpus.lock").unlink()
    with suppress(OSError):  # another process works there, or has begun to
        place.rmdir()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
