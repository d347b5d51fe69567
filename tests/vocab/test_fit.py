"""The tiny decoder learns, gives the same bits for the same seed, and scores bytes alike whatever the tokens."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from lexigraft import InputError
from tests.conftest import sentences
from tests.vocab.test_compare import metaspace
from vocab.compare import compare, measure, tabulate
from vocab.fit import FitOptions, _model, _rows, _score, fit, seconds_expected, unknown_bits
from vocab.tokenizer import train_tokenizer
from vocab.view import Vocabulary

TEXT = [" ".join(word for word, _, _ in s) for s in sentences(400, 0)]
HELD = [" ".join(word for word, _, _ in s) for s in sentences(60, 9)]
SMALL = FitOptions(width=32, layers=1, heads=2, updates=40, bytes=1500, rows=4)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXT, vocab_size=140)


def test_rows_hold_every_token_once(tokenizer):
    view = Vocabulary.of(tokenizer)
    table, size = _rows(view, HELD, SMALL)
    assert size == sum(len(line.encode()) + 1 for line in HELD) and (table[:, 0] == 0).all()
    found = np.bincount(table[:, 1:][table[:, 1:] >= 0], minlength=len(view) + 2)
    assert found[1] == len(HELD) and found[0] == 0
    assert np.array_equal(found[2:], np.bincount(np.concatenate(view.encode(HELD)), minlength=len(view)))


def test_an_untrained_model_of_equal_chances():
    """All logits 0: every token and line end costs log2(size + 2) bits."""
    view = Vocabulary.of(metaspace(["▁", "m", "a"]))
    model = _model(len(view) + 2, SMALL, 0)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    held = _rows(view, ["ma", "ma ma"], SMALL)  # 3 and 6 tokens, 2 line ends, 9 bytes with line ends
    assert _score(model.eval(), [held]) == pytest.approx(11 * math.log2(6) / 9, abs=1e-5)


def test_what_is_lost_is_paid_for(tokenizer):
    """A tokenizer that knows no letter would else win: its text is one unknown token a word."""
    view = Vocabulary.of(metaspace(["▁", "m", "a"]))
    assert unknown_bits(view, ["ma ɗam", "mé"]) == 8 * 4 / 12
    blind = fit(metaspace(["▁"]), TEXT, HELD, seeds=(0,), options=replace(SMALL, updates=2))
    assert blind.bits > [6.0] > fit(tokenizer, TEXT, HELD, seeds=(0,), options=replace(SMALL, updates=2)).bits


def test_it_learns_and_repeats(tokenizer):
    told = []
    first = fit(tokenizer, TEXT, HELD, seeds=(0, 1), options=SMALL, progress=lambda *facts: told.append(facts))
    assert first.losses[0][-1] < 0.75 * first.losses[0][0] and first.bits[0] != first.bits[1]
    assert fit(tokenizer, TEXT, HELD, seeds=(1,), options=SMALL).bits == first.bits[1:]
    low, high = first.interval
    assert low < np.mean(first.bits) < high
    done, total, facts = told[0]
    assert (done, total) == (0, 80) and facts["seconds_expected"] > 0
    assert told[-1][0] == 80
    used = np.unique(np.concatenate(Vocabulary.of(tokenizer).encode([*TEXT, *HELD])))
    bare = sum(p.numel() for p in _model(2, SMALL, 0).parameters())
    assert first.parameters == bare + 32 * len(used) and first.seconds > 0 and first.tokens > 0


def test_text_is_repeated_when_it_is_short(tokenizer):
    assert len(fit(tokenizer, TEXT[:60], HELD, seeds=(0,), options=SMALL).losses[0]) == SMALL.updates
    with pytest.raises(InputError, match="too little text to train on"):
        fit(tokenizer, [], HELD, options=SMALL)
    with pytest.raises(InputError, match="no text to score"):
        fit(tokenizer, TEXT, [], options=SMALL)


def test_as_a_metric(tokenizer):
    told = []
    given = {"train": TEXT, "fit": SMALL, "progress": lambda *facts: told.append(facts)}
    measured = measure({"x": tokenizer}, HELD, given=given)
    table = tabulate(measured, also=["bits_per_byte"])
    assert told[0][:2] == (0, 1) and told[0][2]["metric"] == "bits_per_byte" and told[0][2]["seconds_expected"] > 0
    assert told[1][2]["tokenizer"] and told[-1][0] == 3 * SMALL.updates
    assert 0 < table.loc["x", "bits_per_byte"] < 8
    low, high = table.attrs["intervals"]["bits_per_byte"]["x"]
    assert low < table.loc["x", "bits_per_byte"] < high
    with pytest.raises(InputError, match="no text to train them on"):
        compare({"x": tokenizer}, HELD, also=["bits_per_byte"])


def test_how_long_it_takes_is_said_before_it_begins(tokenizer, capsys):
    """Without a function to tell, standard error is told; saying it changes nothing of the result."""
    few = replace(SMALL, updates=3)
    table = compare({"x": tokenizer, "y": tokenizer}, HELD, also=["bits_per_byte"], train=TEXT, fit=few)
    assert re.match(r"bits_per_byte: about [\d.]+ seconds for 2 tokenizers\n$", capsys.readouterr().err)
    alone = fit(tokenizer, TEXT, HELD, options=few)
    assert table["bits_per_byte"].to_list() == [float(np.mean(alone.bits))] * 2
    assert seconds_expected(tokenizer, TEXT, HELD, options=few) > 0


def test_rows_are_the_same_text_for_every_tokenizer(tokenizer):
    """Lines are laid out by their bytes: each row holds as many line ends whatever cuts it."""
    other = Vocabulary.of(metaspace(["▁", "m", "a"]))
    tables = [_rows(view, HELD, SMALL)[0] for view in (Vocabulary.of(tokenizer), other)]
    assert np.array_equal(*((table == 1).sum(axis=1) for table in tables))
