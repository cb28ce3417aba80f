"""A study's folder: other people's files are never replaced."""

import shutil

import pytest
from fakelab import FakeLab, small_study

from infusionlaw.errors import InputError
from infusionlaw.pipeline import dry_run
from infusionlaw.study.study import is_held, locked, open_folder


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    [
        "study.toml",
        "table.csv",
        "law.json",
        "study.json",
        "corpus/train.bin",
        "corpus/.mine.12.part",
        ".x.1.part",
        ".lock",
    ],
)
def test_a_folder_of_other_files_is_refused_and_left_as_it_is(tmp_path, monkeypatch, name) -> None:
    study = small_study(tmp_path / "mine.toml")
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"a": 1}')
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path / "mine")
    for out in (tmp_path / "mine", "."):
        with pytest.raises(InputError, match="is not the folder of a study"):
            dry_run(study, out, FakeLab())
        assert tree(tmp_path) == before


def test_a_new_an_empty_and_a_folder_of_ours_are_taken(tmp_path) -> None:
    study, out = small_study(tmp_path / "mine.toml"), tmp_path / "out"
    dry_run(study, out, FakeLab())
    (out / "study.json").unlink()  # as if it had been killed before
    dry_run(study, out, FakeLab())
    (out / ".infusionlaw").unlink()  # as if it had been copied without hidden files
    dry_run(study, out, FakeLab())
    list(FakeLab().execute(open_folder(out).file, out, open_folder(out).opening[:1]))
    for path in out.iterdir():  # all but the runs may be deleted
        if path.name != "runs":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    dry_run(study, out, FakeLab())
    (tmp_path / "empty").mkdir()
    dry_run(study, tmp_path / "empty", FakeLab())


@pytest.mark.parametrize("name", ["study.toml", "mine.toml"])
def test_the_study_file_itself_may_lie_in_the_folder_and_is_left_as_it_is(tmp_path, name) -> None:
    (tmp_path / "mine").mkdir()
    study = small_study(tmp_path / "mine" / name)
    study.write_bytes(b"\xef\xbb\xbf" + study.read_bytes())
    before = study.read_bytes()
    dry_run(study, tmp_path / "mine", FakeLab())
    assert study.read_bytes() == before
    assert (tmp_path / "mine" / "study.toml").exists()


def test_a_file_and_a_link_to_nothing_are_no_folder(tmp_path) -> None:
    study = small_study(tmp_path / "mine.toml")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for out in (study, tmp_path / "link"):
        with pytest.raises(InputError, match="is no folder"):
            dry_run(study, out, FakeLab())


def test_runs_made_elsewhere_may_wait_in_a_new_folder(tmp_path) -> None:
    study, other = small_study(tmp_path / "mine.toml"), tmp_path / "other"
    other.mkdir()
    (other / "runs.csv").write_text("size,tokens,share,recall,run\n14e3,1e6,0.1,0.2,abc\n")
    with pytest.raises(InputError, match=r"none of its 1 runs is one of this study's"):
        dry_run(study, other, FakeLab())


def test_a_lock_that_is_a_link_is_not_followed(tmp_path) -> None:
    study, out = small_study(tmp_path / "mine.toml"), tmp_path / "out"
    dry_run(study, out, FakeLab())
    (tmp_path / "thesis.txt").write_text("precious")
    (out / ".lock").unlink()
    (out / ".lock").symlink_to(tmp_path / "thesis.txt")
    assert not is_held(out)
    with pytest.raises(InputError, match="is a link to another file; remove it"), locked(out):
        pass
    with pytest.raises(InputError, match="is a link to another file; remove it"):
        dry_run(study, out, FakeLab())
    assert (tmp_path / "thesis.txt").read_text() == "precious"
