"""Selection of text: each criterion by hand, how much is kept, that it repeats, and a run that selects."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

import adapt
from adapt.config import load
from adapt.selection.criterion import CRITERIA, PORTION, Evidence
from adapt.selection.select import Select, select
from corpora.text import words
from lexigraft import InputError
from tests.conftest import write_config

FILTERS = [criterion.name for criterion in CRITERIA if criterion.kind == "filter"]


def evidence(
    folder: Path, lines: list[str], like: tuple[str, ...] = (), foreign: tuple[list[str], ...] = ()
) -> Evidence:
    (folder / "text.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    others = []
    for number, other in enumerate(foreign):
        others.append(folder / f"other-{number}.txt")
        others[-1].write_text("".join(f"{line}\n" for line in other), encoding="utf-8")
    return Evidence(folder / "text.txt", like, tuple(others))


def judged(name: str, folder: Path, lines: list[str], like=(), foreign=(), **options) -> list:
    criterion = CRITERIA[name]
    found = criterion.prepare(evidence(folder, lines, like, foreign), criterion.options(**options))(lines)
    assert len(found) == len(lines) and found.dtype == (bool if criterion.kind == "filter" else np.float32)
    return found.tolist()


def spoken(seed: int, count: int, letters: str) -> list[str]:
    draw = random.Random(seed)
    lexicon = ["".join(draw.choices(letters, k=draw.randint(2, 6))) for _ in range(200)]
    return [" ".join(draw.choices(lexicon, k=9)) for _ in range(count)]


def test_length(tmp_path):
    lines = ["one two three", "one two", "a b c d e", "x" * 30 + " " + "y" * 30 + " zz", "aa bb " * 20]
    assert judged("length", tmp_path, lines, max_characters=90) == [True, False, False, False, False]


def test_repetition(tmp_path):
    lines = ["go to go to go to go to", "the dog saw the cat and the bird", "once"]
    assert judged("repetition", tmp_path, lines) == [False, True, True]


def test_boilerplate(tmp_path):
    lines = ["Page 3 of 12", "page 4 of 12!", "Page of 12", "Another line", "Page 3 of 12"]
    assert judged("boilerplate", tmp_path, lines) == [True, False, True, True, False]


def test_letters(tmp_path):
    lines = ["habari ya leo", "12:30 -- 14:45 a", "Доброе утро", "kweli Доброе", "ọ̀nà tó dára", "???"]
    assert judged("letters", tmp_path, lines) == [True, False, False, False, True, False]
    assert judged("letters", tmp_path, lines, script="cyrillic") == [False, False, True, False, False, False]


def test_language_is_told_by_characters_even_in_a_mixed_text(tmp_path):
    own, other = spoken(1, 400, "abdegiklmnou"), spoken(2, 400, "eorstwhxqcdp")
    text = own + other[:150]
    kept = judged("language", tmp_path, text, foreign=(other[200:],))
    assert sum(kept[:400]) >= 399 and sum(kept[400:]) <= 1


def test_bm25_is_the_formula(tmp_path):
    lines = ["ruwa ruwa gida", "ruwa kasa", "kasa sama rana", *["wani abu"] * 37]
    found = judged("bm25", tmp_path, lines, like=("Ruwa a gida", "sama"), k1=1.2, b=0.75)

    def weight(df, tf, size):
        mean = sum(len(words(line)) for line in lines) / 40
        return math.log1p((40 - df + 0.5) / (df + 0.5)) * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * size / mean))

    assert found[0] == pytest.approx(weight(2, 2, 3) + weight(1, 1, 3), rel=1e-5)
    assert found[1] == pytest.approx(weight(2, 1, 2), rel=1e-5)
    assert found[2] == pytest.approx(weight(1, 1, 3), rel=1e-5)
    assert found[3:] == [0] * 37


def test_bm25_of_texts_that_share_no_word_is_nothing(tmp_path):
    assert judged("bm25", tmp_path, ["a b", "c d"], like=("x y",)) == [0, 0]


def test_diversity_counts_what_was_not_shown(tmp_path):
    lines = ["a a b", "a a b", "c d e"]
    found = judged("diversity", tmp_path, lines, decay=0.5)
    total = 15  # 9 words, 6 pairs
    a, twice, once = math.log(total / 4), math.log(total / 2), math.log(total)
    assert found[0] == pytest.approx((2 * a + 3 * twice) / 5, rel=1e-5)  # b, a-a and a-b occur twice
    assert found[1] == pytest.approx((2 * a + 3 * twice) / 5 / 2, rel=1e-5)
    assert found[2] == pytest.approx(once, rel=1e-5)


def test_the_best_share_is_kept_in_the_order_of_the_text(tmp_path):
    draw = random.Random(0)
    lines = [f"{'gida ' * (i % 5)}ruwa {draw.choice('abcdefghij') * 4} {i}" for i in range(3 * PORTION // 2)]
    given = Select(by="bm25", share=0.3)
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        facts = select(evidence(tmp_path / name, lines, like=("gida gida kasa aaaa bbbb",)), given)
        texts.append((tmp_path / name / "text.txt").read_text())
    kept = texts[0].splitlines()
    assert texts[0] == texts[1]
    order = {line: place for place, line in enumerate(lines)}
    assert [order[line] for line in kept] == sorted(order[line] for line in kept)
    characters = sum(map(len, lines))
    assert 0.3 * characters - 50 < sum(map(len, kept)) <= round(0.3 * characters)
    scores = dict(zip(lines, judged("bm25", tmp_path, lines, like=("gida gida kasa aaaa bbbb",)), strict=True))
    chosen = set(kept)
    worst = min(scores[line] for line in kept)
    assert worst * (1 + 2**-11) >= max(score for line, score in scores.items() if line not in chosen)
    assert facts["kept"]["lines"] == len(kept) and facts["dropped"]["bm25"]["lines"] == len(lines) - len(kept)
    assert len(list((tmp_path / "a").iterdir())) == 1  # nothing is left behind


def test_filters_drop_in_their_order_and_show_what(tmp_path):
    lines = ["ok then we go", "no", "12 34 56 78 9", "so so so so so so so", "fine by me today"]
    given = Select(filters=["length", "letters", "repetition"], by="diversity", characters=16)
    facts = select(evidence(tmp_path, lines), given)
    assert facts["dropped"]["length"]["examples"] == ["no", "12 34 56 78 9"]  # words of 1.8 characters
    assert facts["dropped"]["letters"]["lines"] == 0
    assert facts["dropped"]["repetition"] == {"lines": 1, "characters": 20, "examples": ["so so so so so so so"]}
    assert facts["dropped"]["diversity"]["lines"] == 1
    assert facts["kept"]["lines"] == 1 and facts["kept"]["characters"] <= 16


def test_a_text_that_goes_wholly_is_refused_and_stays(tmp_path):
    found = evidence(tmp_path, ["a b"] * 5)
    with pytest.raises(InputError, match="selection leaves no text.*length dropped 5 lines"):
        select(found, Select(filters=["length"]))
    assert found.text.read_text().count("a b") == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{filters: [bm25]}", "'bm25' is no filter"),
        ("{by: length, share: 0.5}", "'length' is no ranking"),
        ("{by: diversity}", "needs one of `share` and `characters`"),
        ("{share: 0.5}", "needs one of"),
        ("{filters: [lenght]}", "did you mean 'length'"),
        ("{by: bm25, share: 0.5}", "bm25 needs tasks, or texts in corpus.select.like"),
        ("{filters: [language]}", "language needs another language's text"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(given, said, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"language: hau\nsource: {{model: m}}\ncorpus: {{text: [a.txt], select: {given}}}\n")
    with pytest.raises(InputError) as caught:
        load(path)
    assert said in str(caught.value)


def test_a_run_selects_its_text(tiny_source, language, tmp_path):
    (tmp_path / "other.txt").write_text("\n".join(spoken(2, 60, "eorstwhxqcdp")), encoding="utf-8")
    path = write_config(
        tmp_path / "select.yaml", tiny_source, language, arms=["keep"],
        corpus={
            "text": [str(language / "text.txt")], "others": {"eng": [str(tmp_path / "other.txt")]},
            "select": {"filters": FILTERS, "by": "bm25", "share": 0.5},
        },
        evaluate={"lm_words": 20, "tasks": {"pos": {p: str(language / "pos" / f"{p}.txt") for p in ("train", "test")}}},
    )  # fmt: skip
    run = adapt.run(path, preflight=False)
    facts = json.loads((run.folder / "corpus" / "facts.json").read_text())
    found = facts["selection"]
    before = sum(each["characters"] for each in found["dropped"].values()) + found["kept"]["characters"]
    ranked = found["dropped"]["bm25"]["characters"] + found["kept"]["characters"]
    assert found["kept"]["characters"] == pytest.approx(ranked / 2, rel=0.02) and before >= ranked
    assert facts["train"]["lines"] == found["kept"]["lines"]
    assert len((run.folder / "corpus" / "train.txt").read_text().splitlines()) == found["kept"]["lines"]


def test_a_small_sample_of_another_language_proves_little(tmp_path):
    own, other = spoken(1, 3000, "abdegiklmnou"), spoken(2, 20, "eorstwhxqcdp")
    new = spoken(3, 50, "abdegiklmnou")  # other words of the same letters: most of their runs are in no sample
    kept = judged("language", tmp_path, own + new, foreign=(other,))
    assert all(kept)
