"""Whatever form text comes in, it is read line by line; what is wrong with it is said, with file and line."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset
from pyarrow import parquet
from tokenizers import Tokenizer

from lexigraft import InputError
from tests.vocab.invented_text import TEXT
from vocab.tokenizer import candidates, load_tokenizer, train_tokenizer
from vocab.tokenizer.algorithm import Task
from vocab.tokenizer.counting import count, letters_of, notices
from vocab.tokenizer.sentencepiece_model import read_model
from vocab.tokenizer.tally import Tally
from vocab.tokenizer.texts import Lines, _runs
from vocab.tokenizer.unigram import sampled

WORDS = ["gida", "ruwa", "sarki"]


def packed(folder: Path) -> list[Path]:
    """The same three lines in every kind of file."""
    raw = "\n".join(WORDS).encode() + b"\n"
    plain, zipped, zstd, table = (folder / f"x.{end}" for end in ("txt", "txt.gz", "txt.zst", "parquet"))
    plain.write_bytes(raw)
    with gzip.open(zipped, "wb") as stream:
        stream.write(raw)
    with pa.CompressedOutputStream(str(zstd), "zstd") as stream:
        stream.write(raw)
    parquet.write_table(pa.table({"id": [1, 2, 3], "text": WORDS}), table)
    return [plain, zipped, zstd, table]


def test_every_kind_of_file(tmp_path: Path):
    files = packed(tmp_path)
    for file in files:
        lines = Lines(file)
        assert list(lines) == WORDS and list(lines) == WORDS  # again: it can be gone through twice
    assert list(Lines(files)) == WORDS * 4
    assert list(Lines(list(map(str, files)))) == WORDS * 4


def test_data_sets():
    rows = Dataset.from_dict({"id": [1, 2, 3], "text": WORDS})
    for texts in (rows, rows.to_iterable_dataset(), rows.remove_columns("text").add_column("line", WORDS)):
        assert list(Lines(texts)) == WORDS
    with pytest.raises(InputError, match="which column is the text.; found columns id; expected a column `text`"):
        Lines(rows.remove_columns("text"))


def test_a_table_without_text(tmp_path: Path):
    parquet.write_table(pa.table({"a": WORDS, "b": WORDS}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet: which column is the text\?; found columns a, b"):
        list(Lines(tmp_path / "x.parquet"))
    (tmp_path / "y.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match="no parquet file"):
        list(Lines(tmp_path / "y.parquet"))


def test_byte_order_mark_and_mixed_line_ends(tmp_path: Path):
    plain = tmp_path / "a.txt"
    plain.write_bytes("\ufeffgida\r\n\r\nruwa\rsarki\n".encode())
    assert list(Lines(str(plain))) == WORDS
    assert list(Lines(["\ufeffgida\nruwa", "", "sarki"])) == WORDS
    assert list(Lines(["gida", ""], blank=True)) == ["gida", ""]


@pytest.mark.parametrize("name", ["x.txt.gz", "x.txt.zst"])
def test_damaged_files(name: str, tmp_path: Path):
    (tmp_path / "all").mkdir()
    whole = next(file for file in packed(tmp_path / "all") if file.name == name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-6])
    with pytest.raises(InputError, match=f"{name}: the file is damaged after line"):
        list(Lines(tmp_path / name))


def test_what_is_no_text(tmp_path: Path):
    for texts, message in (
        ([], "no text to learn from"),
        (["", "  \t"], "no text to learn from"),
        (iter(TEXT), "only once"),
        ((line for line in TEXT), "only once; found a one-shot iterator .generator."),
        (tmp_path / "missing.txt", "no such text file"),
        (tmp_path, "no such text file; found a folder"),
        (12, "found int"),
        ([b"raw"], "found bytes; expected str"),
        (["gida \ud83d ruwa"], r"half a character .a lone surrogate.; found U\+D83D"),
        ({"hau": TEXT, "yor": []}, "found yor; expected text for each"),
    ):
        with pytest.raises(InputError, match=message):
            train_tokenizer(texts, vocab_size=100)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("gida\nkàsá\n".encode("latin-1"), r"x\.txt:2: the text is not UTF-8; found byte 0xe0 at place 2"),
        ("gida ƙ".encode()[:-1], "expected the rest of the character: the file is cut off there"),
        ("gida".encode("utf-16"), "found a UTF-16 byte order mark"),
        (b"gida\nPK\x03\0\0", r"x\.txt:2: a binary file, not text; found a zero byte"),
    ],
)
def test_bytes_that_are_no_utf8(raw: bytes, message: str, tmp_path: Path):
    (tmp_path / "x.txt").write_bytes(raw)
    with pytest.raises(InputError, match=message):
        train_tokenizer(tmp_path / "x.txt", vocab_size=100)


@pytest.mark.parametrize("between", [" ", ""])
def test_a_line_of_megabytes_is_read_in_pieces(between: str, tmp_path: Path):
    """Characters of three bytes never end at a power of two: none may be cut in half."""
    text = between.join(["ሀገር"] * 400_000)
    raw = text.encode()
    assert len(raw) > 3 << 20
    pieces = list(_runs(io.BytesIO(raw + b"\nruwa\n"), whole=False))
    assert b"".join(pieces) == raw + b"\nruwa\n" and pieces[-1] == b"ruwa\n"
    assert max(map(len, pieces)) <= (1 << 20) + 12
    assert list(_runs(io.BytesIO(raw), whole=True)) == [raw]
    (tmp_path / "x.txt").write_bytes(raw + b"\nruwa\n\xff\n")
    with pytest.raises(InputError, match="x.txt:3: the text is not UTF-8"):
        count(Lines(tmp_path / "x.txt"))
    (tmp_path / "x.txt").write_bytes(raw)
    words = count(Lines(tmp_path / "x.txt")).words
    assert "".join(words.elements()).count("ሀገር") >= 400_000 - len(pieces)
    assert len(words) == 1 if between else sum(map(len, words.elements())) == 1_200_000
    given = list(Lines([text, "ruwa"]))  # and so are lines that are in memory
    assert "".join(given) == text + "ruwa" and max(map(len, given)) <= 1 << 20
    assert list(Lines([text, "ruwa"], blank=True)) == [text, "ruwa"]


@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "byte-bpe", "supertokens"])
def test_a_text_without_spaces_is_learnt_from(algorithm: str, tmp_path: Path):
    draw = random.Random(0)
    (tmp_path / "x.txt").write_text("".join(draw.choices(["ሀገር", "ቤት", "ውሃ"], k=12_000)), encoding="utf-8")
    tokenizer = train_tokenizer(tmp_path / "x.txt", algorithm=algorithm, vocab_size=300 if "byte" in algorithm else 60)
    assert len(tokenizer.tokenize("ሀገርቤትውሃ")) < (24 if "byte" in algorithm else 8)


def test_notices():
    text = ["gi\u200bda ruwa\u202a", "gi\x07da", "ka\u0301sa", "sar\ufffdki"]
    counted = count(Lines(text))
    counted.left_out = 3
    said = notices(counted, letters_of(counted.words))
    assert [line.split(" ")[:2] for line in said] == [
        ["2", "invisible"], ["1", "control"], ["1", "replacement"], ["1", "words"], ["3", "occurrences"]
    ]  # fmt: skip
    assert "U+200B, U+202A" in said[0] and "U+0007" in said[1] and "(20.00%)" in said[3]
    assert train_tokenizer(TEXT, vocab_size=150).facts["notices"] == []
    assert "not in NFC" in train_tokenizer([*TEXT, "a\u0301"], vocab_size=150).facts["notices"][0]


def test_a_sample_is_said_to_be_one(monkeypatch):
    assert sampled(Task({"▁ab": 9, "▁abc": 1}, (), None, 9, 2, 1.0, False, 2)) == []
    monkeypatch.setattr(candidates, "_MOST_POSITIONS", 7)  # ▁ab takes 3 x 2 places, ▁abc would take 8
    said = "candidates come from the 1 most frequent words, 90.0% of the text; scores from all"
    assert sampled(Task({"▁ab": 9, "▁abc": 1}, (), None, 9, 2, 1.0, False, 2)) == [said]
    monkeypatch.setattr(candidates, "_MOST_POSITIONS", 1000)
    assert "most frequent words" in train_tokenizer(TEXT, vocab_size=80).facts["notices"][0]


def test_counts_of_more_words_than_there_is_room_for():
    """All that are frequent enough, whatever the order; of equals, those with the smallest checksum."""
    draw = random.Random(0)
    words = [f"w{draw.randrange(2000)}" for _ in range(5000)] + ["ruwa"] * 40 + ["gida"] * 30
    exact = Counter(words)
    kept = []
    for order in (words, words[::-1], sorted(words)):
        tally = Tally(room=300 * 69)
        for start in range(0, len(order), 70):
            tally.add(order[start : start + 70])
        found = tally.close()
        assert all(exact[word] == number for word, number in found.items())
        assert found.total() + tally.left_out == len(words)
        kept.append(found)
    assert kept[0] == kept[1] == kept[2]
    least = min(kept[0].values())
    assert {word for word, number in exact.items() if number > least} <= set(kept[0])
    assert 250 <= len(kept[0]) <= 350
    roomy = Tally(room=5000 * 69)
    roomy.add(words)
    assert roomy.close() == exact and roomy.left_out == 0


def test_long_strings_are_spilled_too():
    tally = Tally()
    lines = [f"{number} " + "x" * 1_000_000 for number in range(40)]
    for line in lines * 2:
        tally.add([line])
    assert tally._runs
    assert tally.close() == Counter(lines * 2) and tally.left_out == 0


def test_a_tokenizer_json_of_an_older_release(tmp_path: Path):
    """Merges as one string, a Metaspace that says `add_prefix_space`, no `byte_fallback`: as releases before 0.20."""
    mark = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    old = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{"id": 0, "content": "<unk>", "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "pre_tokenizer": mark, "decoder": mark,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False,
                  "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "ab": 4, "▁ab": 5}, "merges": ["a b", "▁ ab"]},
    }  # fmt: skip
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(old))
    tokenizer = load_tokenizer(file)
    assert tokenizer("ab aba")["input_ids"] == [5, 5, 2] and tokenizer.decode([5, 5, 2]) == "ab aba"
    assert tokenizer.unk_token == "<unk>"
    like = train_tokenizer(TEXT, like=tokenizer, vocab_size=150)
    assert Tokenizer.from_str(like.backend_tokenizer.to_str()).get_vocab_size() == 150
    file.write_text(json.dumps(old | {"model": {"type": "Ngram"}}))
    with pytest.raises(InputError, match=r"tokenizer\.json: this tokenizer.json cannot be read"):
        load_tokenizer(file)


@pytest.mark.parametrize("kind", ["char", "word"])
def test_sentencepiece_types_without_a_fast_counterpart(kind: str):
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, model_type=kind, vocab_size=40, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    with pytest.raises(InputError, match=f"found type {kind}; expected type unigram or bpe"):
        read_model(model.getvalue())
