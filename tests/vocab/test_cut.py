"""Words that are cut once, many together, and without their last signs have the tokens that lines give them."""

from __future__ import annotations

import io
import random
import unicodedata

import numpy as np
import pytest
import regex
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.vocab.test_compare import ADDED, AWKWARD, SCORED, SIZES, metaspace
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.bidirectional_wordpiece import by_name
from vocab.tokenizer.cut import _tells_signs_apart, cut_lines, cut_words, keeps_ascii
from vocab.tokenizer.pieces import Pieces
from vocab.tokenizer.roles import parts_of, state_of
from vocab.tokenizer.texts import Lines
from vocab.tokenizer.words import Splitter
from vocab.vectors.counts import encode
from vocab.view import Kind, Vocabulary

LINES = [
    *SCORED, "gida, ma. (gida) gida: ma; ma? ma! 'ma' ma\" gida", "Ma 12, 12.5 ba-ma ƙá, ƙa\u0301. ½, ﬁ, ma",
    "\u1ecd\u0300, ma",
]  # fmt: skip


def assert_lines(view: Vocabulary, lines: list[str]) -> None:
    lines = list(Lines(lines))
    found, wanted = cut_lines(view, Lines(lines)), view.encode(lines)
    assert np.array_equal(found.ids, np.concatenate(wanted))
    assert np.array_equal(found.lengths, list(map(len, wanted)))


@pytest.mark.parametrize("algorithm", SIZES)
@pytest.mark.parametrize("more", [[], AWKWARD, ADDED], ids=["plain", "awkward", "added"])
def test_lines_are_those_cut_whole(algorithm, more):
    """And so is the text that evidence about tokens is drawn from, its special tokens left out."""
    view = Vocabulary.of(train_tokenizer(LINES, algorithm=algorithm, vocab_size=SIZES[algorithm]))
    assert_lines(view, [*LINES, *more])
    ids, starts = encode(view, [*LINES, *more])
    kept = [line[view.kind[line] != Kind.SPECIAL] for line in view.encode(list(Lines([*LINES, *more])))]
    assert ids.dtype == np.int32 and np.array_equal(ids, np.concatenate(kept))
    assert np.array_equal(starts, np.cumsum([0, *map(len, kept)]))


def test_a_text_of_many_lines():
    """Lines of which only some are held against their words; what begins a line is cut as such."""
    backend = metaspace(["▁gida", "gida", "je", "▁", "m", "a"])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]
    )
    bytes_only = Tokenizer(models.BPE({"Ġ": 0, "m": 1, "a": 2, "Ġm": 3, "ma": 4}, [("Ġ", "m"), ("m", "a")]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for one in (backend, bytes_only):
        assert_lines(Vocabulary.of(one), ["ma ma", "gida  ma", "ma gida ma", "", "a"] * 3000)


PIECES = ["▁", "a", "b", ",", ".", "'", "ab", "b,", ".,", "▁a", "▁ab", "a'", "ba", "\u0301", "b\u0301"]


@given(
    words=st.lists(st.text("ab,.'c\u0301", min_size=1, max_size=7), min_size=1, max_size=40, unique=True),
    pieces=st.lists(st.sampled_from(PIECES[6:]), unique=True),
    lower=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_signs_are_taken_off_only_where_no_piece_holds_them(words, pieces, lower):
    """In a Unigram and in a BPE vocabulary that may or may not have letters and signs in one piece."""
    unigram = metaspace([*PIECES[:6], *pieces], lowercase=lower)
    letters = {piece for piece in PIECES if len(piece) == 1}
    merged = [pair for pair in (("▁", "a"), ("b", ","), ("a", "b"), ("a", "'"), (".", ",")) if "".join(pair) in pieces]
    vocabulary = {piece: n for n, piece in enumerate(["<unk>", *sorted(letters | {a + b for a, b in merged})])}
    bpe = Tokenizer(models.BPE(vocabulary, merged, unk_token="<unk>", fuse_unk=True))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip()])
    splitter = Splitter()
    lines = [" ".join(words), "ab, ab. a' b"]
    splitter.split(lines)
    lexicon = splitter.lexicon
    for backend in (unigram, bpe):
        view = Vocabulary.of(backend)
        cut = cut_words(view, lexicon, ["ab, ab. a' b"])
        assert cut.mark == ""
        alone = Pieces.of(view, lexicon.words)
        assert np.array_equal(cut.words.ids, alone.ids) and np.array_equal(cut.words.starts, alone.starts)


@pytest.mark.parametrize("more", [{}, {"closers": "'"}, {"punctuation": "keep"}], ids=["cut off", "kept", "uncut"])
def test_words_cut_by_name_are_known_without_their_signs(more):
    """Bidirectional WordPiece: a sign is taken off only where the pre-tokeniser does so before it looks at names."""
    draw = random.Random(0)
    syllables = ["ma", "ka", "gi", "da", "ru", "wa", "aa", "an", "na", "bb", "ab"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(120)]
    text = [" ".join(draw.choices(words, k=12)) for _ in range(200)]
    view = Vocabulary.of(train_tokenizer(text, algorithm="bidirectional-wordpiece", vocab_size=60, **more))
    cutters = parts_of(state_of(view.backend.pre_tokenizer))
    assert any(map(by_name, cutters)) and _tells_signs_apart(view, cutters) == (not more)
    assert_lines(view, [*text[:40], *(f"{word} {word}, ({word}) {word}' {word}." for word in words)])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=6))
@settings(max_examples=150, deadline=None)
def test_splitting_is_that_of_each_line(lines):
    splitter = Splitter()
    ids, counts = splitter.split(lines)
    lexicon, signs = splitter.lexicon, splitter.signs
    words = lexicon.words
    assert set(words) == {word for line in lines for word in line.split()} and len(set(words)) == len(words)
    for line, items in zip(lines, np.split(ids, np.cumsum(counts)[:-1]) if lines else [], strict=True):
        parts = [words[item] if item >= 0 else lexicon.spans[~item][0] for item in items]
        assert " ".join(parts) == (line if line.strip() else "")
        assert [lexicon.spans[~item][1] for item in items if item < 0] == [n == 0 for n in np.flatnonzero(items < 0)]
        assert not lexicon.strange[items[items >= 0]].any()
        for span in [part for part, item in zip(parts, items, strict=True) if item < 0]:
            chunks = span.split(" ")
            odd = [not chunk or chunk.split() != [chunk] or signs.strange([chunk]) != [] for chunk in chunks]
            assert any(odd) and odd.index(True) < 2 and odd[::-1].index(True) < 2
    for word, core, joined in zip(words, signs.cores(words), signs.joined(words), strict=True):
        inside = [n for n, letter in enumerate(word) if unicodedata.category(letter)[0] in "LMN"]
        assert core == (word[inside[0] : inside[-1] + 1] if inside else "")
        assert joined == len(word) + 1 - len(regex.findall(r"\X", f" {word}"))


@pytest.mark.parametrize(("rule", "kept"), [("21\t2E\n", False), ("101\t61\n", True)], ids=["! is .", "ā is a"])
def test_a_table_that_changes_signs_is_not_passed_over(rule, kept, tmp_path):
    """SentencePiece's normalisers may hold rules of the user's own, here in its hexadecimal form."""
    (tmp_path / "rules.tsv").write_text(rule)
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["ab ba abc cab"] * 20), model_writer=made, vocab_size=12, hard_vocab_limit=False,
        normalization_rule_tsv=str(tmp_path / "rules.tsv"), minloglevel=2,
    )  # fmt: skip
    spec = sentencepiece_model_pb2.ModelProto.FromString(made.getvalue()).normalizer_spec
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Precompiled(spec.precompiled_charsmap)
    assert keeps_ascii(backend) == kept
