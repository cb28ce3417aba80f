"""From documents to a token file: the same one however many threads and processes make it."""

import os
import signal
from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from infusionlaw.corpus import tokenise
from infusionlaw.corpus.tokenise import in_batches, write_tokens
from infusionlaw.corpus.tokens import Tokenizer, open_tokens, train_tokenizer
from infusionlaw.errors import InputError

TEXTS = ["a small text about the sea", "another text, about the land", "ça et là: ünïcode ✓"]


@pytest.fixture
def tokenizer(tmp_path) -> Tokenizer:
    train_tokenizer(TEXTS * 20, 300, "<end>", tmp_path / "tokenizer.json")
    return Tokenizer(tmp_path / "tokenizer.json", "<end>")


def test_token_file_holds_every_document_closed_by_end_of_text(tokenizer, tmp_path) -> None:
    header, _ = write_tokens(tmp_path / "t.bin", TEXTS, tokenizer)
    tokens, read = open_tokens(tmp_path / "t.bin")
    assert read == header
    assert tokens.dtype == np.uint16
    assert np.count_nonzero(tokens == tokenizer.end_of_text) == header.documents == 3
    assert header.text_bytes == sum(len(text.encode("utf8")) for text in TEXTS)
    assert isinstance(tokens, np.memmap)


def test_limit_stops_after_the_document_that_reaches_it(tokenizer, tmp_path) -> None:
    header, _ = write_tokens(tmp_path / "t.bin", TEXTS * 100, tokenizer, limit=50)
    assert 50 <= header.tokens < 400


def test_batches_end_at_so_many_documents_or_characters() -> None:
    assert list(in_batches(["a", "b", "c"], most=2)) == [["a", "b"], ["c"]]
    assert list(in_batches(["aaa", "b", "c" * 9, "d"], characters=4)) == [["aaa", "b"], ["c" * 9], ["d"]]
    assert list(in_batches([])) == []


def test_token_file_is_the_same_however_it_was_batched(tokenizer, tmp_path, monkeypatch) -> None:
    texts = [text * n for n in range(1, 40) for text in TEXTS]
    whole, _ = write_tokens(tmp_path / "whole.bin", texts, tokenizer)
    monkeypatch.setattr(tokenise.in_batches, "__defaults__", (3, 100))
    assert write_tokens(tmp_path / "parts.bin", texts, tokenizer)[0] == whole
    assert (tmp_path / "parts.bin").read_bytes() == (tmp_path / "whole.bin").read_bytes()
    assert (tmp_path / "whole.bin").stat().st_size == 2 * whole.tokens


@pytest.mark.parametrize("before", [None, "true"])
def test_each_batch_has_one_thread_and_the_callers_own_setting_comes_back(
    tokenizer, tmp_path, monkeypatch, before
) -> None:
    name = "TOKENIZERS_PARALLELISM"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    seen = set()

    def keep(document: str) -> str:
        seen.add(os.environ.get(name))
        return ""

    write_tokens(tmp_path / "t.bin", TEXTS * 100, tokenizer, keep, limit=50)  # left early
    assert seen == {"false"}
    assert os.environ.get(name) == before


def test_a_limited_file_reads_little_more_than_it_holds(tokenizer, tmp_path) -> None:
    read = []
    texts = (read.append(text) or text for text in TEXTS * 100)
    header, _ = write_tokens(tmp_path / "t.bin", texts, tokenizer, limit=50)
    assert len(read) <= header.documents + 40


@dataclass(frozen=True)
class NoSea:
    """Leaves out what speaks of the sea, and says in how many processes it was asked."""

    asked: str

    def __call__(self, text: str) -> str:
        with open(self.asked, "a") as handle:
            handle.write(f"{os.getpid()}\n")
        return "the sea" if "sea" in text else ""


def test_what_is_long_is_done_by_processes_and_gives_the_same_file(tokenizer, tmp_path, monkeypatch) -> None:
    texts = [text * n for n in range(1, 200) for text in TEXTS]
    monkeypatch.setattr(tokenise.in_batches, "__defaults__", (20, 1000))
    keep = NoSea(str(tmp_path / "asked"))
    one = write_tokens(tmp_path / "one.bin", texts, tokenizer, keep)
    assert set((tmp_path / "asked").read_text().split()) == {str(os.getpid())}
    monkeypatch.setattr(tokenise, "SHORT", 5000)
    monkeypatch.setattr(tokenise, "cores", lambda: 2)
    many = write_tokens(tmp_path / "many.bin", texts, tokenizer, keep)
    assert len(set((tmp_path / "asked").read_text().split())) >= 2
    assert many == one and one[1] == Counter({"the sea": 199}) and one[0].documents == 398
    assert (tmp_path / "many.bin").read_bytes() == (tmp_path / "one.bin").read_bytes()


@pytest.fixture
def beyond(monkeypatch) -> None:
    """All but the first batches are done by two processes."""
    monkeypatch.setattr(tokenise, "SHORT", 10)
    monkeypatch.setattr(tokenise, "cores", lambda: 2)
    monkeypatch.setattr(tokenise.in_batches, "__defaults__", (2, 100))


def refuse_cheese(text: str) -> str:
    if "cheese" in text:
        raise InputError("no cheese here; take it out")
    return ""


def test_what_goes_wrong_in_a_process_or_in_the_text_is_its_own_sentence(tokenizer, tmp_path, beyond) -> None:
    with pytest.raises(InputError, match="no cheese here; take it out"):
        write_tokens(tmp_path / "t.bin", [*TEXTS * 10, "cheese", *TEXTS], tokenizer, refuse_cheese)

    def broken():
        yield from TEXTS * 10
        raise InputError("the file ends here")

    with pytest.raises(InputError, match="the file ends here"):
        write_tokens(tmp_path / "t.bin", broken(), tokenizer)
    assert not list(tmp_path.glob("t.*"))


def test_a_limit_is_kept_where_processes_work(tokenizer, tmp_path, beyond) -> None:
    header, _ = write_tokens(tmp_path / "t.bin", TEXTS * 100, tokenizer, limit=1000)
    assert 1000 <= header.tokens < 2000


def die(here: int, text: str) -> str:
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_a_process_that_is_killed_leaves_no_file_and_one_sentence(tokenizer, tmp_path, beyond) -> None:
    with pytest.raises(InputError, match="a process that tokenised was killed"):
        write_tokens(tmp_path / "t.bin", TEXTS * 10, tokenizer, partial(die, os.getpid()))
    assert not list(tmp_path.glob("t.*"))
