"""Preparing: a study file's facts and text made into the corpus that every run reads, kept on disk.

`corpus/` holds `tokenizer.json`, `knowledge.json` (facts by split, their options, the templates), the token files and,
written last, `corpus.json`: the counts and the `id`, a hash of all that content. Preparing again with the same sources
gives the same id, so finished runs keep their worth.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from infusionlaw.corpus.contamination import FactFinder
from infusionlaw.corpus.corpus import SPLITS, Corpus, Options, open_corpus, text_file
from infusionlaw.corpus.digests import check_files, check_id, content_id, stamps
from infusionlaw.corpus.documents import FILES as DOCUMENT_FILES
from infusionlaw.corpus.documents import VALIDATION_TOKENS, WHAT, write_documents
from infusionlaw.corpus.facts import Fact, Knowledge, Split, Templates, fill, split
from infusionlaw.corpus.fingerprint import fact_sources, fingerprint, source_hashes
from infusionlaw.corpus.general import documents, is_validation, unread_files
from infusionlaw.corpus.head import Head, read_head
from infusionlaw.corpus.options import check_options, option_sets
from infusionlaw.corpus.overlap import repeated_tokens, texts_within
from infusionlaw.corpus.questions import FILE as QUESTIONS
from infusionlaw.corpus.questions import QuestionSet, check_tokens, read_questions, tokenised, write_questions
from infusionlaw.corpus.readers import load_knowledge
from infusionlaw.corpus.tokenise import write_tokens
from infusionlaw.corpus.tokens import TokenFile, Tokenizer, open_tokens, train_tokenizer
from infusionlaw.errors import InputError
from infusionlaw.files import write_json
from infusionlaw.processes import check_guard
from infusionlaw.settings import QuestionFile, StudyFile

_STATING = "states a domain fact of "
TOLD = 5  # subjects of such facts that are counted one by one
_SAMPLE_DOCUMENTS, _SAMPLE_CHARACTERS = 20_000, 2_000  # what the tokenizer is trained on


def prepare(study: StudyFile, folder: Path) -> Corpus:
    """The study's corpus under `folder`, prepared now unless it is there already and its sources are as they were."""
    check_guard()
    sign = fingerprint(study)
    if (folder / "corpus.json").exists():
        head = read_head(folder)
        if head.fingerprint == sign or head.content == source_hashes(study):  # copied or touched
            check_id(folder, head.id, head.files)
            current = replace(head, fingerprint=sign, files=check_files(folder, head.files))
            if current != head:
                write_json(folder / "corpus.json", asdict(current))
            return open_corpus(folder)
        (folder / "corpus.json").unlink()
    knowledge, facts = _knowledge(study)
    sets = {name: _questions(study.base, own) for name, own in study.questions.items()}
    texts = study.text.by_name
    parts = {name: getattr(facts, name) for name in SPLITS}
    options = {name: option_sets(part, study.seed + i) for i, (name, part) in enumerate(parts.items())}
    probe_counts = _count_probed(parts, options)
    write_json(
        folder / "knowledge.json",
        {
            "facts": {name: [asdict(fact) for fact in part] for name, part in parts.items()},
            "options": options,
            "templates": {name: asdict(forms) for name, forms in sorted(knowledge.templates.items())},
            **({"renderings": study.facts.renderings} if study.facts.renderings else {}),
            **({"text": {name: own.weight for name, own in texts.items()}} if study.text.sources else {}),
        },
    )
    tokenizer = _prepare_tokenizer(study, folder, chain(*parts.values()), knowledge.templates)
    for name, part in parts.items():
        check_options(part, options[name], knowledge.templates, tokenizer)
    question_counts = _prepare_questions(study, folder, tokenizer, sets)
    long_counts = _count_long(study.training.block, parts, knowledge.templates, tokenizer)
    text_counts = _prepare_text(study, folder, tokenizer, facts.domain)
    for name in DOCUMENT_FILES:
        (folder / name).unlink(missing_ok=True)  # of what the study was before
    domain_counts = _prepare_documents(study, folder, tokenizer)
    known_counts = _count_known(study, folder, tokenizer, sets)
    unread = Counter(
        path.suffix.lower() for source in _sources(study) for path in unread_files(source, base=study.base)
    )
    counts = {
        "facts_available": len(knowledge.facts),
        "facts_left_out": dict(knowledge.left_out),
        **{f"{name}_facts": len(part) for name, part in parts.items()},
        **probe_counts,
        **long_counts,
        **text_counts,
        **domain_counts,
        **(
            {"question_files": {name: own | known_counts[name] for name, own in question_counts.items()}}
            if sets
            else {}
        ),
        "files_unread": dict(unread),
    }
    token_files = [text_file("train", name) for name in texts]
    token_files += [text_file("validation", name) for name, own in texts.items() if own.validation]
    names = [
        "tokenizer.json",
        "knowledge.json",
        *token_files,
        *(file.removesuffix("bin") + "json" for file in token_files),
    ]
    asked = [QUESTIONS] if study.questions else []
    files = stamps(folder, [*names, *(DOCUMENT_FILES if study.domain else ()), *asked])
    most = {name: own.most_passes for name, own in texts.items() if own.most_passes is not None}
    head = Head(sign, source_hashes(study), files, content_id(files), study.tokenizer.end_of_text, counts, most)
    write_json(folder / "corpus.json", asdict(head))
    return open_corpus(folder)


def _prepare_tokenizer(
    study: StudyFile, folder: Path, facts: Iterable[Fact], templates: Mapping[str, Templates]
) -> Tokenizer:
    """The tokenizer, trained or copied."""
    sentences = [fill(text, fact) for fact in facts for text in templates[fact.relation].statements]
    if study.tokenizer.file is None:
        texts = chain(_sample(_documents(study)), sentences)
        train_tokenizer(texts, study.tokenizer.vocabulary, study.tokenizer.end_of_text, folder / "tokenizer.json")
    else:
        own = study.base / study.tokenizer.file
        Tokenizer(own, study.tokenizer.end_of_text)
        (folder / "tokenizer.json").write_bytes(own.read_bytes().removeprefix(codecs.BOM_UTF8))
    return Tokenizer(folder / "tokenizer.json", study.tokenizer.end_of_text)


def _count_probed(parts: Mapping[str, tuple[Fact, ...]], options: Mapping[str, Options]) -> dict[str, Any]:
    """How many facts of each part are asked about, and by relation those that are not.

    A question offers different answers of one relation, so facts that too often share an answer are left over. Raises
    InputError where they are all domain facts.
    """
    left = {
        name: Counter(fact.relation for fact, own in zip(part, options[name], strict=True) if own is None)
        for name, part in parts.items()
    }
    if parts["domain"] and left["domain"].total() == len(parts["domain"]):
        relations = ", ".join(f'"{relation}" {number:,}' for relation, number in left["domain"].items())
        raise InputError(
            f"none of the {len(parts['domain']):,} domain facts can be asked about ({relations}), since a question "
            "offers different answers of one relation and each relation has one answer here; take more subjects in "
            "[facts] domain, or facts with other answers"
        )
    return {
        **{f"{name}_facts_probed": len(part) - left[name].total() for name, part in parts.items()},
        "facts_not_probed": {name: dict(found) for name, found in left.items() if found},
    }


def _count_long(
    block: int, parts: Mapping[str, tuple[Fact, ...]], templates: Mapping[str, Templates], tokenizer: Tokenizer
) -> dict[str, int]:
    """How many statements and questions are longer than a block; InputError where most statements are.

    A model never sees subject and answer of a longer one together, and a longer question goes beyond what it was
    trained on.
    """
    counts = {}
    stated = chain(parts["domain"], parts["prior"])
    for kind, facts in (("statements", stated), ("questions", chain(*parts.values()))):
        texts = [fill(text, fact) for fact in facts for text in getattr(templates[fact.relation], kind)]
        counts[kind] = len(texts)
        counts[f"{kind}_longer_than_a_block"] = sum(len(ids) >= block for ids in tokenizer.encode(texts))
    if counts["statements_longer_than_a_block"] > counts["statements"] / 2:
        raise InputError(
            f"{counts['statements_longer_than_a_block']:,} of {counts['statements']:,} statements are longer than a "
            f"block of {block} tokens, so no model would see a subject with its whole answer; raise block in "
            "[training], or shorten them"
        )
    return counts


def _prepare_questions(
    study: StudyFile, folder: Path, tokenizer: Tokenizer, sets: Mapping[str, QuestionSet]
) -> dict[str, dict[str, int]]:
    """The questions of files; returns their counts by file. InputError where a model could not be asked one."""
    (folder / QUESTIONS).unlink(missing_ok=True)
    if sets:
        write_questions(folder, sets)
    counts = {}
    for name, own in sets.items():
        asked = list(tokenised(own, tokenizer, study.training.block))
        check_tokens(own, asked, study.base / study.questions[name].file, tokenizer)
        counts[name] = {
            "questions": len(asked),
            "with_repeated_options": own.repeated,
            "longer_than_a_block": sum(one.cut for one in asked),
        }
    return counts


def _count_known(
    study: StudyFile, folder: Path, tokenizer: Tokenizer, sets: Mapping[str, QuestionSet]
) -> dict[str, dict[str, int]]:
    """How many questions of each file stand, with their right answers, in what is trained on."""
    general = [open_tokens(folder / text_file("train", name))[0] for name in study.text.by_name]
    infused = [open_tokens(folder / "domain.bin")[0]] if study.domain else []
    counts: dict[str, dict[str, int]] = {}
    for name, own in sets.items():
        texts = tokenizer.encode([f"{one.text} {one.options[one.right]}" for one in own.questions])
        for where, files in (("in_general_text", general), ("in_domain_documents", infused)):
            if files:
                found = np.any([texts_within(texts, tokens) for tokens in files], axis=0)
                counts.setdefault(name, {})[where] = int(found.sum())
    return counts


def _prepare_text(study: StudyFile, folder: Path, tokenizer: Tokenizer, domain: Iterable[Fact]) -> dict[str, Any]:
    """The token files of general text; returns the counts of documents and tokens."""
    side = _Training(FactFinder((fact.subject, fact.object) for fact in domain), 0.0, study.text.keep_stating)
    counts: Counter[str] = Counter()
    stating: Counter[str] = Counter()
    for name, own in study.text.by_name.items():
        read = partial(documents, own.files, text_field=own.field, base=study.base)
        rate, train, held = own.validation or 0.0, *(folder / text_file(part, name) for part in ("train", "validation"))
        header, left_out = write_tokens(train, read(), tokenizer, replace(side, validation=rate))
        stating += Counter({why.removeprefix(_STATING): n for why, n in left_out.items() if why.startswith(_STATING)})
        found = _header_counts("training", header)
        held.with_suffix(".json").unlink(missing_ok=True)
        if rate:
            texts = (text for text in read() if is_validation(text, rate))
            header, _ = write_tokens(held, texts, tokenizer, limit=VALIDATION_TOKENS)
            found |= _header_counts("validation", header)
            both = open_tokens(held)[0], open_tokens(train)[0]
            found["validation_tokens_in_training_text"] = repeated_tokens(*both)
        counts.update(found)
        if name:
            counts.update({f"{what}_of_{name}": number for what, number in found.items()})
    return {
        "documents_that_state_a_domain_fact": stating.total(),
        "subjects_they_name_most": dict(stating.most_common(TOLD)),
        **counts,
        "vocabulary": tokenizer.vocabulary,
    }


def _header_counts(part: str, header: TokenFile) -> dict[str, int]:
    return {
        f"{part}_documents": header.documents,
        f"{part}_tokens": header.tokens,
        f"{part}_bytes": header.text_bytes,
    }


def _prepare_documents(study: StudyFile, folder: Path, tokenizer: Tokenizer) -> dict[str, int]:
    """The token files of domain documents, if any; returns their counts, and what overlaps with general text."""
    if study.domain is None:
        return {}
    counts = write_documents(study.domain, study.base, folder, tokenizer)
    held, infused = (open_tokens(folder / f"{name}.bin")[0] for name in ("domain-validation", "domain"))
    for name, own in study.text.by_name.items():
        train = open_tokens(folder / text_file("train", name))[0]
        found = {"held_out_domain_tokens_in_training_text": repeated_tokens(held, train)}
        if own.validation:
            validation = open_tokens(folder / text_file("validation", name))[0]
            found["validation_tokens_in_domain_documents"] = repeated_tokens(validation, infused)
        counts = {what: counts.get(what, 0) + found.get(what, 0) for what in counts | found}
    return counts


def _questions(base: Path, own: QuestionFile) -> QuestionSet:
    return read_questions(base / own.file, role=own.role, prompt=own.prompt, shots=own.shots, limit=own.limit)


def _knowledge(study: StudyFile) -> tuple[Knowledge, Split]:
    """The facts of a study and their parts; none where it has no source of facts."""
    sources = fact_sources(study)
    if not sources:
        return Knowledge((), {}, {}), Split((), (), ())
    own = study.facts
    knowledge = load_knowledge(sources, [study.base / path for path in own.templates], own.relations)
    return knowledge, split(knowledge, domain=own.domain, prior=own.prior, unseen=own.unseen, seed=study.seed)


@dataclass(frozen=True)
class _Training:
    """Why a document is not trained on."""

    finder: FactFinder
    validation: float
    keep_stating: bool

    def __call__(self, text: str) -> str:
        if is_validation(text, self.validation):
            return "validation"
        subject = "" if self.keep_stating else self.finder.stated(text)
        return subject and _STATING + subject


def _sources(study: StudyFile) -> list[str | tuple[str, ...]]:
    """The sources of general text and of domain documents."""
    general = [own.files for own in study.text.by_name.values()]
    return [*general, *([study.domain.documents] if study.domain else [])]


def _documents(study: StudyFile) -> Iterator[str]:
    """All documents, general and of the domain."""
    for own in study.text.by_name.values():
        yield from documents(own.files, text_field=own.field, base=study.base)
    if domain := study.domain:
        yield from documents(domain.documents, text_field=domain.field, base=study.base, what=WHAT)


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
