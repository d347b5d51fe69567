"""Pieces that transplant methods share: overlap, old pieces, specials, sparsemax."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny_tokenizers import metaspace, wordpiece
from vocab.transplant.copy_ import overlap
from vocab.transplant.sparsemax import sparsemax
from vocab.transplant.specials import map_specials
from vocab.transplant.subwords import old_pieces
from vocab.view import Vocabulary


def test_overlap_across_families():
    old = Vocabulary.of(wordpiece(["house", "s", "##s", ".", "ab"]))
    new = Vocabulary.of(metaspace(["▁house", "house", "s", ".", "▁ab", "▁s"]))
    pairs = {new.forms[t]: old.tokens[s] for t, s in zip(*overlap(old, new), strict=True)}
    assert pairs == {"▁house": "house", "s": "##s", ".": ".", "▁ab": "ab", "▁s": "s"}
    pairs = {old.tokens[t]: new.forms[s] for t, s in zip(*overlap(new, old), strict=True)}
    assert pairs == {"house": "▁house", "##s": "s", ".": ".", "ab": "▁ab", "s": "▁s"}


def test_overlap_fuzzy_and_symbols():
    old = Vocabulary.of(metaspace(["▁House", "house", "▁the", "The", "▁7", "!"]))
    new = Vocabulary.of(metaspace(["▁house", "▁The", "▁7", "!", "▁tree"]))

    def found(match: str) -> dict[str, str]:
        return {new.forms[t]: old.forms[s] for t, s in zip(*overlap(old, new, match), strict=True)}

    assert found("exact") == {"▁7": "▁7", "!": "!"}
    assert found("symbols") == {"▁7": "▁7", "!": "!"}, "of what is exactly alike"
    assert found("caseless") == {"▁7": "▁7", "!": "!", "▁house": "▁House", "▁The": "▁the"}
    # Among several: the one in lower case first.
    assert found("fuzzy") == {"▁7": "▁7", "!": "!", "▁house": "house", "▁The": "▁the"}


def test_symbols_are_what_belongs_to_no_language():
    forms = ["▁7", "!", "▁", "<0x41>", "▁a", "b", "٣", "▁a7", "̣"]
    view, other = (Vocabulary.of(metaspace(order)) for order in (forms, forms[::-1]))
    found = [view.forms[t] for t in overlap(other, view, "symbols")[0]]
    assert found == ["▁7", "!", "▁", "<0x41>", "٣"]
    assert len(overlap(other, view)[0]) == len(forms)
    # With or without a word mark a number is that number; a letter is not.
    other = Vocabulary.of(metaspace(["7", "▁!", "a", "▁b"]))
    assert [view.forms[t] for t in overlap(other, view, "symbols")[0]] == ["▁7", "!"]


def test_old_pieces_around_an_unknown_letter():
    old = Vocabulary.of(wordpiece(["ba", "##ka", "##a", "k", "##k", "b", "a", "##b"]))
    new = Vocabulary.of(metaspace(["▁baɗka", "ɗa", "▁ɗba", "bakaɗ", "ɗ", "▁baka", "▁"]))
    cut = {form: [old.tokens[i] for i in old_pieces(old, new, new.ids[form])] for form in list(new.ids)}
    assert cut == {
        "▁baɗka": ["ba", "##ka"],
        "ɗa": ["##a"],
        "▁ɗba": ["##b", "##a"],
        "bakaɗ": ["##b", "##a", "##ka"],
        "ɗ": [],
        "▁baka": ["ba", "##ka"],
        "▁": [],
    }


def test_specials_map_by_role_never_by_accident():
    bert = Vocabulary.of(wordpiece(["a"]))
    roberta = Vocabulary.of(metaspace(["▁a", "[MASK]"]))  # [MASK] is ordinary text there
    names = {roberta.tokens[t]: bert.tokens[s] for t, s in map_specials(bert, roberta).items()}
    assert names == {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "<mask>": "[MASK]"}
    names = {bert.tokens[t]: roberta.tokens[s] for t, s in map_specials(roberta, bert).items()}
    assert names == {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[UNK]": "<unk>", "[MASK]": "<mask>"}


def test_token_of_several_roles():
    one = metaspace(["<|endoftext|>", "<unk>", "▁a"], ["<|endoftext|>", "<unk>"])
    one.pad_token = one.bos_token = one.eos_token = "<|endoftext|>"
    many = Vocabulary.of(metaspace(["▁a"]))
    found = map_specials(many, Vocabulary.of(one))
    assert many.tokens[found[0]] == "<s>", "rows of the text's start come before padding's"
    names = {many.tokens[t] for t, s in map_specials(Vocabulary.of(one), many).items() if s == 0}
    assert names == {"<s>", "</s>", "<pad>"}


def test_sparsemax_by_hand():
    indptr, indices, data = sparsemax(np.array([[0.8, 0.6, -1], [1, 0, 0], [0.2, 0.2, 0.2]], np.float32))
    assert indptr.tolist() == [0, 2, 3, 6]
    assert indices.tolist() == [0, 1, 0, 0, 1, 2]
    assert data == pytest.approx([0.6, 0.4, 1, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("fold", [1, 2, 7, 32, 400])
@pytest.mark.parametrize("scale", [0.01, 0.3, 3])
def test_sparsemax_is_exact_however_rows_are_folded(fold, scale):
    scores = (scale * np.random.default_rng(1).standard_normal((40, 300))).astype(np.float32)
    indptr, indices, data = sparsemax(scores, fold)
    for row in range(len(scores)):
        z = np.sort(scores[row].astype(np.float64))[::-1]
        k = max(j for j in range(1, 301) if 1 + j * z[j - 1] > z[:j].sum())
        expected = np.maximum(scores[row] - (z[:k].sum() - 1) / k, 0)
        dense = np.zeros(300)
        dense[indices[indptr[row] : indptr[row + 1]]] = data[indptr[row] : indptr[row + 1]]
        assert dense == pytest.approx(expected, abs=1e-6)
