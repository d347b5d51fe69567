"""`auto`: methods tried in a short training of a shrunken model, or by forecast; what decides, and that it says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from tests.vocab.test_transplant_families import FAMILIES, OLD, make
from vocab.tokenizer.load import load_tokenizer
from vocab.transplant import chain
from vocab.transplant.load import load_model
from vocab.transplant.setting import Setting
from vocab.transplant.trial import Exercise, TrialOptions, shrunken, trial

LINES = ["mata kuda wato tree", "walks talked the house of mata", "kuda watoing house mata", "tree wato kuda"] * 100
PIECES = ["▁mata", "▁kuda", "▁wato", "▁tree", "▁house", "▁walk", "s", "ing", "▁", "▁zzz", *"abcdefhiklmnortuw"]
TARGET = metaspace(PIECES)
SHORT = {"layers": 1, "steps": 6, "batch_tokens": 64, "sequence_length": 16, "heldout_tokens": 512}


@pytest.fixture(scope="module")
def setting(tiny_source):
    return Setting.of(tiny_source, TARGET, texts=LINES)


def test_losses_are_those_of_the_shrunken_model(setting, tiny_source, tmp_path):
    rows = {"subwords": setting.mixture("subwords"), "mean": setting.mixture("mean")}
    options = TrialOptions.model_validate({**SHORT, "lr": 1e-30})
    found = trial(setting, rows, options)
    exercise = Exercise.of(setting, options, causal=False)
    graft = vocab.transplant(tiny_source, TARGET, method="subwords", score=False)
    model = load_model(graft.save(tmp_path))
    model.bert.encoder.layer = model.bert.encoder.layer[:1]
    nats = []
    for batch in exercise.held:
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(batch.ids)).logits.reshape(-1, len(TARGET))
        nats += [-float(torch.log_softmax(logits[i], -1)[t]) for i, t in zip(batch.flat, batch.labels, strict=True)]
    assert found["subwords"] == pytest.approx(nats, abs=1e-4) and len(nats) > 30
    assert not np.allclose(found["mean"], nats, atol=1e-3)


def test_all_candidates_are_asked_the_same(setting):
    options = TrialOptions.model_validate(SHORT)
    one, two = (Exercise.of(setting, options, causal=False) for _ in range(2))
    mask = TARGET.mask_token_id
    for a, b in zip(one.train + one.held, two.train + two.held, strict=True):
        assert np.array_equal(a.ids, b.ids) and np.array_equal(a.flat, b.flat) and np.array_equal(a.labels, b.labels)
        assert (a.ids.ravel()[a.flat] == mask).all() and (a.ids == mask).sum() == len(a.flat)
        assert (a.ids[:, 0] == TARGET.bos_token_id).all() and a.ids.shape[1] == 16
        # Words are hidden whole: what follows a hidden piece is hidden too, or begins a word, or is no piece of one.
        whole = a.ids.ravel().copy()
        whole[a.flat] = a.labels
        special = setting.new.kind[whole] > 1
        border = setting.new.word_start[whole][1:] | special[1:] | special[:-1]
        hidden = np.isin(np.arange(whole.size), a.flat)
        assert (border | (hidden[1:] == hidden[:-1])).all() and not (hidden & special).any()
    assert sum(batch.ids.size for batch in one.held) == 512 and len(one.train) == 6
    lines = [" ".join([word] * 20) for word in ("kuda", "mata")] * 40
    apart = Exercise.of(replace(setting, texts=lines), options, causal=False)
    learnt, asked = (
        {setting.new.forms[i] for batch in part for i in batch.labels} for part in (apart.train, apart.held)
    )
    assert (learnt, asked) == ({"▁mata"}, {"▁kuda"}), "lines are learnt from or asked for"


def test_training_learns_repeats_and_leaves_the_source_alone(setting, tiny_source):
    rows = {"a": setting.mixture("subwords"), "b": setting.mixture("subwords -> mean"), "c": setting.mixture("mean")}
    options = TrialOptions.model_validate({**SHORT, "lr": 1e-2, "steps": 20})
    told = []
    state = torch.get_rng_state()
    one = trial(setting, rows, options, progress=lambda done, total, facts: told.append((done, total, facts)))
    torch.manual_seed(99)
    two = trial(setting, rows, options)
    assert all(np.array_equal(one[name], two[name]) for name in rows)
    assert np.array_equal(one["a"], one["b"]), "equal rows, equal losses"
    start = trial(setting, rows, options.model_copy(update={"lr": 1e-30}))
    assert all(one[name].mean() < start[name].mean() - 0.2 for name in rows)
    assert one["a"].mean() != one["c"].mean()
    notices = [facts["notice"] for _, _, facts in told if "notice" in facts]
    assert len(notices) == 1 and "3 methods for 20 steps" in notices[0]
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told}) and told[-1][1] == 60
    assert len(told) == 40, "the second is not trained again"
    torch.set_rng_state(state)
    fresh = setting.carrier.fresh().state_dict()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in load_model(tiny_source).state_dict().items())


def test_the_order_of_ids_does_not_matter(tiny_source):
    found = []
    for pieces in (PIECES, PIECES[::-1]):
        setting = Setting.of(tiny_source, metaspace(pieces), texts=LINES)
        options = TrialOptions.model_validate({**SHORT, "lr": 1e-3})
        found.append(trial(setting, {"subwords": setting.mixture("subwords")}, options)["subwords"])
    assert found[0] == pytest.approx(found[1], abs=1e-3)


@pytest.mark.parametrize("family", [f for f, (name, _) in FAMILIES.items() if name.endswith(("LM", "LMHeadModel"))])
def test_every_family_can_be_shrunken(family, tmp_path):
    model = make(family, tmp_path)
    ids = torch.tensor([[0, 9, 14, 22, 30, 7, 2]])
    with torch.no_grad():
        whole = model(input_ids=ids).logits
    small = shrunken(model, 1)
    calls = []
    layers = [m for m in small.modules() if type(m).__name__.endswith(("Layer", "Block", "TransformerBlock"))]
    for layer in layers:
        layer.register_forward_hook(lambda layer, *_: calls.append(id(layer)))
    with torch.no_grad():
        assert not torch.allclose(small(input_ids=ids).logits, whole, atol=1e-4)
    counts = {i: calls.count(i) for i in calls}
    assert calls and set(counts.values()) == {1}, "a shared layer runs once too"
    setting = Setting.of(tmp_path, metaspace(OLD[::-1]), texts=["ba be bi bo bu da de di do du ga"] * 200)
    # The position tables of some end at 40.
    options = TrialOptions.model_validate({**SHORT, "steps": 2, "sequence_length": 64})
    found = trial(setting, {"copy": setting.mixture("copy -> mean")}, options)
    assert np.isfinite(found["copy"]).all() and len(found["copy"]) > 20


@pytest.fixture
def close(tiny_source, monkeypatch):
    """A new tokenizer that shares most tokens with the source, and a text with all of them."""
    import vocab.transplant.forecasting as forecasting

    tokens = [t for t in load_tokenizer(tiny_source).get_vocab() if t.isalpha() and len(t) > 1]
    monkeypatch.setattr(forecasting, "FEWEST", 4)
    text = [" ".join(tokens[i::3]) + " mata kudawato" for i in range(3)] * 20
    return metaspace([*(f"▁{t}" for t in tokens), "▁mata", "▁kudawato", *"abcdefghiklmnorstuwy"]), text


def test_auto_goes_by_a_trial(tiny_source, close):
    target, text = close
    other = np.random.default_rng(0).standard_normal((len(load_tokenizer(tiny_source)), 5))
    told = []
    graft = vocab.transplant(
        tiny_source, target, method="auto", texts=text, source_vectors=other, options={"auto": SHORT},
        progress=lambda done, total, facts: told.append((done, total, facts)),
    )  # fmt: skip
    chosen = graft.report["auto"]
    loss = chosen["trial"]["loss"]
    assert chosen["trial"]["bias"] == "frequency" and graft.report["output_bias"]["factor"] > 0
    ahead = {name for name, nats in loss.items() if nats < loss["default"] - 0.03}
    assert [set(again) - {"default"} for again in chosen["trial"]["again"]] == ([ahead] if ahead else [])
    assert chosen["by"] == "trial" and "forecast" not in chosen, "what decides is all that is run"
    assert set(loss) >= {"default", "subwords", "kriging"} and not {"mean", "random"} & set(loss)
    assert chosen["not_run"]["dictionary"] == "needs dictionary" and graft.report["method"] == chosen["method"]
    assert "one space" in chosen["not_run"]["wechsel"], "what was given does not fit it: left out, and said"
    merged = any("merge made no row" in note for note in graft.report["notes"])
    assert merged == chosen["method"].startswith("merge"), "only what was taken has something to say"
    best = min(loss, key=loss.get)
    assert best in chosen["why"] or best == "default"
    assert "Why this method" in graft.markdown and chosen["why"] in graft.markdown
    assert f"{loss[best]:.3f}" in graft.html and "trained for 6 steps" in graft.html
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert any("6 steps each" in facts.get("notice", "") for _, _, facts in told)


def test_auto_takes_what_is_ahead_by_enough(tiny_source, close, monkeypatch):
    import vocab.transplant.auto as auto

    target, text = close
    ahead = 0.0

    def told(setting, rows, options, **_):
        nats = np.random.default_rng(0).random(500)
        return {name: nats - ahead * (name == "subwords") for name in rows}

    monkeypatch.setattr(auto, "trial", told)
    for ahead, method in ((0.02, "focus -> subwords -> mean"), (0.04, "subwords -> mean")):  # noqa: B007 - read by told
        graft = vocab.transplant(tiny_source, target, method="auto", texts=text, score=False)
        assert graft.report["method"] == method, ahead
        assert ("subwords is ahead" in graft.report["auto"]["why"]) == (method == "subwords -> mean")
        plain = vocab.transplant(tiny_source, target, texts=text, score=False,
                                 method=None if ahead < 0.03 else "subwords")  # fmt: skip
        assert torch.equal(graft.model.get_input_embeddings().weight, plain.model.get_input_embeddings().weight)
    monkeypatch.setattr(auto, "trial", lambda setting, rows, options, **_: {name: np.full(9, np.nan) for name in rows})
    lost = vocab.transplant(tiny_source, target, method="auto", texts=text, score=False)
    assert lost.report["method"] == "focus -> subwords -> mean", "nothing is known where training went astray"
    monkeypatch.setattr(auto, "trial", told)
    wide = vocab.transplant(tiny_source, target, method="auto", texts=text, score=False,
                            options={"auto": {"margin": 0.1}})  # fmt: skip
    assert "subwords is not ahead of the default chain by enough" in wide.report["auto"]["why"]


@pytest.mark.parametrize(
    ("leads", "trials", "kept"),
    [((0.02, 0.5), 1, True), ((0.06, 0.035), 2, True), ((0.2, 0.02), 2, True), ((0.1, 0.09), 2, False)],
    ids=("not ahead", "near the margin", "one seed only", "both seeds"),
)
def test_auto_allows_for_seeds(setting, monkeypatch, leads, trials, kept):
    import vocab.transplant.auto as auto

    asked = []

    def told(drawn, rows, options, **_):
        asked.append(set(rows))
        nats = np.random.default_rng(drawn.seed).random(500)
        lead = {"subwords": leads[drawn.seed], "kriging": -1.0}
        return {name: nats - lead.get(name, 0) for name in rows}

    monkeypatch.setattr(auto, "trial", told)
    chosen = auto.choose(setting, auto.AutoOptions())
    assert len(asked) == trials and "kriging" in asked[0] and (trials == 1 or asked[1] == {"default", "subwords"})
    assert (chosen.links == chain.DEFAULT) == kept
    assert ("by seed" in chosen.facts["why"]) == (trials == 2) and "subwords is" in chosen.facts["why"]
    assert len(chosen.facts["trial"]["again"]) == trials - 1


def test_of_what_is_as_good_the_one_that_needs_least(setting):
    """The dictionary's rows save 0.2 and 0.3 nats, old pieces 0.2 and 0.25, kriging 0.1 and 0.1: it is told apart."""
    from vocab.transplant.auto import _by_trial

    saved = {"default": (0, 0), "dictionary": (0.2, 0.3), "subwords": (0.2, 0.25), "kriging": (0.1, 0.1)}
    lead = _by_trial([{name: np.full(50, 1 - by[seed]) for name, by in saved.items()} for seed in (0, 1)], 0.03)
    assert (lead.best, lead.beside, lead.kept) == ("subwords", ("dictionary",), False)
    assert lead.gap == pytest.approx((0.225, 0.175, 0.275)) and lead.each == pytest.approx((0.2, 0.25))
    assert "Not told apart from it: dictionary" in lead.told(3)


def test_the_bias_tried_is_the_bias_asked_for(setting):
    """At a rate of 0, nats are those of the start: by frequency they are lower, and seeds draw other text."""
    options = TrialOptions.model_validate({**SHORT, "lr": 1e-30})
    rows = {"mean": setting.mixture("mean")}
    mixed, shifted = (trial(setting, rows, options, by_frequency=by)["mean"] for by in (False, True))
    assert shifted.mean() < mixed.mean() - 0.1 and len(shifted) == len(mixed)
    other = trial(replace(setting, seed=1), rows, options)["mean"]
    assert len(other) != len(mixed) or not np.allclose(np.sort(other), np.sort(mixed))


def test_auto_goes_by_forecast_where_nothing_can_be_trained(tiny_base, tiny_source, close):
    target, text = close
    graft = vocab.transplant(tiny_base, target, method="auto", texts=text)
    chosen = graft.report["auto"]
    assert chosen["by"] == "forecast" and "trial" not in chosen
    assert set(chosen["forecast"]) >= {"default", "subwords", "kriging"}
    cosine = {name: found["cosine"] for name, found in chosen["forecast"].items()}
    best = max(cosine, key=cosine.get)
    told = f"{best} is" in chosen["why"] and "cosine on hidden shared tokens" in chosen["why"]
    assert told or cosine[best] == cosine["default"]
    assert any("no trial: BertModel has no language-modelling head" in note for note in graft.report["notes"])
    asked = vocab.transplant(tiny_source, target, method="auto", texts=text, options={"auto": {"by": "forecast"}})
    assert asked.report["auto"]["by"] == "forecast" and not any("no trial" in n for n in asked.report["notes"])
    both = vocab.transplant(tiny_source, target, method="auto", texts=text,
                            options={"auto": {**SHORT, "forecast": True}}, score=False)  # fmt: skip
    assert both.report["auto"]["by"] == "trial" and "cosine" in both.markdown and "loss" in both.markdown
    assert set(both.report["auto"]["forecast"]) == set(both.report["auto"]["trial"]["loss"])


def test_auto_needs_something_to_go_by(tiny_source, tiny_base):
    far = metaspace(["▁qq", "q"])
    with pytest.raises(InputError, match="too few shared tokens"):
        vocab.transplant(tiny_source, far, method="auto", texts=["qq"] * 3)
    with pytest.raises(InputError, match="too little text to try methods on"):
        vocab.transplant(tiny_source, far, method="auto", texts=["qq"] * 3, options={"auto": {"by": "trial"}})
    with pytest.raises(InputError, match="no language-modelling head"):
        vocab.transplant(tiny_base, far, method="auto", texts=LINES, options={"auto": {"by": "trial"}})
    with pytest.raises(InputError, match="no text was given"):
        vocab.transplant(tiny_source, far, method="auto", options={"auto": {"by": "trial"}})
    with pytest.raises(InputError, match="options of auto: .*unknown key 'step', did you mean 'steps'"):
        vocab.transplant(tiny_source, TARGET, method="auto", texts=LINES, options={"auto": {"step": 3}})
    blind = metaspace(["▁mata", "a"], ["<s>", "<pad>", "</s>", "<unk>"])
    with pytest.raises(InputError, match="training a masked model needs a mask token"):
        vocab.transplant(tiny_source, blind, method="auto", texts=LINES, options={"auto": {"by": "trial"}})
