"""Atomic writing: all or nothing, and a full disk in one sentence."""

import errno
import os

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, read_json, remove_leftovers, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as part:
        part.write_text("half of the new")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("I/O error: no space (os error 28)")]
)
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, monkeypatch, error) -> None:
    write_text(tmp_path / "a.txt", "old")

    def full(handle) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"a\.txt: the disk is full; free some space and run the same command again"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_numpys_numbers_are_written_to_json_as_plain_ones(tmp_path) -> None:
    write_json(tmp_path / "a.json", [np.int64(3), np.float32(0.5), np.bool_(True), np.float64(1.5)])
    assert read_json(tmp_path / "a.json") == [3, 0.5, True, 1.5]
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", np.zeros(2))


def test_json_comes_back_and_broken_json_is_named(tmp_path) -> None:
    write_json(tmp_path / "a.json", {"é": [1.5, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1.5, None]}
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(InputError, match=r"a\.json: not valid JSON .*line 1"):
        read_json(tmp_path / "a.json")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", float("nan"))


def test_only_what_we_left_half_written_is_removed(tmp_path) -> None:
    ours = [tmp_path / ".a.txt.123.part", tmp_path / "runs" / "one" / ".record.json.7.part"]
    theirs = [tmp_path / ".download.part", tmp_path / "mine" / ".a.txt.123.part", tmp_path / "a.1.part"]
    for path in (*ours, *theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    remove_leftovers(tmp_path, ["runs/*"])
    assert [path.exists() for path in (*ours, *theirs)] == [False, False, True, True, True]
