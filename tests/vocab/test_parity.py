"""The same vectors give the same rows as the authors' packages (their rows were written by benchmarks/parity.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

from tests.tiny_tokenizers import metaspace
from vocab.transplant.method import METHODS, Problem
from vocab.view import Vocabulary


def test_focus_gives_deepfocus_s_rows():
    with safe_open(Path(__file__).parent / "data" / "deepfocus.safetensors", "np") as file:
        case = json.loads(file.metadata()["case"])
        theirs, vectors, matrix = (file.get_tensor(name) for name in ("rows", "vectors", "matrix"))
    problem = Problem(
        Vocabulary.of(metaspace(case["source"])), Vocabulary.of(metaspace(case["target"])), {"input": matrix}, vectors
    )
    mixture = METHODS["focus"].rows(problem, METHODS["focus"].options())
    assert mixture.methods()["copy"] > 50 and mixture.methods()["focus"] > 100
    filled = mixture.filled
    ours = mixture.apply(matrix)[filled]
    theirs = theirs[filled]
    cosine = np.sum(ours * theirs, axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    assert cosine.min() >= 0.9999
    assert np.abs(ours - theirs).max() < 1e-4
    # What is not filled are specials, and new tokens without a vector: deepfocus draws those.
    assert not vectors[~filled].any()
