"""Metrics worked out by hand on six words, and held against tokenization-scorer's formula."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from lexigraft import InputError
from vocab.compare import METRICS, compare, measure
from vocab.compare.pieces import pieces
from vocab.compare.renyi_efficiency import efficiency
from vocab.view import Kind, Vocabulary


def metaspace(pieces: list[str], fallback: bool = False, lowercase: bool = False) -> Tokenizer:
    scored = [("<unk>", 0.0), *((piece, -float(len(pieces)) / (1 + len(piece))) for piece in pieces)]
    tokenizer = Tokenizer(models.Unigram(scored, 0, byte_fallback=fallback))
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>"])
    return tokenizer


# Cut as: ▁gida je , | ▁gida | ▁ m a — five, then one, then three tokens.
LINES = ["gidaje, gida", "ma"]
TOKENIZER = metaspace(["▁gida", "je", ",", "▁", "m", "a", "ƙ"])


def row(tokenizer, lines=LINES, **more):
    return compare({"x": tokenizer}, lines, **more).loc["x"]


def test_by_hand():
    found = row(TOKENIZER)
    assert found["fertility"] == 7 / 3
    assert found["characters_per_token"] == found["bytes_per_token"] == 14 / 7
    assert found["share_split"] == 2 / 3  # gidaje and ma; the comma is no part of gidaje
    assert found["unknown_rate"] == found["byte_fallback_rate"] == 0
    assert found["single_character_rate"] == 3 / 7  # ▁ m a; the comma is punctuation
    assert found["vocabulary_used"] == 6 / 7
    assert found["round_trip"] == 1
    assert "parity" not in found
    # ▁gida twice, five others once: sum p^2.5 = (2/7)^2.5 + 5 (1/7)^2.5
    power = (2 / 7) ** 2.5 + 5 * (1 / 7) ** 2.5
    assert found["renyi_efficiency"] == pytest.approx(math.log2(power) / -1.5 / math.log2(6), abs=1e-12)


def test_unknown_and_bytes():
    unknown = row(TOKENIZER, ["ƙz ma"])
    assert unknown["unknown_rate"] == 1 / 6  # ▁ ƙ <unk> ▁ m a
    assert unknown["round_trip"] == 0 and unknown["bytes_per_token"] == 1
    fallback = metaspace(["▁", "m", "a", *(f"<0x{byte:02X}>" for byte in range(256))], fallback=True)
    spelled = row(fallback, ["mƙ"])
    assert spelled["byte_fallback_rate"] == 2 / 4 and spelled["unknown_rate"] == 0  # ▁ m <0xC6> <0x99>


def test_round_trip_sees_what_the_normaliser_drops():
    assert row(metaspace(["▁", "m", "a"], lowercase=True), ["ma", "Ma", " m  a "])["round_trip"] == 2 / 3


def test_renyi():
    counts = np.array([[5.0, 5.0, 5.0, 5.0], [9.0, 3.0, 1.0, 0.0]])
    by_formula = math.log2((9 / 13) ** 2.5 + (3 / 13) ** 2.5 + (1 / 13) ** 2.5) / -1.5 / 2
    assert efficiency(counts, 4) == pytest.approx([1.0, by_formula], abs=1e-12)
    assert "renyi_efficiency" not in row(metaspace(["▁", "m"]), ["▁"]).dropna()


def test_parity_and_lines_that_belong_together(tmp_path: Path):
    (tmp_path / "a.txt").write_text("gida\n\nma\n")
    (tmp_path / "b.txt").write_text("ma\nma\nma\n")
    found = row(TOKENIZER, parallel=(tmp_path / "a.txt", tmp_path / "b.txt"))
    assert found["parity"] == (1 + 0 + 3) / 9
    with pytest.raises(InputError, match="found 3 and 1 lines"):
        row(TOKENIZER, parallel=(tmp_path / "a.txt", ["ma"]))


def test_intervals():
    table = compare({"x": TOKENIZER}, LINES * 50)
    low, high = table.attrs["intervals"]["fertility"]["x"]
    # Lines have 4 tokens in 2 words, or 3 in 1: the ratio lies between, and resampling moves it little.
    assert 2 < low < 7 / 3 < high < 3 and high - low < 0.4
    assert (
        table.attrs["intervals"]["fertility"] == compare({"x": TOKENIZER}, LINES * 50).attrs["intervals"]["fertility"]
    )
    low, high = table.attrs["intervals"]["renyi_efficiency"]["x"]
    assert low <= table.loc["x", "renyi_efficiency"] <= high
    assert math.isnan(table.attrs["intervals"]["vocabulary_used"]["x"][0])
    assert compare({"x": TOKENIZER}, LINES[:1] * 9).attrs["intervals"]["fertility"]["x"] == [2.0, 2.0]
    many = compare({"x": TOKENIZER}, LINES * 1500)  # blocks of three lines
    assert many.loc["x", "fertility"] == 7 / 3
    assert table.attrs["text"] == {"lines": 100, "words": 150, "characters": 700}


def test_pieces():
    words = pieces(TOKENIZER, " gidaje, \n ma")
    assert [[form for form, _, _ in word] for word in words] == [["▁gida", "je", ","], ["▁", "m", "a"]]
    assert words[0][0] == ("▁gida", 1, Kind.PIECE)
    assert pieces(TOKENIZER, "") == []
    assert pieces(TOKENIZER, "z")[0][-1] == ("<unk>", 0, Kind.SPECIAL)


def test_pieces_of_a_byte_level_tokenizer_are_those_in_the_text():
    backend = Tokenizer(models.BPE({"Ġ": 0, "m": 1, "a": 2, "Ġm": 3, "ma": 4}, [("Ġ", "m"), ("m", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    cut = pieces(backend, "ma ma")
    assert [[index for _, index, _ in word] for word in cut] == [[4], [3, 2]]
    assert np.concatenate([[i for _, i, _ in word] for word in cut]).tolist() == backend.encode("ma ma").ids


def test_nothing_to_compare():
    with pytest.raises(InputError, match="nothing to compare"):
        compare({}, LINES)
    with pytest.raises(InputError, match="no text"):
        compare({"x": TOKENIZER}, ["", " "])
    with pytest.raises(InputError, match="only once"):
        compare({"x": TOKENIZER}, iter(LINES))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric(metric):
    """Repeating the text changes no metric, and every metric says what it is."""
    assert metric.summary and metric.unit and metric.better in ("lower", "higher", "neither")
    sides = (["gida", "ma"], ["ma", "gida"])
    view = Vocabulary.of(TOKENIZER)
    once = metric.measure(measure(view, LINES, sides))
    twice = metric.measure(measure(view, LINES * 2, (sides[0] * 2, sides[1] * 2)))
    values = [
        result.above.sum() / result.below.sum() if hasattr(result, "above") else result.value
        for result in (once, twice)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-12)
