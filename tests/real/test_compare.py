"""Comparisons on real Hausa, Yoruba, Kinyarwanda and Swahili: exact counts, extended and trimmed tokenizers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vocab
from vocab.compare import measure
from vocab.compare.slices import compare_slices, spellings
from vocab.compare.words import clinic, fixed_and_broken
from vocab.tokenizer.check import check
from vocab.tokenizer.extend import extend
from vocab.tokenizer.texts import Lines
from vocab.tokenizer.trim import trim
from vocab.view import Vocabulary


def halves(shared: Path, language: str) -> tuple[list[str], list[str]]:
    lines = list(Lines(shared / language / "raw" / "heldout.txt"))
    return lines[::2], lines[1::2]


@pytest.mark.parametrize("language", ["hau", "yor", "kin", "swa"])
def test_counts_are_those_of_whole_lines(shared: Path, language: str):
    """Every token of every line, for tokenizers that are cut word by word."""
    learnt, held = halves(shared, language)
    for algorithm in ("unigram", "byte-bpe"):
        view = Vocabulary.of(vocab.train_tokenizer(learnt, algorithm=algorithm, vocab_size=3000))
        found = measure({"x": view}, held)["x"]
        assert np.array_equal(found.frequency, np.bincount(np.concatenate(view.encode(held)), minlength=len(view)))
        lengths = np.bincount(np.arange(len(held)) // found.text.documents_a_block, [len(i) for i in view.encode(held)])
        assert np.array_equal(found.tokens, lengths)


def test_extended_and_trimmed(shared: Path):
    """Hausa gains pieces for Yoruba, and is cut as before but where one applies; what is trimmed was not used."""
    (hausa, other), (yoruba, held) = halves(shared, "hau"), halves(shared, "yor")
    old = vocab.train_tokenizer(hausa, vocab_size=3500)
    grown = extend(old, yoruba, 1500, others=other)
    facts = grown.facts
    assert facts["unused"] < 30 and facts["tokens_after"] < 0.6 * facts["tokens_before"]
    assert facts["unknown_after"] < 0.1 * facts["unknown_before"]
    assert facts["others_lines_changed_without_new"] == 0
    assert facts["others_tokens_changed"] < 0.1 * facts["others_tokens"]
    assert not [finding for finding in check(grown.tokenizer) if finding.name == "pieces with spaces"]
    changes = fixed_and_broken(*measure({"a": old, "b": grown.tokenizer}, held).values())
    assert changes.saved > 20 * changes.lost
    less = trim(grown.tokenizer, [*yoruba, *held], heldout=other)
    assert less.facts["after"] < less.facts["before"] and 0 < less.facts["heldout_changed"] <= len(other)
    assert trim(grown.tokenizer, [*yoruba, *held, *other], heldout=held).facts["heldout_changed"] == 0


def test_tone_marks_cost(shared: Path):
    """A tokenizer of another language needs more pieces for Yoruba as it is spelt than without its marks."""
    hausa, _ = halves(shared, "hau")
    table = compare_slices({"hau": vocab.train_tokenizer(hausa, vocab_size=3500)},
                           spellings(halves(shared, "yor")[1]))  # fmt: skip
    fertility = table["fertility"]
    assert fertility["with diacritics", "hau"] > 1.1 * fertility["without diacritics", "hau"]
    assert (
        table.loc[("with diacritics", "hau"), "graphemes_per_token"]
        < table.loc[("with diacritics", "hau"), "characters_per_token"]
    )


def test_clinic_finds_contexts(shared: Path):
    learnt, held = halves(shared, "yor")
    cases = clinic(measure({"x": vocab.train_tokenizer(learnt, vocab_size=3000)}, held)["x"])
    assert len(cases) == 200 and all(case.word in case.context and len(case.pieces) > 1 for case in cases)
