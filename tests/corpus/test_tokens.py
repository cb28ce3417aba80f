"""The tokenizer."""

import json
import pickle

import pytest
import tokenizers

from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.errors import InputError

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


def test_a_special_token_in_a_text_is_text(tokenizer) -> None:
    ids = tokenizer.encode(["a text <end> about"])[0]
    assert tokenizer.end_of_text not in ids
    assert tokenizer.backend.decode(ids) == "a text <end> about"
    assert pickle.loads(pickle.dumps(tokenizer)).encode(["a text <end> about"]) == [ids]  # as in another process


def test_the_end_of_text_is_never_found_in_a_text(tokenizer, tmp_path) -> None:
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["added_tokens"][0]["special"] = False
    (tmp_path / "own.json").write_text("\ufeff" + json.dumps(content))
    own = Tokenizer(tmp_path / "own.json", "<end>")
    assert own.end_of_text not in own.encode(["a text <end> about"])[0]
    pieces = [("<unk>", 0.0), ("<end>", 0.0), *((letter, -2.0) for letter in "a<end>")]
    tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0)).save(str(tmp_path / "unigram.json"))
    assert Tokenizer(tmp_path / "unigram.json", "<end>").encode(["a<end>a"]) == [[2, 3, 4, 5, 6, 7, 2]]
    words = tokenizers.models.WordLevel({"[UNK]": 0, "end": 1}, unk_token="[UNK]")
    tokenizers.Tokenizer(words).save(str(tmp_path / "words.json"))
    with pytest.raises(InputError, match="set end_of_text in"):
        Tokenizer(tmp_path / "words.json", "end")


def test_ids_with_gaps_have_room_in_the_vocabulary(tokenizer, tmp_path) -> None:
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["vocab"]["far"] = 500
    (tmp_path / "gaps.json").write_text(json.dumps(content))
    assert Tokenizer(tmp_path / "gaps.json", "<end>").vocabulary == 501


def test_a_tokenizer_that_splits_at_random_does_not_here(tokenizer, tmp_path) -> None:
    whole = tokenizer.encode(TEXTS)
    tokenizer.backend.model.dropout = 0.9
    tokenizer.backend.save(str(tmp_path / "random.json"))
    assert Tokenizer(tmp_path / "random.json", "<end>").encode(TEXTS) == whole


def test_a_broken_tokenizer_is_one_sentence(tmp_path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json: not a readable tokenizer"):
        Tokenizer(tmp_path / "tokenizer.json", "<end>")
