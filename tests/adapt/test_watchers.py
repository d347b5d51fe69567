"""Watchers: what each measures, decides and remembers, and that a training with it goes on to the bit."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM
from typer.testing import CliRunner

import adapt
from adapt.branch import branch
from adapt.cli import app
from adapt.pretrain.bits import CONTEXT, Words
from adapt.pretrain.checkpoint import go_back, keep_only, listed, load, save, step_of
from adapt.pretrain.engine import pretrain
from adapt.pretrain.schedule import rate_share
from adapt.pretrain.texts import Beside
from adapt.pretrain.watchers import tensorboard
from adapt.pretrain.watchers.ema import Ema, EmaOptions
from adapt.pretrain.watchers.watcher import WATCHERS, Run, chosen, refuse
from lexigraft import InputError
from tests.adapt.pretraining import options, setup_on
from tests.adapt.test_checkpoint import made
from tests.conftest import sentences, write_config
from vocab.score import bits_per_character, word_bits
from vocab.tokenizer.load import load_tokenizer
from vocab.windows import sample_words

STEPS = 12


@pytest.fixture(scope="module", autouse=True)
def trackio_folder(tmp_path_factory):
    """Where trackio writes; it looks once, when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield Path(os.environ["TRACKIO_DIR"])


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Held-out text of the language that the tiny source knows, and of the other one."""
    folder = tmp_path_factory.mktemp("known")
    (folder / "source.txt").write_text("walking houses talked.\nthe king sees good water.\n" * 10)
    lines = [" ".join(word for word, _, _ in sentence) for sentence in sentences(60, 3)]
    (folder / "heldout.txt").write_text("\n".join(lines) + "\n")
    return folder


def trained(source, language, known, folder, steps=STEPS, progress=None, **more):
    """Train with a constant rate, so that a training's first steps are those of a longer one."""
    more = {"schedule": "constant", "warmup": 0.0, **more}
    watchers = {"heldout": {"every": 2, "words": 20}, **more.pop("watchers", {})}
    return pretrain(source, source, language / "text.txt", known / "heldout.txt", options(watchers=watchers, **more),
                    steps, 0, folder, progress, Beside(source_heldout=known / "source.txt"))  # fmt: skip


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights_of(folder):
    return load_file(folder / "model" / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Settings under which each watcher has something to do in a dozen steps.
BUSY = {
    "early-stop": [{"patience": 5, "min_gain": 0.05}, {"patience": 1, "min_gain": 9}],
    "forgetting": [{"max_forgetting": 1e-9, "on_exceeded": "lower_lr", "every": 2}, {"max_forgetting": 9}],
    "ema": [{"decay": 0.8}],
    "heldout": [{"words": 9, "every": 5}],
    "keep": [{"every": 4}],
    "divergence": [{"on_divergence": "lower_lr", "every": 4}],
}


@pytest.mark.parametrize(("name", "given"), [(w.name, g) for w in WATCHERS for g in BUSY.get(w.name, [{}])])
def test_each_watcher_stopped_anywhere_goes_on_to_the_bit(name, given, tmp_path, tiny_source, language, known):
    if WATCHERS[name].package:
        pytest.importorskip(WATCHERS[name].package)
    watchers = {name.replace("-", "_"): given}
    whole = trained(tiny_source, language, known, tmp_path / "whole", watchers=watchers)

    def interrupt(done, total, facts):
        # The only facts of every step are the checkpoints: what is said depends on the clock.
        if any(step_of(folder) >= 7 for folder in listed(tmp_path / "cut" / "checkpoints")) and "notice" not in facts:
            raise KeyboardInterrupt

    for _ in range(2):
        try:
            cut = trained(tiny_source, language, known, tmp_path / "cut", progress=interrupt, watchers=watchers,
                          checkpoint_seconds=0.0)  # fmt: skip
        except KeyboardInterrupt:
            interrupt = None
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut"))
    clock = {"seconds", "step_seconds", "tokens_per_second", "characters_per_second", "seconds_left", "memory_bytes"}
    clock |= {"throughput_share"}
    for a, b in ((log_of(tmp_path / "whole"), log_of(tmp_path / "cut")), ([whole], [cut])):
        ours = [{k: v for k, v in line.items() if k not in clock | {"resumed_from"}} for line in a]
        assert ours == [{k: v for k, v in line.items() if k not in clock | {"resumed_from"}} for line in b]


def test_bits_are_those_of_the_model_that_is_exported(tmp_path, tiny_source, language, known):
    facts = trained(tiny_source, language, known, tmp_path, lr=1e-2, watchers={"ema": {"decay": 0.9}})
    watch = Words(known / "heldout.txt", 20, "heldout")
    words = sample_words(watch.lines, 20, 0)
    tokenizer = load_tokenizer(tmp_path / "model")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    found = word_bits(model, tokenizer, watch.lines, words, context_tokens=CONTEXT)
    use = [status == "ok" for status in found.status]
    assert 5 < sum(use)
    value = facts["heldout_pseudo_bits_per_character"]
    assert value == pytest.approx(bits_per_character(found.bits, words, use), abs=1e-4)
    assert log_of(tmp_path)[-1]["heldout_pseudo_bits_per_character"] == value
    assert [line["step"] for line in log_of(tmp_path) if "heldout_loss" in line] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(("end", "said"), [(4.5, True), (4.05, False)])
def test_a_loss_that_ends_above_its_lowest_is_told(end, said, tmp_path, tiny_source, language, known, monkeypatch):
    losses = iter([5.0, 4.0, 5.0, end])
    monkeypatch.setattr("adapt.pretrain.step.heldout_loss", lambda setup, batch: next(losses))
    facts = trained(tiny_source, language, known, tmp_path, steps=8)
    told = "lowest at step 4 (4.00 nats a token) and ended at 4.50"
    assert any(told in notice for notice in facts["notices"]) == said
    assert facts["heldout_loss"] == end and "lowest" not in facts


def test_early_stop_exports_the_best_weights(tmp_path, tiny_source, language, known):
    stop = {"early_stop": {"patience": 2, "min_gain": 9}}  # no gain is enough: the first measurement stays the best
    facts = trained(tiny_source, language, known, tmp_path / "stopped", watchers=stop)
    assert facts["early_stop"] == {"best": log_of(tmp_path / "stopped")[1]["heldout_pseudo_bits_per_character"],
                                   "best_step": 2, "stopped_at": 6}  # fmt: skip
    assert facts["steps"] == 6 and facts["exported_step"] == 2 and len(log_of(tmp_path / "stopped")) == 6
    assert any("stopped at step 6 of 12: no gain since step 2" in notice for notice in facts["notices"])
    trained(tiny_source, language, known, tmp_path / "two", steps=2)
    assert same(weights_of(tmp_path / "stopped"), weights_of(tmp_path / "two"))
    stop["early_stop"]["keep"] = "last"
    assert trained(tiny_source, language, known, tmp_path / "last", watchers=stop)["exported_step"] == 6
    trained(tiny_source, language, known, tmp_path / "six", steps=6)
    assert same(weights_of(tmp_path / "last"), weights_of(tmp_path / "six"))


def test_a_damaged_best_checkpoint_is_said_and_the_last_weights_are_taken(tmp_path, tiny_source, language, known):
    def harm(done, total, facts):
        for folder in listed(tmp_path / "checkpoints"):
            (folder / "weights.safetensors").write_bytes(b"")

    facts = trained(tiny_source, language, known, tmp_path, progress=harm, watchers={"early_stop": {"min_gain": 9}})
    assert facts["exported_step"] == facts["steps"] == 8
    assert any("for want of those of step 2" in notice for notice in facts["notices"])


def test_past_the_forgetting_budget_it_stops_with_weights_within_it(tmp_path, tiny_source, language, known):
    budget = {"forgetting": {"max_forgetting": 1e-6, "every": 3}}
    facts = trained(tiny_source, language, known, tmp_path, lr=2.0**-5, watchers=budget)
    told = facts["forgetting"]
    assert told["exceeded_at"] == 3 and told["rise"] > 1e-6 and told["last"] - told["before"] == told["rise"]
    assert facts["steps"] == 3 and facts["exported_step"] == 0
    assert same(weights_of(tmp_path), load_file(tiny_source / "model.safetensors"))


def test_past_the_forgetting_budget_the_rate_falls(tmp_path, tiny_source, language, known):
    budget = {"forgetting": {"max_forgetting": 1e-6, "every": 3, "on_exceeded": "lower_lr", "lr_factor": 0.25}}
    facts = trained(tiny_source, language, known, tmp_path, lr=2.0**-5, watchers=budget)
    log = log_of(tmp_path)
    over = [line["step"] for line in log if line.get("forgetting", 0) > 1e-6]
    assert over and over[0] == 3 and facts["exported_step"] == 12
    assert [line["lr"] for line in log] == [2.0**-5 * 0.25 ** sum(step < line["step"] for step in over) for line in log]


def test_a_new_heads_forgetting_is_counted_from_its_best(tmp_path, tiny_base, language, known):
    budget = {"forgetting": {"max_forgetting": 99.0, "every": 1}}
    trained(tiny_base, language, known, tmp_path, lr=1e-2, watchers=budget)
    log = log_of(tmp_path)
    bits, rises = ([line[key] for line in log] for key in ("source_pseudo_bits_per_character", "forgetting"))
    for number in range(1, len(log)):
        assert rises[number] >= bits[number] - min(bits[:number]) - 1e-12


def test_a_loss_that_explodes_goes_back_and_on_at_a_lower_rate(tmp_path, tiny_source, language, known):
    lower = {"divergence": {"on_divergence": "lower_lr", "lr_factor": 2.0**-30, "every": 5}}
    said = []
    facts = trained(tiny_source, language, known, tmp_path / "back", lr=2.0**20, watchers=lower,
                    progress=lambda d, t, f: said.append(f.get("notice")))  # fmt: skip
    assert facts["lr_lowered"] == 1 and facts["resumed_from"] == []
    assert [notice for notice in facts["notices"] if "on from step 0 at" in notice]
    assert set(facts["notices"]) <= set(said)
    assert [line["step"] for line in log_of(tmp_path / "back")] == list(range(1, STEPS + 1))
    trained(tiny_source, language, known, tmp_path / "low", lr=2.0**-10)
    assert same(weights_of(tmp_path / "back"), weights_of(tmp_path / "low"))


def test_a_loss_that_explodes_every_time_stops(tmp_path, tiny_source, language, known):
    lower = {"divergence": {"on_divergence": "lower_lr", "lr_factor": 0.99, "at_most": 2}}
    with pytest.raises(InputError, match=r"lowered 2 times to 0\.9801 of it"):
        trained(tiny_source, language, known, tmp_path, lr=1e6, watchers=lower)
    assert [step_of(folder) for folder in listed(tmp_path / "checkpoints")][:1] == [0]


def test_the_mean_of_weights_is_worked_by_hand(tmp_path, tiny_source, language):
    setup = setup_on(tiny_source, language / "text.txt", tmp_path, options())
    watch = Ema(Run(setup, None, None, Beside(), tmp_path, 9, 1.0, None), EmaOptions(decay=0.9))
    (name, parameter), seen = next(iter(setup.trained.items())), []
    for step in range(1, 6):
        with torch.no_grad():
            parameter.normal_(generator=torch.Generator().manual_seed(step))
        seen.append(parameter.detach().double().clone())
        watch.after(step, {})
    shares = [0.9 ** (5 - t) for t in range(1, 6)]
    by_hand = sum(share * w for share, w in zip(shares, seen, strict=True)) / sum(shares)
    assert torch.allclose(watch.tensors[name].double(), by_hand, atol=1e-6)


def test_exported_means_stay_tied_and_leave_the_training_alone(tmp_path, tiny_source, language, known):
    plain = trained(tiny_source, language, known, tmp_path / "plain", lr=1e-2)
    facts = trained(tiny_source, language, known, tmp_path / "mean", lr=1e-2, watchers={"ema": {"decay": 0.5}})
    assert plain["loss"] == facts["loss"]
    assert plain["heldout_loss"] != facts["heldout_loss"]
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "mean" / "model")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert weights_of(tmp_path / "mean").keys() == weights_of(tmp_path / "plain").keys()


def test_pinned_checkpoints_stay(tmp_path):
    for step in range(1, 7):
        checkpoint = made(step)
        checkpoint.state["pins"] = [2] if step < 6 else [3, 5]
        save(tmp_path, checkpoint)
    assert [step_of(folder) for folder in listed(tmp_path)] == [2, 5, 6]  # step 5, kept still, names step 2
    go_back(tmp_path, 5, lambda state: {**state, "seconds": 9.0})
    assert [step_of(folder) for folder in listed(tmp_path)] == [2, 5] and load(tmp_path, 5).state["seconds"] == 9.0
    with pytest.raises(InputError, match=r"step 4.*expected one of: 2, 5"):
        load(tmp_path, 4)
    keep_only(tmp_path, [2])
    assert [step_of(folder) for folder in listed(tmp_path)] == [2]
    keep_only(tmp_path, [])
    assert not tmp_path.exists()


def test_a_kept_checkpoint_is_brought_to_an_end(tmp_path, tiny_source, language):
    more = {"steps": 10, "batch_tokens": 256, "sequence_length": 32, "precision": "fp32", "schedule": "constant"}
    watchers = {"keep": {"shares": [0.1, 0.5]}, "ema": {"decay": 0.9}, "early_stop": {"patience": 9, "keep": "last"}}
    more |= {"warmup": 0.2, "lr": 1e-2, "watchers": {**watchers, "forgetting": {"max_forgetting": 9, "words": 9}}}
    known = tmp_path / "known.txt"
    known.write_text("".join(f"the king sees water and {number} walking houses.\n" for number in range(200)))
    file = write_config(tmp_path / "kept.yaml", tiny_source, language, pretrain=more, arms=["keep"],
                        corpus__source_text=[str(known)])  # fmt: skip
    run = adapt.run(file, {"evaluate.tasks": {}})
    assert [step_of(p) for p in listed(run.folder / "pretrain" / "keep" / "checkpoints")] == [1, 5]
    folder, facts = branch(run.folder, "keep", 5, 3)
    assert facts["steps"] == 3 and facts["exported_step"] == 8 and "resumed_from" in facts
    log, parent = log_of(folder), log_of(run.folder / "pretrain" / "keep")
    before = json.loads((run.folder / "pretrain" / "keep" / "facts.json").read_text())["forgetting"]["before"]
    assert facts["forgetting"]["before"] == before and facts["forgetting"]["rise"] == log[-1]["forgetting"]
    assert [line["step"] for line in log] == [6, 7, 8]
    given = options(**{**more, "schedule": "wsd"})
    rates = [1e-2 * rate_share(given, step, 10, decay=(5, 3)) for step in (5, 6, 7)]
    assert [line["lr"] for line in log] == pytest.approx(rates) and rates[0] < 1e-2
    assert log[0]["loss"] == parent[5]["loss"]  # the same weights and the same text; then the rates differ
    AutoModelForMaskedLM.from_pretrained(folder / "model")
    asked = ["branch", str(run.folder), "--arm", "keep", "--from", "5", "--steps", "3"]
    done = CliRunner().invoke(app, asked)  # it is there already: nothing is trained again
    assert done.exit_code == 0 and "pseudo bits per character" in done.output and len(log_of(folder)) == 3
    with pytest.raises(InputError, match=r"step 4.*one of: 1, 5"):
        branch(run.folder, "keep", 4, 3)
    with pytest.raises(InputError, match="not at its peak at step 1"):
        branch(run.folder, "keep", 1, 3)
    with pytest.raises(InputError, match="no checkpoints of the arm adapted"):
        branch(run.folder, "adapted", 5, 3)


def test_every_step_says_what_the_machine_gives(tmp_path, tiny_source, language, known):
    seen = []
    trained(tiny_source, language, known, tmp_path, progress=lambda d, t, f: seen.append(f))
    keys = {"loss", "lr", "grad_norm", "tokens_per_second", "characters_per_second", "memory_bytes", "seconds_left"}
    keys |= {"throughput_share"}
    for line in [*log_of(tmp_path), seen[-1]]:
        assert keys <= line.keys()
        ratio = line["characters_per_second"] / line["tokens_per_second"]
        assert 1 < ratio < 10 and line["memory_bytes"] > 1e7 and line["throughput_share"] > 0
    assert {"heldout_loss", "heldout_pseudo_bits_per_character"} <= seen[-1].keys()


def test_what_lacks_a_text_or_a_package_is_refused_before_training(tmp_path, tiny_source, language, monkeypatch):
    def watchers(**given):
        return options(watchers=given).watchers

    refuse(watchers(), {})
    with pytest.raises(InputError, match=r"watchers\.forgetting.*held-out text of the source's language"):
        refuse(watchers(forgetting={}), {"heldout": tmp_path})
    with pytest.raises(ValidationError, match=r"needs the bits per character that heldout\.words = 0 leaves out"):
        watchers(early_stop={}, heldout={"words": 0})
    with pytest.raises(ValidationError, match="needs `shares` or `every`"):
        watchers(keep={})
    file = write_config(tmp_path / "run.yaml", tiny_source, language, pretrain={"steps": 2, "watchers": {
        "forgetting": {"max_forgetting": 0.1}}})  # fmt: skip
    with pytest.raises(InputError, match="held-out text of the source's language"):
        adapt.run(file)
    assert not list(tmp_path.glob("runs/*/corpus"))
    monkeypatch.setattr("adapt.pretrain.watchers.watcher.find_spec", lambda name: None)
    for name in ("tensorboard", "trackio"):
        with pytest.raises(InputError, match=f"pip install {name}"):
            refuse(watchers(**{name: {}}), {})


def test_watchers_are_told_in_turn():
    given = options(watchers={"early_stop": {}, "ema": {}, "tensorboard": {}}).watchers
    order = [spec.name for spec, _ in chosen(given)]
    assert order == ["divergence", "ema", "heldout", "machine", "early-stop", "tensorboard"]


def test_numbers_alone_are_drawn():
    facts = {"step": 3, "loss": 1.5, "tokens": 9, "lrs": {"head": 1.0}, "what": "x", "flag": True}
    assert tensorboard.numbers(facts) == {"loss": 1.5, "tokens": 9}
    assert math.isfinite(sum(tensorboard.numbers(facts).values()))


def test_tensorboard_reads_back_what_was_logged(tmp_path, tiny_source, language, known):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tiny_source, language, known, tmp_path, watchers={"tensorboard": {}})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    drawn = [(event.step, event.value) for event in events.Scalars("loss")]
    assert drawn == [(line["step"], pytest.approx(line["loss"])) for line in log_of(tmp_path)]


def test_trackio_has_what_was_logged(tmp_path, tiny_source, language, known, trackio_folder):
    pytest.importorskip("trackio")
    import sqlite3

    trained(tiny_source, language, known, tmp_path / "run", watchers={"trackio": {"project": "p", "name": "n"}})
    (database,) = trackio_folder.glob("p*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select step, metrics from metrics where run_name = 'n' order by step").fetchall()
    logged = [(step, json.loads(metrics)["loss"]) for step, metrics in rows]
    assert logged == [(line["step"], line["loss"]) for line in log_of(tmp_path / "run")]
