"""Tokenizers trained on real Hausa and Yoruba, held against sentencepiece's own and against plain Unicode facts."""

from __future__ import annotations

import io
import re
import unicodedata
from pathlib import Path

import pytest
import sentencepiece

import vocab
from vocab.tokenizer.sentencepiece_model import read_model
from vocab.tokenizer.texts import Lines


@pytest.fixture(scope="module")
def hausa(shared: Path):
    return vocab.train_tokenizer(shared / "hau" / "raw" / "train.txt", vocab_size=16_000)


def test_fertility_is_no_worse_than_seen_before(shared: Path, hausa):
    """16k Unigram pieces, held-out text: 1.27 pieces a word had been reached before."""
    table = vocab.compare({"hau": hausa}, shared / "hau" / "raw" / "heldout.txt")
    assert table.loc["hau", "fertility"] < 1.18
    assert table.loc["hau", "unknown_rate"] < 0.001
    assert table.loc["hau", "share_split"] < 0.06


@pytest.mark.parametrize("language", ["hau", "yor", "kin", "swa"])
@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "byte-bpe", "wordpiece"])
def test_round_trip_of_held_out_text(shared: Path, language: str, algorithm: str):
    """Nothing is lost but characters that the training text does not have; white space aside."""
    raw = shared / language / "raw"
    training = list(Lines(raw / "heldout.txt"))[::2]
    tokenizer = vocab.train_tokenizer(training, algorithm=algorithm, vocab_size=3000, character_coverage=1.0)
    alphabet = {letter for line in training for letter in unicodedata.normalize("NFC", line)}
    held = [line for line in list(Lines(raw / "heldout.txt"))[1::2] if algorithm == "byte-bpe" or set(line) <= alphabet]
    assert len(held) > 300
    lost = 0
    for line, ids in zip(held, vocab.Vocabulary.of(tokenizer).encode(held), strict=True):
        wanted = re.sub(r"\s", "", unicodedata.normalize("NFC", line))
        unknown = tokenizer.unk_token_id in ids.tolist() and algorithm == "wordpiece"
        # WordPiece gives up a word when a letter was never seen in the middle of one.
        lost += unknown or re.sub(r"\s", "", tokenizer.decode(ids)) != wanted
    assert lost <= (0.05 * len(held) if algorithm == "wordpiece" else 0)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_converted_models_give_the_ids_of_sentencepiece(shared: Path, kind: str):
    """Every id of the whole held-out text, with sentencepiece's own normaliser."""
    model = io.BytesIO()
    training = list(Lines(shared / "yor" / "raw" / "heldout.txt"))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training), model_writer=model, model_type=kind, vocab_size=3000, num_threads=1,
        minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    held = list(Lines(shared / "hau" / "raw" / "heldout.txt")) + training
    if kind == "bpe":  # runs of unknown letters are one token in the fast tokenizer
        held = [line for line in held if 0 not in processor.encode(line)]
    view = vocab.Vocabulary.of(read_model(model.getvalue()))
    assert [ids.tolist() for ids in view.encode(held)] == [processor.encode(line) for line in held]
