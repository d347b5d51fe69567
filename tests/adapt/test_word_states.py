"""Learning from the model before across vocabularies: words are found in both, the distance, what it keeps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import adapt
from adapt.config import load
from adapt.pretrain.data import Blocks, rows_of
from adapt.pretrain.options import Distil
from adapt.pretrain.step import accumulate, train_step
from adapt.pretrain.tokens import Symbols
from adapt.pretrain.word_states import Pairs, WordTeacher
from lexigraft import InputError
from tests.adapt.pretraining import ends_in_the_same_bytes, options, setup_on
from tests.conftest import write_config
from tests.tiny_tokenizers import metaspace, wordpiece


@pytest.fixture(scope="module")
def replaced(finished_run):
    """Folder of a model with a new vocabulary, not yet trained."""
    return finished_run.folder / "transplant" / "model"


def teaching(tiny_source, **more):
    return {"weight": 1.0, "match": "hidden-states", "teacher": str(tiny_source), **more}


def teacher_of(old, new, *, apart=False, longest=None):
    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=longest), named_modules=list)
    return WordTeacher(SimpleNamespace(model=model), old, Symbols.of(old), new, Symbols.of(new), apart, 1.0)


def read(tokenizer, lines, *, apart=False):
    """One packed row, as training reads it."""
    row = []
    for line in lines:
        words = [tokenizer.encode(word, add_special_tokens=False) for word in line]
        ids = np.array([number for word in words for number in word])
        begins = np.array([not k for word in words for k in range(len(word))])
        row.append((ids, begins))
    return rows_of([row], 64, Symbols.of(tokenizer), apart=apart)


@pytest.mark.parametrize("apart", [False, True], ids=["row", "documents"])
def test_the_last_tokens_of_the_same_words_are_found_in_both(apart):
    new = metaspace(["▁", "▁gida", "n", "▁ruwa", "a", "d", "g", "i", "r", "u", "w"])
    old = wordpiece(["gid", "##an", "##a", "ruwa", "##n", "ru", "##wan"])
    blocks = read(new, [["gidan", "ruwa"], ["ruwan"]], apart=apart)
    pairs = teacher_of(old, new, apart=apart).pairs(blocks)
    spelt = [tokenizer.convert_ids_to_tokens(b.ids[0]) for tokenizer, b in ((new, pairs.own), (old, pairs.before))]
    opens = (["<s>"], ["[CLS]"]) if apart else ([], [])
    assert spelt[0] == ["<s>", "▁gida", "n", "▁ruwa", "</s>", *opens[0], "▁ruwa", "n", "</s>"]
    assert spelt[1] == ["[CLS]", "gid", "##an", "ruwa", "[SEP]", *opens[1], "ruwa", "##n", "[SEP]"]
    assert [spelt[0][c] for c in pairs.ends[1]] == ["n", "▁ruwa", "n"]
    assert [spelt[1][c] for c in pairs.ends_before[1]] == ["##an", "ruwa", "##n"]
    assert pairs.before.documents.max() == 1 + apart


def test_lines_that_cannot_be_compared_are_left_out():
    """A comma is a word to one of them only; a row of the teacher's ends after eight tokens."""
    new = metaspace(["▁gida", "▁ruwa", ",", "▁"])
    old = wordpiece(["gi", "##da", "ruwa", ","])
    blocks = read(new, [["gida"], ["gida", ",", "ruwa"], ["ruwa"], ["gida", "gida"]])
    pairs = teacher_of(old, new).pairs(blocks)
    assert len(pairs) == 7 and old.decode(pairs.before.ids[0]).count("gida") == 4
    cut = teacher_of(old, new, longest=8).pairs(blocks)
    assert [new.convert_ids_to_tokens(int(blocks.ids[0, c])) for c in cut.ends[1]] == ["▁gida", "▁ruwa"]
    assert cut.before.ids.shape[1] <= 8 and len(cut.ends_before[1]) == 2
    glued = metaspace(["▁gida", "▁", "▁ruwa"])  # to whom a sign that it does not know is a word of its own
    blocks = read(new, [["gida", "ruwa"], ["gida"]])
    blocks.starts[0, 2] = False  # two words, read as one
    assert len(teacher_of(glued, new).pairs(blocks)) == 2


def test_the_distance_is_the_one_worked_by_hand():
    """States (1, 2) and (3, 0) against (1, 0) and (3, 4): 4 / 1 and 16 / 25; the weight is 2."""
    now = torch.tensor([[[9.0, 9.0], [1.0, 2.0], [3.0, 0.0]]], requires_grad=True)
    known = torch.tensor([[[1.0, 0.0], [3.0, 4.0]]])
    one = np.ones((1, 3), dtype=np.int64)
    own, before = (Blocks(one[:, :n], one[:, :n] > 0, one[:, :n]) for n in (3, 2))
    zero = np.zeros(2, dtype=np.int64)
    pairs = Pairs(own, before, (zero, np.array([1, 2])), (zero, np.array([0, 1])))
    setup = SimpleNamespace(predictor=SimpleNamespace(hidden=lambda *_: now), documents=None, bf16=False,
                            device=torch.device("cpu"))  # fmt: skip
    teacher = WordTeacher(SimpleNamespace(hidden=lambda *_: known), None, None, None, None, False, 2.0)
    loss = teacher.loss_sum(setup, pairs)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2 * (4 + 16 / 25))
    assert now.grad[0].tolist() == [[0, 0], pytest.approx([0, 8]), pytest.approx([0, -4 * 4 / 25])]


def test_the_model_before_itself_pays_nothing(tmp_path, tiny_source, language):
    found = []
    for weight in (0.0, 5.0):
        given = options(distil={"weight": weight, "match": "hidden-states"}, lr=1e-2, sequence_length=64)
        setup = setup_on(tiny_source, language / "text.txt", tmp_path, given)
        found.append([train_step(setup, step)["loss"] for step in range(4)])
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6) and found[1][3] > found[0][3] + 1e-3
    pairs = setup.word_teacher.pairs(setup.take(4))
    assert (pairs.before.ids == pairs.own.ids).all() and len(pairs) > 10


@pytest.mark.parametrize("attention", ["row", "document"])
def test_with_another_vocabulary_loss_and_gradient_are_the_plain_ones_however_it_is_cut(
    tmp_path, tiny_source, replaced, language, attention
):
    found = []
    for micro in (None, 3 * 32):
        given = options(distil=teaching(tiny_source), micro_batch_tokens=micro, attention=attention)
        setup = setup_on(replaced, language / "text.txt", tmp_path, given)
        blocks = setup.take(0)
        batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, np.random.default_rng(1))
        pairs = setup.word_teacher.pairs(blocks)
        loss = accumulate(setup, batch, pairs)
        gradient = {n: p.grad.clone() for n, p in setup.trained.items()}
        found.append((loss, gradient))
    assert pairs.before.ids.shape != pairs.own.ids.shape and len(pairs) > 10
    setup.optimizer.zero_grad(set_to_none=True)
    text = accumulate(setup, batch)
    setup.word_teacher.loss_sum(setup, pairs).div(len(pairs)).backward()
    apart = float(setup.word_teacher.loss_sum(setup, pairs).detach()) / len(pairs)
    assert apart > 0.01 and all(loss == pytest.approx(text + apart, abs=1e-5) for loss, _ in found)
    for name, parameter in setup.trained.items():
        assert all(float((g[name] - parameter.grad).abs().max()) < 1e-5 for _, g in found), name
    assert all(p.grad is None for p in setup.word_teacher.predictor.model.parameters())


def test_stopped_and_resumed_it_ends_in_the_same_bytes(tmp_path, tiny_source, replaced, language, monkeypatch):
    given = options(distil=teaching(tiny_source), lr=1e-2, dropout=0.1, checkpoint_seconds=0.0, batch_tokens=64)
    arguments = (replaced, replaced, language / "text.txt", None, given, 4, 0)
    ends_in_the_same_bytes(arguments, tmp_path, monkeypatch)


def test_a_run_with_a_new_vocabulary_stays_nearer_to_the_source(tmp_path, tiny_source, language):
    far = []
    for weight in (0.0, 8.0):
        file = write_config(
            tmp_path / f"{weight}.yaml", tiny_source, language, arms=["adapted"], evaluate__tasks={}, pretrain__lr=1e-2,
            pretrain__steps=20, pretrain__distil={"weight": weight, "match": "hidden-states"},
        )  # fmt: skip
        model = adapt.run(file, preflight=False).model
        setup = setup_on(model, language / "text.txt", tmp_path / str(weight),
                         options(distil=teaching(tiny_source), dropout=0.0))  # fmt: skip
        pairs = setup.word_teacher.pairs(setup.take(0))
        far.append(float(setup.word_teacher.loss_sum(setup, pairs).detach()) / len(pairs))
    assert far[1] < 0.7 * far[0]


def test_what_cannot_be_compared_is_refused(tmp_path, tiny_source, tiny_decoder, language):
    hidden = {"weight": 1.0, "match": "hidden-states"}
    file = write_config(tmp_path / "a.yaml", tiny_source, language, arms=["scratch"], pretrain__distil=hidden)
    with pytest.raises(InputError, match="scratch has nothing of the source"):
        load(file)
    with pytest.raises(InputError, match="a model of another kind"):
        setup_on(tiny_decoder, language / "text.txt", tmp_path, options(objective="clm", distil=teaching(tiny_source)))
    with pytest.raises(ValidationError, match="temperature belongs to match logits"):
        Distil(match="hidden-states", temperature=1.0)
    with pytest.raises(ValidationError, match="teacher_tokenizer needs a teacher"):
        Distil(teacher_tokenizer=tmp_path)
