"""A text may hold `<0x41>`, written out: it is no byte, and comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer

from tests.vocab.invented_text import TEXT
from tests.vocab.test_compare import assert_counts
from tests.vocab.test_convert import sentencepiece_model
from vocab.tokenizer import load_tokenizer, train_tokenizer
from vocab.tokenizer.check import check, repair
from vocab.tokenizer.convert import convert
from vocab.tokenizer.extend import extend
from vocab.tokenizer.trim import trim
from vocab.view import Vocabulary

WRITTEN = ["<0x41>", "gida <0x41> ruwa", "a<0x4a>b,", "<0xE1><0x88><0x80>", "ሀ <0xFF>", "<<0x41>>"]
WITH = [*TEXT, *WRITTEN * 20]
SIZE = 420


def assert_comes_back(tokenizer) -> None:
    assert [tokenizer.decode(ids.tolist()) for ids in Vocabulary.of(tokenizer).encode(WRITTEN)] == WRITTEN
    assert not any(finding.name == "bytes written out" for finding in check(tokenizer))


@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "sentencepiece-bpe", "backward-wordpiece"])
@pytest.mark.parametrize("punctuation", ["keep", "words"])
def test_learnt(algorithm: str, punctuation: str):
    """Though the text that is learnt from is full of it, and its letters may not be cut apart."""
    for text in (TEXT, WITH):
        assert_comes_back(
            train_tokenizer(text, algorithm=algorithm, vocab_size=SIZE, punctuation=punctuation, byte_fallback=True)
        )


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_read_from_sentencepiece(kind: str, tmp_path: Path):
    """Its own ids, there and back again; trimmed and extended, too."""
    (tmp_path / "old.model").write_bytes(sentencepiece_model(kind, SIZE, byte_fallback=True))
    old = load_tokenizer(tmp_path / "old.model")
    made = convert(old, tmp_path / "new.model", texts=WITH)
    assert made.facts["lines_different"] == 0 and not any("pre-tokeniser" in sentence for sentence in made.lost)
    wanted = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "new.model")).encode(WRITTEN)
    assert [ids.tolist() for ids in Vocabulary.of(old).encode(WRITTEN)] == wanted
    for tokenizer in (old, trim(old, WITH).tokenizer, extend(old, WITH, 20).tokenizer):
        assert_comes_back(tokenizer)
    assert_counts(Vocabulary.of(old), WITH)


def test_found_and_mended():
    """A Unigram tokenizer.json that others made: the text is taken for bytes, which is said, and mended."""
    sound = load_tokenizer(sentencepiece_model_as_others_read_it())
    assert sound.decode(Vocabulary.of(sound).encode(["a<0x41>b"])[0].tolist()) == "aAb"
    (finding,) = (finding for finding in check(sound) if finding.name == "bytes written out")
    assert finding.mendable
    mended = repair(sound)
    assert mended.get_vocab() == sound.get_vocab()
    assert_comes_back(mended)


def sentencepiece_model_as_others_read_it() -> Tokenizer:
    from vocab.tokenizer.sentencepiece_model import read_model

    raw = json.loads(read_model(sentencepiece_model("unigram", SIZE, byte_fallback=True)).to_str())
    raw["pre_tokenizer"] = raw["pre_tokenizer"]["pretokenizers"][0]
    return Tokenizer.from_str(json.dumps(raw))
