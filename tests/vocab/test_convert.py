"""Conversions keep ids and cuts, say what they cannot keep, and refuse what a form cannot hold."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
import sentencepiece

from lexigraft import InputError
from tests.conftest import sentences
from tests.vocab.invented_text import llama2
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.convert import convert, from_tiktoken, merged_last
from vocab.tokenizer.load import load_tokenizer
from vocab.tokenizer.sentencepiece_model import read_model
from vocab.view import Vocabulary, byte_alphabet

TEXT = [" ".join(word for word, _, _ in s) for s in sentences(200, 0)]
OTHER = [*(" ".join(word for word, _, _ in s) for s in sentences(80, 7)), "ƙaƙa Ẹ̀kọ́ 123 (ma) 'yan"]
SIZES = {"unigram": 180, "bpe": 180, "sentencepiece-bpe": 180}


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("algorithm", SIZES)
def test_to_sentencepiece(tmp_path: Path, algorithm: str, fallback: bool):
    """SentencePiece itself gives the ids that the tokenizer gives."""
    size = SIZES[algorithm] + 256 * fallback
    tokenizer = train_tokenizer(TEXT, algorithm=algorithm, vocab_size=size, byte_fallback=fallback)
    made = convert(tokenizer, tmp_path / "x.model", texts=TEXT)
    assert any("NFC" in sentence for sentence in made.lost) and any("roles" in sentence for sentence in made.lost)
    assert made.facts == {"lines": 200, "lines_different": 0}
    processor = sentencepiece.SentencePieceProcessor(model_file=str(made.file))
    assert processor.GetPieceSize() == len(tokenizer) and processor.pad_id() == tokenizer.pad_token_id
    for line, ids in zip(OTHER[:-1], Vocabulary.of(tokenizer).encode(OTHER), strict=False):
        assert processor.encode(line) == ids.tolist()
    back = Vocabulary.of(load_tokenizer(made.file))
    assert back.tokens == Vocabulary.of(tokenizer).tokens


def sentencepiece_model(kind: str, size: int = 60, text: list[str] = TEXT, **options: bool) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, model_type=kind, vocab_size=size, hard_vocab_limit=False,
        minloglevel=2, **options,
    )  # fmt: skip
    return model.getvalue()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_there_and_back(tmp_path: Path, kind: str):
    (tmp_path / "old.model").write_bytes(sentencepiece_model(kind))
    convert(tmp_path / "old.model", tmp_path / "tokenizer.json", texts=TEXT)
    convert(tmp_path / "tokenizer.json", tmp_path / "new.model")
    old, new = (sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{n}.model")) for n in ("old", "new"))
    assert [old.encode(line) for line in OTHER[:-1]] == [new.encode(line) for line in OTHER[:-1]]


SPACED = [*OTHER, "  two  spaces ", " one", "   ", "ma  ma"]


def test_rules_that_change_letters_are_lost_and_those_of_spaces_are_not(tmp_path: Path):
    plain = train_tokenizer(TEXT, vocab_size=150)
    tweets = train_tokenizer(TEXT, vocab_size=150, tweets=True)
    ethiopic = train_tokenizer([*TEXT, "ሰላም ቤቶች"], algorithm="sub-character", vocab_size=150)
    said = [convert(one, tmp_path / f"{n}.model").lost for n, one in enumerate((plain, tweets, ethiopic))]
    assert [sum("Replace" in sentence for sentence in lost) for lost in said] == [0, 1, 2]
    assert "Replace (3 rules)" in " ".join(said[1])


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "spaces",
    [
        {"remove_extra_whitespaces": False, "byte_fallback": True},
        {"remove_extra_whitespaces": False, "add_dummy_prefix": False, "byte_fallback": True},
        {"split_by_whitespace": False},
    ],
    ids=["as Llama", "as Gemma", "across words"],
)
def test_spaces_of_sentencepiece(tmp_path: Path, kind: str, spaces: dict[str, bool]):
    """Runs of spaces that stay, no space before the text, pieces over several words: the same ids there and back."""
    raw = sentencepiece_model(
        kind, 330 if "byte_fallback" in spaces else 120, [f"{line}  {line}" for line in TEXT], **spaces
    )
    (tmp_path / "old.model").write_bytes(raw)
    made = convert(tmp_path / "old.model", tmp_path / "new.model", texts=SPACED)
    old, new = (sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{n}.model")) for n in ("old", "new"))
    lines = [line for line in SPACED if kind == "unigram" or 0 not in old.encode(line)]  # runs of unknown letters
    wanted = [old.encode(line) for line in lines]
    assert len(lines) > 50 and [new.encode(line) for line in lines] == wanted and made.facts["lines_different"] == 0
    tokenizer = load_tokenizer(tmp_path / "old.model")
    assert [ids.tolist() for ids in Vocabulary.of(tokenizer).encode(lines)] == wanted
    assert "split_by_whitespace" not in spaces or any("▁" in old.id_to_piece(i)[1:] for i in range(120))
    if "byte_fallback" in spaces:
        assert [tokenizer.decode(ids) for ids in wanted] == lines


def test_what_stands_before_the_text_is_the_sources_own(tmp_path: Path):
    """Normalisers write word marks, too (Llama 2): SentencePiece is told to put the space, and nothing is lost."""
    made = convert(llama2(), tmp_path / "x.model", texts=SPACED)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(made.file))
    assert made.facts["lines_different"] == 0 and not any("Prepend" in sentence for sentence in made.lost)
    assert [processor.encode(line) for line in SPACED] == [
        ids.tolist() for ids in Vocabulary.of(llama2()).encode(SPACED)
    ]


@pytest.mark.parametrize("kind", ["char", "word"])
def test_sentencepiece_models_without_a_counterpart(kind: str):
    with pytest.raises(InputError, match=f"no fast counterpart; found type {kind}; expected type unigram or bpe"):
        read_model(sentencepiece_model(kind))


def by_rank(part: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Merge the pair of the lowest rank, until there is none: what tiktoken does to one part."""
    parts = [bytes([byte]) for byte in part]
    while True:
        pairs = [(ranks.get(a + b, 1 << 40), n) for n, (a, b) in enumerate(zip(parts, parts[1:], strict=False))]
        if not pairs or min(pairs)[0] == 1 << 40:
            return [ranks[part] for part in parts]
        _, place = min(pairs)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def test_tiktoken_there_and_back(tmp_path: Path):
    tokenizer = train_tokenizer(TEXT, algorithm="byte-bpe", vocab_size=420)
    made = convert(tokenizer, tmp_path / "x.tiktoken", texts=None)
    assert any("pat_str" in sentence for sentence in made.lost) and any("<mask>=4" in s for s in made.lost)
    ranks = {}
    for line in made.file.read_text().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    view, alphabet = Vocabulary.of(tokenizer), byte_alphabet()
    cut = view.backend.pre_tokenizer.pre_tokenize_str
    for line, ids in zip(OTHER, view.encode(OTHER), strict=True):
        parts = [bytes(alphabet[letter] for letter in part) for part, _ in cut(view.normalise(line))]
        assert [index for part in parts for index in by_rank(part, ranks)] == ids.tolist()
    (said,) = (sentence for sentence in made.lost if "pat_str: " in sentence)
    alone = Vocabulary.of(from_tiktoken(made.file, pattern=said.split("pat_str: ")[1]))
    lines = [*OTHER, "ma'ma 'ma, (ma-ma) «12.5» ma'? 'ma' - ma…"]
    assert [ids.tolist() for ids in alone.encode(map(view.normalise, lines))] == [
        i.tolist() for i in view.encode(lines)
    ]
    back = from_tiktoken(made.file, pattern=r" ?[^ ]+", specials={"<mask>": 4})
    again = Vocabulary.of(back)
    assert all(again.tokens[index] == view.tokens[index] for index in {*ranks.values(), 4})
    for line, ids in zip(OTHER, again.encode([f" {line}" for line in OTHER]), strict=True):
        assert ids.tolist() == [i for word in line.split() for i in by_rank(f" {word}".encode(), ranks)]
    assert again.encode(["<mask>"])[0].tolist() == [4]
    assert len(load_tokenizer(made.file)) == len(ranks)


def test_merged_last():
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"abc": 4, b"cab": 5}
    assert merged_last(b"abc", ranks) == (b"a", b"bc")
    assert merged_last(b"cab", ranks) == (b"cab", b"")  # neither ca nor ab is a token


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("YQ==", "x.tiktoken:1: this is no line"),
        ("YQ== 0\n", "found 255 of 256 missing"),
        ("%% 3", "no line of a tikt"),
    ],
)
def test_what_is_no_tiktoken(tmp_path: Path, content: str, message: str):
    (tmp_path / "x.tiktoken").write_text(content)
    with pytest.raises(InputError, match=message):
        load_tokenizer(tmp_path / "x.tiktoken")


def test_what_a_form_cannot_hold(tmp_path: Path):
    wordpiece = train_tokenizer(TEXT, algorithm="wordpiece", vocab_size=180)
    with pytest.raises(InputError, match="byte-level BPE only; found WordPiece"):
        convert(wordpiece, tmp_path / "x.tiktoken")
    with pytest.raises(InputError, match="Unigram or BPE with word marks only; found WordPiece"):
        convert(wordpiece, tmp_path / "x.model")
    with pytest.raises(InputError, match=r"expected .json, .model, .tiktoken"):
        convert(wordpiece, tmp_path / "x.txt")
    convert(wordpiece, tmp_path / "x.json")
    with pytest.raises(InputError, match="there already"):
        convert(wordpiece, tmp_path / "x.json")


def test_a_tokenizer_of_an_older_release(tmp_path: Path):
    """What it lacks is filled in with what was the default then; what cannot be read names its version."""
    file = tmp_path / "tokenizer.json"
    model = {"type": "BPE", "vocab": {"<s>": 0, "▁": 1, "m": 2, "a": 3, "▁m": 4}, "merges": ["▁ m"]}
    special = {"id": 0, "special": True, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False}
    old = {
        "version": "0.9", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [special],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Metaspace", "str_rep": "▁", "add_prefix_space": True}]},
        "model": model,
    }  # fmt: skip
    file.write_text(json.dumps(old))
    assert Vocabulary.of(load_tokenizer(file)).encode(["ma"])[0].tolist() == [4, 3]
    file.write_text(json.dumps(old | {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}))
    assert len(load_tokenizer(file)) == 5
    file.write_text(json.dumps(old | {"pre_tokenizer": {"type": "Nothing"}}))
    with pytest.raises(InputError, match=r"found version 0.9; expected one written by tokenizers 0.20 or later"):
        load_tokenizer(file)
    file.write_text(json.dumps({"vocab": {}}))
    with pytest.raises(InputError, match="this JSON is no tokenizer"):
        load_tokenizer(file)
    file.write_text("no JSON")
    with pytest.raises(InputError, match="this is no tokenizer"):
        load_tokenizer(file)
