"""What each algorithm makes of a text small enough to see; sizes chosen by held-out text; languages put together."""

from __future__ import annotations

import json
import math
import random
import re
import unicodedata
from collections import Counter
from itertools import product

import pytest
from tokenizers import Tokenizer, models

from lexigraft import InputError
from tests.conftest import sentences
from tests.vocab.invented_text import TEXT
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.algorithm import ALGORITHMS, Task, tokenizer_of
from vocab.tokenizer.auto import Point, _gain, choose
from vocab.tokenizer.bidirectional_wordpiece import backward, chosen, cutters, forward
from vocab.tokenizer.counting import Counted, joined
from vocab.tokenizer.extend import extend
from vocab.tokenizer.sub_character import units
from vocab.tokenizer.unigram import with_given
from vocab.view import Vocabulary

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def task(counts: dict[str, int], size: int, **more) -> Task:
    settings = {"min_frequency": 2, "character_coverage": 1.0, "byte_fallback": False, "max_piece_length": 16}
    return Task(counts, SPECIALS, "<unk>", size, **settings | more)


def pieces(tokenizer, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_characters_are_those_of_the_text_most_frequent_first():
    tokenizer = train_tokenizer(["gida aa", "gida"], algorithm="character")
    assert Vocabulary.of(tokenizer).tokens == [*SPECIALS, "a", "▁", "d", "g", "i"]
    assert pieces(tokenizer, "aida") == ["▁", "a", "i", "d", "a"]
    rare = train_tokenizer(["gida" * 30, "x"], algorithm="character", character_coverage=0.98)
    assert "x" not in rare.get_vocab() and "g" in rare.get_vocab()


def test_bytes_are_256_and_the_specials():
    tokenizer = train_tokenizer(["gida"], algorithm="byte")
    assert len(tokenizer) == 256 + len(SPECIALS)
    assert pieces(tokenizer, "ƙa") == ["Ġ", "Æ", "Ļ", "a"]  # U+0199 is C6 99
    assert len(train_tokenizer(TEXT, algorithm="byte", vocab_size="auto")) == 261
    with pytest.raises(InputError, match="found vocab_size 260; expected at least 261"):
        train_tokenizer(["gida"], algorithm="byte", vocab_size=260)


def test_sentencepiece_bpe_merges_in_the_order_of_its_scores():
    model = ALGORITHMS["sentencepiece-bpe"].learn(task({"▁gida": 5, "▁gidan": 7, "▁ruwa": 9}, 5 + 9 + 6))
    first = list(model["vocab"])[5:11]
    # 12 times each: da and gi, then ▁gi and ▁gida; only then what ruwa gives, 9 times
    assert first == ["da", "gi", "▁gi", "▁gida", "ru", "wa"]
    assert model["merges"][:4] == [["d", "a"], ["g", "i"], ["▁", "gi"], ["▁gi", "da"]]


def test_wordpiece_from_both_sides():
    known = {"▁", "▁a", "▁ab", "b", "bc", "c", "d"}
    assert forward("▁abc", known, 3) == ["▁ab", "c"] and backward("▁abc", known, 3) == ["▁a", "bc"]
    assert forward("▁abx", known, 3) is None and backward("▁xb", known, 3) is None


def test_backward_wordpiece_is_greedy_from_the_right():
    """Also where no scores of pieces could make it so: abc, bca and cab share their pieces with their other cuts."""
    tokenizer = train_tokenizer(TEXT, algorithm="backward-wordpiece", vocab_size=180, character_coverage=1.0)
    words = [f"▁{word}" for line in TEXT for word in re.findall(r"\w+", line)]
    ring = [(piece, 0.0) for piece in ("<unk>", "a", "b", "c", "ab", "bc", "ca")]
    letters = ["".join(word) for size in range(1, 8) for word in product("abc", repeat=size)]
    for model, some in ((tokenizer.backend_tokenizer.model, words), (models.Unigram(ring, 0), letters)):
        known = Tokenizer(model).get_vocab()
        for word in some:
            assert [token.value for token in model.tokenize(word)] == backward(word, known, 16), word


def drawn_words(letters: str, seed: int) -> dict[str, int]:
    """Words in which cuts from the left, from the right and by search often differ."""
    draw = random.Random(seed)
    return {"".join(draw.choices(letters, k=draw.randint(3, 9))): 1 for _ in range(300)}


@pytest.mark.parametrize("letters", ["abc", "abc.?("])
def test_words_of_the_text_are_cut_from_the_better_side(letters: str):
    """Exactly as chosen, whatever the search alone would do; other words are never cut less probably than that."""
    words, others = drawn_words(letters, 0), drawn_words(letters, 1)
    options = {"vocab_size": 40, "min_frequency": 1, "character_coverage": 1.0, "punctuation": "keep"}
    tokenizer = train_tokenizer(sorted(words), algorithm="bidirectional-wordpiece", **options)
    model = tokenizer.backend_tokenizer.model
    scores = dict(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"][len(SPECIALS) :])
    kinds: Counter[str] = Counter()
    for word in words | others:
        left, right = (way(f"▁{word}", scores, 16) for way in (forward, backward))
        worth = [math.fsum(scores[piece] for piece in cut) for cut in (left, right)]
        found = pieces(tokenizer, word)
        assert math.fsum(scores[piece] for piece in found) >= max(worth) - 1e-9
        if word in words:
            assert found == (left if worth[0] > worth[1] else right)
            kinds["left"] += worth[0] > worth[1]
            kinds["right"] += left != right and worth[1] > worth[0]
            kinds["search"] += found != [token.value for token in model.tokenize(f"▁{word}")]
    assert len(kinds) == 3 and min(kinds.values()) > 20


def test_a_word_that_is_cut_by_name_may_become_a_piece():
    words = sorted(drawn_words("abc", 0))
    options = {"vocab_size": 40, "min_frequency": 1, "character_coverage": 1.0}
    old = train_tokenizer(words, algorithm="bidirectional-wordpiece", **options)
    model = old.backend_tokenizer.model
    asked, other, *_ = (w for w in words if pieces(old, w) != [t.value for t in model.tokenize(f"▁{w}")])
    grown = extend(old, words, 3, words=[asked], min_frequency=1)
    assert grown.added[0] == f"▁{asked}" and pieces(grown.tokenizer, asked) == [f"▁{asked}"]
    assert pieces(grown.tokenizer, other) == pieces(old, other) or {*grown.added} & {*pieces(grown.tokenizer, other)}


def test_what_follows_the_first_cut_is_no_word_of_its_own():
    """A word that needs two cuts gets them; not where its rest is a word, too, which must be cut as it is chosen."""
    words = drawn_words("abc", 2)
    model = ALGORITHMS["bidirectional-wordpiece"].learn(task(words, 40, min_frequency=1))
    scores = dict(model["vocab"][len(SPECIALS) :])

    def cuts(counts: dict[str, int]) -> dict[str, tuple[list[str], list[str]]]:
        cut = tokenizer_of(model, cutters(task(counts, 40), model))
        parts = {word: [part for part, _ in cut.pre_tokenizer.pre_tokenize_str(word)] for word in counts}
        return {word: (cut.encode(word).tokens, parts[word]) for word in counts}

    found = cuts(words)
    word = next(word for word, (_, parts) in found.items() if len(parts) > 2)
    assert found[word][0] == chosen(word, scores, 16)
    rest = word.removeprefix(found[word][1][0])
    again = cuts(words | {rest: 1})
    assert again[rest][0] == chosen(rest, scores, 16) and len(again[word][1]) == 1
    assert cuts({"abc": 1}) == {"abc": (chosen("abc", scores, 16), ["abc"])}


def test_supertokens_cross_spaces_once_words_are_learnt():
    text = ["a ina ruwa yake", "ina ruwa", "ina ruwa, ruwa", "gida ina ruwa yake"] * 5
    tokenizer = train_tokenizer(text, algorithm="supertokens", vocab_size=36)
    assert "▁ina▁ruwa" in tokenizer.get_vocab()
    assert "▁ina▁ruwa" in pieces(tokenizer, "gida ina ruwa")
    assert (
        tokenizer.decode(tokenizer("ina ruwa ina ruwa")["input_ids"], skip_special_tokens=True) == "ina ruwa ina ruwa"
    )
    assert not any("," in piece[:-1] or "," in piece[1:] for piece in tokenizer.get_vocab())
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    crossing = ["▁" in left + right[0] and "▁" in (left + right)[1:] for left, right in model["merges"]]
    assert crossing.index(True) >= 0.6 * len(crossing)  # within words first


def test_hangul_is_taken_apart_and_put_together():
    rules = units({"한": 1})
    # 19 consonants, 21 vowels, 27 finals; one rule a syllable on the way back
    assert len(rules.apart) == 19 + 21 + 27 and len(rules.together) == 11_172
    tokenizer = train_tokenizer(["한국어 학교 café"] * 4, algorithm="sub-character", vocab_size=22)
    normalise = tokenizer.backend_tokenizer.normalizer.normalize_str
    assert normalise("값 가 é") == unicodedata.normalize("NFD", "값 가") + " é"
    every = "".join(map(chr, range(0xAC00, 0xD7A4)))
    assert normalise(every) == unicodedata.normalize("NFD", every)
    assert tokenizer.backend_tokenizer.decoder.decode(["▁" + normalise(every)]) == every


def test_ethiopic_is_taken_apart_and_put_together():
    tokenizer = train_tokenizer(["ቤት ቤቱ በቤቱ ውስጥ"] * 4, algorithm="sub-character", vocab_size=18)
    normalise = tokenizer.backend_tokenizer.normalizer.normalize_str
    # be, bu, b: one consonant (written by the sixth order) with vowel 4, vowel 1 and none
    assert normalise("ቤቡብ") == "ብ\U000e0104ብ\U000e0101ብ"
    block = [chr(c) for row in (range(0x1200, 0x1380), range(0x2D80, 0x2DE0), range(0xAB00, 0xAB30)) for c in row]
    every = "".join(c for c in block if unicodedata.category(c) == "Lo")
    assert len(every) > 400 and len(normalise(every)) > 1.7 * len(every)
    assert tokenizer.backend_tokenizer.decoder.decode(["▁" + normalise(every)]) == every
    assert any("\U000e0104" in piece for piece in tokenizer.get_vocab())
    assert units({"a": 1}) == units({}) and not units({"a": 1}).apart


def test_given_pieces_take_the_place_of_the_least_probable():
    before = [("a", -1.0), ("b", -1.0), ("ab", -3.0), ("ba", -4.0), ("<0x41>", -9.0)]
    after = dict(with_given(before, ("abab", "ab")))
    # ba is the least probable pair; ab costs less than a and b (-2), abab less than ab twice
    assert set(after) == {"a", "b", "ab", "abab", "<0x41>"}
    assert after["ab"] == pytest.approx(-1.999) and after["abab"] == pytest.approx(2 * -1.999 + 0.001)
    assert with_given(before, ()) == before


def test_languages_are_weighed():
    big, small = Counted(Counter(ruwa=800), lines=8, running=800), Counted(Counter(omi=100), lines=1, running=100)
    whole, weights = joined({"hau": big, "yor": small}, alpha=0.5)
    # (800 / 100) ** (1 - 0.5)
    assert weights == {"hau": 1.0, "yor": pytest.approx(math.sqrt(8))}
    assert whole.words == Counter(ruwa=800, omi=283) and whole.lines == 9 and whole.running == 900
    assert joined({"hau": big, "yor": small}, alpha=1.0)[0].words == Counter(ruwa=800, omi=100)


def test_a_joint_vocabulary_serves_the_smaller_language_better():
    other = [" ".join(word for word, _, _ in s) for s in sentences(60, 1)]
    texts = {"big": TEXT * 6, "small": other}
    used = []
    for alpha in (0.1, 1.0):
        tokenizer = train_tokenizer(texts, vocab_size=250, alpha=alpha, algorithm="bpe")
        used.append(sum(len(tokenizer(line)["input_ids"]) for line in other))
        assert tokenizer.facts["weights"]["big"] == 1.0
    assert used[0] < 0.95 * used[1]


def test_gains_are_those_of_a_doubling():
    assert _gain(Point(1000, 2.0, 3.0), Point(2000, 1.8, 2.9)) == pytest.approx(0.1)
    # four times the size for 19 % is 10 % each time
    assert _gain(Point(1000, 2.0, 3.0), Point(4000, 1.62, 3.0)) == pytest.approx(0.1)
    assert _gain(Point(1000, 2.0, 3.0), Point(2000, 2.0, 2.4)) == pytest.approx(0.2)


def test_the_size_is_the_smallest_past_which_little_is_gained():
    counts: Counter[str] = Counter(f"▁{word}" for line in TEXT for word in re.findall(r"\w+", line))
    held = Counter({"▁ruwansa": 300, "▁gidanmu": 300})
    told: list[dict] = []
    size, curve = choose(
        ALGORITHMS["bpe"], task(counts, 1), held, 600, 0.05, told.append, sizes=(20, 50, 100, 200, 400, 800)
    )
    assert [point.size for point in curve][:2] == [50, 100]  # 20 do not hold the letters
    assert [fact["size"] for fact in told] == [point.size for point in curve]
    place = [point.size for point in curve].index(size)
    assert all(_gain(a, b) >= 0.05 for a, b in zip(curve[:place], curve[1 : place + 1], strict=True))
    assert place == len(curve) - 1 or _gain(curve[place], curve[place + 1]) < 0.05
    # the measures of the first size, worked out from the model itself
    model = ALGORITHMS["bpe"].learn(task(counts, 50))
    cut = models.BPE(model["vocab"], [tuple(pair) for pair in model["merges"]], unk_token="<unk>").tokenize
    assert curve[0].fertility == sum(len(cut(word)) * n for word, n in held.items()) / 600
    seen = Counter(token.id for part in counts.elements() for token in cut(part))
    code = -sum(math.log2((seen[t.id] + 1) / (seen.total() + 50)) * n for w, n in held.items() for t in cut(w))
    letters = Counter("".join(counts.elements()))
    entropy = -sum(n / letters.total() * math.log2(n / letters.total()) for n in letters.values())
    spelled = sum(len(piece) + 1 for piece in model["vocab"]) * entropy / letters.total()
    assert curve[0].bits == pytest.approx(code / (8 * 600) + spelled, abs=1e-9)


def test_auto_says_what_it_tried():
    tokenizer = train_tokenizer(TEXT * 20, vocab_size="auto", algorithm="bpe")
    curve = tokenizer.facts["curve"]
    assert len(tokenizer) == curve[-1]["size"] < 1000  # this text gives fewer than the smallest size
    assert set(curve[0]) == {"size", "fertility", "bits"}
    with pytest.raises(InputError, match="too little text to choose a size by; found"):
        train_tokenizer(TEXT[:20], vocab_size="auto")
