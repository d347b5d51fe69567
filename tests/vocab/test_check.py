"""Each fault is planted in a sound tokenizer, found, and mended where that is promised."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import sentencepiece
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.conftest import sentences
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.check import check, repair
from vocab.tokenizer.load import wrap
from vocab.tokenizer.roles import parts_of, state_of
from vocab.tokenizer.sentencepiece_model import settings_of
from vocab.view import Kind, Vocabulary

TEXT = [" ".join(word for word, _, _ in s) for s in sentences(200, 0)]


@pytest.fixture(scope="module")
def sound():
    return train_tokenizer(TEXT, vocab_size=420, byte_fallback=True)


def names(tokenizer, texts=None) -> dict[str, object]:
    return {finding.name: finding for finding in check(tokenizer, texts)}


def changed(tokenizer, **parts):
    raw = json.loads(tokenizer.backend_tokenizer.to_str())
    return wrap(Tokenizer.from_str(json.dumps(raw | parts)))


@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "wordpiece"])
def test_a_trained_tokenizer_is_sound(algorithm):
    found = names(train_tokenizer(TEXT, algorithm=algorithm, vocab_size=180), TEXT)
    assert set(found) <= {"unreachable pieces"}


def test_a_pre_tokeniser_that_is_gone():
    raw = json.loads(train_tokenizer(TEXT, algorithm="bpe", vocab_size=180).backend_tokenizer.to_str())
    marked = sum(piece.startswith("▁") for piece in raw["model"]["vocab"])
    found = {one.name: one.count for one in check(Tokenizer.from_str(json.dumps(raw | {"pre_tokenizer": None})))}
    assert found["no word marks"] == marked > 20


def test_truncation(sound):
    bounded = changed(sound)
    bounded.backend_tokenizer.enable_truncation(3)
    assert names(bounded)["truncation in the file"].examples == ["truncation"]
    assert "truncation in the file" not in names(repair(bounded))
    assert Vocabulary.of(repair(bounded)).tokens == Vocabulary.of(sound).tokens


def test_byte_fallback(sound):
    model = json.loads(sound.backend_tokenizer.to_str())["model"]
    wrong = changed(sound, model=model | {"byte_fallback": False})
    assert names(wrong)["byte fallback"].mendable
    assert 3 in wrong("ƙ")["input_ids"] and 3 not in repair(wrong)("ƙ")["input_ids"]
    assert names(wrong, ["ƙaƙa"])["unknown letters"].examples == ["ƙ (2)"]
    assert "unknown letters" not in names(sound, ["ƙaƙa"])


def test_decomposed_accents(sound):
    """What sentencepiece's own rules become in tokenizers: the second accent is lost."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    rules = base64.b64encode(settings_of(model.getvalue()).charsmap).decode()
    lossy = changed(sound, normalizer={"type": "Precompiled", "precompiled_charsmap": rules})
    assert names(lossy)["decomposed accents"].mendable
    assert "decomposed accents" not in names(repair(lossy))
    assert Vocabulary.of(repair(lossy)).normalise("e\u0323\u0301") == "ẹ\u0301"
    inner = {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": rules}]}
    new = train_tokenizer(TEXT, like=changed(sound, normalizer=inner), vocab_size=420, byte_fallback=True)
    for made in (repair(lossy), repair(repair(lossy)), new):  # mended once
        assert [part["type"] for part in parts_of(state_of(made.backend_tokenizer.normalizer))].count("NFC") == 1


def test_unreachable_and_missing():
    pieces = {"[UNK]": 0, "gida": 1, "Gida": 2, "ba-haka": 3, "##da": 4, "-": 5, "g": 6}
    backend = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found = names(backend)
    assert found["unreachable pieces"].examples == ["Gida", "ba-haka"]
    assert found["missing specials"].examples == ["cls", "sep", "pad", "mask"]


@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "byte-bpe", "wordpiece"])
def test_signs_within_words_are_reached(algorithm):
    """`ga-` stands in `aga-da`, though a sign behind a word is cut off."""
    words = [f"{a}ga-da{b}" for a in "abdk" for b in "aeiou"]
    tokenizer = train_tokenizer(
        words * 3, algorithm=algorithm, vocab_size=290 if algorithm == "byte-bpe" else 30, morphemes=["ga-d"]
    )
    assert any("-" in token.strip("-#") or token.endswith("a-") for token in tokenizer.get_vocab())
    never = names(tokenizer).get("unreachable pieces")  # byte-level: white space that the normaliser makes spaces
    assert never is None or not any("-" in piece for piece in never.examples)


def test_pieces_with_spaces():
    """`a b` is a piece of a tokenizer that cuts at spaces: it can never be reached, and is not called unreachable."""
    scored = [("<unk>", 0.0), ("▁a", -1.0), ("▁b", -1.0), ("▁a▁b", -1.0), ("▁", -9.0)]
    backend = Tokenizer(models.Unigram(scored, 0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    found = names(backend)
    assert found["pieces with spaces"].examples == ["▁a▁b"] and not found["pieces with spaces"].mendable
    assert "unreachable pieces" not in found
    backend.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    assert "pieces with spaces" not in names(backend)


@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "byte-bpe", "wordpiece"])
def test_batches_settle_what_single_pieces_would(algorithm):
    """Cutting all pieces at once finds what cutting them one by one does, in a tokenizer that hides some of them."""
    sizes = {"unigram": 180, "byte-bpe": 420}
    tokenizer = train_tokenizer(TEXT, algorithm=algorithm, vocab_size=sizes.get(algorithm, 260))
    lower = json.loads(tokenizer.backend_tokenizer.to_str())["normalizer"]
    lossy = changed(tokenizer, normalizer={"type": "Sequence", "normalizers": [{"type": "Lowercase"}, lower]})
    view = Vocabulary.of(lossy)
    never = []
    for index in np.flatnonzero(view.kind == Kind.PIECE).tolist():
        text = view.text[index].decode("utf-8", "replace")
        starts = {bool(view.word_start[index]), view.family != "wordpiece" and bool(view.word_start[index])}
        if text and "\ufffd" not in text and not any(index in view.pieces_of(text, start) for start in starts):
            never.append(index)
    assert never and names(lossy)["unreachable pieces"].count == len(never)


def test_pieces_cut_inside_a_character():
    whole = train_tokenizer(["ƙaƙa"] * 3, algorithm="byte-bpe", vocab_size=263)  # two merges: ƙ, then a letter more
    assert "pieces cut inside a character" not in names(whole)
    backend = Tokenizer(models.BPE({"a": 0, "É": 1, "aÉ": 2}, [("a", "É")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert names(backend)["pieces cut inside a character"].examples == ["<0x61><0xC9>"]
