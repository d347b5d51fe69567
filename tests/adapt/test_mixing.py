"""Several corpora in one stream, code-switching, facts: what is drawn, that it resumes, and a run with all of them."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import adapt
from adapt.config import load
from adapt.pretrain.codeswitch import CodeSwitch, lexicon, switch
from adapt.pretrain.engine import pretrain
from adapt.pretrain.mixing import Mix, MixedStream, seen, shares
from adapt.pretrain.objectives.clm import ClmOptions
from adapt.pretrain.objectives.objective import OBJECTIVES
from adapt.pretrain.step import stream_of, train_step
from adapt.pretrain.texts import Beside, tokenise_all
from adapt.pretrain.tokens import Symbols
from adapt.pretrain.triples import Sentences, Tailed, predict_tails, read_triples, tokenise_triples
from lexigraft import InputError
from tests.adapt.pretraining import options
from tests.conftest import write_config, write_language
from vocab.tokenizer.load import load_tokenizer


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Folder with text of the source's language, of another one, a dictionary and facts."""
    folder = tmp_path_factory.mktemp("texts")
    write_language(folder / "other", 120)
    (folder / "other" / "text.txt").rename(folder / "other.txt")
    words = ["walk", "house", "water", "tree", "king", "land", "good", "talks"]
    draw = random.Random(3)
    lines = [" ".join(draw.choices(words, k=8)) + f" {i}." for i in range(200)]
    (folder / "english.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "triples.tsv").write_text(
        "".join(f"king{'s' * (i % 2)} {i}\tcapital of\twater tree {i}\n" for i in range(40)), encoding="utf-8"
    )
    own = sorted({w for line in (folder / "other.txt").read_text().split("\n") for w in line.strip(".").split()})
    pairs = "".join(f"{source}\t{target}\n" for source, target in zip(words * 40, own, strict=False))
    (folder / "dictionary.tsv").write_text(pairs, encoding="utf-8")
    return folder


def beside(texts, **more):
    return Beside(
        source=texts / "english.txt", triples=texts / "triples.tsv", others={"swa": texts / "other.txt"}, **more
    )


def stream(tiny_source, language, texts, folder, seed=0, **more):
    tokenizer = load_tokenizer(tiny_source)
    mix = Mix(**more)
    corpora = tokenise_all(language / "text.txt", beside(texts), tokenizer, mix, seed, folder)
    symbols, given = Symbols.of(tokenizer), options()
    return MixedStream({name: stream_of(t, symbols, given, seed) for name, t in corpora.items()}, mix, seed)


def test_shares_follow_n_to_the_alpha():
    sizes = {"text": 10_000, "source": 5, "swa": 100, "triples": 7}
    half = shares(sizes, Mix(alpha=0.5, triples=0.2, replay=0.5))
    assert half == pytest.approx({"text": 0.4 * 100 / 110, "swa": 0.4 * 10 / 110, "triples": 0.1, "source": 0.5})
    assert shares({"text": 10, "swa": 1000}, Mix(alpha=0)) == {"text": 0.5, "swa": 0.5}
    assert shares({"text": 300, "swa": 100}, Mix(alpha=1)) == {"text": 0.75, "swa": 0.25}


def test_blocks_come_in_the_shares_asked_for_and_stay_of_one_corpus(tiny_source, language, texts, tmp_path):
    mixed = stream(tiny_source, language, texts, tmp_path, replay=0.3, triples=0.5)
    counts = Counter(mixed._draw(block) for block in range(4000))
    expected = {"source": 0.3, "triples": 0.7 * 0.5}
    assert {name: counts[name] / 4000 for name in expected} == pytest.approx(expected, abs=0.03)
    before = dict(mixed.seen)
    blocks = mixed.take(40)
    assert len(blocks.ids) == 40 and isinstance(blocks, Tailed)
    facts = blocks.tails.any(1)
    assert facts.sum() == sum(mixed._draw(block) == "triples" for block in range(40))
    assert sum(mixed.seen.values()) - sum(before.values()) == blocks.attention.sum()


def test_a_mixed_stream_goes_on_from_its_cursor_whatever_the_steps(tiny_source, language, texts, tmp_path):
    a, b = (stream(tiny_source, language, texts, tmp_path, replay=0.3) for _ in range(2))
    a.take(7)
    a.replay = 0.6
    b.seek(json.loads(json.dumps(list(a.cursor))))
    assert b.replay == 0.6 and b.seen == a.seen
    for _ in range(6):
        x, y = a.take(9, 24), b.take(9, 24)
        assert (x.ids == y.ids).all() and (x.documents == y.documents).all() and (x.tails == y.tails).all()
    assert a.cursor == b.cursor


def test_replay_can_be_raised_but_not_without_a_text(tiny_source, language, texts, tmp_path):
    mixed = stream(tiny_source, language, texts, tmp_path, replay=0.0)
    assert "source" not in {mixed._draw(block) for block in range(500)}
    mixed.replay = 0.5
    assert Counter(mixed._draw(block) for block in range(2000))["source"] == pytest.approx(1000, abs=100)
    bare = MixedStream({name: mixed.streams[name] for name in ("text", "swa")}, Mix(), 0)
    bare.replay = 0.5
    assert bare.replay == 0.0 and {bare._draw(block) for block in range(200)} == {"text", "swa"}


def test_an_epoch_of_each_corpus_counts_its_characters(tiny_source, language, texts, tmp_path):
    mixed = stream(tiny_source, language, texts, tmp_path, replay=0.3)
    while mixed.streams["source"].epoch == 0:
        mixed.take(1)
    found = seen(mixed, sum(mixed.seen.values()))["source"]
    text = sum(map(len, (texts / "english.txt").read_text().splitlines()))
    assert found["characters"] == pytest.approx(text, rel=0.1) and found["epochs"] == pytest.approx(1, abs=0.1)


def test_words_are_switched_both_ways_and_always_the_same(texts):
    (texts / "pairs.tsv").write_text("house\tgida\nhouse\tdaki\nwater\truwa\nbig house\tfada\n", encoding="utf-8")
    there, back = (lexicon(texts / "pairs.tsv", to_source=way) for way in (False, True))
    assert there["house"] == ["gida", "daki"] and back == {
        "gida": ["house"], "daki": ["house"], "ruwa": ["water"], "fada": ["big house"]
    }  # fmt: skip
    all_of_them = CodeSwitch(words=1.0)
    lines = ["Ruwa a gida.", "RUWA'ruwa ruwan-ruwa", "fada"]
    assert list(switch(lines, back, all_of_them, 0)) == [
        ("Water a house.", 2), ("RUWA'ruwa ruwan-ruwa", 0), ("big house", 1)
    ]  # fmt: skip
    many = ["house water house sky"] * 2000
    made = list(switch(many, there, CodeSwitch(words=0.25, lines=0.5), 1))
    assert made == list(switch(many, there, CodeSwitch(words=0.25, lines=0.5), 1))
    assert sum(count for _, count in made) == pytest.approx(2000 * 3 * 0.25 * 0.5, rel=0.1)
    assert all(line.endswith(" sky") for line, _ in made)


def test_a_mark_on_a_letter_is_part_of_the_word():
    line = "ọ̀nà ọ̀"  # the grave stands apart from the letter: there is no composed one
    assert list(switch([line], {"ọ̀": ["x"]}, CodeSwitch(words=1), 0)) == [("ọ̀nà x", 1)]


def test_code_switching_without_a_dictionary_is_refused(tiny_source, language, texts, tmp_path):
    with pytest.raises(InputError, match="needs a bilingual dictionary"):
        stream(tiny_source, language, texts, tmp_path, code_switch={"words": 0.1})


def test_facts_become_sentences():
    made = Sentences()
    (triple, other) = read_like("Abuja\t{tail} has the capital {head}.\tNigeria\nAbuja\tis a\tcity\n")
    assert made.sentence(triple) == ("Nigeria has the capital Abuja.", 0, 7)
    assert made.sentence(other) == ("Abuja is a city", 11, 15)
    with pytest.raises(ValueError, match=r"needs \{head\}, \{relation\}, \{tail\}"):
        Sentences(template="{head} {tail}")
    with pytest.raises(ValueError, match="the tail once"):
        Sentences(template="{head} {relation} {tail} {tail}")
    with pytest.raises(ValueError, match="no other field"):
        Sentences(template="{head} {relation} {tail:>9}")


def read_like(text):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "triples.tsv"
        path.write_text(text, encoding="utf-8")
        return read_triples(path)


@pytest.mark.parametrize("line", ["a\tb", "a\tb\t", "a\tb\tc\td", "a\t{head} is\tc", "a\t{head} {tail\tc"])
def test_a_bad_fact_is_refused_with_file_and_line(line):
    with pytest.raises(InputError, match="a fact") as caught:
        read_like(f"# facts\na\tb\tc\n{line}\n")
    assert caught.value.line == 3


@pytest.mark.parametrize("kind", ["mlm", "clm"])
def test_of_a_fact_the_tail_is_predicted_and_nothing_else(kind, tiny_source, texts, tmp_path):
    tokenizer = load_tokenizer(tiny_source)
    tokens = tokenise_triples(texts / "triples.tsv", tokenizer, Sentences(), tmp_path)
    symbols = Symbols.of(tokenizer)
    blocks = Tailed.of(stream_of(tokens, symbols, options(), 0).take(6))
    objective = OBJECTIVES[kind]
    given = ClmOptions() if kind == "clm" else options().objective_options.mlm
    batch = objective.batch(blocks, symbols, given, np.random.default_rng(0))
    made = predict_tails(batch, blocks, symbols, bidirectional=kind == "mlm")
    read = [tokenizer.decode(row, skip_special_tokens=True) for row in blocks.ids]
    numbers = read[0].split()
    assert numbers[:4] == ["king", numbers[1], "capital", "of"] or numbers[0] == "kings"
    columns = made.columns if kind == "mlm" else made.columns + 1
    for row in range(6):
        line = read[row].replace("kings", "king").split("king ")[1:]
        tails = [part.split("capital of ")[1].strip() for part in line]
        own = made.rows == row
        assert tokenizer.decode(made.labels[own]).split() == " ".join(tails).split()
        assert (blocks.ids[row, columns[own]] == made.labels[own]).all()
    if kind == "mlm":
        assert (made.inputs[made.rows, made.columns] == symbols.mask).all()
        kept = np.ones(made.inputs.shape, dtype=bool)
        kept[made.rows, made.columns] = False
        assert (made.inputs[kept] == blocks.ids[kept]).all()
    else:
        assert (made.inputs == blocks.ids).all()
    assert (np.lexsort((made.columns, made.rows)) == np.arange(len(made.rows))).all()


def test_rows_that_hold_no_facts_are_left_alone(tiny_source, language, texts, tmp_path):
    mixed = stream(tiny_source, language, texts, tmp_path, triples=0.5)
    symbols = mixed.streams["text"].symbols
    blocks = mixed.take(30)
    given = options().objective_options.mlm
    batch = OBJECTIVES["mlm"].batch(blocks, symbols, given, np.random.default_rng(0))
    made = predict_tails(batch, blocks, symbols, bidirectional=True)
    plain = ~blocks.tails.any(1)
    assert plain.any() and not plain.all()
    assert (made.inputs[plain] == batch.inputs[plain]).all()
    assert (made.labels[plain[made.rows]] == batch.labels[plain[batch.rows]]).all()


@pytest.mark.parametrize("packing", [True, False])
def test_a_mixed_training_that_was_stopped_ends_in_the_same_bits(
    packing, tiny_source, language, texts, tmp_path, monkeypatch
):
    given = options(
        checkpoint_seconds=0, packing=packing, sequence_length_warmup=[(0.3, 16)], schedule="wsd",
        mix={"replay": 0.3, "triples": 0.4, "code_switch": {"words": 0.5, "direction": "both"}},
    )  # fmt: skip
    more = beside(texts, dictionary=texts / "dictionary.tsv")
    arguments = (tiny_source, tiny_source, language / "text.txt", None, given, 12, 3)
    whole = pretrain(*arguments, tmp_path / "whole", beside=more)

    def stop(setup, step):
        if step == 7:
            raise KeyboardInterrupt
        return train_step(setup, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("adapt.pretrain.loop.train_step", stop)
        pretrain(*arguments, tmp_path / "parts", beside=more)
    parts = pretrain(*arguments, tmp_path / "parts", beside=more)
    assert parts["resumed_from"] == [7]
    a, b = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert parts["corpora"] == whole["corpora"] and set(whole["corpora"]) == {"text", "source", "swa", "triples"}
    assert sum(each["tokens"] for each in whole["corpora"].values()) == whole["tokens"]
    assert whole["characters"] == pytest.approx(sum(c["characters"] for c in whole["corpora"].values()), rel=1e-3)
    assert whole["corpora"]["source"]["switched"] > 0 and whole["corpora"]["text"]["switched"] > 0


def test_a_run_with_other_corpora(tiny_source, language, texts, tmp_path):
    path = write_config(
        tmp_path / "mix.yaml", tiny_source, language, arms=["keep"],
        transplant={"dictionary": str(texts / "dictionary.tsv")},
        corpus={
            "text": [str(language / "text.txt")], "source_text": [str(texts / "english.txt")],
            "others": {"swa": [str(texts / "other.txt")]}, "triples": str(texts / "triples.tsv"),
        },
        pretrain__mix={"replay": 0.25, "triples": 0.3, "code_switch": {"words": 0.05}}, pretrain__tuning="bottleneck",
        pretrain__steps=None, pretrain__epochs=1, evaluate={"lm_words": 20},
    )  # fmt: skip
    run = adapt.run(path, preflight=False)
    folder = run.folder / "corpus"
    source = [(folder / f"source-{part}.txt").read_text().splitlines() for part in ("train", "heldout")]
    assert source[0] and source[1] and not set(source[0]) & set(source[1])
    assert len((folder / "triples.tsv").read_text().splitlines()) == 40
    facts = json.loads((run.folder / "pretrain" / "keep" / "facts.json").read_text())
    assert all(facts["corpora"][name]["tokens"] > 0 for name in ("text", "source", "swa", "triples"))
    assert facts["corpora"]["text"]["switched"] > 0 and facts["adapters"]
    assert facts["epochs"] == pytest.approx(1, abs=0.3)  # of the own text, whatever else is in the steps


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("pretrain: {mix: {code_switch: {words: 0.1}}}", "needs a bilingual dictionary: transplant.dictionary"),
        ("transplant: {dictionary: d}\npretrain: {mix: {code_switch: {words: 0.1, direction: both}}}", "source_text"),
        ("pretrain: {mix: {replay: 1}}", "less than 1"),
        ("pretrain: {mix: {sentences: {template: '{head}'}}}", "a sentence of a fact needs"),
        ("pretrain: {selective: {reference: m}}", "the arms have two"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(more, said, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"language: hau\nsource: {{model: m}}\ncorpus: {{text: [a.txt]}}\n{more}\n")
    with pytest.raises(InputError) as caught:
        load(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(("others", "said"), [("{text: [b]}", "can be called 'text'"), ("{swa: []}", "names no file")])
def test_other_corpora_have_names_of_their_own_and_files(others, said, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"language: hau\nsource: {{model: m}}\ncorpus:\n  text: [a.txt]\n  others: {others}\n")
    with pytest.raises(InputError) as caught:
        load(path)
    assert said in str(caught.value)


def test_two_processes_train_on_a_mix_as_one_does(tiny_source, language, texts, tmp_path):
    """For several epochs, with words that are switched anew in each."""
    mix = {"replay": 0.3, "triples": 0.4, "code_switch": {"words": 0.5}}
    few = tmp_path / "few.txt"
    few.write_text("".join((language / "text.txt").open(encoding="utf-8").readlines()[:3]), encoding="utf-8")
    found = []
    for processes in (1, 2):
        given = options(mix=mix, selective={"reference": tiny_source, "share": 0.5}, processes=processes)
        folder = tmp_path / str(processes)
        more = beside(texts, dictionary=texts / "dictionary.tsv")
        facts = pretrain(tiny_source, tiny_source, few, None, given, 6, 0, folder, beside=more)
        found.append((facts, load_file(folder / "model" / "model.safetensors")))
        assert len(list((folder / "tokens").glob("epoch-*"))) == 1
    (one, a), (two, b) = found
    assert one["epochs"] > 2
    assert one["corpora"] == two["corpora"] and one["loss"] == pytest.approx(two["loss"], abs=1e-4)
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-4
