"""Trained tokenizers drop into the source's model, repeat to the byte, and refuse what cannot be."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, BertConfig

from lexigraft import InputError
from tests.vocab.invented_text import SIZES, SOURCES, TEXT, bert, gpt2, lines, llama2, llama3, roberta, xlmr
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.algorithm import ALGORITHMS, Task, covered
from vocab.tokenizer.candidates import candidates
from vocab.tokenizer.options import BuildOptions
from vocab.tokenizer.shell import pre_tokeniser_state
from vocab.tokenizer.train import _cutter
from vocab.tokenizer.unigram import learn_model
from vocab.view import Kind, Vocabulary

NAMES = ALGORITHMS.names
SIZED = [spec.name for spec in ALGORITHMS if spec.sized]


@pytest.mark.parametrize("algorithm", NAMES)
@pytest.mark.parametrize("source", [None, bert, xlmr, gpt2], ids=["none", "bert", "xlmr", "gpt2"])
def test_the_same_bytes_and_the_same_ids_after_loading(algorithm, source, tmp_path: Path):
    like = source() if source else None
    size = SIZES.get(algorithm, 200)
    first = train_tokenizer(TEXT, like=like, algorithm=algorithm, vocab_size=size)
    again = train_tokenizer(TEXT[::-1], like=like, algorithm=algorithm, vocab_size=size)
    assert first.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    assert len(first) == size if ALGORITHMS[algorithm].sized else len(first) < size
    BertConfig().save_pretrained(tmp_path)  # a model of another tokenizer class beside it changes nothing
    first.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(TEXT)["input_ids"] == first(TEXT)["input_ids"]
    assert loaded(TEXT[0], TEXT[1])["input_ids"] == first(TEXT[0], TEXT[1])["input_ids"]
    assert Vocabulary.of(loaded).roles == Vocabulary.of(first).roles
    (ids,) = Vocabulary.of(first).encode([TEXT[0]])
    text = first.decode(ids)
    small = source is bert
    assert bare(text) == bare(TEXT[0].lower() if small else TEXT[0])
    if algorithm != "wordpiece":
        assert text == (TEXT[0].lower() if small else TEXT[0])


def test_like_bert():
    tokenizer = train_tokenizer(TEXT, like=bert(), vocab_size=200)
    view = Vocabulary.of(tokenizer)
    assert view.tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert view.family == "metaspace" and view.lowercases
    assert (tokenizer.model_max_length, tokenizer.truncation_side) == (77, "left")
    assert tokenizer.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]
    pair = tokenizer("ruwa", "ruwa")
    water = view.ids["▁ruwa"]
    assert pair["input_ids"] == [2, water, 3, water, 3]
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1]
    assert set(view.roles) == {"pad", "unk", "cls", "sep", "mask"}


def test_like_xlmr():
    tokenizer = train_tokenizer(TEXT, like=xlmr(), vocab_size=150)
    view = Vocabulary.of(tokenizer)
    assert view.tokens[:5] == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    water = view.ids["▁ruwa"]
    assert tokenizer("ruwa", "ruwa")["input_ids"] == [0, water, 2, 2, water, 2]
    assert tokenizer("ruwa <mask>")["input_ids"] == [0, water, 4, 2]  # the mask takes the space before it


def test_like_gpt2():
    tokenizer = train_tokenizer(TEXT, like=gpt2(), algorithm="byte-bpe", vocab_size=330)
    view = Vocabulary.of(tokenizer)
    assert view.tokens[0] == "<|endoftext|>" and tokenizer("")["input_ids"] == []
    assert tokenizer.decode(tokenizer("  two  spaces\n😀")["input_ids"]) == "  two  spaces\n😀"
    unigram = Vocabulary.of(train_tokenizer(TEXT, like=gpt2(), vocab_size=150))
    assert unigram.tokens[:2] == ["<|endoftext|>", "<unk>"] and unigram.roles["unk"] == 1


def test_like_llama():
    old = train_tokenizer(TEXT, like=llama2(), algorithm="bpe", vocab_size=600)
    view = Vocabulary.of(old)
    assert view.tokens[:4] == ["<unk>", "<s>", "</s>", "<0x00>"] and (view.kind == Kind.BYTE).sum() == 256
    assert old("ruwa", "ruwa")["input_ids"] == [1, view.ids["▁ruwa"]] * 2 and old.padding_side == "left"
    for text in ("ruwa 漢字 ruwa", "ɗalibi\u200b 😀"):  # unknown letters are bytes, as in the source
        assert old.decode(old(text)["input_ids"], skip_special_tokens=True) == text
    new = train_tokenizer(TEXT, like=llama3(), algorithm="byte-bpe", vocab_size=330)
    begin, *rest = new("Ruwa  12345\n\nruwa")["input_ids"]
    assert new.convert_ids_to_tokens(begin) == new.bos_token == "<|begin_of_text|>" and new.model_max_length == 131
    assert new.decode(rest) == "Ruwa  12345\n\nruwa" and new.unk_token is None
    cut = [part for part, _ in new.backend_tokenizer.pre_tokenizer.pre_tokenize_str("ruwa 12345")]
    assert cut == ["ruwa", "Ġ", "123", "45"]  # the source's own pattern


OVERRIDDEN = {
    "punctuation": "words", "joiners": "", "split_digits": True, "normal_form": "NFD", "lowercase": True,
    "strip_accents": True, "template": "none", "truncation_side": "left", "model_max_length": 17,
    "specials": ["pad=[P]", "<extra>"],
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("algorithm", ["unigram", "byte-bpe", "wordpiece"])
def test_what_is_taken_over_and_each_part_of_it_overridden(algorithm: str, source: str):
    old = SOURCES[source]()
    size = {"unigram": 400 if source == "llama2" else 150, "byte-bpe": 320, "wordpiece": 150}[algorithm]
    plain = train_tokenizer(TEXT, like=old, algorithm=algorithm, vocab_size=size)
    now, before = Vocabulary.of(plain), Vocabulary.of(old)
    assert all(now.tokens[now.roles[role]] == before.tokens[index] for role, index in before.roles.items())
    assert sorted({now.roles[role] for role in before.roles}) == [
        now.roles[role] for role, index in sorted(before.roles.items(), key=lambda item: item[1])
        if role == min(r for r, i in before.roles.items() if i == index)
    ]  # in the same order  # fmt: skip
    settings = ("model_max_length", "truncation_side", "padding_side")
    assert [getattr(plain, name) for name in settings] == [getattr(old, name) for name in settings]

    def frame(tokenizer) -> list[str]:
        tokens = tokenizer.convert_ids_to_tokens(tokenizer("a", "a")["input_ids"])
        return [token for token in tokens if token in tokenizer.all_special_tokens and token != tokenizer.unk_token]

    assert frame(plain) == frame(old)
    text = "Ruwan Kàsá n'umu 2023"
    changed = train_tokenizer([*TEXT, *[text] * 20], old, algorithm, size, **OVERRIDDEN)
    tokens = changed.tokenize(text)
    joined = "".join(tokens).replace("▁", "").replace("Ġ", "").replace("##", "")
    assert joined == "ruwankasan'umu2023" and [token[-1] for token in tokens[-4:]] == list("2023")
    assert (changed.pad_token, changed.model_max_length, changed.truncation_side) == ("[P]", 17, "left")
    assert changed.tokenize("ruwa<extra>")[-1] == "<extra>" and frame(changed) == []


@pytest.mark.parametrize("source", ["xlmr", "llama3", "roberta"])
def test_a_word_mark_is_no_part_of_wordpiece(source: str):
    """The source's way to cut is not taken over where it writes marks that WordPiece would take for letters."""
    tokenizer = train_tokenizer(TEXT, SOURCES[source](), "wordpiece", 200, punctuation="source")
    assert not [piece for piece in tokenizer.get_vocab() if "▁" in piece or "Ġ" in piece]


def test_digits_of_a_source_that_puts_a_space_before_the_text():
    tokenizer = train_tokenizer([*TEXT, "2023"] * 3, roberta(), "byte-bpe", 330, split_digits=True)
    for text in ("12 ruwa 2023", "ruwa", "a  2"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert (
            tokenizer.decode(ids) == f" {text}" and tokenizer(f" {text}", add_special_tokens=False)["input_ids"] == ids
        )
    assert tokenizer.tokenize("a2023")[-4:] == list("2023")


def test_lower_casing_only_where_the_source_does():
    assert not Vocabulary.of(train_tokenizer(TEXT, like=xlmr(), vocab_size=150)).lowercases
    cased = Vocabulary.of(train_tokenizer(TEXT, like=bert(), vocab_size=150, lowercase=False))
    assert not cased.lowercases and cased.strips_accents
    kept = Vocabulary.of(train_tokenizer(TEXT, like=bert(), vocab_size=150, strip_accents=False))
    assert kept.lowercases and not kept.strips_accents
    assert Vocabulary.of(train_tokenizer(TEXT, vocab_size=150, lowercase=True, strip_accents=True)).strips_accents


def test_what_the_normaliser_drops_is_counted():
    text = [*TEXT, "Ọ̀rọ̀ ọ̀rọ̀"]  # each vowel: o with dot below, then a combining grave
    facts = train_tokenizer(text, like=bert(), vocab_size=150).facts
    assert facts["dropped"] == {"\u0300": 4}
    assert facts["changed"] == {"ọ → o": 3, "Ọ → o": 1}
    assert facts["lowercased"] == len(TEXT)  # Ọ is more than made small
    assert facts["lines"] == len(text) and facts["words"] == sum(len(line.split()) for line in text)


@pytest.mark.parametrize("family", ["metaspace", "byte-level", "wordpiece"])
def test_punctuation_is_split_off_words(family):
    shell = {"normalizer": None, "pre_tokenizer": pre_tokeniser_state(family), "added_tokens": []}
    rest = {"version": "1.0", "truncation": None, "padding": None, "post_processor": None, "decoder": None}
    tokenizer = Tokenizer.from_str(json.dumps(shell | rest | {"model": {"type": "BPE", "vocab": {}, "merges": []}}))
    text = "m'mawa, ‘yan (n'umugabo) ba-haka - a’a?! «12.5» 'yan'"
    start = {"metaspace": "▁", "byte-level": "Ġ", "wordpiece": ""}[family]
    cut = [part for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(" " * (family == "byte-level") + text)]
    expected = "_m'mawa|,|_‘yan|_(|n'umugabo|)|_ba-haka|_-|_a’a|?!|_«|12|.|5|»|_'yan|'"
    if family == "byte-level":
        table = dict(zip("‘’«»", ("âĢĺ", "âĢĻ", "Â«", "Â»"), strict=True))
        expected = "".join(table.get(letter, letter) for letter in expected)
    assert "|".join(cut) == expected.replace("_", start)


def test_unigram_gives_the_ids_of_sentencepiece():
    """The converted tokenizer cuts as the model that sentencepiece learnt, part by part."""
    tokenizer = train_tokenizer(TEXT, vocab_size=150)
    cut = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    counts: dict[str, int] = {}
    for line in TEXT:
        for part, _ in cut(line):
            counts[part] = counts.get(part, 0) + 1
    raw = learn_model(Task(counts, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"), "<unk>", 150, 2, 0.9999, False, 16))
    processor = sentencepiece.SentencePieceProcessor(model_proto=raw)
    for line in [*lines(50), "zqx ruwanrta 😀"]:
        theirs = [piece for part, _ in cut(line) for piece in processor.encode(part, out_type=str)]
        ours = [token.value for part, _ in cut(line) for token in tokenizer.backend_tokenizer.model.tokenize(part)]
        unknown = ["<unk>" if processor.piece_to_id(piece) == 0 else piece for piece in theirs]
        assert unknown == ["<unk>" if tokenizer.convert_tokens_to_ids(t) == 3 else t for t in ours]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("fallback", [False, True])
def test_sentencepiece_files(kind, fallback, tmp_path: Path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=model,
        model_type=kind,
        vocab_size=420 if fallback else 150,
        byte_fallback=fallback,
        hard_vocab_limit=False,
        user_defined_symbols=["<hi>"],
        num_threads=1,
        minloglevel=2,
    )
    (tmp_path / "x.model").write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    view = Vocabulary.of(tmp_path / "x.model")
    texts = [*TEXT, "  two  spaces ", "ﬁne ½ <hi> ruwa", "e\u0323\u0301 is not lost", "", "zq😀"]
    if kind == "bpe":
        texts = texts[:-1]  # runs of unknown characters are one token in sentencepiece's Unigram only
    for text, ids in zip(texts, view.encode(texts), strict=True):
        if fallback or kind == "unigram" or 0 not in ids:
            assert ids.tolist() == processor.encode(text)
    assert view.roles["unk"] == 0 and view.roles["bos"] == 1 and view.roles["eos"] == 2
    assert len(view) == processor.get_piece_size()
    assert (view.kind == 1).sum() == (256 if fallback else 0)


def test_candidates():
    found = candidates({"▁ab": 2, "b": 1, "▁xyz": 1}, longest=2)
    assert len(found) == 2
    assert list(found.best(9)) == [("ab", 2), ("▁a", 2)]  # b is a letter, ▁ab too long, ▁xyz occurs once
    assert list(candidates({"▁ab": 2, "▁abc": 1}, longest=3).best(2)) == [("▁ab", 3), ("ab", 3)]
    assert len(candidates({"a": 5}, longest=3)) == len(candidates({"ab": 5}, longest=1)) == 0
    assert [covered({"a": 97, "b": 2, "c": 1}, share) for share in (1.0, 0.99, 0.98, 0.97, 0.5)] == [3, 2, 2, 1, 1]


@settings(deadline=None)
@given(st.dictionaries(st.text("aé▁\U00010400", min_size=1), st.integers(1, 3)), st.integers(1, 20), st.integers(1, 9))
def test_candidates_are_all_that_occurs_twice(counts: dict[str, int], longest: int, most: int):
    wanted: Counter[str] = Counter()
    for part, count in counts.items():
        for start, end in combinations(range(len(part) + 1), 2):
            wanted[part[start:end]] += count * (2 <= end - start <= longest)
    ranked = sorted(wanted, key=lambda piece: (-wanted[piece] * len(piece), piece))
    ranked = [(piece, wanted[piece]) for piece in ranked if wanted[piece] > 1]
    found = candidates(counts, longest)
    assert len(found) == len(ranked)
    assert list(found.best(most)) == ranked[:most]


@pytest.mark.parametrize("punctuation", ["words", "keep"])
@pytest.mark.parametrize("family", ["metaspace", "byte-level", "wordpiece"])
@settings(deadline=None)
@given(text=st.lists(st.sampled_from(["<0x4A>", *"aZ7é'’,-@.▁ 한\u0301"]), max_size=12).map("".join))
def test_words_are_cut_by_their_shape_as_the_pre_tokeniser_cuts_them(family: str, punctuation: str, text: str):
    """Words that differ in ASCII letters and digits alone are cut alike, so that one of them is looked at."""
    options = {"tweets": True, "split_digits": True, "closers": "'", "byte_fallback": True}
    state = pre_tokeniser_state(family, BuildOptions(punctuation=punctuation, **options))
    pre_tokeniser = pre_tokenizers.Sequence([])
    pre_tokeniser.__setstate__(json.dumps(state).encode())
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokeniser
    cut = _cutter(backend, across=False)
    mark = " " if family == "byte-level" else ""
    for word in text.split() + text.swapcase().split():
        assert cut(word) == [part for part, _ in pre_tokeniser.pre_tokenize_str(mark + word)]


@pytest.mark.parametrize("algorithm", SIZED)
def test_more_than_the_text_can_give(algorithm):
    with pytest.raises(InputError, match=r"found vocab_size 90000; expected at most \d+") as error:
        train_tokenizer(TEXT, algorithm=algorithm, vocab_size=90_000)
    most = int(re.search(r"at most (\d+)", str(error.value))[1])
    assert len(train_tokenizer(TEXT, algorithm=algorithm, vocab_size=most)) == most
    with pytest.raises(InputError, match=f"at most {most}"):
        train_tokenizer(TEXT, algorithm=algorithm, vocab_size=most + 1)


@pytest.mark.parametrize("algorithm", NAMES)
def test_less_than_specials_and_letters(algorithm):
    for size in (1, 3, 7):  # there are five special tokens
        with pytest.raises(InputError, match=rf"found vocab_size {size}; expected at least \d+") as error:
            train_tokenizer(TEXT, algorithm=algorithm, vocab_size=size)
    least = int(re.search(r"at least (\d+)", str(error.value))[1])
    assert len(train_tokenizer(TEXT, algorithm=algorithm, vocab_size=least)) == least


ANY = st.characters(exclude_categories=("Cs",), exclude_characters="▁<") | st.sampled_from("한값ᆨቤኳ፟é")
SYLLABLES = ["한국어를 값없이 뷁", "ቤቱን ኳስ ሀ፟ ነበር"]


@cache
def writes_all(name: str):
    """A tokenizer that spells what it does not know by bytes, where the algorithm can."""
    family = ALGORITHMS[name].family
    size = {"metaspace": 440, "byte-level": 330, "wordpiece": 200}[family]
    fallback = family == "metaspace"
    return train_tokenizer(
        [*TEXT, *SYLLABLES], algorithm=name, vocab_size=size, byte_fallback=fallback, character_coverage=1.0
    )


def bare(text: str) -> str:
    return text.replace(" ", "")


def there_and_back(tokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]).strip(" ")


@pytest.mark.parametrize("algorithm", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    st.text(
        st.characters(exclude_categories=("Cs",), exclude_characters="▁<") | st.sampled_from("한값ᆨቤኳ፟é"), max_size=16
    )
)
def test_round_trip_of_any_text(algorithm: str, text: str):
    """Bytes, or a fall back on bytes, keep every character; white space is brought to single spaces.

    WordPiece has no bytes: a word with an unknown letter is one unknown token, the others come back.
    """
    tokenizer = writes_all(algorithm)
    wanted = writes_all("unigram").backend_tokenizer.normalizer.normalize_str(text).strip(" ")
    if algorithm != "wordpiece":
        assert there_and_back(tokenizer, text) == wanted
        return
    unknown = tokenizer.unk_token
    kept = there_and_back(tokenizer, text).split(unknown)
    # White space is spaces by now; what `re` takes for it beyond that (U+001F) is a character like others.
    assert re.fullmatch(".+?".join(re.escape(bare(part)) for part in kept), bare(wanted), re.S)


@pytest.mark.parametrize("algorithm", NAMES)
@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(TEXT[0].split() + ["12", "'yan", "ɗalibinsa,", "ቤቱን", "값"]), max_size=6))
def test_round_trip_of_known_letters(algorithm: str, words: list[str]):
    text = there_and_back(writes_all(algorithm), " ".join(words))
    assert (text.replace(" ", "") == "".join(words)) if algorithm == "wordpiece" else (text == " ".join(words))
