"""Pages people read: their links lead somewhere, keys are all there, and examples give what is shown."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from infusionlaw.settings import StudyFile, TextSource

ROOT = Path(__file__).parent.parent
ADDRESS = re.compile(
    r"https://(?:github\.com|raw\.githubusercontent\.com)/infusionlaw/infusionlaw/(?:blob/|tree/)?main/([^)\s#\"]+)"
)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "docs", "examples"])
def test_addresses_of_files_in_the_repository_lead_to_files(page: str) -> None:
    pages = [ROOT / page] if (ROOT / page).is_file() else sorted((ROOT / page).rglob("*.md"))
    found = [(path.name, target) for path in pages for target in ADDRESS.findall(path.read_text(encoding="utf8"))]
    assert [(name, target) for name, target in found if not (ROOT / target).exists()] == []


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf8").splitlines()
    assert len(lines) < 150 and max(map(len, lines)) <= 120


def test_the_page_of_the_study_file_has_every_key_in_its_section() -> None:
    page = (ROOT / "docs" / "reference" / "study-file.md").read_text(encoding="utf8")
    sections = dict(
        zip(
            ("", *re.findall(r"^##+ \[([\w.]+)\]", page, re.MULTILINE)),
            re.split(r"^##+ \[[\w.]+\]", page, flags=re.MULTILINE),
            strict=True,
        )
    )
    asked = {"text.sources.NAME": TextSource}
    for name, field in StudyFile.model_fields.items():
        if section := section_in(field.annotation):
            asked[name] = section
        else:
            assert name == "base" or f"| `{name}` |" in sections[""]
    for name, section in asked.items():
        keys = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", sections[name], re.MULTILINE))))
        assert keys == set(section.model_fields), name


def section_in(kind: Any) -> type[BaseModel] | None:
    """The section that a type is or holds."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := section_in(part))), None)


def test_the_study_files_on_pages_are_toml() -> None:
    pages = [page.read_text(encoding="utf8") for page in (ROOT / "docs").rglob("*.md")]
    listings = [text for page in pages for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    assert listings and all(tomllib.loads(text) for text in listings)


@pytest.mark.slow
def test_examples_on_pages_give_what_the_pages_show() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs-examples", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
