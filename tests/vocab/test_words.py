"""Word vectors from files, and the token vectors they turn to, worked out by hand."""

from __future__ import annotations

import copy
import gzip
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import normalizers

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from tests.vocab.six_tokens import B, six_tokens
from vocab.transplant import chain
from vocab.transplant.space import in_one_space
from vocab.vectors.evidence import unit
from vocab.vectors.from_words import from_words
from vocab.vectors.words import WordFile, WordVectors
from vocab.view import Vocabulary

TEXT = "3 2\nba 1 0\nbac 0 2\nca -1 0.5\n"
WORDS = ["ba", "bac", "ca"]
MATRIX = np.array([[1, 0], [0, 2], [-1, 0.5]], np.float32)
TOKENIZER = metaspace(["▁ba", "▁", "c", "ca", "▁Ba", "a"])
BA, MARK, C, CA, CAPITAL, A = range(5, 11)


def binary(words: list[str], matrix: np.ndarray, newline: str = "\n") -> bytes:
    rows = (f"{word} ".encode() + row.astype("<f4").tobytes() for word, row in zip(words, matrix, strict=True))
    return f"{len(words)} {matrix.shape[1]}\n".encode() + newline.encode().join(rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    import fasttext

    folder = tmp_path_factory.mktemp("fasttext")
    (folder / "text.txt").write_text("ba bac ca ba ca\n" * 40, encoding="utf-8")
    model = fasttext.train_unsupervised(
        str(folder / "text.txt"), dim=4, minCount=1, minn=2, maxn=3, bucket=50, epoch=1, thread=1, verbose=0
    )
    model.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.partition("\n")[2].encode(),
        gzip.compress(TEXT.encode(), mtime=0),
        binary(WORDS, MATRIX),
        binary(WORDS, MATRIX, ""),
        TEXT.replace("\n", " \n").encode(),
        TEXT.replace("\n", "\r\n").encode(),
    ],
    ids=["vec", "glove", "gz", "binary", "binary without line ends", "spaces at line ends", "crlf"],
)
def test_formats_are_told_apart(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    found = WordFile(tmp_path / "file").vectors
    assert found.words == WORDS and np.array_equal(found.matrix, MATRIX)
    assert found.vector("bac").tolist() == [0, 2] and found.vector("q") is None
    assert not found.has_subwords


def test_words_with_spaces_and_twice(tmp_path):
    (tmp_path / "glove.txt").write_text("a 1 2\n. . 3 4\na 5 6\n", encoding="utf-8")
    found = WordFile(tmp_path / "glove.txt").vectors
    assert found.words == ["a", ". .", "a"]
    assert found.vector(". .").tolist() == [3, 4]
    assert found.vector("a").tolist() == [1, 2], "of a word that stands twice the first counts"


def test_fasttext_model(trained):
    import fasttext

    found = WordFile(trained).vectors
    model = fasttext.load_model(str(trained))
    assert sorted(found.words) == ["</s>", *WORDS] and found.has_subwords and found.dim == 4
    assert dict(zip(found.words, found.frequency.tolist(), strict=True)) == {"ba": 80, "ca": 80, "bac": 40, "</s>": 40}
    rows = model.get_input_matrix()
    for text in ("bac", "acab"):  # a word, and a string that is none
        mean = rows[model.get_subwords(text)[1]].mean(axis=0)
        assert found.made_of(text) == pytest.approx(mean)
    assert np.linalg.norm(found.vector("bac")) < 0.9, "not brought to length 1"
    assert found.vector("acab") is None
    # Tokens: the n-grams of the surface, without the word mark.
    made = from_words(found, Vocabulary.of(TOKENIZER))
    assert made[BA] == pytest.approx(unit(found.made_of("ba")[None])[0], abs=1e-6)
    assert made[CA] == pytest.approx(unit(found.made_of("ca")[None])[0], abs=1e-6)
    assert not made[:5].any() and not made[MARK].any()


def test_tokens_from_words_by_hand():
    """ba is ▁ba; bac is ▁ba c; ca is ▁ ca; Ba is ▁Ba."""
    words, view = WordVectors(WORDS, MATRIX, np.array([3, 1, 1])), Vocabulary.of(TOKENIZER)
    made = from_words(words, view)
    assert made[BA] == pytest.approx(unit(np.array([[3 * 1, 2]]))[0])  # 3 times (1, 0) and once (0, 2)
    assert made[C].tolist() == [0, 1]
    assert made[CA] == pytest.approx(unit(np.array([[-1, 0.5]]))[0])
    assert not made[[CAPITAL, A]].any(), "no word has them"
    # All words alike, and capitalised too: Ba is ▁Ba, Bac is ▁Ba c.
    plain = from_words(words, view, "plain")
    assert plain[BA] == pytest.approx(unit(np.array([[2 * 1, 2 * 2]]))[0])
    assert plain[CAPITAL] == pytest.approx(unit(np.array([[1, 2]]))[0])
    # Frequencies of a text instead of the file's.
    assert from_words(words, view, frequency=np.array([0, 5, 0]))[BA].tolist() == [0, 1]
    with pytest.raises(InputError, match="cannot be made by 'subwords'"):
        from_words(words, view, "subwords")


def test_a_spelling_with_a_space_counts_too():
    """A byte-level or WordPiece word is cut differently inside a word and after a space; both count."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.BPE({"b": 0, "Ġ": 1, "Ġb": 2}, [("Ġ", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made = from_words(WordVectors(["b"], np.array([[3.0, 4.0]])), Vocabulary.of(backend))
    assert made == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0.6, 0.8]]))


def test_token_vectors_from_a_file(tmp_path):
    file = tmp_path / "words.vec"
    file.write_text(TEXT, encoding="utf-8")
    texts = ["ba ba bac ca", "ba"]
    found = vocab.token_vectors(TOKENIZER, texts, file, cache=tmp_path / "kept")
    assert found.dense[BA] == pytest.approx(unit(np.array([[3 * 1, 2]]))[0]), "ba thrice, bac once in this text"
    assert found.frequency[[BA, C, CA]].tolist() == [4, 1, 1]
    assert found.kind == "word vectors (words.vec)" and found.words.vectors.words == WORDS
    (kept,) = (tmp_path / "kept").iterdir()
    again = vocab.token_vectors(TOKENIZER, texts, str(file.rename(tmp_path / "moved")), cache=tmp_path / "kept")
    assert np.array_equal(again.dense, found.dense)
    (tmp_path / "moved").write_text(TEXT.replace("0 2", "0 3"), encoding="utf-8")
    vocab.token_vectors(TOKENIZER, texts, tmp_path / "moved", cache=tmp_path / "kept")
    vocab.token_vectors(TOKENIZER, None, tmp_path / "moved", cache=tmp_path / "kept")
    vocab.token_vectors(TOKENIZER, None, tmp_path / "moved", cache=tmp_path / "kept", rule="plain")
    assert len(list((tmp_path / "kept").iterdir())) == 4, "another content, other weights, another rule"
    small = copy.deepcopy(TOKENIZER)
    small.backend_tokenizer.normalizer = normalizers.Replace("a", "c")  # the same tokens, other cuts
    made = vocab.token_vectors(small, None, tmp_path / "moved", cache=tmp_path / "kept")
    assert np.array_equal(made.dense, vocab.token_vectors(small, None, tmp_path / "moved", cache=False).dense)
    assert not np.array_equal(made.dense, vocab.token_vectors(TOKENIZER, None, tmp_path / "moved", cache=False).dense)
    assert kept.is_file()


def test_a_kept_file_of_words_is_not_read_again(tmp_path):
    (tmp_path / "words.vec").write_text(TEXT, encoding="utf-8")
    for read in (True, False):
        found = vocab.token_vectors(TOKENIZER, None, tmp_path / "words.vec", cache=tmp_path / "kept")
        assert ("vectors" in vars(found.words)) is read


def test_words_of_a_text(tmp_path):
    """Trained once for the same text and settings; n-grams of five characters of the marked word."""
    lines = ["ba bac, ca abacaba!"] * 30
    options = {"dim": 4, "buckets": 100, "epochs": 2}
    found = vocab.token_vectors(TOKENIZER, lines, "words", cache=tmp_path, **options)
    again = vocab.token_vectors(TOKENIZER, lines, "words", cache=tmp_path, **options)
    assert np.array_equal(found.dense, again.dense) and found.kind == "words"
    assert {*found.words.vectors.words} == {"ba", "bac", "ca", "abacaba", ",", "!", "</s>"}
    assert len(list(tmp_path.glob("*.bin"))) == 1
    assert found.dense[BA] == pytest.approx(unit(found.words.vectors.made_of("ba")[None])[0], abs=1e-6)
    assert found.frequency[BA] == 60
    loose = vocab.token_vectors(TOKENIZER, lines, "words", cache=False, **options)
    assert np.array_equal(loose.dense, found.dense)
    vocab.token_vectors(TOKENIZER, [*lines, "ba"], "words", cache=tmp_path, **options)
    assert len(list(tmp_path.glob("*.bin"))) == 2
    with pytest.raises(InputError, match="no word that it shows 5 times"):
        vocab.token_vectors(TOKENIZER, ["ba", "bac"], "words", cache=tmp_path, **options)


def test_word_boundaries_keep_accents_and_apostrophes():
    from vocab.vectors.fasttext import _WORD

    assert _WORD.findall("'Yan ƙasa sun ce: \"ọ̀rọ̀-ni'i\".") == [
        "'", "Yan", "ƙasa", "sun", "ce", ":", '"', "ọ̀rọ̀-ni'i", '"', ".",
    ]  # fmt: skip


def test_spaces_are_aligned_over_words(tmp_path):
    """The source's words are the target's turned by a quarter; no token is a word of the dictionary."""
    six = six_tokens([[0, 0]] * 6)
    (tmp_path / "new.vec").write_text("bc 2 0\nbcd 0 1\nb 1 1\n", encoding="utf-8")
    (tmp_path / "old.vec").write_text("abc 0 1\nAbcd -1 0\nb -1 1\n", encoding="utf-8")
    problem = replace(
        six, vectors=tmp_path / "new.vec", source_vectors=tmp_path / "old.vec",
        extra={"dictionary": [("abc", "bc"), ("abcd", "BCD"), ("none", "b")]},
    )  # fmt: skip
    new, old = in_one_space(problem)
    assert problem.notes == ["vectors aligned by 2 dictionary pairs"]
    # Both files' "b" is ▁b; its vector on the one side is the other's turned back.
    assert old.dense[2] == pytest.approx(unit(np.array([[1, 1]]))[0], abs=1e-6)
    assert new.dense[B] == pytest.approx(unit(np.array([[1, 1]]))[0])
    mixture = chain.run(problem, ("wechsel", "mean"))
    assert mixture.methods()["wechsel"] >= 2
    problem.notes.clear()
    in_one_space(replace(problem, extra={}), identical=True)
    assert problem.notes == ["vectors aligned by 1 identical strings"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.replace("0 2", "2"), r"file:3: the line is too short for a vector; found 1 numbers"),
        (TEXT.replace("0 2", "nan 2"), r"file:3: a vector holds NaN or inf; found the word 'bac'"),
        (TEXT.replace("0 2", "x 2"), r"file:3: the line is no vector"),
        (TEXT.replace("3 2", "4 2"), r"file:1: the header is wrong, or lines are missing; found 3 words; expected 4"),
        (TEXT.replace("3 2", "0 2"), r"file:1: a header of nothing"),
        (TEXT.replace("3 2", "3 1"), r"file:1: the header is wrong: every line holds more numbers; found 1 dimensions"),
        (TEXT.replace("3 2", "-3 2"), r"file:1: the line is too short for a vector; found 1 numbers"),
        (TEXT.replace("1 0", "1,5 0,1"), r"file:2: the line is no vector: .*1,5"),
        ("ba 1 0\nbac\n", r"file:2: the line is too short for a vector; found 0 numbers; expected a word and 2"),
        ("", r"no word vectors in it"),
        ("3 2\n", r"the header is wrong, or lines are missing; found 0 words; expected 3|ends early"),
        (binary(["a" * 9, *WORDS[1:]], MATRIX)[:-3], r"ends early, .*; found 2 words of 2 numbers; expected 3"),
        (b"9999999999 300" + binary(WORDS, MATRIX)[3:], r"ends early, .* bytes; expected 9,999,999,999 words of 300"),
        (binary(WORDS, np.full((3, 2), np.inf)), r"NaN or inf; found word 1, 'ba'"),
        (binary(WORDS, MATRIX) + b"more 0000", r"goes on after its last word: .*found 9 bytes more"),
        (gzip.compress(TEXT.encode() * 9, mtime=0)[:-12], r"the packed file is damaged|the line is too short"),
        (b"\x1f\x8b" + b"x" * 20, r"the packed file is damaged"),
        (gzip.compress(pickle.dumps({"ba": [1, 0]}), mtime=0), r"a pickle can run code, it is not opened"),
        (gzip.compress(b"\xba\x16\x4f\x2f\x0c\x00\x00\x00", mtime=0), r"a fastText model is read from where it lies"),
        (pickle.dumps({"ba": [1, 0]}), r"a pickle can run code, it is not opened"),
        (b"\x93NUMPY\x01\x00", r"an array has no words"),
        (b"\xba\x16\x4f\x2f\x0c\x00\x00\x00", r"not a readable fastText model"),
    ],
)  # fmt: skip
def test_bad_files(content, message, tmp_path):
    (tmp_path / "file").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        vocab.token_vectors(TOKENIZER, None, tmp_path / "file", cache=False)


def test_a_fasttext_model_that_ends_early(trained, tmp_path):
    (tmp_path / "half.bin").write_bytes(trained.read_bytes()[:-200])
    with pytest.raises(InputError, match="half.bin: not a readable fastText model: it ends early"):
        _ = WordFile(tmp_path / "half.bin").vectors


def test_an_archive_is_not_opened(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(print))
    with pytest.raises(InputError, match="archive that may hold one"):
        WordFile(tmp_path / "model.pt")
    with pytest.raises(InputError, match="no such file of word vectors"):
        WordFile(tmp_path / "none.vec")
    with pytest.raises(InputError, match="unknown kind of token vectors .*none.vec.*or a file of word vectors"):
        vocab.token_vectors(TOKENIZER, None, tmp_path / "none.vec")


def test_vectors_of_another_size(tmp_path):
    (tmp_path / "two.vec").write_text(TEXT, encoding="utf-8")
    (tmp_path / "one.vec").write_text("1 1\nb 1\n", encoding="utf-8")
    problem = replace(six_tokens([[0, 0]] * 6), vectors=tmp_path / "two.vec", source_vectors=tmp_path / "one.vec")
    with pytest.raises(InputError, match="must lie in one space; found 2 and 1 dimensions"):
        in_one_space(problem)
