"""Extending leaves every old id and every old cut as it was; trimming leaves the cuts of the texts as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from lexigraft import InputError
from tests.conftest import sentences
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.algorithm import ALGORITHMS
from vocab.tokenizer.extend import extend
from vocab.tokenizer.trim import trim
from vocab.view import Vocabulary

OLD = [" ".join(word for word, _, _ in s) for s in sentences(300, 0)]
NEW = [" ".join(word[::-1] + word for word, _, _ in s) for s in sentences(300, 3)]
SIZES = {"unigram": 180, "bpe": 180, "byte-bpe": 420, "wordpiece": 200}


@pytest.fixture(scope="module", params=[spec.name for spec in ALGORITHMS if spec.sized])
def old(request):
    return train_tokenizer(OLD, algorithm=request.param, vocab_size=SIZES.get(request.param, 180))


def test_extend(old, tmp_path: Path):
    both = [*OLD[:50], *NEW]
    grown = extend(old, NEW, 60, others=OLD)
    before, after = Vocabulary.of(old), Vocabulary.of(grown.tokenizer)
    assert len(grown.added) == 60 and after.tokens[: len(before)] == before.tokens
    assert after.tokens[len(before) :] == grown.added and after.roles == before.roles
    pairs = list(zip(before.encode(both), after.encode(both), strict=True))
    untouched = [(a, b) for a, b in pairs if (b < len(before)).all()]
    assert len(untouched) > 10 and all(np.array_equal(a, b) for a, b in untouched)
    facts = grown.facts
    assert facts["unknown_after"] == 0
    if facts["unknown_before"] == 0:  # a word that WordPiece did not know was one token
        assert facts["tokens_after"] < 0.9 * facts["tokens_before"]
    assert facts["unused"] < 30 and 0 <= facts["others_changed"] < 0.7
    assert facts["tokens_after"] == sum(len(ids) for ids in after.encode(NEW))
    grown.tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(both)["input_ids"] == grown.tokenizer(both)["input_ids"]
    assert loaded(NEW[0])["input_ids"][0] == before.roles["cls"]
    again = extend(old, NEW, 60)
    assert again.tokenizer.backend_tokenizer.to_str() == grown.tokenizer.backend_tokenizer.to_str()


def test_letters_that_the_tokenizer_does_not_know(old):
    strange = [line.replace("a", "ɗ") for line in NEW]
    facts = extend(old, strange, 60).facts
    assert facts["unknown_after"] == 0
    assert (facts["unknown_before"] > 0) == (Vocabulary.of(old).family != "byte-level")


def test_extend_refuses(old):
    with pytest.raises(InputError, match="found pieces=0"):
        extend(old, NEW, 0)
    with pytest.raises(InputError, match="no text to learn from"):
        extend(old, [], 5)
    with pytest.raises(InputError, match="at most"):
        extend(old, NEW, 100_000)


def test_trim(old):
    text = OLD[:40]
    cut = trim(old, text)
    before, after = Vocabulary.of(old), Vocabulary.of(cut.tokenizer)
    assert len(after) == len(cut.kept) == cut.facts["after"] < len(before) == cut.facts["before"]
    assert [before.tokens[i] for i in cut.kept] == after.tokens
    for ids, old_ids in zip(after.encode(text), before.encode(text), strict=True):
        assert cut.kept[ids].tolist() == old_ids.tolist()
    assert {role: int(cut.kept[index]) for role, index in after.roles.items()} == before.roles
    assert cut.kept[cut.tokenizer(text[0], text[1])["input_ids"]].tolist() == old(text[0], text[1])["input_ids"]
    assert cut.tokenizer.decode(after.encode([OLD[200]])[0]) == old.decode(before.encode([OLD[200]])[0])
    with pytest.raises(InputError, match="no text to keep pieces for"):
        trim(old, [""])
