"""Tokenizers trained on real Hausa and Yoruba, held against sentencepiece's own and against plain Unicode facts."""

from __future__ import annotations

import importlib
import io
import json
import re
import tempfile
import unicodedata
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest
import sentencepiece

import vocab
from corpora import sample
from lexigraft import InputError
from vocab.tokenizer.algorithm import ALGORITHMS, Task
from vocab.tokenizer.bidirectional_wordpiece import chosen
from vocab.tokenizer.sentencepiece_model import read_model
from vocab.tokenizer.texts import Lines


# Pieces a word of held-out text that had been reached before with 16,000 Unigram pieces: 1.27 and 1.31.
@pytest.mark.parametrize(
    ("language", "pieces", "split"), [("hau", 1.18, 0.06), pytest.param("yor", 1.25, 0.13, marks=pytest.mark.slow)]
)
def test_fertility_is_no_worse_than_seen_before(shared: Path, language: str, pieces: float, split: float):
    tokenizer = vocab.train_tokenizer(shared / language / "raw" / "train.txt", vocab_size=16_000)
    table = vocab.compare({"own": tokenizer}, shared / language / "raw" / "heldout.txt")
    assert table.loc["own", "fertility"] < pieces
    assert table.loc["own", "unknown_rate"] < 0.001
    assert table.loc["own", "share_split"] < split


@cache
def _chichewa() -> tuple[str, ...]:
    """Held-out books of the Bible in Chichewa, the text that the demonstration is measured on."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            sample.export(folder)
        except InputError as error:
            pytest.skip(str(error))
        return tuple(Lines(Path(folder) / "heldout.txt"))


def halves(shared: Path, language: str) -> tuple[list[str], list[str]]:
    """Every other line of the held-out text to learn from, the rest to measure on."""
    found = list(_chichewa() if language == "nya" else Lines(shared / language / "raw" / "heldout.txt"))
    return found[::2], found[1::2]


# One language in `make test`, the one with most marks; the others where there is time.
LANGUAGES = ["yor", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hau", "kin", "swa", "nya"))]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("algorithm", ALGORITHMS.names)
def test_round_trip_of_held_out_text(shared: Path, language: str, algorithm: str):
    """Every character comes back, whatever training never saw; WordPiece alone loses words, and these are counted."""
    spec = ALGORITHMS[algorithm]
    training, held = halves(shared, language)
    options = {"algorithm": algorithm, "vocab_size": 2600, "byte_fallback": spec.family == "metaspace"}
    tokenizer = vocab.train_tokenizer(training, **options)
    again = vocab.train_tokenizer(training[::-1], **options)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert len(held) > 300
    lost = words = 0
    for line, ids in zip(held, vocab.Vocabulary.of(tokenizer).encode(held), strict=True):
        wanted = re.sub(r"\s+", " ", unicodedata.normalize("NFC", line)).strip()
        words += len(wanted.split())
        if algorithm == "wordpiece":
            lost += ids.tolist().count(tokenizer.unk_token_id)
            assert tokenizer.unk_token_id in ids.tolist() or bare(tokenizer.decode(ids)) == bare(wanted)
        else:
            assert tokenizer.decode(ids) == wanted
    assert lost <= 0.01 * words


def bare(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("fallback", [False, True], ids=["", "bytes"])
@pytest.mark.parametrize("algorithm", ["unigram", "sentencepiece-bpe"])
def test_learnt_by_sentencepiece_means_its_ids(shared: Path, algorithm: str, fallback: bool):
    """Every id of the whole held-out text, its unseen letters included, is the one sentencepiece gives."""
    training, _ = halves(shared, "yor")
    tokenizer = vocab.train_tokenizer(training, algorithm=algorithm, vocab_size=3000, byte_fallback=fallback)
    backend = tokenizer.backend_tokenizer

    def parts(line: str) -> list[str]:
        return [p for p, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(line))]

    counts = Counter(part for line in training for part in parts(line))
    specials = tuple(tokenizer.convert_ids_to_tokens(range(5)))
    task = Task(counts, specials, "<unk>", 3000, 2, 0.9999, fallback, 16)
    module = importlib.import_module(f"vocab.tokenizer.{algorithm.replace('-', '_')}")
    processor = sentencepiece.SentencePieceProcessor(model_proto=module.learn_model(task))
    # Its only special token is the unknown one, 0; ours are five, and the unknown one is 3.
    number = [3, *range(5, 3000)]
    lines = [*Lines(shared / "yor" / "raw" / "heldout.txt"), *Lines(shared / "hau" / "raw" / "heldout.txt")]
    unknown = 0
    for line, ids in zip(lines, vocab.Vocabulary.of(tokenizer).encode(lines), strict=True):
        fused: list[int] = []
        for part in parts(line):
            # A run of unknown letters is one token here; in sentencepiece's BPE each is one.
            runs = groupby(processor.encode(part))
            fused += [number[i] for i, run in runs for _ in (run if i else [0])]
        assert ids.tolist() == fused
        unknown += fused.count(3)
    assert (unknown == 0) == fallback


def test_words_cut_from_both_sides(shared: Path):
    """Words of the text as chosen; of the others, none less probably than the better greedy cut, and few otherwise."""
    training, held = halves(shared, "kin")
    tokenizer = vocab.train_tokenizer(training, algorithm="bidirectional-wordpiece", vocab_size=3000)
    scores = dict(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"][5:])
    known, unknown = (
        dict.fromkeys(f"▁{word}" for line in lines for word in line.split() if re.fullmatch("[a-z]+", word))
        for lines in (training, held)
    )
    same: Counter[bool] = Counter()
    for word in known | unknown:
        best = chosen(word, scores, 16)
        if best is None:
            continue
        found = tokenizer.tokenize(word[1:])
        assert sum(scores[piece] for piece in found) >= sum(scores[piece] for piece in best) - 1e-9
        assert found == best or word not in known
        if word not in known:
            same[found == best] += 1
    assert same.total() > 1500 and same[True] > 0.9 * same.total(), same


def test_a_size_is_chosen_on_real_text(shared: Path):
    """The curve falls in pieces a word, and the size is the first after which a doubling saves under 8 %."""
    text = shared / "hau" / "raw" / "heldout.txt"
    tokenizer = vocab.train_tokenizer(text, algorithm="bpe", vocab_size="auto", auto_gain=0.08)
    curve = tokenizer.facts["curve"]
    fertility = [point["fertility"] for point in curve]
    assert fertility == sorted(fertility, reverse=True) and len(curve) >= 3
    assert len(tokenizer) in [point["size"] for point in curve]


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
