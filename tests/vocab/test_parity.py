"""The same vectors give the same rows as the authors' packages (their rows were written by benchmarks/parity.py)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from tests.tiny_tokenizers import metaspace
from vocab.mixture import Mixture
from vocab.transplant.method import METHODS, Problem
from vocab.transplant.space import in_one_space
from vocab.vectors.evidence import Evidence
from vocab.vectors.from_words import from_words
from vocab.vectors.words import WordVectors
from vocab.view import Vocabulary


def case_of(package: str) -> tuple[dict[str, Any], dict[str, np.ndarray], Problem]:
    """What both sides were given, their rows, and our problem."""
    with safe_open(Path(__file__).parent / "data" / f"{package}.safetensors", "np") as file:
        case = json.loads(file.metadata()["case"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    old, new = (Vocabulary.of(metaspace(case[side])) for side in ("source", "target"))
    return case, tensors, Problem(old, new, {"input": tensors["matrix"]})


def same_rows(mixture: Mixture, tensors: dict[str, np.ndarray], tolerance: float = 1e-4) -> None:
    """Rows that we fill are theirs: cosine >= 0.9999, and no number far off."""
    filled = mixture.filled
    ours, theirs = mixture.apply(tensors["matrix"])[filled], tensors["rows"][filled]
    cosine = np.sum(ours * theirs, axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    assert cosine.min() >= 0.9999
    assert np.abs(ours - theirs).max() < tolerance


def test_focus_gives_deepfocus_s_rows():
    _, tensors, problem = case_of("deepfocus")
    problem.vectors = tensors["vectors"]
    mixture = METHODS["focus"].rows(problem, METHODS["focus"].options())
    assert mixture.methods()["copy"] > 50 and mixture.methods()["focus"] > 100
    same_rows(mixture, tensors)
    # What is not filled are specials, and new tokens without a vector: deepfocus draws those.
    assert not tensors["vectors"][~mixture.filled].any()


def test_focus_extension_gives_deepfocus_s_rows():
    """Vectors of the language's own tokenizer, for a vocabulary that keeps all old tokens."""
    case, tensors, problem = case_of("deepfocus")
    language, problem.target = problem.target, Vocabulary.of(metaspace(case["extended"]))
    problem.vectors = Evidence.of(tensors["vectors"], len(language)).onto(language, problem.target)
    mixture = METHODS["focus"].rows(problem, METHODS["focus"].options())
    assert mixture.methods()["copy"] == len(case["source"]) and mixture.methods()["focus"] > 100
    same_rows(mixture, {**tensors, "rows": tensors["extended_rows"]})


def test_wechsel_gives_wechsel_s_rows():
    """From word vectors, their frequencies and a dictionary to rows."""
    case, tensors, problem = case_of("wechsel")
    spaces = {}
    for side, view in (("source", problem.source), ("target", problem.target)):
        words = WordVectors(case[f"{side}_words"], tensors[f"{side}_words"], tensors[f"{side}_counts"])
        spaces[side] = Evidence(from_words(words, view, "words"), words=SimpleNamespace(vectors=words))
    problem.vectors, problem.source_vectors = spaces["target"], spaces["source"]
    problem.extra["dictionary"] = [tuple(pair) for pair in case["dictionary"]] + [("no", "word")]
    _, turned = in_one_space(problem)
    assert turned.dense == pytest.approx(spaces["source"].dense @ tensors["turn"], abs=1e-5)
    mixture = METHODS["wechsel"].rows(problem, METHODS["wechsel"].options())
    made = [problem.target.tokens[row] for row in np.flatnonzero(~mixture.filled)]
    assert len(mixture) - len(made) > 200
    same_rows(mixture, tensors)
    assert set(case["not_found"]) | set(problem.target.tokens[:5]) == set(made) | set(problem.target.tokens[:5])


def test_omp_gives_tokensurgeon_s_rows():
    case, tensors, problem = case_of("omp")
    problem.extra["helper"] = tensors["donor"]
    mixture = METHODS["omp"].rows(problem, METHODS["omp"].options(k=case["k"]))
    assert mixture.methods()["copy"] > 50 and mixture.methods()["omp"] > 100
    assert np.diff(mixture.weights.indptr)[mixture.method == 2].tolist() == [case["k"]] * mixture.methods()["omp"]
    same_rows(mixture, tensors)
