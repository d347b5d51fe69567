"""Objectives by hand, masks at their rates, rows without packing, growing lengths."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import transformers

import adapt
from adapt.pretrain.data import Blocks, Stream
from adapt.pretrain.engine import pretrain
from adapt.pretrain.masking import choose, corrupt
from adapt.pretrain.objectives.mlm import MlmOptions
from adapt.pretrain.options import Pretrain
from adapt.pretrain.similar import NEIGHBOURS, similar_tokens
from adapt.pretrain.step import accumulate, length_at, train_step
from adapt.pretrain.tokens import Symbols, tokenise
from tests.adapt.pretraining import options, setup_on, short_lines
from tests.conftest import write_config
from tests.tiny_tokenizers import metaspace, wordpiece
from vocab.view import Vocabulary

PIECES = wordpiece([*"abc"])  # [PAD] [UNK] [CLS] [SEP] [MASK] a b c


def hand_setup(tmp_path, model, kind):
    model.save_pretrained(tmp_path / "model")
    PIECES.save_pretrained(tmp_path / "model")
    (tmp_path / "t.txt").write_text("a b\na c c\n", encoding="utf-8")
    given = options(objective=kind, batch_tokens=32, sequence_length=16, head_bias="keep", unit="token", rate=0.5)
    return setup_on(tmp_path / "model", tmp_path / "t.txt", tmp_path, given)


def test_clm_by_hand(tmp_path):
    """One-hot embeddings of length 2 x sqrt(2) pass the norm unchanged, no layer adds to them: logits are a table."""
    config = transformers.LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                      num_attention_heads=1, tie_word_embeddings=False, rms_norm_eps=0.0)  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    counts = np.ones((8, 8))  # P(next | token) = counts[token, next] / sum of the row
    counts[2, 5], counts[5, 6], counts[5, 7], counts[6, 3] = 9, 3, 5, 25
    counts[7] = [1, 1, 1, 4, 1, 1, 1, 6]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.norm.weight.fill_(1)
        model.model.embed_tokens.weight.copy_(torch.eye(8) * 8**0.5)
        model.lm_head.weight.copy_(torch.from_numpy(np.log(counts).T / 8**0.5))
    setup = hand_setup(tmp_path, model, "clm")
    blocks = setup.stream.take(1)
    batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng(0))
    order = blocks.ids[0].tolist()
    # [CLS] a b [SEP] a c c [SEP], or the lines the other way round; after [SEP] all eight are equally likely.
    assert order in ([2, 5, 6, 3, 5, 7, 7, 3], [2, 5, 7, 7, 3, 5, 6, 3])
    chances = [9 / 16, 3 / 14, 25 / 32, 1 / 8, 5 / 14, 6 / 16, 4 / 16]
    assert accumulate(setup, batch) == pytest.approx(-sum(math.log(p) for p in chances) / 7, abs=1e-6)


def test_mlm_by_hand(tmp_path):
    """A decoder of zeros leaves its bias: every position predicts with the same chances, here 1/36, 2/36, ..., 8/36."""
    config = transformers.BertConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                     num_attention_heads=1, max_position_embeddings=16)  # fmt: skip
    model = transformers.BertForMaskedLM(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.zero_()  # tied to the decoder
        model.cls.predictions.bias.copy_(torch.arange(1, 9).log())
    setup = hand_setup(tmp_path, model, "mlm")
    blocks = setup.stream.take(1)
    seen = set()
    for draw in range(8):
        batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng(draw))
        labels = blocks.ids[0, batch.columns].tolist()
        assert set(labels) <= {5, 6, 7} and labels  # a, b, c: never [CLS] or [SEP]
        expected = -sum(math.log((label + 1) / 36) for label in labels) / len(labels)
        assert accumulate(setup, batch) == pytest.approx(expected, abs=1e-6)
        seen.add(tuple(batch.columns))
    assert len(seen) > 3


# Masks

UNITS = ["token", "word", "ngram", "word-l2r"]


def many_rows(rows, seed):
    """Rows of words of one to five tokens between [CLS] and [SEP], a few padded."""
    draw = np.random.default_rng(seed)
    ids, starts = draw.integers(5, 13, (rows, 64)), draw.random((rows, 64)) < 0.4
    documents = np.ones(ids.shape, dtype=np.int16)
    ids[:, 0], ids[:, 40], ids[:, 63], starts[:, [1, 41]] = 2, 3, 3, True
    ids[::7, 50:], documents[::7, 50:] = 0, 0
    return Blocks(ids, starts, documents), Symbols.of(wordpiece([*"abcdefgh"]))


@pytest.mark.parametrize("rate", [0.15, 0.3, 0.4])
@pytest.mark.parametrize("unit", UNITS)
def test_the_share_of_tokens_is_the_rate_asked_for(unit, rate):
    blocks, symbols = many_rows(16, 0)
    free = blocks.attention & ~symbols.special[blocks.ids]
    shares = np.array([choose(blocks, symbols, rate, unit, np.random.default_rng([1, n])).sum() for n in range(400)])
    shares = shares / free.sum()
    assert abs(shares.mean() - rate) < 3 * shares.std() / len(shares) ** 0.5
    assert shares.std() > 0


def test_ngrams_are_one_to_three_whole_words_and_stay_within_a_line():
    symbols = Symbols.of(wordpiece([*"abcdefgh"]))
    ids = np.tile([2, 5, 6, 7, 8, 9, 10, 3], (6000, 1))  # six words of which the third has two tokens
    starts = np.tile(np.array([0, 1, 1, 1, 0, 1, 1, 0], bool), (6000, 1))
    blocks = Blocks(ids, starts, np.ones(ids.shape, np.int16))
    chosen = choose(blocks, symbols, 0.02, "ngram", np.random.default_rng(0))
    assert (chosen[:, 3] == chosen[:, 4]).all() and not chosen[:, [0, 7]].any()
    words = chosen[:, [1, 2, 3, 5, 6]]
    one = words[words.any(1)]
    one = one[[len(np.flatnonzero(np.diff(np.concatenate(([0], row, [0]))) == 1)) == 1 for row in one]]
    lengths = np.bincount(one.sum(1), minlength=4)
    assert (lengths[1:4] > 0).all() and lengths[1:4].sum() > 0.95 * len(one)  # two runs may touch now and then
    assert lengths[1] > lengths[2]


def test_runs_end_with_the_row_and_the_document():
    symbols = Symbols.of(wordpiece([*"abcd"]))
    ids = np.full((4000, 4), 5)
    blocks = Blocks(ids, np.ones(ids.shape, bool), np.tile(np.array([1, 1, 2, 2], np.int16), (4000, 1)))
    chosen = choose(blocks, symbols, 0.1, "ngram", np.random.default_rng(0)).reshape(-1, 2)
    assert chosen.all(1).any()  # runs within a document
    followed = chosen[1:, 0][chosen[:-1, 1]]  # a document's first word, when the last one before it is hidden
    assert abs(followed.mean() - 0.1) < 3 * (0.09 / len(followed)) ** 0.5


def test_runs_have_the_lengths_that_albert_draws():
    symbols = Symbols.of(wordpiece([*"abcdefgh"]))
    ids = np.full((1, 60_000), 5)
    blocks = Blocks(ids, np.ones(ids.shape, bool), np.ones(ids.shape, np.int16))
    chosen = choose(blocks, symbols, 0.01, "ngram", np.random.default_rng(3))[0]
    edges = np.flatnonzero(np.diff(np.concatenate(([0], chosen, [0]))))
    lengths = np.bincount(edges[1::2] - edges[::2], minlength=4)[1:4]
    expected = np.array([6, 3, 2]) / 11 * lengths.sum()
    assert (abs(lengths - expected) < 3 * np.sqrt(expected) + 0.02 * lengths.sum()).all()


def test_masks_differ_by_epoch_and_repeat_with_seed_and_step(tmp_path, tiny_source, language):
    text = tmp_path / "one.txt"
    text.write_text("".join((language / "text.txt").open(encoding="utf-8").readlines()[:3]), encoding="utf-8")
    for kind in UNITS:
        given = options(unit=kind, batch_tokens=32, sequence_length=32)
        drawn = []
        for seed in (0, 0, 1):
            setup = setup_on(tiny_source, text, tmp_path, given, seed=seed)
            batches = {}
            for step in range(4):
                blocks = setup.take(step)
                generator = np.random.default_rng([setup.seed, 3, step])
                batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, generator)
                batches[step] = (batch.inputs.tolist(), batch.columns.tolist())
            drawn.append(batches)
        assert drawn[0] == drawn[1] != drawn[2]
        assert len({str(batch) for batch in drawn[0].values()}) == 4  # one block of text: each step is an epoch


def test_similar_tokens_are_near_and_of_equal_kind():
    tokenizer = metaspace(["▁ab", "▁cd", "▁ef", "gh", "ij", "▁12", "▁34", "kl", "▁zz"])
    names = tokenizer.convert_ids_to_tokens(range(14))
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(14, 4)).astype(np.float32)
    at = {name: index for index, name in enumerate(names)}
    rows[at["▁cd"]] = rows[at["▁ab"]] * 3 + 0.01
    rows[at["gh"]] = rows[at["▁ab"]]
    counts = np.ones(14, dtype=np.int64)
    counts[at["▁zz"]] = 0
    found = similar_tokens(rows, Vocabulary.of(tokenizer), counts)
    assert found.shape == (14, NEIGHBOURS)
    assert found[at["▁ab"], 0] == at["▁cd"] and found[at["▁cd"], 0] == at["▁ab"]
    assert set(found[at["▁ab"]]) == {at["▁cd"], at["▁ef"], -1}  # no piece from inside a word, no number
    assert set(found[at["▁12"]]) == {at["▁34"], -1}
    assert set(found[at["gh"]]) == {at["ij"], at["kl"], -1}
    assert (found[at["▁zz"]] == -1).all() and (found[:5] == -1).all()  # not in the text; specials
    again = similar_tokens(np.ones_like(rows), Vocabulary.of(tokenizer), counts)  # all alike: ties by id, never itself
    assert all(index not in row for index, row in enumerate(again.tolist()))


def test_similar_tokens_stand_where_the_mask_token_would(tmp_path, tiny_source, language):
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, options(replace="similar", random=0.0, rate=0.4))
    similar = setup.symbols.similar
    batch = setup.objective.batch(
        setup.stream.take(64), setup.symbols, setup.objective_options, np.random.default_rng(0)
    )
    seen = batch.inputs[batch.rows, batch.columns]
    near = (similar[batch.labels] == seen[:, None]).any(1)
    lonely = (similar[batch.labels] < 0).any(1)
    kept = seen == batch.labels
    assert not (batch.inputs == setup.symbols.mask).any()
    assert (near | lonely | kept).all() and near.sum() > 0.7 * len(near) - lonely.sum()
    assert 0.15 < kept[~lonely].mean() < 0.25
    assert setup_on(tiny_source, language / "text.txt", tmp_path, options(replace="similar")).symbols.similar.tolist() \
        == similar.tolist()  # fmt: skip
    assert train_step(setup, 0)["loss"] > 0


def test_a_token_without_a_similar_one_gets_a_random_one():
    symbols = Symbols.of(wordpiece([*"abcd"]))
    symbols = Symbols(**{**vars(symbols), "similar": np.full((symbols.size, 2), -1)})
    ids = np.full((100, 20), 5)
    inputs = corrupt(ids, np.ones(ids.shape, bool), symbols, 1.0, 0.0, np.random.default_rng(0))
    assert set(inputs.ravel()) == {5, 6, 7, 8}


def test_shares_above_one_are_refused():
    with pytest.raises(ValueError, match="more than all predicted"):
        MlmOptions(masked=0.8, random=0.3)


# Rows without packing, rows that grow


def text_of(tmp_path, count=500):
    path = tmp_path / "t.txt"
    draw = np.random.default_rng(0)
    lines = ["a " * int(n) for n in draw.integers(1, 40, count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tokenise(path, PIECES, tmp_path / "k")


def test_without_packing_a_row_is_a_line_among_lines_of_like_length(tmp_path):
    tokens = text_of(tmp_path)
    stream = Stream(tokens, Symbols.of(PIECES), 64, 0, packing=False)
    lengths, filled, places, sizes = [], 0, 0, []
    while True:
        blocks = stream.take(8)
        if stream.epoch:
            break
        assert blocks.ids.size <= 8 * 64 and (blocks.ids[:, 0] == 2).all() and blocks.documents.max() == 1
        lengths += blocks.attention.sum(1).tolist()
        filled, places = filled + int(blocks.attention.sum()), places + blocks.ids.size
        sizes.append(blocks.ids.shape[1])
    assert sorted(lengths) == sorted((np.diff(tokens.lines) + 2).tolist())  # every line, once
    assert filled / places > 0.93
    assert sizes != sorted(sizes) and sizes != sorted(sizes, reverse=True)


@pytest.mark.parametrize("way", [{}, {"documents": True}, {"packing": False}], ids=["row", "document", "line"])
def test_every_token_comes_once_an_epoch_whatever_the_lengths_and_a_cursor_goes_on(way, tmp_path, monkeypatch):
    monkeypatch.setattr("adapt.pretrain.data.WINDOW", 120)
    tokens = text_of(tmp_path)
    asked = [(4, 16)] * 7 + [(3, 24)] * 9 + [(1, 48)] * 5 + [(5, 32)] * 500
    stream = Stream(tokens, Symbols.of(PIECES), 16, 0, **way)
    assert stream.windows == 4
    seen, cursors, ids = 0, [], []
    for rows, length in asked:
        cursors.append(stream.cursor)
        blocks = stream.take(rows, length)
        assert blocks.ids.shape[1] <= length and (stream.packing is False or len(blocks.ids) == rows)
        ids.append(blocks.ids)
        if stream.epoch:
            break
        seen += int((blocks.ids == 5).sum())
    last = ids.pop()
    whole = len(tokens.ids)
    assert whole - int((last == 5).sum()) <= seen <= whole and (seen == whole or stream.packing)
    for start in (0, 5, 8, 15, 16, 18, 30, len(ids) - 1):
        again = Stream(tokens, Symbols.of(PIECES), 16, 0, **way)
        again.seek(json.loads(json.dumps(cursors[start])))
        for number in range(start, len(ids)):
            assert (again.take(*asked[number]).ids == ids[number]).all()


def test_lengths_grow_by_share_of_the_steps(tmp_path, tiny_source, language):
    given = options(sequence_length=32, batch_tokens=256, sequence_length_warmup=[[0.25, 8], [0.5, 16]])
    assert [length_at(given, share) for share in (0, 0.24, 0.25, 0.49, 0.5, 0.99)] == [8, 8, 16, 16, 32, 32]
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, given, steps=8)
    shapes = [setup.take(step).ids.shape for step in range(8)]
    assert [shape[0] for shape in shapes] == [32, 32, 16, 16, 8, 8, 8, 8]
    assert all(rows * longest <= 256 for rows, longest in shapes) and max(s[1] for s in shapes[:2]) <= 8


@pytest.mark.parametrize("bad", [[[0.5, 64], [0.25, 32]], [[0.5, 128]], [[0.25, 64], [0.5, 32]], [[1.0, 32]]])
def test_lengths_that_do_not_grow_are_refused(bad):
    with pytest.raises(ValueError, match="sequence_length_warmup"):
        Pretrain(sequence_length_warmup=bad)


WAYS = {
    "document": {"attention": "document", "unit": "ngram", "replace": "similar"},
    "row": {"unit": "word"},
    "line": {"packing": False, "unit": "token", "micro_batch_tokens": 128},
}


@pytest.mark.parametrize("way", WAYS)
def test_cut_short_in_every_length_it_ends_in_the_same_weights(way, tmp_path, tiny_source, language, monkeypatch):
    """Interrupted four times, in the middle of an epoch too; `test_pretrain` does the same by SIGKILL."""
    monkeypatch.setattr("adapt.pretrain.data.WINDOW", 100)  # so that a window is cut short by a change of length
    text = short_lines(tmp_path, language, 300)
    given = options(batch_tokens=384, sequence_length=32, sequence_length_warmup=[[0.3, 12], [0.6, 16]],
                    checkpoint_seconds=0.0, lr=3e-3, **WAYS[way])  # fmt: skip
    steps = 15
    whole = pretrain(tiny_source, tiny_source, text, text, given, steps, 0, tmp_path / "whole")
    assert whole["epochs"] > 1

    for session in range(4):

        def cut(setup, step, last=3 * session + 3):
            if step == last:
                raise KeyboardInterrupt
            return train_step(setup, step)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("adapt.pretrain.loop.train_step", cut)
            pretrain(tiny_source, tiny_source, text, text, given, steps, 0, tmp_path / "cut")
    facts = pretrain(tiny_source, tiny_source, text, text, given, steps, 0, tmp_path / "cut")
    assert (
        facts["resumed_from"] == [3, 6, 9, 12] and facts["loss"] == whole["loss"] and facts["tokens"] == whole["tokens"]
    )
    same = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert same[0] == same[1]


def test_a_run_from_yaml_with_all_of_it(tmp_path, tiny_source, language):
    config = write_config(
        tmp_path / "small.yaml", tiny_source, language, pretrain__steps=4, pretrain__attention="document",
        pretrain__sequence_length_warmup=[[0.5, 16]], evaluate__tasks={}, evaluate__lm_words=10,
        pretrain__objective_options={"mlm": {"unit": "ngram", "replace": "similar", "rate": 0.15}},
    )  # fmt: skip
    run = adapt.run(config)
    lines = [json.loads(line) for line in (run.folder / "pretrain/adapted/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4] and all(line["loss"] > 0 for line in lines)
    written = (run.folder / "run.yaml").read_text()
    assert "attention: document" in written and "unit: ngram" in written
