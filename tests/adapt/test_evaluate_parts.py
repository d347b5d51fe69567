"""What evaluating is made of, each part alone: windows, decoding, counts, the settings."""

import numpy as np
import pytest
from pydantic import ValidationError

from adapt.config import Evaluate, RunConfig, load
from adapt.evaluate import features, heads, labelled
from adapt.evaluate.task import TASKS, TaskFiles
from adapt.events import Events
from adapt.files import write_json
from adapt.graph import Context
from adapt.preflight import _measured_by, _task_tokens, estimate
from tests.conftest import write_config


def test_registry_has_the_tasks_and_importing_it_is_light():
    assert set(TASKS.names) >= {"lm", "ner", "pos", "sentiment"}
    for task in TASKS:
        assert task.summary
        assert task.better in ("higher", "lower")
        assert issubclass(task.options, TaskFiles) == task.files


def test_windows_cover_every_piece_once():
    for n in (1, 10, 11, 15, 16, 47, 100):
        plan = features.windows([features.Cut(list(range(n)), [])], 10)
        kept = [i for w in plan for i in range(*w.keep)]
        assert kept == list(range(n))
        assert all(w.start <= w.keep[0] and w.keep[1] <= w.end and w.end - w.start <= 10 for w in plan)


def test_viterbi_finds_the_best_allowed_sequence():
    labels = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    rng = np.random.default_rng(0)
    start, follow = heads.allowed(labels)
    assert start.tolist() == [True, True, False, False, True]
    assert follow[0].tolist() == [True, True, True, False, True]  # after B-LOC: no I-PER
    assert follow[4].tolist() == [True, True, False, False, True]
    for _ in range(30):
        scores_ = heads.log_softmax(rng.normal(size=(4, 5)))
        every = [
            (sum(scores_[i, t] for i, t in enumerate(seq)), seq)
            for seq in np.ndindex(5, 5, 5, 5)
            if start[seq[0]] and all(follow[a, b] for a, b in zip(seq, seq[1:], strict=False))
        ]
        assert heads.viterbi(scores_, labels) == list(max(every)[1])


def test_neighbours_stop_at_the_ends_of_a_sentence():
    states = np.arange(1, 6, dtype=np.float32)[:, None]
    found = heads.arrange(states, [2, 0, 3], "ner")
    assert found.tolist() == [[1, 0, 2], [2, 1, 0], [3, 0, 4], [4, 3, 5], [5, 4, 0]]
    assert heads.arrange(states, [5], "pos") is states


def test_label_counts():
    assert labelled.label_counts([["A", "B"], ["A"]]) == {"A": 2, "B": 1}
    assert labelled.label_counts(["p", "n", "p"]) == {"n": 1, "p": 2}


def test_the_preflight_counts_the_updates_that_few_examples_get():
    """2,000 characters are 20 examples, two updates an epoch: 100 epochs at three forward passes, ten looks at dev."""
    config = RunConfig(language="x", source={"model": "m"}, corpus={"text": ["a"]}, evaluate={"mode": "finetune"})
    assert _task_tokens(config, 2000, 3000) == pytest.approx(3 * (2000 * 100 * 3 + 3000 * 10) / 3)
    assert _task_tokens(config, 200_000, 3000) == pytest.approx(3 * (200_000 * 3 * 3 + 3000 * 3) / 3)


def test_the_preflight_shares_fine_tuning_out_to_gpus_but_not_to_cores(tmp_path, tiny_source, language):
    """Processes on processors share the threads that one would have."""

    def seconds(device, **more):
        more = {f"evaluate__{key}": value for key, value in {"mode": "finetune", **more}.items()}
        config = load(write_config(tmp_path / "run.yaml", tiny_source, language, **more))
        context = Context(config, tmp_path, tiny_source, Events(tmp_path / "events.jsonl"))
        measured = {"seconds_per_step": 2.0, "processes": 1, "device": device, "peak_rss_bytes": 0}
        write_json(tmp_path / "preflight.json", {"settings": _measured_by(context), "measured": measured})
        return estimate(context).evaluate_seconds

    without, one = seconds("cuda:0", tasks={}), seconds("cuda:0")
    assert one > without + 1
    assert seconds("cuda:0", processes=2) - without == pytest.approx((one - without) / 2)
    assert seconds("cpu", processes=2) == pytest.approx(one) == seconds("cpu")


@pytest.mark.parametrize(("settings", "said"), [
    ({"reinit_layers": 1}, "reinit_layers belongs to mode finetune"),
    ({"mode": "finetune", "layer_decay": 0.9, "task_adapter": True}, "layer_decay and task_adapter exclude each other"),
])  # fmt: skip
def test_settings_of_finetuning_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Evaluate(**settings)
