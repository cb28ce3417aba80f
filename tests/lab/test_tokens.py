"""Token files and the tokeniser."""

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.lab.tokens import Tokenizer, in_batches, open_tokens, train_tokenizer, write_tokens

TEXTS = ["a small text about the sea", "another text, about the land", "ça et là: ünïcode ✓"]


@pytest.fixture
def tokenizer(tmp_path) -> Tokenizer:
    train_tokenizer(TEXTS * 20, 300, "<end>", tmp_path / "tokenizer.json")
    return Tokenizer(tmp_path / "tokenizer.json", "<end>")


def test_any_text_comes_back(tokenizer) -> None:
    ids = tokenizer.encode(TEXTS)
    assert [tokenizer.backend.decode(part) for part in ids] == TEXTS
    assert tokenizer.vocabulary <= 300
    assert max(map(max, ids)) < tokenizer.vocabulary


def test_token_file_holds_every_document_closed_by_end_of_text(tokenizer, tmp_path) -> None:
    header = write_tokens(tmp_path / "t.bin", TEXTS, tokenizer)
    tokens, read = open_tokens(tmp_path / "t.bin")
    assert read == header
    assert tokens.dtype == np.uint16
    assert np.count_nonzero(tokens == tokenizer.end_of_text) == header.documents == 3
    assert header.text_bytes == sum(len(text.encode("utf8")) for text in TEXTS)
    assert isinstance(tokens, np.memmap)


def test_limit_stops_after_the_document_that_reaches_it(tokenizer, tmp_path) -> None:
    header = write_tokens(tmp_path / "t.bin", TEXTS * 100, tokenizer, limit=50)
    assert 50 <= header.tokens < 400


def test_batches_end_at_so_many_documents_or_characters() -> None:
    assert list(in_batches(["a", "b", "c"], most=2)) == [["a", "b"], ["c"]]
    assert list(in_batches(["aaa", "b", "c" * 9, "d"], characters=4)) == [["aaa", "b"], ["c" * 9], ["d"]]
    assert list(in_batches([])) == []


def test_token_file_is_the_same_however_it_was_batched(tokenizer, tmp_path, monkeypatch) -> None:
    texts = [text * n for n in range(1, 40) for text in TEXTS]
    whole = write_tokens(tmp_path / "whole.bin", texts, tokenizer)
    monkeypatch.setattr(write_tokens.__globals__["in_batches"], "__defaults__", (3, 100))
    assert write_tokens(tmp_path / "parts.bin", texts, tokenizer) == whole
    assert (tmp_path / "parts.bin").read_bytes() == (tmp_path / "whole.bin").read_bytes()
    assert (tmp_path / "whole.bin").stat().st_size == 2 * whole.tokens


def test_a_limited_file_reads_little_more_than_it_holds(tokenizer, tmp_path) -> None:
    read = []
    texts = (read.append(text) or text for text in TEXTS * 100)
    header = write_tokens(tmp_path / "t.bin", texts, tokenizer, limit=50)
    assert len(read) <= header.documents + 40


def test_continuation_begins_with_the_answer(tokenizer) -> None:
    ids, first = tokenizer.encode_from([("a text about the ", "sea.")])[0]
    assert tokenizer.backend.decode(ids[:first]) == "a text about the"
    assert tokenizer.backend.decode(ids[first:]) == " sea."


def test_a_tokenizer_that_would_cut_and_fill_up_texts_does_neither_here(tokenizer, tmp_path) -> None:
    whole = tokenizer.encode(TEXTS)
    tokenizer.backend.enable_truncation(3)
    tokenizer.backend.enable_padding(length=40)
    tokenizer.backend.save(str(tmp_path / "cutting.json"))
    assert Tokenizer(tmp_path / "cutting.json", "<end>").encode(TEXTS) == whole


def test_a_broken_tokenizer_is_one_sentence(tmp_path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json: not a readable tokenizer"):
        Tokenizer(tmp_path / "tokenizer.json", "<end>")
