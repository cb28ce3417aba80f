"""Preparing a corpus: what is left out, what is counted, what is rebuilt, what is refused."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from infusionlaw.corpus import tokenise
from infusionlaw.corpus.corpus import open_corpus, probed_questions
from infusionlaw.corpus.facts import fill
from infusionlaw.corpus.prepare import prepare
from infusionlaw.errors import InputError
from infusionlaw.report.corpus import probed_text, remarks
from infusionlaw.settings import read_study_file


def copy_of(material, tmp_path):
    folder = tmp_path / "material"
    shutil.copytree(material, folder)
    return folder


def decoded(corpus, tokens) -> list[str]:
    end = corpus.tokenizer.end_of_text
    documents, document = [], []
    for token in np.asarray(tokens).tolist():
        if token == end:
            documents.append(corpus.tokenizer.backend.decode(document))
            document = []
        else:
            document.append(token)
    return documents


def test_prepared_again_without_change_is_the_same_and_costs_nothing(material, tmp_path, monkeypatch) -> None:
    study = read_study_file(material / "study.toml")
    first = prepare(study, tmp_path / "corpus")
    monkeypatch.setattr("infusionlaw.corpus.prepare.write_tokens", None)
    assert prepare(study, tmp_path / "corpus").id == first.id


def test_touched_files_with_the_same_bytes_are_not_prepared_again(material, tmp_path, monkeypatch) -> None:
    moved = copy_of(material, tmp_path)
    first = prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus")
    monkeypatch.setattr("infusionlaw.corpus.prepare.write_tokens", None)
    (moved / "facts.csv").touch()
    (moved / "text.jsonl").touch()
    assert prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus").id == first.id


def test_the_id_is_of_the_content_not_of_the_place(material, corpus, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    assert prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus").id == corpus.id


def test_the_id_is_the_same_where_processes_prepare_the_text(material, corpus, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tokenise, "SHORT", 1)
    monkeypatch.setattr(tokenise.in_batches, "__defaults__", (5, 1000))
    again = prepare(read_study_file(material / "study.toml"), tmp_path / "corpus")
    assert again.id == corpus.id and again.counts == corpus.counts


def test_a_script_without_a_guard_is_told_so_and_does_its_work_once(material, tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from infusionlaw.corpus import tokenise\n"
        "from infusionlaw.corpus.prepare import prepare\n"
        "from infusionlaw.settings import read_study_file\n"
        "tokenise.SHORT, tokenise.in_batches.__defaults__ = 1, (5, 1000)\n"
        f"prepare(read_study_file({str(material / 'study.toml')!r}), Path({str(tmp_path / 'corpus')!r}))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "InputError: a script that runs a study must do so under" in done.stderr  # of its processes
    assert "train.bin: a process that tokenised was killed" in done.stderr.splitlines()[-1]  # its own
    assert not list((tmp_path / "corpus").glob("train*"))


def test_another_fact_is_another_corpus(material, corpus, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    facts = (moved / "facts.csv").read_text()
    (moved / "facts.csv").write_text(facts.replace("Arvel,colour,red", "Arwel,colour,red"))
    assert prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus").id != corpus.id


def test_documents_that_state_a_domain_fact_are_left_out_and_counted(material, corpus, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    fact = corpus.facts.domain[0]
    telling = f"Once {fact.subject} was painted {fact.object}. " * 5
    innocent = f"Once {fact.subject} was painted over. " * 5
    with (moved / "text.jsonl").open("a", encoding="utf8") as handle:
        handle.write(
            "".join(f"\n{json.dumps({'text': text + str(i)})}" for text in (telling, innocent) for i in range(20))
        )
    own = prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus")
    text = decoded(own, own.text[""])
    assert 10 <= own.counts["documents_that_state_a_domain_fact"] <= 20
    assert not any(document.startswith(telling) for document in text)
    assert any(document.startswith(innocent) for document in text)


def test_where_most_documents_state_a_fact_it_is_said_and_they_can_be_kept(material, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    domain = prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus").facts.domain[0]
    lines = [json.loads(line) for line in (moved / "text.jsonl").read_text().splitlines() if line.strip()]
    stating = f" {domain.subject} {domain.object}"
    lines = [row | {"text": row["text"] + stating * (i % 2)} for i, row in enumerate(lines)]
    (moved / "text.jsonl").write_text("\n".join(map(json.dumps, lines)))
    own = prepare(read_study_file(moved / "study.toml"), tmp_path / "study" / "corpus")
    assert own.counts["subjects_they_name_most"][domain.subject] >= 0.4 * len(lines)
    assert any(domain.subject in remark and "keep_stating" in remark for remark in remarks(tmp_path / "study"))
    study = (moved / "study.toml").read_text()
    (moved / "study.toml").write_text(study.replace("[text]", "[text]\nkeep_stating = true"))
    kept = prepare(read_study_file(moved / "study.toml"), tmp_path / "kept")
    assert kept.counts["documents_that_state_a_domain_fact"] == 0
    assert kept.counts["training_documents"] > 1.5 * own.counts["training_documents"]
    lines = [row | {"text": row["text"] + stating} for row in lines]
    (moved / "text.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (moved / "study.toml").write_text(study)
    with pytest.raises(InputError, match=rf"were left out; take out subjects|\({domain.subject}\)"):
        prepare(read_study_file(moved / "study.toml"), tmp_path / "none")


def test_statements_longer_than_a_block_are_said_and_refused_where_they_are_most(material, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    (moved / "study.toml").write_text(
        (moved / "study.toml").read_text().replace("[training]", "[training]\nblock = 40")
    )
    study, templates = read_study_file(moved / "study.toml"), (moved / "templates.toml").read_text()
    long = templates.replace('"The flag', f'"{"A quite long text. " * 20}The flag')
    (moved / "templates.toml").write_text(long)
    own = prepare(study, tmp_path / "study" / "corpus")
    assert own.counts["statements_longer_than_a_block"] == own.counts["statements"] / 3
    assert any("statements are longer than a block" in remark for remark in remarks(tmp_path / "study"))
    (moved / "templates.toml").write_text(
        long.replace('"{subject} flies', f'"{"A quite long text. " * 20}{{subject}} flies')
    )
    with pytest.raises(InputError, match="so no model would see a subject with its whole answer"):
        prepare(study, tmp_path / "refused")


def test_facts_that_are_infused_but_not_asked_about_are_counted_by_relation(material, corpus, tmp_path) -> None:
    assert all(corpus.counts[f"{name}_facts_probed"] == 8 for name in ("domain", "prior", "unseen"))
    assert corpus.counts["facts_not_probed"] == {}
    moved = copy_of(material, tmp_path)
    names = [line.split(",")[0] for line in (moved / "facts.csv").read_text().splitlines()[1:]]
    answers = ["red"] * 22 + ["green"] * 2  # every group of options needs both
    rows = [f"{name},colour,{answer}" for name, answer in zip(names, answers, strict=True)]
    (moved / "facts.csv").write_text("\n".join(["subject,relation,object", *rows]))
    own = prepare(read_study_file(moved / "study.toml"), tmp_path / "study" / "corpus")
    for name in ("domain", "prior", "unseen"):
        asked = sum(options is not None for options in own.options[name])
        assert own.counts[f"{name}_facts_probed"] == asked < 8
        assert own.counts["facts_not_probed"][name] == {"colour": 8 - asked}
        assert f"{asked} of 8 {name}" in probed_text(tmp_path / "study")
        assert any(
            f"{8 - asked} of 8 {name} facts" in said and "colour" in said for said in remarks(tmp_path / "study")
        )


def test_domain_facts_that_yield_no_question_are_refused(material, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    facts = (moved / "facts.csv").read_text().splitlines()
    rows = [line.rsplit(",", 1)[0] + ",red" for line in facts[1:]]
    (moved / "facts.csv").write_text("\n".join([facts[0], *rows]))
    with pytest.raises(InputError, match=r"none of the 8 domain facts can be asked about \(\"colour\" 8\)"):
        prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus")
    assert not (tmp_path / "corpus" / "train.bin").exists()


def test_few_validation_documents_are_said(material, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    study = moved / "study.toml"
    given = study.read_text()
    study.write_text(given.replace("validation = 0.1", "validation = 0.4"))
    prepare(read_study_file(study), tmp_path / "many" / "corpus")
    assert not any("Validation loss is measured on" in said for said in remarks(tmp_path / "many"))
    study.write_text(given.replace("validation = 0.1", "validation = 0.05"))
    own = prepare(read_study_file(study), tmp_path / "few" / "corpus")
    documents = own.counts["validation_documents"]
    assert documents < 50
    assert any(f"is measured on {documents} documents" in said for said in remarks(tmp_path / "few"))


def test_files_of_other_kinds_in_a_folder_of_text_are_counted_and_said(material, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    (moved / "texts").mkdir()
    (moved / "text.jsonl").rename(moved / "texts" / "a.ndjson")
    for name in ("b.pdf", "c.PDF", ".hidden.pdf"):
        (moved / "texts" / name).write_bytes(b"%PDF")
    study = (moved / "study.toml").read_text()
    (moved / "study.toml").write_text(study.replace('"text.jsonl"', '"texts"'))
    own = prepare(read_study_file(moved / "study.toml"), tmp_path / "study" / "corpus")
    assert own.counts["files_unread"] == {".pdf": 2}
    assert any("2 files" in remark and "2 of .pdf" in remark for remark in remarks(tmp_path / "study"))


def test_validation_text_is_not_trained_on_and_the_bytes_are_counted(corpus) -> None:
    train, (held, header) = set(decoded(corpus, corpus.text[""])), corpus.validation[""]
    documents = decoded(corpus, held)
    assert len(documents) == header.documents > 10
    assert not train & set(documents)
    assert sum(len(text.encode("utf8")) for text in documents) == header.text_bytes


def test_what_documents_on_both_sides_of_the_split_have_in_common_is_counted(material, corpus, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    foot = "".join(f"Line {i} of this foot stands below each page as it does here. " for i in range(100, 130))
    lines = [json.loads(line) for line in (moved / "text.jsonl").read_text().splitlines()]
    lines = [row | {"text": f"{row['text']}\n{foot}"} for row in lines]
    (moved / "text.jsonl").write_text("\n".join(map(json.dumps, lines)))
    own = prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus")
    feet = own.counts["validation_documents"] * len(next(iter(own.tokenizer.encode([foot]))))
    before, after = (each.counts["validation_tokens_in_training_text"] for each in (corpus, own))
    assert after - before == pytest.approx(feet, rel=0.2)


def test_domain_facts_are_only_stated_and_prior_facts_also_asked_but_never_as_probed(corpus) -> None:
    stream = decoded(corpus, corpus.mixture(0.5, 0.5, 1).read(0, 30_000))
    for fact in corpus.facts.domain:
        questions = {fill(template, fact) for template in corpus.templates["colour"].questions}
        assert not questions & set(stream)
        assert any(fill(template, fact) in stream for template in corpus.templates["colour"].statements)
    for index, fact in enumerate(corpus.facts.prior):
        asked = {fill(t, fact): t for t in corpus.templates["colour"].questions}
        used = {template for text, template in asked.items() if text in stream}
        assert used
        assert not used & set(probed_questions(index, corpus.templates["colour"].questions))
    assert not any(fact.subject in text for fact in corpus.facts.unseen for text in stream if "flag" in text)


def test_domain_facts_can_be_stated_in_fewer_templates(material, corpus, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    text = (moved / "study.toml").read_text()
    (moved / "study.toml").write_text(text.replace("[facts]", "[facts]\nrenderings = 1", 1))
    own = prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus")
    assert own.id != corpus.id
    assert {len(templates) for templates in own.domain_templates} == {1}
    stream = set(decoded(own, own.mixture(0.5, 0.5, 1).read(0, 30_000)))
    first, *others = own.templates["colour"].statements
    assert all(fill(first, fact) in stream for fact in own.facts.domain)
    assert not any(fill(other, fact) in stream for other in others for fact in own.facts.domain)
    assert any(fill(other, fact) in stream for other in others for fact in own.facts.prior)


def test_prior_facts_can_go_without_questions(corpus) -> None:
    stream = set(decoded(corpus, corpus.mixture(0.5, 0.5, 1, questions=False).read(0, 30_000)))
    questions = corpus.templates["colour"].questions
    assert not any(fill(template, fact) in stream for template in questions for fact in corpus.facts.prior)
    stated = corpus.templates["colour"].statements
    assert all(any(fill(template, fact) in stream for template in stated) for fact in corpus.facts.prior)


def test_dose_zero_states_prior_facts_at_the_same_rate_of_the_general_part(corpus) -> None:
    ledgers = [corpus.mixture(share, 0.25, 1).ledger(60_000) for share in (0.0, 0.5)]
    assert ledgers[0].domain_tokens == 0
    rates = [ledger.prior_tokens / (ledger.tokens - ledger.domain_tokens) for ledger in ledgers]
    assert rates == pytest.approx([0.25, 0.25], abs=0.005)


def test_a_truncated_token_file_is_one_sentence_with_the_mend(material, tmp_path) -> None:
    prepare(read_study_file(material / "study.toml"), tmp_path / "corpus")
    path = tmp_path / "corpus" / "train.bin"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"train\.bin: holds \d+ bytes where its header says \d+; delete .* again"):
        open_corpus(tmp_path / "corpus")


def test_missing_files_and_too_little_text_are_refused(material, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    study = (moved / "study.toml").read_text()
    (moved / "study.toml").write_text(study.replace('"facts.csv"', '"fact.csv"'))
    with pytest.raises(InputError, match=r"fact\.csv: no such file"):
        prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus")
    (moved / "study.toml").write_text(study)
    (moved / "text.jsonl").write_text('{"text": "Only one short line."}')
    with pytest.raises(InputError, match="too few"):
        prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus")


def test_an_own_tokenizer_is_used(material, corpus, tmp_path) -> None:
    moved = copy_of(material, tmp_path)
    shutil.copy(corpus.tokenizer.path, moved / "own.json")
    study = (moved / "study.toml").read_text().replace("vocabulary = 512", 'file = "own.json"')
    (moved / "study.toml").write_text(study)
    assert prepare(read_study_file(moved / "study.toml"), tmp_path / "corpus").id == corpus.id
    (moved / "study.toml").write_text(study.replace('"own.json"', '"own.json"\nend_of_text = "<eos>"'))
    with pytest.raises(InputError, match='has no token "<eos>"'):
        prepare(read_study_file(moved / "study.toml"), tmp_path / "other")
