"""Which folders a study may be worked out in: a new one, an empty one, or one that a study has made its own."""

import re
from pathlib import Path

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_text

MARK = ".infusionlaw"  # written before anything else
THERE_BEFORE = ("runs.csv", ".lock", ".DS_Store")  # what an otherwise empty folder may hold

RUN = re.compile("[0-9a-f]{12}")


def check_folder(folder: Path, study: Path | None = None) -> None:
    """Refuse a folder that holds other people's files, which a study would replace. Nothing is written.

    The study file itself may lie in it.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise InputError(f"{folder}: is no folder, or a link to none; name another one with --out")
    check_lock(folder)
    if not folder.is_dir() or is_ours(folder):
        return
    own = study.absolute().resolve() if study else None
    others = sorted(path.name for path in folder.iterdir() if path.name not in THERE_BEFORE and path.resolve() != own)
    lock = folder / ".lock"
    if lock.is_file() and lock.stat().st_size:
        others.append(lock.name)
    if others:
        raise InputError(
            f"{folder}: is not the folder of a study, and holds {others[0]}, which a study could replace; name a new "
            "or an empty folder with --out"
        )


def is_ours(folder: Path) -> bool:
    """Return whether a study has made a folder its own: it holds our mark, or a study's settings or runs."""
    runs = (path.parent.name for path in folder.glob("runs/*/spec.json"))
    return (folder / MARK).is_file() or _holds_settings(folder / "study.json") or any(map(RUN.fullmatch, runs))


def _holds_settings(path: Path) -> bool:
    try:
        content = read_json(path)
    except (InputError, OSError):
        return False
    return isinstance(content, dict) and {"data", "file"} <= set(content)


def claim(folder: Path) -> None:
    """Make a folder a study's own, so that the same command goes on there after a stop."""
    if not (folder / MARK).is_file():
        write_text(folder / MARK, "This folder is a study's, made by infusionlaw, which replaces files in it.\n")


def check_lock(folder: Path) -> None:
    """Refuse a lock that is a link: taking it would empty the file that it leads to."""
    if (folder / ".lock").is_symlink():
        raise InputError(f"{folder / '.lock'}: is a link to another file; remove it")
