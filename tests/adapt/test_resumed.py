"""SIGKILL at any moment, to one process or two: the training goes on from its checkpoint and ends in the same bytes.

In the middle of an epoch, with sequences that grow, replayed text that grows with what is forgotten, WSD, dropout, a
body that thaws on the way, a mean of the weights that is exported, and early stop that looks for the best.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from contextlib import suppress

import pytest

from adapt.pretrain.checkpoint import listed, step_of
from tests.adapt.forked import FORKS_TWO, Training, digests, wait_for
from tests.conftest import other_weights

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")


def weights(folder):
    found = digests(folder, "model/model.safetensors")
    assert found
    return found


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=FORKS_TWO)])
def test_killed_anywhere_it_ends_in_the_same_bytes(processes, server, tmp_path, tiny_base, language):
    def steps():
        log = tmp_path / "cut" / "log.jsonl"
        return len(log.read_text().splitlines()) if log.is_file() else 0

    def partial():
        found = set()
        for file in root.glob(".partial-*/weights.safetensors"):
            with suppress(FileNotFoundError):
                found.add(file.stat().st_mtime_ns)
        return found

    known = tmp_path / "known.txt"
    known.write_text("walking houses talked.\nthe king sees good water.\n" * 5)
    training = Training(server, "growing", processes, tiny_base, language / "text.txt", tmp_path)
    training.finish("whole")
    draw = random.Random(0)
    root = tmp_path / "cut" / "checkpoints"
    for number in range(6):
        mark = 6 + 9 * number + draw.randrange(4)
        stalled = number in (1, 3)
        left = partial()
        group = training.start("cut", 60 if stalled else 0, mark + 3)
        if stalled:  # killed while a checkpoint is being written
            wait_for(lambda left=left: partial() - left)
        else:
            wait_for(lambda mark=mark: steps() >= mark)
            time.sleep(draw.random() * 0.05)
        os.killpg(group, signal.SIGKILL)
        assert training.wait() == signal.SIGKILL
    training.finish("cut")
    facts, whole = (json.loads((tmp_path / n / "finished.json").read_text())["facts"] for n in ("cut", "whole"))
    assert len(facts["resumed_from"]) == 4 and facts["resumed_from"][-1] > 50
    assert facts["notices"] == whole["notices"] and all("replayed text" in notice for notice in facts["notices"])
    assert facts["notices"] and facts["early_stop"] == whole["early_stop"]
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    log = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 61))
    assert [step_of(p) for p in listed(root)[-2:]] == [58, 59] and len(listed(root)) <= 4  # and those of the best steps
    assert not list(root.glob(".partial-*"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "known.txt").write_text("walking houses talked.\nthe king sees good water.\n" * 5)
    (folder / "other.txt").write_text("mama kuda.\nwato mama trees.\n" * 5)
    (folder / "words.tsv").write_text("king\tmama\ngood\tkuda\n")
    (folder / "facts.tsv").write_text("".join(f"king{n}\tsees\thouse{n}\n" for n in range(12)))
    return folder


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=[FORKS_TWO, pytest.mark.slow])])
@pytest.mark.parametrize("case", ["mixed", "selective"])
def test_killed_with_corpora_facts_or_a_reference(case, processes, server, tmp_path, texts, tiny_source, language):
    if case == "mixed":
        shutil.copytree(texts, tmp_path, dirs_exist_ok=True)
    else:
        other_weights(tiny_source, tmp_path / "reference")
    training = Training(server, case, processes, tiny_source, language / "text.txt", tmp_path)
    training.finish("whole")
    for gate in (4, 5, 13):
        training.kill_at("cut", gate)
    training.finish("cut")
    facts, whole = (json.loads((tmp_path / n / "finished.json").read_text())["facts"] for n in ("cut", "whole"))
    assert facts["resumed_from"] == [4, 5, 13] and facts["corpora"] == whole["corpora"]
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    if case == "mixed":
        assert all(facts["corpora"][name]["tokens"] > 0 for name in ("text", "source", "swa", "triples"))


@FORKS_TWO
def test_fine_tuning_on_two_processes_killed_within_a_seed(server, tmp_path, tiny_source, language):
    training = Training(server, "fine_tuning", 2, tiny_source, language, tmp_path)
    training.finish("whole")
    training.kill_at("cut", 11)  # a seed has eight steps: in the second
    assert (tmp_path / "cut/seed-0/scores.json").is_file() and not (tmp_path / "cut/seed-1").exists()
    kept = (tmp_path / "cut/seed-0/scores.json").stat().st_mtime_ns
    training.finish("cut")
    assert (tmp_path / "cut/seed-0/scores.json").stat().st_mtime_ns == kept
    found, whole = (digests(tmp_path / name, "seed-*/*.*", "seed-*/body/*.safetensors") for name in ("cut", "whole"))
    assert found == whole and len(found) >= 9
