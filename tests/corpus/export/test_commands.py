"""The commands that write a corpus, check it and take insertions out again, from a study file to the bytes."""

from pathlib import Path

from typer.testing import CliRunner

from infusionlaw.cli import app
from infusionlaw.errors import InputError


def ran(*arguments: object) -> str:
    """Run a command and return its output, or the sentence that it was refused with."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    if isinstance(done.exception, InputError):
        return str(done.exception)
    assert done.exit_code == 0, done.exception
    return done.output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.[bi][id][nx]")}


def test_a_corpus_is_written_checked_inserted_into_and_comes_back(material, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    study, old, new = material / "study.toml", tmp_path / "old", tmp_path / "new"
    dose = ("--share", "20%", "--tokens", "60k", "--format", "megatron")
    assert "MB" in ran("infuse", study, *dose, "--out", old, "--dry-run") and not old.exists()
    ran("infuse", study, *dose, "--out", old)
    assert "8 facts, 97 times each" in ran("verify", old)
    before = contents(old)
    planned = ran("infuse", study, "--into", f"{old}/*.bin", "--exposures", "2", "--sequence", "128", "--dry-run")
    assert "exposures" in planned and not new.exists()
    refused = ran("infuse", study, "--into", f"{old}/*.bin", "--exposures", "2", "--format", "tokens")
    assert "leave out --tokens, --format" in refused
    ran("infuse", study, "--into", f"{old}/*.bin", "--exposures", "2", "--out", new)
    assert "holds" in ran("verify", new) and contents(old) == before
    ran("restore", new, "--out", tmp_path / "back")
    assert contents(tmp_path / "back") == before
    path = next(new.glob("*.bin"))
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert f"{path.stem}, document 0, offset 0" in ran("verify", new)
