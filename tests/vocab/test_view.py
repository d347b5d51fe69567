"""The view says what every id spells, in one form, whatever the tokenizer's family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lexigraft import InputError
from vocab.tokenizer.load import load_tokenizer
from vocab.view import Kind, Vocabulary, byte_alphabet


def wordpiece() -> Tokenizer:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "gida", "##je", "gi", "##da", "'", "##n", "yan", ",", "e"]
    tokenizer = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(names[:5])
    return tokenizer


def byte_level() -> Tokenizer:
    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    euro = [letters[byte] for byte in "€".encode()]
    names = [*letters.values(), "Ġg", "id", "Ġgid", "Ġgida", "".join(euro[:2]), "".join(euro), "ĠĠ"]
    merges = [("Ġ", "g"), ("i", "d"), ("Ġg", "id"), ("Ġgid", "a"), tuple(euro[:2]), ("".join(euro[:2]), euro[2])]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [*merges, ("Ġ", "Ġ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("<b>", normalized=False)])
    return tokenizer


def metaspace(fallback: bool = True) -> Tokenizer:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁gida", -2.0), ("je", -3.0), ("▁", -5.0)]
    pieces += [("gida", -4.0), ("<0xC9>", -9.0), ("a", -6.0), ("▁da▁shi", -7.0), (",", -5.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 3, byte_fallback=fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return tokenizer


def test_wordpiece():
    view = Vocabulary.of(wordpiece())
    assert view.family == "wordpiece" and len(view) == 14
    assert view.forms[5:9] == ["▁gida", "je", "▁gi", "da"]
    assert view.word_start[5:9].tolist() == [True, False, True, False]
    assert view.text[6] == b"je"
    assert view.roles == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert view.kind[:5].tolist() == [Kind.SPECIAL] * 5 and "[CLS]" not in view.ids
    assert view.ids["▁,"] == view.ids[","] == 12
    assert view.lowercases and view.strips_accents


def test_byte_level():
    view = Vocabulary.of(byte_level())
    assert view.family == "byte-level"
    spelled = {form: view.text[i] for i, form in enumerate(view.forms) if i >= 256}
    assert spelled["▁gida"] == b"gida" and spelled["€"] == "€".encode() and spelled["▁▁"] == b" "
    assert spelled["<0xE2><0x82>"] == b"\xe2\x82" and spelled["<b>"] == b"<b>"
    assert view.kind[view.backend.token_to_id("<b>")] == Kind.PIECE
    assert sum(view.kind == Kind.BYTE) == 128  # the bytes from 0x80 up are no characters of their own
    assert view.kind[view.ids["a"]] == Kind.PIECE
    assert view.text[view.ids["<0xE2>"]] == b"\xe2"
    assert view.roles == {"eos": view.backend.token_to_id("<|endoftext|>")}


def test_metaspace():
    view = Vocabulary.of(metaspace())
    assert view.family == "metaspace"
    assert view.forms[4:8] == ["▁gida", "je", "▁", "gida"]
    assert view.kind[8] == Kind.BYTE and view.text[8] == b"\xc9" and not view.word_start[8]
    assert view.text[10] == b"da shi" and view.word_start[10]
    # An encoder's <s> is [CLS] too; here the mask token tells.
    assert view.roles == {"cls": 0, "bos": 0, "pad": 1, "sep": 2, "eos": 2, "unk": 3, "mask": 12}


def test_a_decoder_s_s_is_no_cls():
    tokenizer = metaspace()
    raw = json.loads(tokenizer.to_str())
    raw["added_tokens"] = [t for t in raw["added_tokens"] if t["content"] != "<mask>"]
    assert "cls" not in Vocabulary.of(Tokenizer.from_str(json.dumps(raw))).roles


def test_gaps_and_shared_ids():
    gaps = Vocabulary.of(Tokenizer(models.WordLevel({"a": 0, "b": 3}, unk_token="a")))
    assert len(gaps) == 4 and gaps.kind.tolist() == [Kind.SPECIAL, Kind.GAP, Kind.GAP, Kind.PIECE]
    assert gaps.tokens == ["a", "", "", "b"] and "" not in gaps.ids
    with pytest.raises(InputError, match=r"share the id 0; found 'a' and 'b'"):
        Vocabulary.of(Tokenizer(models.WordLevel({"a": 0, "b": 0}, unk_token="a")))


@pytest.mark.parametrize(
    ("make", "text", "start", "inside"),
    [
        (wordpiece, "gidaje", ["gida", "##je"], ["gida", "##je"]),  # there is no ##gi
        (wordpiece, "n", ["[UNK]"], ["##n"]),
        (wordpiece, "'yan", ["'", "yan"], ["'", "yan"]),
        (wordpiece, ",", [","], [","]),
        (metaspace, "gidaje", ["▁gida", "je"], ["gida", "je"]),
        (metaspace, ",", ["▁", ","], [","]),
        (byte_level, "gida", ["Ġgida"], ["g", "id", "a"]),
        (byte_level, "<b>", ["<b>"], ["<b>"]),
    ],
)
def test_pieces_of(make, text, start, inside):
    view = Vocabulary.of(make())
    assert [view.tokens[i] for i in view.pieces_of(text, True)] == start
    assert [view.tokens[i] for i in view.pieces_of(text, False)] == inside


def test_pieces_inside_a_word_are_not_unknown():
    view = Vocabulary.of(wordpiece())
    assert [view.tokens[i] for i in view.pieces_of("daje", False)] == ["##da", "##je"]
    assert [view.tokens[i] for i in view.pieces_of("É", True)] == ["e"]  # as the normaliser leaves it
    assert view.pieces_of("\u0301", True) == []  # the normaliser drops it


def test_encode_is_whole_and_leaves_the_tokenizer_alone():
    tokenizer = wordpiece()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=8)
    view = Vocabulary.of(tokenizer)
    encoded = view.encode(["gidaje , , , ,", ""])
    assert encoded[0].tolist() == [5, 6, 12, 12, 12, 12] and encoded[0].dtype == np.int32 and len(encoded[1]) == 0
    assert tokenizer.truncation["max_length"] == 2


@pytest.mark.parametrize("make", [wordpiece, byte_level, metaspace])
def test_without_truncation_text_is_cut_as_before(make):
    """The model is shared, not copied; added tokens keep their ids and how they are found in a text."""

    def tokenizer(**limits: int) -> Tokenizer:
        made = make()
        made.add_tokens([AddedToken("<L>", lstrip=True), AddedToken("<N>", single_word=True, normalized=True), "je"])
        made.add_special_tokens([AddedToken("<T>", rstrip=True)])
        made.post_processor = processors.TemplateProcessing("$A <T>", special_tokens=[("<T>", made.token_to_id("<T>"))])
        if limits:
            made.enable_truncation(2)
            made.enable_padding(length=9)
        return made

    free, limited = tokenizer(), tokenizer(limit=2)
    backend = Vocabulary.of(limited).backend
    assert backend.to_str() == free.to_str() and limited.truncation and limited.padding
    for text in ("gidaje <L> gida<N> <N> <T>  je", " <T><L>", "Ééje <mask>[MASK]<|endoftext|> <b>", ""):
        for specials in (True, False):
            found, expected = (one.encode(text, add_special_tokens=specials) for one in (backend, free))
            assert (found.ids, found.offsets) == (expected.ids, expected.offsets)


@pytest.mark.parametrize("byte_level", [False, True])
def test_the_end_of_a_word_tells_two_tokens_apart(byte_level):
    names = ["<unk>", "a", "b", "a</w>", "b</w>", "ab</w>", "ab"]
    model = models.BPE({n: i for i, n in enumerate(names)}, [("a", "b</w>"), ("a", "b")], unk_token="<unk>",
                       end_of_word_suffix="</w>")  # fmt: skip
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if byte_level:  # as CLIP has it
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel(False)])
    view = Vocabulary.of(tokenizer)
    assert view.family == ("byte-level" if byte_level else "plain")
    assert view.forms[1:] == names[1:] and view.text[5:] == [b"ab", b"ab"]
    assert [view.ids[form] for form in names[1:]] == [1, 2, 3, 4, 5, 6]


def test_places(tmp_path: Path):
    fast = PreTrainedTokenizerFast(tokenizer_object=wordpiece(), cls_token="[CLS]", sep_token="[SEP]")
    fast.save_pretrained(tmp_path)
    from_folder, from_file = Vocabulary.of(tmp_path), Vocabulary.of(str(tmp_path / "tokenizer.json"))
    assert from_folder.tokens == from_file.tokens == Vocabulary.of(fast).tokens
    assert from_folder.roles["cls"] == 2 and from_file.roles["sep"] == 3
    assert Vocabulary.of(tmp_path) is from_folder and Vocabulary.of(fast) is Vocabulary.of(fast)
    assert Vocabulary.of(from_folder) is from_folder
    assert from_folder.fingerprint == Vocabulary.of(fast).fingerprint != Vocabulary.of(metaspace()).fingerprint


def test_roles_come_from_the_settings_beside_the_file(tmp_path: Path):
    wordpiece().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text('{"cls_token": {"content": "[MASK]"}, "mask_token": "[CLS]"}')
    assert Vocabulary.of(tmp_path / "tokenizer.json").roles == {"cls": 4, "mask": 2}


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match="no such file or folder"):
        Vocabulary.of(tmp_path / "missing")
    with pytest.raises(InputError, match="holds no tokenizer; found an empty folder"):
        Vocabulary.of(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="tokenizer.json"):
        load_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "x.model").write_bytes(b"not a model")
    with pytest.raises(InputError, match="no SentencePiece model"):
        load_tokenizer(tmp_path / "x.model")
    with pytest.raises(InputError, match="found int"):
        Vocabulary.of(3)


_VIEWS = [Vocabulary.of(make()) for make in (wordpiece, byte_level, metaspace)]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20))
def test_any_text(text: str):
    for view in _VIEWS:
        (ids,) = view.encode([text])
        assert all(view.kind[i] != Kind.GAP for i in ids)
        for start in (True, False):
            assert all(0 <= i < len(view) for i in view.pieces_of(text, start))
    spelled = b"".join(b" " * bool(_VIEWS[1].word_start[i]) + _VIEWS[1].text[i] for i in _VIEWS[1].encode([text])[0])
    if "<" not in text:
        assert spelled == text.encode()


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(min_size=1, max_size=6), min_size=1, max_size=8))
def test_any_vocabulary(tokens: set[str]):
    """Forms and bytes of a Metaspace vocabulary agree with each other, whatever its pieces."""
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *((t, -1.0) for t in sorted(tokens - {"<unk>"}))], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    view = Vocabulary.of(tokenizer)
    for index in range(1, len(view)):
        if view.kind[index] == Kind.PIECE:
            mark = "▁" * bool(view.word_start[index])
            assert view.forms[index].replace("▁", " ") == (mark + view.text[index].decode()).replace("▁", " ")
            assert view.ids[view.forms[index]] == index
