"""The built-in general corpus `python-docs`: English that every machine with the lab already has.

The documents are the docstrings of modules, classes and functions of the standard library and of the installed torch,
numpy and scipy: some 17,000 documents and 13 MB. The sources are read with `ast` and never imported, so nothing of
theirs runs. The same installed packages always give the same documents in the same order.
"""

import ast
import gc
import os
import platform
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy")
# Test code says little in English, the rest are other people's packages and programs rather than the library.
LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages", "__pycache__"}
# Shorter docstrings are a third of the documents and a twentieth of the text: "Return True." teaches no English.
MIN_CHARACTERS = 100
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NESTED = ("body", "handlers", "orelse", "finalbody", "cases")


@cache
def python_docs() -> tuple[str, ...]:
    """The documents of `python-docs`: docstrings of the standard library and of the installed PACKAGES.

    Kept, some 13 MB, because they are read several times and parsing takes longer than all else in preparing a corpus.
    """
    with _no_collection():  # syntax trees are many objects and no cycles: looking for some takes a third of the time
        return tuple(docstrings(package_folders()))


@contextmanager
def _no_collection() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def python_docs_versions() -> list[str]:
    """The versions that decide what `python_docs` gives."""
    found = [f"{name} {version(name)}" for name in PACKAGES if find_spec(name) is not None]
    return [f"python {platform.python_version()}", *found]


def package_folders() -> list[Path]:
    """The folders of the standard library and of the installed PACKAGES, found without importing them."""
    specs = [spec for name in PACKAGES if (spec := find_spec(name)) is not None]
    places = [Path(place) for spec in specs for place in spec.submodule_search_locations or ()]
    return [Path(sysconfig.get_path("stdlib")), *places]


def docstrings(folders: Iterable[Path]) -> Iterator[str]:
    """The cleaned docstrings of the Python sources under `folders`, in order of path and line, each text once.

    Left out: docstrings below MIN_CHARACTERS, text that UTF-8 cannot hold, sources that do not parse.
    """
    seen: set[bytes] = set()
    for path in (path for folder in folders for path in _sources(folder)):
        for document in _docstrings_of(path):
            digest = blake2b(document.encode("utf8", "surrogatepass"), digest_size=8).digest()
            if digest not in seen:
                seen.add(digest)
                yield document


def _sources(folder: Path) -> Iterator[Path]:
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name not in LEFT_OUT)
        yield from (Path(place, name) for name in sorted(files) if name.endswith(".py"))


def _docstrings_of(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in other people's strings are no news to our user
            tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in _statements(tree):
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)):
            text = text.strip()
            if len(text) >= MIN_CHARACTERS and _is_utf8(text):
                yield text


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """The tree and every statement in it, in source order; expressions hold no docstrings and are most of the nodes."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        nested = [
            child for name in _NESTED if isinstance(children := getattr(node, name, None), list) for child in children
        ]
        stack.extend(reversed(nested))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True
