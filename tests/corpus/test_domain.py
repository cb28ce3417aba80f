"""Studies with domain documents and several sources of general text: what is prepared, counted, read and refused."""

import json
import random
import shutil
from collections import Counter

import numpy as np
import pytest

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.corpus.prepare import prepare
from infusionlaw.errors import InputError
from infusionlaw.report.corpus import documents_text, remarks
from infusionlaw.report.needed import repetition_text
from infusionlaw.runners.execute import execute_together
from infusionlaw.runners.local import Lab
from infusionlaw.runs.ledger import read_ledger
from infusionlaw.runs.record import Estimate
from infusionlaw.settings import read_study_file
from infusionlaw.study.design import grid
from infusionlaw.training.probe import build_probes
from infusionlaw.training.resolve import domain_tokens_of, doses_of, mixture_of, recipe_of

WORDS = [
    "enzyme",
    "receptor",
    "kinase",
    "membrane",
    "protein",
    "lipid",
    "ligand",
    "cell",
    "tissue",
    "organ",
    "nerve",
    "muscle",
    "plasma",
    "serum",
]
DESIGN = '[design]\nsizes = ["10k"]\ntokens = ["20k"]\nshares = [0.5]\nseeds = [1]\n'


def note(number: int, words: int) -> str:
    rng = random.Random(number)
    return f"Note {number}. " + " ".join(rng.choice(WORDS) for _ in range(words)) + "."


@pytest.fixture
def folder(material, tmp_path):
    """A folder with general text, and domain documents in two files."""
    shutil.copy(material / "text.jsonl", tmp_path / "text.jsonl")
    (tmp_path / "domain").mkdir()
    for name, numbers in (("a.jsonl", range(40)), ("b.jsonl", range(40, 60))):
        lines = [json.dumps({"text": note(n, 10 if n % 3 else 900)}) for n in numbers]
        (tmp_path / "domain" / name).write_text("\n".join(lines))
    return tmp_path


def study(folder, more: str = "", *, text: str = 'source = "text.jsonl"', design: str = DESIGN):
    """A study of the folder's domain documents; `more` are further lines of [domain]."""
    path = folder / "study.toml"
    domain = more if "documents" in more else f'documents = "domain"\nvalidation = 0.2\n{more}'
    content = f'name = "s"\n[domain]\n{domain}\n[text]\n{text}\nvalidation = 0.1\n'
    path.write_text(f"{content}[tokenizer]\nvocabulary = 300\n{design}")
    return read_study_file(path)


def documents_in(corpus, tokens) -> list[str]:
    ends = np.flatnonzero(np.asarray(tokens) == corpus.tokenizer.end_of_text)
    return [corpus.tokenizer.backend.decode(own.tolist()[:-1]) for own in np.split(tokens, ends + 1)[:-1]]


def test_documents_are_infused_or_held_out_and_the_corpus_is_rebuilt_when_they_change(folder) -> None:
    own = prepare(study(folder), folder / "s" / "corpus")
    infused, held = documents_in(own, own.documents.tokens), documents_in(own, own.documents.validation[0])
    assert sorted([*infused, *held]) == sorted(note(n, 10 if n % 3 else 900) for n in range(60)) and len(held) > 3
    assert own.counts["domain_documents"] == len(infused) and own.facts.domain == ()
    assert "from 2 files" in documents_text(folder / "s")
    (folder / "domain" / "b.jsonl").write_text(json.dumps({"text": "another text " * 30}))
    assert prepare(study(folder), folder / "s" / "corpus").id != own.id
    with pytest.raises(InputError, match=r"domain\.bin"):
        (folder / "s" / "corpus" / "domain.bin").write_bytes(b"")
        open_corpus(folder / "s" / "corpus")


def test_the_ledger_counts_by_document_and_by_file_what_the_bytes_hold(folder) -> None:
    own = prepare(study(folder), folder / "s" / "corpus")
    spec = grid(study(folder), own.id)[1]
    recipe = recipe_of(spec, own)
    (record,) = execute_together([spec], own, build_probes(own, recipe.block), folder / "s", checkpoint_every=10**9)
    ledger = read_ledger(folder / "s" / "runs" / spec.id / "ledger.json")
    infused = documents_in(own, own.documents.tokens)
    stream = mixture_of(spec, recipe, own).read(0, recipe.tokens)
    text = own.tokenizer.backend.decode(stream.tolist(), skip_special_tokens=False)
    short = [document for document in infused if len(document) < 500]
    assert len(short) > 10
    for document in short:  # long ones are read in parts, and the last may be cut
        assert text.count(document) == ledger.documents.exposures[infused.index(document)]
    assert ledger.tokens.domain == ledger.documents.tokens == pytest.approx(recipe.tokens / 2, abs=1100)
    by_file = Counter()
    for name, counts in ledger.documents.by_file.items():
        by_file[name] = sum(int(times) * documents for times, documents in counts.exposures.items())
    assert set(by_file) == {"domain/a.jsonl", "domain/b.jsonl"}
    assert by_file.total() == sum(ledger.documents.exposures)
    assert dict(record.more)["domain_loss"] > 0 and record.recall is None and record.facts is None
    assert record.exposures == pytest.approx(0.5 * recipe.tokens / len(own.documents.tokens))


def test_where_blocks_are_long_a_long_document_is_read_in_one_piece(folder) -> None:
    own = prepare(study(folder), folder / "s" / "corpus")
    long = [document for document in documents_in(own, own.documents.tokens) if len(document) > 500]
    texts = {}
    for block in (128, 4096):
        mix = own.mixture(0.5, 0.25, 1, block=block)
        assert mix.general.page == max(1024, block)
        stream = mix.read(0, 4 * len(own.documents.tokens))
        texts[block] = own.tokenizer.backend.decode(stream.tolist(), skip_special_tokens=False)
    whole = {block: sum(text.count(document) for document in long) for block, text in texts.items()}
    assert whole[4096] >= len(long) > whole[128]


def test_a_matched_run_repeats_the_domain_as_the_planned_run_will(folder) -> None:
    file = study(folder, 'target_tokens = "100k"\nmatched = true')
    own = prepare(file, folder / "s" / "corpus")
    spec = grid(file, own.id)[1]
    recipe = recipe_of(spec, own)
    read = own.documents.read(domain_tokens_of(spec, recipe, own))
    assert 0.12 * len(own.documents.tokens) < read.tokens_in_all < 0.21 * len(own.documents.tokens)
    share, exposures = doses_of(spec, recipe, own)
    planned = share * 100_000 / len(own.documents.tokens)
    assert exposures == pytest.approx(planned, rel=0.5)
    more = own.documents.read(2 * read.tokens_in_all)
    assert set(read.chosen) < set(more.chosen)
    estimate = Estimate(spec.id, 1, 1, recipe.tokens, share, exposures, 1, False, 1, 1, 1.0, 1, 1.0)
    assert "as often, to within" in repetition_text(file, folder / "s", [estimate])
    free = study(folder, 'target_tokens = "100k"')
    alone = doses_of(grid(free, own.id)[1], recipe, own)[1]
    (far,) = [Estimate(spec.id, 1, 1, recipe.tokens, share, alone, 1, False, 1, 1, 1.0, 1, 1.0)]
    assert "matched = true" in repetition_text(free, folder / "s", [far])


def test_what_stands_on_both_sides_is_remarked_in_both_directions(folder) -> None:
    lines = (folder / "text.jsonl").read_text().replace('{"text": "', '{"text": "Copied. ')
    (folder / "domain" / "c.jsonl").write_text(lines)  # nearly all general text is in the domain too
    own = prepare(study(folder), folder / "s" / "corpus")
    said = " ".join(remarks(folder / "s"))
    assert own.counts["validation_tokens_in_domain_documents"] > 0.5 * own.counts["validation_tokens"]
    assert "of the validation text stands word for word in the documents that are infused" in said
    assert "of the held-out domain text stands word for word in the general training text" in said


def test_sources_of_general_text_are_read_by_their_weights_and_measured_apart(folder) -> None:
    lines = (folder / "text.jsonl").read_text().splitlines()
    for name, own in (("even", lines[::2]), ("odd", lines[1::2])):
        (folder / f"{name}.jsonl").write_text("\n".join(own))
    sources = "".join(
        f'[text.sources.{name}]\nfiles = "{name}.jsonl"\nweight = {weight}\n'
        for name, weight in (("even", 3), ("odd", 1))
    )
    path = folder / "study.toml"
    content = 'name = "s"\n[domain]\ndocuments = "domain"\nvalidation = 0.2\n[text]\nvalidation = 0.1\n'
    path.write_text(f"{content}{sources}[tokenizer]\nvocabulary = 300\n{DESIGN}")
    file = read_study_file(path)
    own = prepare(file, folder / "s" / "corpus")
    spec = grid(file, own.id)[0]
    recipe = recipe_of(spec, own)
    ledger = mixture_of(spec, recipe, own).ledger(recipe.tokens)
    pages = np.array(ledger.by_source) * [len(tokens) // 1024 for tokens in own.text.values()]
    assert pages[0] / pages.sum() == pytest.approx(0.75, abs=0.06)
    (record,) = execute_together([spec], own, build_probes(own, recipe.block), folder / "s", checkpoint_every=10**9)
    each = dict(record.more)
    assert record.val_bpb == pytest.approx(0.75 * each["val_bpb:even"] + 0.25 * each["val_bpb:odd"])
    path.write_text(path.read_text().replace("weight = 1", "weight = 1\nvalidation = 0"))
    other = prepare(read_study_file(path), folder / "other" / "corpus")
    assert set(other.validation) == {"even"} and len(other.text["odd"]) > len(own.text["odd"])
    path.write_text(path.read_text().replace("\nvalidation = 0\n", "\n"))
    path.write_text(path.read_text().replace("weight = 3", "weight = 3\nmost_passes = 0.1"))
    capped = Lab().prepare(read_study_file(path), folder / "s")
    assert capped == own.id  # a bound on passes changes no bytes
    with pytest.raises(InputError, match=r'would read the source "even" .* more than its most_passes = 0\.1'):
        Lab().check(folder / "s", [spec])


@pytest.mark.parametrize(
    ("lines", "design", "message"),
    [
        ('documents = "nothing/*.txt"', DESIGN, "domain documents: .* matches nothing to read"),
        ('documents = "empty.jsonl"', DESIGN, "domain documents: .* holds no text"),
        ('documents = "one.txt"', DESIGN, "0 held out for domain loss|0 of 1 are infused"),
        ("", DESIGN.replace("20k", "20k").replace("[0.5]", "[0.0005]"), "fewer than a domain document has"),
        ("", DESIGN + "[infusion]\nmax_exposures = 1\n", None),
    ],
)
def test_bad_documents_are_refused_in_a_sentence_before_training(folder, lines, design, message) -> None:
    (folder / "empty.jsonl").write_text('{"text": "  "}\n{"text": ""}\n')
    (folder / "one.txt").write_text("one document only " * 200)
    file = study(folder, lines, design=design)
    if message is None:
        data = Lab().prepare(file, folder / "s")
        Lab().check(folder / "s", grid(file, data))
        return
    with pytest.raises(InputError, match=message):
        data = Lab().prepare(file, folder / "s")
        Lab().check(folder / "s", grid(file, data))
