"""python-docs: docstrings read as files, in a fixed order, without running what they belong to."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from infusionlaw.corpus.docstrings import MIN_CHARACTERS, docstrings, python_docs

LONG = "It says enough to be a document of its own, which takes a good hundred characters, so here are some more words."


def test_the_real_docstrings_of_a_package_come_out_clean() -> None:
    found = list(docstrings([Path(json.__file__).parent]))
    assert any(text.startswith("JSON (JavaScript Object Notation) <https://json.org>") for text in found)
    assert any(text.startswith("Serialize ``obj`` to a JSON formatted ``str``.\n\nIf ``skipkeys``") for text in found)
    assert all(len(text) >= MIN_CHARACTERS and text == text.strip() for text in found)
    assert found == list(docstrings([Path(json.__file__).parent]))
    assert len(set(found)) == len(found)


def test_modules_classes_and_functions_wherever_they_stand_in_source_order(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        f'''"""module {LONG}"""
if True:
    class A:
        """class {LONG}"""
        async def f(self):
            """method
               {LONG}
            """
            x = "not a docstring {LONG}"
else:
    try:
        def g():
            "short"
    except ValueError:
        def h():
            """handler {LONG}"""
def last():
    """last {LONG}"""
'''
    )
    first_words = [text.split()[0] for text in docstrings([tmp_path])]
    assert first_words == ["module", "class", "method", "handler", "last"]
    assert f"method\n{LONG}" in list(docstrings([tmp_path]))


def test_repeats_tests_odd_files_and_what_utf8_cannot_hold_are_left_out(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "t.py").write_text(f'"""test {LONG}"""')
    (tmp_path / "a.py").write_text(f'"""a {LONG}"""\npath = "\\d"\n')
    (tmp_path / "b.py").write_text(f'"""a {LONG}"""')
    (tmp_path / "c.py").write_text(f'"""broken {LONG}"""\ndef')
    (tmp_path / "d.py").write_bytes(f'# coding: latin-1\n"""é {LONG}"""'.encode("latin-1"))
    (tmp_path / "e.py").write_text(f'"""surrogate \\ud800 {LONG}"""')
    (tmp_path / "f.py").write_bytes(b"\0")
    (tmp_path / "g.txt").write_text(f'"""text {LONG}"""')
    assert list(docstrings([tmp_path])) == [f"a {LONG}"]
    assert not recwarn


def test_python_docs_are_those_of_all_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [Path(json.__file__).parent, Path(csv.__file__).parent / "email"]
    monkeypatch.setattr("infusionlaw.corpus.docstrings.package_folders", lambda: folders)
    assert python_docs.__wrapped__() == tuple(docstrings(folders))


def test_a_module_is_read_and_never_imported(tmp_path: Path) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(f'"""trap {LONG}"""\nfrom pathlib import Path\nPath(__file__).with_suffix(".ran").touch()\n')
    assert list(docstrings([tmp_path])) == [f"trap {LONG}"]
    assert not trap.with_suffix(".ran").exists()


def test_packages_are_found_without_importing_them() -> None:
    code = (
        "import sys; from infusionlaw.corpus.docstrings import package_folders;"
        "assert {folder.name for folder in package_folders()} >= {'torch', 'numpy', 'scipy'};"
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
