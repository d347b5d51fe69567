"""Tokens on disk, blocks of whole lines, masks."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from adapt.pretrain.data import Blocks, Stream, pack
from adapt.pretrain.masking import choose, corrupt
from adapt.pretrain.tokens import Symbols, tokenise, word_starts
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace, wordpiece

WORDPIECE = wordpiece([*"abcdefgh.", "ab", "##cd", "##ef", "##g"])
METASPACE = metaspace(["▁", "▁ab", "cd", "ef", "▁a", "b", ".", "g", *"acdefh"])


@pytest.mark.parametrize("tokenizer", [WORDPIECE, METASPACE], ids=["wordpiece", "metaspace"])
def test_a_word_is_what_stands_between_white_space_for_every_tokenizer(tokenizer):
    lines = ["abcd a. abef", "b", "a  abg."]
    encoded = tokenizer.backend_tokenizer.encode_batch(lines, add_special_tokens=False)
    starts = word_starts(lines, [e.offsets for e in encoded])
    assert len(starts) == sum(len(e.ids) for e in encoded)
    assert starts.sum() == 6  # abcd | a. | abef | b | a | abg.
    at = 0
    for line, e in zip(lines, encoded, strict=True):
        words = line.split()
        for (a, b), first in zip(e.offsets, starts[at : at + len(e.ids)], strict=True):
            if line[a:b].strip():
                begins = any(line[a:b].strip() and w.startswith(line[a:b].strip()) for w in words)
                if first:
                    assert begins
        at += len(e.ids)


def test_a_lone_word_mark_belongs_to_the_word_that_follows():
    tokenizer = metaspace(["▁", "a", "c"])
    encoded = tokenizer.backend_tokenizer.encode_batch(["a ca"], add_special_tokens=False)
    assert encoded[0].tokens == ["▁", "a", "▁", "c", "a"]
    assert word_starts(["a ca"], [encoded[0].offsets]).tolist() == [True, False, True, False, False]


def write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_text_is_tokenised_once_and_again_when_it_changes(tmp_path):
    text = write(tmp_path / "t.txt", ["abcd ab", "", "g . a"])
    first = tokenise(text, WORDPIECE, tmp_path / "tokens")
    assert (first.facts["lines"], first.facts["tokens"], first.facts["characters"]) == (2, 6, 12)
    assert first.ids.dtype == np.uint16 and first.lines.tolist() == [0, 3, 6]
    stamp = (tmp_path / "tokens" / "ids.bin").stat().st_mtime_ns
    assert tokenise(text, WORDPIECE, tmp_path / "tokens").facts == first.facts
    assert (tmp_path / "tokens" / "ids.bin").stat().st_mtime_ns == stamp
    (tmp_path / "tokens" / "ids.bin").write_bytes(b"\0\0")  # cut in half
    assert tokenise(text, WORDPIECE, tmp_path / "tokens").ids.tolist() == first.ids.tolist()
    write(text, ["abcd"])
    assert tokenise(text, WORDPIECE, tmp_path / "tokens").facts["tokens"] == 2


def test_compressed_text_and_bad_text(tmp_path):
    packed = tmp_path / "t.txt.gz"
    packed.write_bytes(gzip.compress(b"abcd ab\n"))
    assert tokenise(packed, WORDPIECE, tmp_path / "a").facts["tokens"] == 3
    (tmp_path / "bad.txt").write_bytes(b"ab\n\xff\n")
    with pytest.raises(InputError, match=r"bad.txt:2"):
        tokenise(tmp_path / "bad.txt", WORDPIECE, tmp_path / "b")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match="no text"):
        tokenise(tmp_path / "empty.txt", WORDPIECE, tmp_path / "c")


def test_packing_keeps_every_line_and_leaves_little_room():
    lengths = np.random.default_rng(0).integers(3, 60, 2000).tolist()
    blocks = pack(lengths, 127)
    assert sorted(i for block in blocks for i in block) == list(range(2000))
    filled = [sum(lengths[i] for i in block) for block in blocks]
    assert max(filled) <= 127 and np.mean(filled) > 0.95 * 127


def stream_on(tmp_path, lines, length=16, cursor=(0, 0), seed=0):
    symbols = Symbols.of(WORDPIECE)
    made = Stream(tokenise(write(tmp_path / "t.txt", lines), WORDPIECE, tmp_path / "k"), symbols, length, seed)
    made.seek(cursor)
    return made


def test_an_epoch_shows_every_line_once_whole_and_begins_and_ends_blocks(tmp_path):
    lines = [" ".join("abcdefgh"[: 1 + i % 7]) for i in range(300)]
    stream = stream_on(tmp_path, lines)
    seen = []
    while stream.epoch == 0:
        blocks = stream.take(1)
        if stream.epoch == 0:
            row = blocks.ids[0][blocks.attention[0]].tolist()
            assert row[0] == 2 and row[-1] == 3
            seen += " ".join(WORDPIECE.convert_ids_to_tokens(row[1:])).split(" [SEP]")[:-1]
    # The block that was taken after the border belongs to the next epoch.
    assert sorted(s.strip() for s in seen) == sorted(lines)


def test_a_line_longer_than_a_block_is_cut_and_loses_nothing(tmp_path):
    stream = stream_on(tmp_path, [" ".join("abcdefgh" * 9)], length=16)
    count = sum(int((stream.take(1).ids > 4).sum()) for _ in range(6))
    assert count == 72 and stream.cursor == (0, 0, 16, 0, 6)


def test_no_page_of_the_token_files_stays_in_memory(tmp_path):
    stream = stream_on(tmp_path, ["abcd ab", "g . a"] * 50)
    stream.tokens.counts(stream.symbols.size)
    stream.take(3)
    assert not {"ids", "starts", "lines"} & vars(stream.tokens).keys()
    whole = np.concatenate([ids for ids, _ in stream.tokens.read(np.arange(100))])
    assert (whole == stream.tokens.ids).all()
    some = stream.tokens.read(np.array([3, 98]))
    assert [words.tolist() for _, words in some] == [[True] * 3, [True, False, True]]
    assert (some[1][0] == stream.tokens.ids[slice(*stream.tokens.lines[98:100])]).all()


def test_a_stream_goes_on_from_its_cursor(tmp_path):
    lines = [" ".join("abcdefgh"[: 1 + i % 7]) for i in range(100)]
    whole = stream_on(tmp_path, lines)
    whole.take(40)  # into the second epoch
    cursor = whole.cursor
    rest = [whole.take(3).ids for _ in range(5)]
    again = stream_on(tmp_path, lines, cursor=cursor)
    assert all((again.take(3).ids == r).all() for r in rest)
    assert cursor[0] >= 1
    other = stream_on(tmp_path, lines, seed=1).take(40).ids
    first = stream_on(tmp_path, lines).take(40).ids
    assert other.shape != first.shape or (other != first).any()


def blocks_of(rows):
    """Rows of token ids; upper case in the pattern begins a word."""
    symbols = Symbols.of(WORDPIECE)
    ids = np.array([[{"[": 2, "]": 3, "_": 0}.get(c, 5 + (ord(c.lower()) - 97) % 8) for c in row] for row in rows])
    starts = np.array([[c.isupper() or c == "]" for c in row] for row in rows])
    return Blocks(ids, starts, np.array([[c != "_" for c in row] for row in rows])), symbols


def test_masks_take_whole_words_never_specials_at_the_rate_asked_for():
    blocks, symbols = blocks_of(["[AbcDeF]GhAbcdE]Fg]___"] * 400)
    chosen = choose(blocks, symbols, 0.3, "word", np.random.default_rng(0))
    assert not chosen[symbols.special[blocks.ids] | ~blocks.attention].any()
    words = [(1, 4), (4, 6), (6, 7), (8, 10), (10, 14), (14, 15), (16, 18)]
    for a, b in words:
        assert (chosen[:, a:b].all(1) | ~chosen[:, a:b].any(1)).all()
        assert 0.2 < chosen[:, a].mean() < 0.4
    assert abs(chosen.sum() / (400 * 16) - 0.3) < 0.03


def test_word_l2r_masks_ends_of_words():
    blocks, symbols = blocks_of(["[AbcdAbcd]"] * 2000)
    chosen = choose(blocks, symbols, 0.5, "word-l2r", np.random.default_rng(0))
    word = chosen[:, 1:5]
    any_ = word.any(1)
    assert (np.diff(word[any_].astype(int), axis=1) >= 0).all()  # once hidden, hidden to the end
    lengths = np.bincount(word[any_].sum(1), minlength=5)[1:] / any_.sum()
    assert np.allclose(lengths, [0.125, 0.125, 0.125, 0.625], atol=0.04)


def test_at_least_one_token_is_predicted_and_nothing_from_nothing():
    blocks, symbols = blocks_of(["[Ab]"])
    assert choose(blocks, symbols, 1e-9, "word", np.random.default_rng(0)).sum() == 1
    blocks, symbols = blocks_of(["[]__"])
    assert choose(blocks, symbols, 0.5, "word", np.random.default_rng(0)).sum() == 0


def test_eighty_ten_ten():
    blocks, symbols = blocks_of(["[" + "A" * 50 + "]"] * 400)
    chosen = choose(blocks, symbols, 0.5, "token", np.random.default_rng(0))
    inputs = corrupt(blocks.ids, chosen, symbols, 0.8, 0.1, np.random.default_rng(1))
    assert (inputs[~chosen] == blocks.ids[~chosen]).all()
    hidden = inputs[chosen]
    assert abs((hidden == symbols.mask).mean() - 0.8) < 0.02
    kinds = len(symbols.ordinary)
    assert abs((hidden == blocks.ids[1, 1]).mean() - (0.1 + 0.1 / kinds)) < 0.02
    assert not np.isin(hidden[hidden != symbols.mask], np.flatnonzero(symbols.special)).any()
