"""Extending leaves every old id and every old cut as it was; trimming leaves the cuts of the texts as they were."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer

from lexigraft import InputError
from tests.conftest import sentences
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.algorithm import ALGORITHMS, Task
from vocab.tokenizer.check import repair
from vocab.tokenizer.extend import extend
from vocab.tokenizer.load import wrap
from vocab.tokenizer.sampling import rate_of
from vocab.tokenizer.trim import trim
from vocab.view import Vocabulary

OLD = [" ".join(word for word, _, _ in s) for s in sentences(300, 0)]
NEW = [" ".join(word[::-1] + word for word, _, _ in s) for s in sentences(300, 3)]
SIZES = {"unigram": 180, "bpe": 180, "byte-bpe": 420, "wordpiece": 200}


@pytest.fixture(scope="module", params=[spec.name for spec in ALGORITHMS if spec.sized])
def old(request):
    return train_tokenizer(OLD, algorithm=request.param, vocab_size=SIZES.get(request.param, 180))


def test_extend(old, tmp_path: Path):
    both = [*OLD[:50], *NEW]
    grown = extend(old, NEW, 60, others=OLD)
    before, after = Vocabulary.of(old), Vocabulary.of(grown.tokenizer)
    assert len(grown.added) == 60 and after.tokens[: len(before)] == before.tokens
    assert after.tokens[len(before) :] == grown.added and after.roles == before.roles
    pairs = list(zip(before.encode(both), after.encode(both), strict=True))
    untouched = [(a, b) for a, b in pairs if (b < len(before)).all()]
    assert len(untouched) > 10 and all(np.array_equal(a, b) for a, b in untouched)
    facts = grown.facts
    assert facts["unknown_after"] == 0
    if facts["unknown_before"] == 0:  # a word that WordPiece did not know was one token
        assert facts["tokens_after"] < 0.9 * facts["tokens_before"]
    assert facts["unused"] < 30
    same = list(zip(before.encode(OLD), after.encode(OLD), strict=True))
    assert facts["others_lines"] == len(OLD) and facts["others_tokens"] == sum(len(a) for a, _ in same)
    assert facts["others_lines_changed"] == sum(a.tolist() != b.tolist() for a, b in same) < 0.7 * len(OLD)
    assert facts["others_tokens_changed"] == sum((Counter(a.tolist()) - Counter(b.tolist())).total() for a, b in same)
    assert facts["others_lines_changed_without_new"] == 0
    assert facts["tokens_after"] == sum(len(ids) for ids in after.encode(NEW))
    grown.tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(both)["input_ids"] == grown.tokenizer(both)["input_ids"]
    assert loaded(NEW[0])["input_ids"][0] == before.roles["cls"]
    again = extend(old, NEW, 60)
    assert again.tokenizer.backend_tokenizer.to_str() == grown.tokenizer.backend_tokenizer.to_str()


def test_letters_that_the_tokenizer_does_not_know(old):
    strange = [line.replace("a", "ɗ") for line in NEW]
    facts = extend(old, strange, 60).facts
    assert facts["unknown_after"] == 0
    assert (facts["unknown_before"] > 0) == (Vocabulary.of(old).family != "byte-level")


def test_extend_refuses(old):
    with pytest.raises(InputError, match="found pieces=0"):
        extend(old, NEW, 0)
    with pytest.raises(InputError, match="no text to learn from"):
        extend(old, [], 5)
    with pytest.raises(InputError, match="at most"):
        extend(old, NEW, 100_000)


def test_words_that_are_wished_for(old):
    """They become pieces, and are what their text is cut into."""
    words, morphemes = ["kafeteriyarmugundumi", "zzzwa"], ["gunduzu", "mwa-"]
    grown = extend(old, NEW, 60, words=words, morphemes=morphemes)
    view = Vocabulary.of(grown.tokenizer)
    assert len(grown.added) == 60 and set(view.tokens[len(Vocabulary.of(old)) :]) == set(grown.added)
    for word in [*words, "mwa"]:
        assert [view.forms[i] for i in view.pieces_of(word, True)] == [f"▁{word}"]
    assert [view.forms[i] for i in view.pieces_of("gunduzu", False)] == ["gunduzu"]
    with pytest.raises(InputError, match="no room for all words"):
        extend(old, NEW, 1, words=words)


def test_trim(old):
    text = OLD[:40]
    cut = trim(old, text, heldout=OLD[40:])
    changed = zip(Vocabulary.of(old).encode(OLD[40:]), Vocabulary.of(cut.tokenizer).encode(OLD[40:]), strict=True)
    assert cut.facts["heldout_lines"] == len(OLD) - 40
    assert cut.facts["heldout_changed"] == sum(a.tolist() != cut.kept[b].tolist() for a, b in changed)
    before, after = Vocabulary.of(old), Vocabulary.of(cut.tokenizer)
    assert len(after) == len(cut.kept) == cut.facts["after"] < len(before) == cut.facts["before"]
    assert [before.tokens[i] for i in cut.kept] == after.tokens
    for ids, old_ids in zip(after.encode(text), before.encode(text), strict=True):
        assert cut.kept[ids].tolist() == old_ids.tolist()
    assert {role: int(cut.kept[index]) for role, index in after.roles.items()} == before.roles
    assert cut.kept[cut.tokenizer(text[0], text[1])["input_ids"]].tolist() == old(text[0], text[1])["input_ids"]
    assert cut.tokenizer.decode(after.encode([OLD[200]])[0]) == old.decode(before.encode([OLD[200]])[0])
    with pytest.raises(InputError, match="no text to keep pieces for"):
        trim(old, [""])


@pytest.mark.parametrize("algorithm", ["unigram", "bpe", "byte-bpe", "wordpiece"])
def test_no_piece_is_added_that_the_source_cuts_through(algorithm: str):
    digits = ["0123456789 "[n:] for n in range(10)]
    old = train_tokenizer([*OLD, *digits], algorithm=algorithm, vocab_size=SIZES[algorithm], split_digits=True)
    grown = extend(old, [f"{line} 2023" for line in NEW], 60)
    assert grown.facts["unused"] < 12 and not [piece for piece in grown.added if "20" in piece or "23" in piece]
    if algorithm != "wordpiece":  # which keeps no spaces
        old = train_tokenizer(OLD, algorithm=algorithm, vocab_size=SIZES[algorithm], spaces_as_tokens=True)
        grown = extend(old, NEW, 60)
        assert grown.facts["unused"] < 12 and not [piece for piece in grown.added if piece[0] in "▁Ġ"]


@pytest.mark.parametrize("kind", ["byte-bpe", "wordpiece"])
def test_special_tokens_that_come_after_all_pieces(kind: str):
    """As in Llama 3: they are no part of the model's table, and keep their ids when pieces come after them."""
    counts = Counter(("Ġ" * (kind == "byte-bpe") + word) for line in OLD for word in line.split())
    learnt = ALGORITHMS[kind].learn(Task(counts, ("[UNK]",), "[UNK]", SIZES[kind], 2, 1.0, False, 16))
    blank = {"truncation": None, "padding": None, "normalizer": None, "post_processor": None, "added_tokens": []}
    cutter = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    pre = {"pre_tokenizer": cutter if kind == "byte-bpe" else {"type": "WhitespaceSplit"}, "decoder": None}
    backend = Tokenizer.from_str(json.dumps({"version": "1.0", "model": learnt} | blank | pre))
    backend.add_special_tokens(["[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    ends = [(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
    old = wrap(backend)
    grown = extend(old, NEW, 60).tokenizer
    before, after = Vocabulary.of(old), Vocabulary.of(grown)
    assert after.tokens[: len(before)] == before.tokens and len(after) == len(before) + 60
    assert after.roles == before.roles and before.roles["mask"] == len(before) - 1
    assert grown("", "")["input_ids"] == old("", "")["input_ids"]
    cut = trim(old, OLD[:20])
    assert cut.facts["after"] < len(before)
    assert cut.kept[cut.tokenizer(OLD[0], OLD[1])["input_ids"]].tolist() == old(OLD[0], OLD[1])["input_ids"]


def test_what_transformers_knows_of_a_tokenizer_stays(tmp_path: Path):
    """Whatever is changed: the rate of dropout, the chat template, specials without a role, how text is cleaned up."""
    learnt = train_tokenizer(OLD, algorithm="byte-bpe", vocab_size=420, specials=["<turn>"], dropout=0.2)
    more = {f"{role}_token": getattr(learnt, f"{role}_token") for role in ("bos", "eos", "pad")}
    more |= {"extra_special_tokens": ["<turn>"], "clean_up_tokenization_spaces": True, "bpe_dropout": 0.2}
    old = wrap(learnt.backend_tokenizer, padding_side="left", model_max_length=99, **more)
    old.chat_template = "{{ messages[0]['content'] }}<turn>"
    for name, new in (
        ("extended", extend(old, NEW, 20).tokenizer),
        ("trimmed", trim(old, OLD[:9]).tokenizer),
        ("repaired", repair(old)),
    ):
        new.save_pretrained(tmp_path / name)
        loaded = AutoTokenizer.from_pretrained(tmp_path / name)
        assert rate_of(loaded) == 0.2 and loaded.extra_special_tokens == ["<turn>"]
        assert loaded.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False) == "a<turn>"
        assert loaded.clean_up_tokenization_spaces and loaded.padding_side == "left" and loaded.model_max_length == 99


def test_words_for_a_tokenizer_that_normalises_and_cuts_nothing():
    """GPT-2 and Llama 3 have no normaliser, Llama 2 has no pre-tokeniser."""
    state = json.loads(train_tokenizer(OLD, algorithm="bpe", vocab_size=180).backend_tokenizer.to_str())
    marks = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    ]}  # fmt: skip
    level = json.loads(train_tokenizer(OLD, algorithm="byte-bpe", vocab_size=420).backend_tokenizer.to_str())
    cutter = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    for raw in (
        state | {"normalizer": marks, "pre_tokenizer": None},
        level | {"normalizer": None, "pre_tokenizer": cutter},
    ):
        grown = extend(Tokenizer.from_str(json.dumps(raw)), NEW, 30, words=["kafeteria"], morphemes=["gunduzu", "mwa-"])
        view = Vocabulary.of(grown.tokenizer)
        cuts = [[view.forms[index] for index in ids] for ids in view.encode([" kafeteria", " mwa"])]
        assert [cut[-1] for cut in cuts] == ["▁kafeteria", "▁mwa"] and "gunduzu" in view.ids


def test_the_model_is_cut_with_its_tokenizer(tiny_source: Path):
    """Kept rows and biases are the old ones, by the mixture of ones and by a transplant; parameters are counted."""
    from transformers import AutoModelForMaskedLM

    import vocab

    text = ["walking houses .", "talked water"]
    cut = trim(tiny_source, text, model=tiny_source)
    old = AutoModelForMaskedLM.from_pretrained(tiny_source)
    new = cut.cut(tiny_source)
    rows = [m.get_input_embeddings().weight.detach().numpy() for m in (old, new)]
    assert np.array_equal(rows[0][cut.kept], rows[1]) and len(rows[1]) == len(cut.kept)
    bias = [m.get_output_embeddings().bias.detach().numpy() for m in (old, new)]
    assert np.array_equal(bias[0][cut.kept], bias[1])
    parameters = [sum(p.numel() for p in m.parameters()) for m in (old, new)]
    assert cut.facts["parameters_saved"] == parameters[0] - parameters[1] > 0
    graft = vocab.transplant(tiny_source, cut.tokenizer, method="copy")
    assert np.array_equal(graft.model.get_input_embeddings().weight.detach().numpy(), rows[1])
    states = []
    for tokenizer, model in ((AutoTokenizer.from_pretrained(tiny_source), old), (cut.tokenizer, new)):
        inputs = tokenizer(text[0], return_tensors="pt")
        states.append(model.base_model(**inputs).last_hidden_state.detach().numpy())
    assert np.array_equal(*states)
    with pytest.raises(InputError, match="holds no model"):
        trim(tiny_source, text, model=tiny_source / "nothing")
    with pytest.raises(InputError, match="do not belong together; found a tokenizer of"):
        trim(train_tokenizer(OLD, vocab_size=120), OLD[:9], model=tiny_source)
