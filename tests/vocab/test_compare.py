"""Metrics worked out by hand on six words, and held against tokenization-scorer's formula."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from lexigraft import InputError
from tests.conftest import sentences
from vocab.compare import METRICS, compare, measure
from vocab.compare.bootstrap import estimate
from vocab.compare.cut import cut
from vocab.compare.gini import gini
from vocab.compare.metric import Ratio
from vocab.compare.pieces import pieces
from vocab.compare.renyi_efficiency import efficiency
from vocab.compare.text import read_text
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.cut import cut_words
from vocab.tokenizer.pieces import Pieces
from vocab.tokenizer.texts import Lines
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
    by_formula = math.log2((9 / 13) ** 2.5 + (3 / 13) ** 2.5 + (1 / 13) ** 2.5) / -1.5 / math.log2(3)
    assert efficiency(counts[0]) == pytest.approx(1.0, abs=1e-12)
    assert efficiency(counts[1, :3]) == pytest.approx(by_formula, abs=1e-12)
    assert "renyi_efficiency" not in row(metaspace(["▁", "m"]), ["▁"]).dropna()


def test_parity_and_lines_that_belong_together(tmp_path: Path):
    (tmp_path / "a.txt").write_text("gida\n\nma\n")
    (tmp_path / "b.txt").write_text("ma\nma\nma\n")
    found = row(TOKENIZER, parallel=(tmp_path / "a.txt", tmp_path / "b.txt"))
    assert found["parity"] == (1 + 0 + 3) / 9
    pairs = [("gida", "ma"), ("ma", "ma")]
    assert row(TOKENIZER, parallel=pairs)["parity"] == row(TOKENIZER, parallel={"x": [*pairs]})["parity"] == 4 / 6
    for wrong in (tmp_path / "a.txt", ["ma"], [("ma", "ma", "ma")]):
        with pytest.raises(InputError, match="parallel text has two sides"):
            row(TOKENIZER, parallel=wrong)
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
    many = compare({"x": TOKENIZER}, LINES * 1500)  # blocks of sixteen lines
    assert many.loc["x", "fertility"] == 7 / 3 and many.attrs["text"]["lines"] == 3000
    assert table.attrs["text"] == {"lines": 100, "words": 150, "characters": 700}


@pytest.mark.parametrize("documents", [256, 5120])
def test_intervals_are_as_wide_as_the_mean_is_uncertain(documents):
    """For a mean of independent documents 95 % is 1.96 standard errors to each side, in blocks or not."""
    tokens = np.random.default_rng(3).gamma(4.0, 5.0, documents)
    low, high = estimate(Ratio(tokens, np.ones(documents)), 0).interval
    error = tokens.std(ddof=1) / math.sqrt(documents)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert (low + high) / 2 == pytest.approx(tokens.mean(), abs=0.3 * error)


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


@pytest.mark.parametrize("metric", [m for m in METRICS if not m.asked], ids=lambda metric: metric.name)
def test_every_metric(metric):
    """Repeating the text changes no metric, and every metric says what it is."""
    assert metric.summary and metric.unit and metric.better in ("lower", "higher", "neither") and len(metric.paper) > 8
    given = {"words": [["gida", "je"], ["ma"]], "morphemes": {"gidaje": ["gida", "je"], "ma": ["ma"]}}
    named = {"x": TOKENIZER, "y": metaspace(["▁", "m", "a", "gida"])}
    values = []
    for times in (1, 2):
        sides = {language: (["gida", "ma"] * times, ["ma", "gida"] * times) for language in ("one", "two")}
        found = measure(named, LINES * times, parallel=sides, **given)
        values.append(estimate(metric.measure(found["y"]), 0).value)
    assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_against_a_base():
    """Pieces of y: <unk> ▁ m a gida ƙ; x has ▁ m a. Its text: ▁ gida <unk>, ▁ gida, ▁ m a."""
    other = metaspace(["▁", "m", "a", "gida", "ƙ"])
    table = compare({"x": TOKENIZER, "y": other}, LINES, context=100)
    found = table.loc["y"]
    assert found["overlap"] == pytest.approx(4 / 5, abs=1e-12)  # ƙ too; gida is ▁gida in x
    assert found["overlap_weighted"] == pytest.approx(5 / 8, abs=1e-12)  # three ▁, m, a
    assert found["length_ratio"] == pytest.approx(8 / 7, abs=1e-12)
    assert found["words_in_context"] == pytest.approx(100 * 3 / 8, abs=1e-12)
    assert math.isnan(table.loc["x", "overlap"]) and table.attrs["base"] == "x"
    difference, low, high = table.attrs["differences"]["fertility"]["y"]
    assert difference == pytest.approx(8 / 3 - 7 / 3, abs=1e-12) and low <= difference <= high
    assert "x" not in table.attrs["differences"]["fertility"]
    assert compare({"x": TOKENIZER, "y": other}, LINES, base="y").attrs["base"] == "y"
    with pytest.raises(InputError, match="no such tokenizer"):
        compare({"x": TOKENIZER}, LINES, base="z")


def test_paired_differences_are_sharper():
    """Both tokenizers follow the same lines, so that their difference varies less than either."""
    coarse, fine = TOKENIZER, metaspace(["▁", "gida", "je", ",", "m", "a"])
    table = compare({"coarse": coarse, "fine": fine}, LINES * 60)
    low, high = table.attrs["intervals"]["characters_per_token"]["fine"]
    _, down, up = table.attrs["differences"]["characters_per_token"]["fine"]
    assert up - down < high - low


def test_graphemes():
    """e, dot below and acute are three code points and one grapheme; a flag is two."""
    tokenizer = metaspace(["▁", "m", "a"])
    assert row(tokenizer, ["me\u0323\u0301 ma"])["graphemes_per_token"] == 5 / 6  # ▁ m <unk> ▁ m a
    found = row(tokenizer, ["m\U0001f1f3\U0001f1ec"])
    assert found["graphemes_per_token"] == pytest.approx(2 / 3, abs=1e-12)  # m, flag / ▁ m <unk>
    assert found["characters_per_token"] == 1


def test_gold_words():
    found = row(TOKENIZER, words=[["gida", "je"], ["ma"]])
    # ▁gida | ▁ je | ▁ m a
    assert found["gold_fertility"] == pytest.approx(6 / 3, abs=1e-12)
    assert found["gold_share_split"] == pytest.approx(2 / 3, abs=1e-12)
    assert row(TOKENIZER, words=["gida je", "ma"])["gold_fertility"] == found["gold_fertility"]


def test_morphemes(tmp_path: Path):
    """gida|je is cut right; ma|ma is cut m|a|m|a: one of three cuts is right; gi|da is not cut."""
    file = tmp_path / "morphemes.tsv"
    file.write_text("gidaje\tgida je\n\nmama\tma ma\ngida\tgi da\n")
    found = row(TOKENIZER, morphemes=file)
    assert found["morpheme_precision"] == pytest.approx(2 / 4, abs=1e-12)
    assert found["morpheme_recall"] == pytest.approx(2 / 3, abs=1e-12)
    file.write_text("gidaje\tgida ji\n")
    with pytest.raises(InputError, match=r"morphemes.tsv:1: these morphemes do not spell 'gidaje'"):
        row(TOKENIZER, morphemes=file)
    file.write_text("gidaje gida je\n")
    with pytest.raises(InputError, match="has no tab"):
        row(TOKENIZER, morphemes=file)


def test_gini():
    """Costs 1, 1, 4: differences of all ordered pairs 3 + 3 + 3 + 3 over nine, by twice the mean 2."""
    assert gini(np.array([[1.0, 1.0, 4.0], [2.0, 2.0, 2.0]])) == pytest.approx([12 / 9 / 4, 0], abs=1e-12)
    pairs = {"even": (["ma"], ["ma"]), "dear": (["gida gida gida gida"], ["gida"])}
    found = row(TOKENIZER, parallel=pairs)
    assert found["gini"] == pytest.approx(12 / 9 / 4, abs=1e-12)
    assert found["parity"] == pytest.approx((3 + 4) / (3 + 1), abs=1e-12)


def test_encode_speed_is_asked_for_by_name():
    assert "encode_speed" not in row(TOKENIZER)
    assert row(TOKENIZER, also=["encode_speed"])["encode_speed"] > 0
    with pytest.raises(InputError, match="did you mean 'encode_speed'"):
        row(TOKENIZER, also=["encode_sped"])


# Made-up text, and what tokenization-scorer 1.1.8 says of its pieces: `score(pieces, metric="renyi", power=2.5)` and
# `metric="seq_len"` (minus tokens a line), pieces joined by spaces.
RENYI, TOKENS_A_LINE = 0.4930026730018538, 29.0
SCORED = [" ".join(word for word, _, _ in sentence) for sentence in sentences(60, 4)]


def test_agrees_with_tokenization_scorer():
    tokenizer = metaspace(["▁", *(c + v for c in "bdgklmnprstwyz" for v in "aeiou"), *"BDGKLMNPRSTWYZaeiou."])
    found = row(tokenizer, SCORED)
    assert found["renyi_efficiency"] == pytest.approx(RENYI, abs=1e-9)
    tokens = sum(len(line.split()) for line in SCORED) * found["fertility"]
    assert tokens / len(SCORED) == pytest.approx(TOKENS_A_LINE, abs=1e-9)


# Words and lines that a tokenizer could cut otherwise beside others: each must be counted as it is cut in its line.
AWKWARD = [
    "gidaje,  gida", " ma", "ma ", "ma\u00a0gida", "ma\u200b gida \u200b ma", "´ma gida", "\u0301ma ma", "ma ▁ gida▁ma",
    "(gida) 'ma' ma's 12 345", "m\tgida", "ma\u2028gida", "ƙ ƙ ƙƙ",
    "gida ma gida \u200b ma gida ma  gida ma ", "ma gida ma \u0301ma gida ma \u00a0ma gida gida",
]  # fmt: skip
ADDED = ["gida <unk>ma <mask> gida", "<unk>", "[MASK]gida"]  # these make every line be cut whole

SIZES = {"unigram": 140, "bpe": 200, "byte-bpe": 400, "wordpiece": 200}


@pytest.mark.parametrize("algorithm", SIZES)
@pytest.mark.parametrize("more", [[], AWKWARD, ADDED], ids=["plain", "awkward", "added"])
def test_counts_are_those_of_whole_lines(algorithm, more):
    """Cutting each different word once gives the tokens of every line, block by block."""
    lines = [*SCORED, *more] * 5
    tokenizer = train_tokenizer(lines, algorithm=algorithm, vocab_size=SIZES[algorithm])
    view = Vocabulary.of(tokenizer)
    assert_counts(view, lines)
    text = read_text(lines)
    assert (cut_words(view, text.lexicon, SCORED[:50]).mark is None) == (more is ADDED)
    assert np.array_equal(cut(view, text)[2].ids, Pieces.of(view, text.sample).ids)


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
@pytest.mark.parametrize("cutter", ["metaspace", "whitespace", "bytes", "none", "late"])
def test_counts_of_other_tokenizers(scheme, cutter):
    """Tokenizers that look beyond a word (none, late) are given whole lines."""
    backend = metaspace(["▁gida", "je", ",", "▁", "m", "a", "ƙ", "a▁m", "Ġ", "Ġm"])
    mark = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.pre_tokenizer = {
        "metaspace": mark,
        "whitespace": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), mark]),
        "bytes": pre_tokenizers.ByteLevel(add_prefix_space=scheme == "always"),
        "none": pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False),
        "late": pre_tokenizers.Sequence([pre_tokenizers.Digits(), mark]),
    }[cutter]
    assert_counts(Vocabulary.of(backend), [*SCORED[:20], *AWKWARD] * 3)


def assert_counts(view: Vocabulary, lines: list[str]) -> None:
    lines = list(Lines(lines))
    found = measure({"x": view}, lines)["x"]
    block = np.arange(len(lines)) // found.text.documents_a_block
    wanted = np.zeros(found.counts.shape)
    for row, ids in zip(block, view.encode(lines), strict=True):
        wanted[row] += np.bincount(ids, minlength=len(view))
    assert np.array_equal(found.counts.toarray(), wanted)


@pytest.fixture(scope="module")
def views():
    sizes = {"unigram": 200, "byte-bpe": 320}
    return [Vocabulary.of(train_tokenizer(SCORED, algorithm=name, vocab_size=n)) for name, n in sizes.items()]


@given(lines=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_counts_of_any_text(views, lines):
    lines = [*lines, "gida"]
    for view in views:
        assert_counts(view, lines)


def test_a_very_long_line():
    """It is a line like others: its beginning is looked at, and its words are cut once."""
    line = " ".join(SCORED * 120)
    assert len(line) > 200_000
    for view in (
        Vocabulary.of(TOKENIZER),
        Vocabulary.of(train_tokenizer(SCORED, algorithm="byte-bpe", vocab_size=320)),
    ):
        assert_counts(view, [line, "ma gida", "gida  ma"])
        table = compare({"x": view}, [line])
        assert table.loc["x", "round_trip"] == (view.family == "byte-level")
        assert table.attrs["text"]["characters"] == len(line)
        (sample,) = read_text([line]).sample
        assert line.startswith(sample + " ") and 19_000 < len(sample) <= 20_000
        assert cut_words(view, read_text([line]).lexicon, [sample]).mark is not None


@pytest.mark.parametrize("algorithm", ["unigram", "byte-bpe"])
def test_a_sample_without_a_plain_line(algorithm):
    """What cannot be checked on plain lines is cut line by line."""
    lines = ["ma  gida", *["gida ma"] * 3] * 1500
    assert_counts(Vocabulary.of(train_tokenizer(SCORED, algorithm=algorithm, vocab_size=SIZES[algorithm])), lines)


def test_documents(tmp_path: Path):
    """Intervals are over what is one document: of one there is none to draw but itself."""
    for name, lines in (("a", LINES), ("b", LINES[:1])):
        (tmp_path / name).write_text("\n".join([*lines, "", *lines]))
    files = [tmp_path / "a", tmp_path / "b"]
    blocks = {kind: measure({"x": TOKENIZER}, files, documents=kind)["x"].text.blocks for kind in DOCUMENTS}
    assert blocks == {"line": 6, "blank": 3, "file": 2}  # the end of the first file is no end of a document
    assert compare({"x": TOKENIZER}, files[:1], documents="file").attrs["intervals"]["fertility"]["x"] == [7 / 3, 7 / 3]
    with pytest.raises(InputError, match="unknown kind of document"):
        compare({"x": TOKENIZER}, LINES, documents="page")


DOCUMENTS = ("line", "blank", "file")


@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "byte-bpe"])
def test_words_cut_together_are_those_cut_alone(algorithm):
    """Also where a word's beginning is unknown, so that it cannot be told from the word before."""
    lines = [*SCORED, *AWKWARD, "ƙƙ gida 漢字 ƙ", *(f"w{n} ma{n}" for n in range(300))]
    view = Vocabulary.of(train_tokenizer(SCORED, algorithm=algorithm, vocab_size=SIZES[algorithm]))
    without = metaspace(["▁ma", "ma", "▁gida"])  # no lone word mark: a strange word is one unknown token
    for one, mark in ((view, " " * (algorithm == "byte-bpe")), (Vocabulary.of(without), "")):
        found = measure({"x": one}, lines)["x"]
        alone = Pieces.of(one, [mark + word for word in found.text.words])
        assert np.array_equal(found.words.ids, alone.ids) and np.array_equal(found.words.starts, alone.starts)
