"""Forecast: what is hidden stays hidden, scores are right, and the same seed gives the same table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import vocab
from lexigraft import InputError
from tests.conftest import sentences
from tests.tiny_tokenizers import metaspace, wordpiece
from vocab.tokenizer.load import wrap
from vocab.transplant.forecasting import Candidate, _bootstrap, _Task, compare, forecast
from vocab.transplant.hidden import without
from vocab.view import Kind, Vocabulary

LINES = [" ".join(word for word, _, _ in line) for line in sentences(300, 3)]


def bpe(size: int, lines: list[str], *, byte_level: bool = False) -> Tokenizer:
    backend = Tokenizer(models.BPE(unk_token=None if byte_level else "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(False) if byte_level else pre_tokenizers.Metaspace()
    backend.decoder = decoders.ByteLevel() if byte_level else decoders.Metaspace()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else []
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(lines, trainer)
    return backend


@pytest.mark.parametrize(
    "tokenizer",
    [
        metaspace(["▁ma", "▁mata", "ta", *"amt▁"]),
        wordpiece(["ma", "mata", "##ta", *"amt", "##a", "##t"]),
        wrap(bpe(60, ["mata mata tama tama mat"] * 3)),
        wrap(bpe(300, ["mata mata tama tama mat"] * 3, byte_level=True)),
    ],
    ids=["unigram", "wordpiece", "bpe", "byte-bpe"],
)
def test_a_hidden_token_is_gone_for_the_tokenizer_too(tokenizer):
    whole = Vocabulary.of(tokenizer)
    token = whole.ids["▁mata"]
    assert whole.pieces_of("mata", True) == [token]
    view = without(whole, np.array([token]))
    assert len(view) == len(whole)
    assert view.kind[token] == Kind.GAP and "▁mata" not in view.ids and view.roles == whole.roles
    pieces = view.pieces_of("mata", True)
    assert token not in pieces and "".join(view.forms[i] for i in pieces).replace("▁", "") == "mata"
    others = np.delete(np.arange(len(whole)), token)
    assert [view.forms[i] for i in others] == [whole.forms[i] for i in others]
    assert view.fingerprint != whole.fingerprint and whole.kind[token] == Kind.PIECE


def test_scores_by_hand():
    truth = np.array([[3.0, 1.0], [1.0, 3.0], [-1.0, 1.0]])
    task = _Task(None, None, None, None, None, truth, np.array([1.0, 1.0]), 0)
    # After the centre (1, 1): truth (2, 0), (0, 2), (-2, 0).
    found = task.score(np.array([[5.0, 1.0], [1.0, -1.0], [1.0, 1.0]]))
    # The first points the right way; the second the opposite way, behind both others; the third is the centre: a tie.
    assert found[:, 1] == pytest.approx([1, -1, 0])
    assert found[:, 2] == pytest.approx([1, 1 / 3, 1 / 2])
    assert found[:, 3].tolist() == [1, 0, 0]
    assert found[0, 0] == pytest.approx(16 / np.sqrt(26 * 10))


def test_interval_counts_a_token_drawn_twice_once():
    scores = np.random.default_rng(0).standard_normal((200, 1))
    once = _bootstrap(np.arange(200), scores)
    twice = _bootstrap(np.tile(np.arange(200), 2), np.tile(scores, (2, 1)))
    assert twice == pytest.approx(once)
    assert once[1, 0] - once[0, 0] == pytest.approx(2 * 1.96 * scores.std() / np.sqrt(200), rel=0.1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """An old model whose rows are made of their letters, and a new tokenizer that shares half its tokens."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("old")
    old, new = wrap(bpe(420, LINES)), wrap(bpe(520, LINES[100:]))
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=len(old), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                                 intermediate_size=32))  # fmt: skip
    draw = np.random.default_rng(1)
    letter = {c: draw.standard_normal(32) for c in sorted(set("".join(LINES)) | {"▁"})}
    with torch.no_grad():
        for token, index in old.get_vocab().items():
            if all(c in letter for c in token):
                row = np.mean([letter[c] for c in token], axis=0) + 0.05 * draw.standard_normal(32)
                model.get_input_embeddings().weight[index] = torch.from_numpy(row)
    model.save_pretrained(folder)
    old.save_pretrained(folder)
    return folder, new


def test_forecast_orders_methods_as_the_rows_were_made(pair):
    table = forecast(*pair, LINES, ["random", "mean", "subwords", "default"], seeds=(0, 1, 2))
    assert set(table.index[:2]) == {"subwords", "default"} and set(table.index[2:]) == {"random", "mean"}
    assert table.loc["subwords", "mrr"] > 3 * table.loc["random", "mrr"]
    for measure in ("cosine", "centred", "mrr", "first"):
        assert (table[f"{measure}_low"] <= table[measure]).all() and (table[measure] <= table[f"{measure}_high"]).all()
    # One row for all: of n hidden rows one is nearest to it, one second, ...: mrr is (1 + 1/2 + ... + 1/n) / n.
    n = int(table["hidden"].iloc[0])
    assert table.loc["mean", "first"] == pytest.approx(1 / n) and (table["draws"] == 3).all()
    assert table.loc["mean", "mrr"] == pytest.approx(sum(1 / k for k in range(1, n + 1)) / n)
    ahead, low, high = compare(table, "subwords", "random")
    assert ahead == pytest.approx(table.loc["subwords", "mrr"] - table.loc["random", "mrr"])
    assert 0 < low < ahead < high


def test_forecast_repeats_and_names_settings(pair):
    methods = {
        "plain": {"method": "subwords"},
        "letters": {"method": "focus -> mean", "vectors": "characters"},
        "same": Candidate("subwords"),
        "short": "subwords",
    }
    one, two = (vocab.transplant.forecast(*pair, LINES, methods, seeds=(5,)).drop(columns="seconds") for _ in range(2))
    assert one.equals(two)
    assert one.loc["plain"].equals(one.loc["same"]) and one.loc["plain"].equals(one.loc["short"])
    assert compare(one, "plain", "same") == (0, 0, 0)


def test_vectors_of_the_old_vocabulary_do_not_give_hidden_tokens_away(pair):
    old, new = Vocabulary.of(pair[0]), Vocabulary.of(pair[1])
    draw = np.random.default_rng(0)
    known = {form: draw.standard_normal(16) for form in {*old.forms, *new.forms}}
    vectors, others = (np.array([known[form] for form in view.forms]) for view in (new, old))
    # Every shared token has the very same vector on both sides: were it there, its row would be found each time.
    given = {"vectors": vectors, "source_vectors": others, "seeds": (0,)}
    table = forecast(
        *pair, LINES, {"w": {"method": "wechsel -> mean", "options": {"wechsel": {"neighbours": 1}}}}, **given
    )
    assert table.loc["w", "first"] < 0.3 and table.loc["w", "cosine"] < 0.99


def test_what_cannot_be_forecast_says_so(pair):
    with pytest.raises(InputError, match="too few shared tokens to hide .* expected 40 or more"):
        forecast(pair[0], metaspace(["▁zz", "▁qq"]), LINES, ["subwords"], share=0.5)
    with pytest.raises(InputError, match="wechsel needs source_vectors"):
        forecast(*pair, LINES, {"w": {"method": "wechsel", "vectors": "characters"}})
