"""Leaving merges out and switching words are drawn anew for each epoch, and a killed training draws the same again."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np
import pytest

import adapt
from adapt.pretrain.mixing import Mix
from adapt.pretrain.step import stream_of, train_step
from adapt.pretrain.texts import Beside, tokenise_all
from adapt.pretrain.tokens import Symbols, TokenFile
from tests.adapt.pretraining import options
from tests.conftest import write_config
from vocab import train_tokenizer
from vocab.tokenizer.load import load_tokenizer


@pytest.fixture(scope="module")
def few(tmp_path_factory, language):
    """A text that a few steps read several times, and a dictionary of its words."""
    folder = tmp_path_factory.mktemp("few")
    lines = (language / "text.txt").read_text(encoding="utf-8").splitlines()
    for name, some in (("text", lines[:60]), ("heldout", lines[60:90])):
        (folder / f"{name}.txt").write_text("\n".join(some) + "\n", encoding="utf-8")
    words = sorted({word for line in lines for word in line.strip(".").split()})
    pairs = zip(words[1:], words, strict=False)
    (folder / "dictionary.tsv").write_text("".join(f"{other}\t{word}\n" for other, word in pairs), encoding="utf-8")
    return folder


def test_an_epoch_has_the_same_lines_cut_in_another_way(few, tiny_source, tmp_path):
    text, tokenizer = few / "text.txt", tmp_path / "tokenizer"
    train_tokenizer([text], like=tiny_source, algorithm="bpe", vocab_size=150, dropout=0.3).save_pretrained(tokenizer)
    words = load_tokenizer(tokenizer)
    opened = [tokenise_all(text, Beside(), words, Mix(), 3, tmp_path / name)["text"] for name in ("a", "b")]
    stream, again = (stream_of(tokens, Symbols.of(words), options(), 3) for tokens in opened)
    found = {}
    while stream.epoch < 3:
        epoch = stream.epoch
        blocks = stream.take(1)
        if stream.epoch == epoch:
            found.setdefault(epoch, stream.tokens.at(epoch).ids.copy())
        last = stream.cursor, blocks
    assert len({ids.tobytes() for ids in found.values()}) == 3
    whole = {words.decode(ids).replace(" ", "") for ids in found.values()}
    assert len(whole) == 1  # the same text
    assert [path.name for path in (tmp_path / "a").glob("epoch-*")] == ["epoch-3"]
    again.seek(last[0])  # goes there without the epochs before
    assert np.array_equal(again.take(2).ids, stream.take(2).ids)
    first = stream.tokens.at(0)
    assert first is opened[0] and np.array_equal(first.ids, found[0]) and not list((tmp_path / "a").glob("epoch-*"))
    plain = tokenise_all(text, Beside(), load_tokenizer(tiny_source), Mix(), 3, tmp_path / "plain")["text"]
    assert type(plain) is TokenFile and plain.at(5) is plain  # nothing is drawn: nothing is made anew


def test_a_run_stopped_in_its_third_epoch_ends_in_the_same_bytes(few, tiny_source, language, tmp_path, monkeypatch):
    """From YAML, with both; what the killed run left of that epoch's tokens is damaged."""
    drawn: dict[str, dict[int, str]] = {"whole": {}, "cut": {}}
    found = []

    def watched(setup, step):
        facts = train_step(setup, step)
        stream = setup.stream
        drawn[part][stream.epoch] = sha256(stream.tokens.at(stream.epoch).ids.tobytes()).hexdigest()
        if part == "cut" and stream.epoch == 2 and not stopped:
            stopped.append(step)
            (damaged,) = (tmp_path / "cut").glob("runs/**/epoch-*")
            (damaged / "ids.bin").write_bytes(b"\0\0")
            raise KeyboardInterrupt
        return facts

    monkeypatch.setattr("adapt.pretrain.loop.train_step", watched)
    stopped: list[int] = []
    for part in drawn:
        file = write_config(
            tmp_path / part / "run.yaml", tiny_source, language, arms=["adapted"],
            corpus={"text": [str(few / "text.txt")], "heldout": str(few / "heldout.txt")},
            tokenizer={"algorithm": "bpe", "vocab_size": 150, "dropout": 0.3},
            transplant={"dictionary": str(few / "dictionary.tsv")}, pretrain__steps=30,
            pretrain__mix={"code_switch": {"words": 0.3}}, pretrain__checkpoint_seconds=0,
            evaluate={"lm_words": 10},
        )  # fmt: skip
        if part == "cut":
            with pytest.raises(KeyboardInterrupt):
                adapt.run(file, preflight=False)
        found.append(adapt.run(file, preflight=False))
    whole, cut = found
    facts = json.loads((cut.folder / "pretrain/adapted/facts.json").read_text())
    assert facts["resumed_from"] == stopped and facts["epochs"] > 2.5
    assert drawn["whole"] == drawn["cut"] and len(set(drawn["whole"].values())) == len(drawn["whole"]) > 2
    assert (whole.model / "model.safetensors").read_bytes() == (cut.model / "model.safetensors").read_bytes()
