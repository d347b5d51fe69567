"""Write the rows that the authors' packages make on a made-up case, for the parity test that runs without them.

    python -m benchmarks.parity [deepfocus wechsel omp]

Each package gets an environment of its own, made in the cache folder (see `peers`). Tokens, vectors, words and source
rows are drawn here and written beside the rows to tests/vocab/data, so that both sides are given exactly the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import PEERS, ROOT, python_of

ROWS = ("deepfocus", "wechsel", "omp")
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
DATA = ROOT / "tests" / "vocab" / "data"


def tokenizer(pieces: list[str]) -> Any:
    """Make a SentencePiece-like tokenizer with these pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.Unigram([(piece, -1.0) for piece in [*SPECIALS, *pieces]], 3, False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(SPECIALS)
    roles = {"bos": 0, "cls": 0, "pad": 1, "eos": 2, "sep": 2, "unk": 3, "mask": 4}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": SPECIALS[index] for role, index in roles.items()}
    )


def draw_case(draw: np.random.Generator) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Draw old pieces, new pieces (80 of them old ones), vectors of the new tokens and rows of the old."""
    syllables = [c + v for c in "bdfgklmnprst" for v in "aeiou"]
    words = sorted({"".join(draw.choice(syllables, draw.integers(1, 4))) for _ in range(500)})
    forms = [("▁" if draw.random() < 0.7 else "") + word for word in words]
    order = draw.permutation(len(forms)).tolist()
    old, new = [forms[i] for i in order[:260]], [forms[i] for i in order[180:420]]
    vectors = draw.standard_normal((len(SPECIALS) + len(new), 12)).astype(np.float32)
    vectors[:, 0] += 2
    vectors[draw.random(len(vectors)) < 0.2] = 0
    vectors[: len(SPECIALS)] = 0
    matrix = draw.standard_normal((len(SPECIALS) + len(old), 8)).astype(np.float32)
    return old, new, vectors, matrix


def deepfocus(old: list[str], new: list[str], vectors: np.ndarray, matrix: np.ndarray) -> tuple[dict, dict]:
    """FOCUS with the drawn vectors in place of those that it would train; and its extension mode.

    There the new vocabulary is the old one and what is new, and the vectors are those of the new pieces' tokenizer.
    """
    import deepfocus.focus as focus
    import torch

    ids = range(len(SPECIALS), len(SPECIALS) + len(new))
    known = {token: vectors[index] for index, token in zip(ids, new, strict=True) if vectors[index].any()}
    focus.load_target_token_embedding = lambda **_: known
    extended = [*old, *(token for token in new if token not in set(old))]
    rows = {}
    for mode, pieces, language in (("rows", new, None), ("extended_rows", extended, tokenizer(new))):
        found = focus.FOCUS(
            target_tokenizer=tokenizer(pieces), source_tokenizer=tokenizer(old), extend_tokenizer=language,
            source_embeddings=torch.from_numpy(matrix), target_training_data_path="made up", verbosity="silent",
        )  # fmt: skip
        rows[mode] = found.numpy()
    return {**rows, "vectors": vectors}, {"extended": extended}


class Words:
    """Word vectors as WECHSEL asks for them."""

    def __init__(self, words: list[str], matrix: np.ndarray, counts: np.ndarray) -> None:
        self.words, self.matrix, self.counts = words, matrix, counts
        self.place = {word: index for index, word in enumerate(words)}

    def get_words_and_freqs(self) -> tuple[list[str], np.ndarray]:
        """Words and how often each was seen."""
        return self.words, self.counts

    def get_dimension(self) -> int:
        """Dimensions."""
        return int(self.matrix.shape[1])

    def get_word_id(self, word: str) -> int:
        """Place of a word, or -1."""
        return self.place.get(word, -1)

    def get_word_vector(self, word: str) -> np.ndarray:
        """Its vector."""
        return self.matrix[self.place[word]]


def wechsel(old: list[str], new: list[str], vectors: np.ndarray, matrix: np.ndarray) -> tuple[dict, dict]:
    """WECHSEL from words to rows: alignment by dictionary, token vectors by frequency, ten nearest."""
    from wechsel import WECHSEL

    draw = np.random.default_rng(1)
    sides, facts, tensors = [], {}, {}
    for name, pieces in (("source", old), ("target", new)):
        starts, rest = ([p for p in pieces if (p[0] == "▁") is first] for first in (True, False))
        words = sorted({draw.choice(starts)[1:] + "".join(draw.choice(rest, draw.integers(0, 3))) for _ in range(600)})
        space = (draw.standard_normal((len(words), 10)) + np.eye(10)[0]).astype(np.float32)
        sides.append(Words(words, space, draw.integers(1, 100, len(words))))
        facts[f"{name}_words"] = words
        tensors |= {f"{name}_words": space, f"{name}_counts": sides[-1].counts}
    one, two = (side.words for side in sides)
    pairs = [(one[i], two[j]) for i, j in draw.integers(0, min(len(one), len(two)), (60, 2)).tolist()]
    pairs = [(a.title() if n % 3 == 0 else a, b.upper() if n % 5 == 0 else b) for n, (a, b) in enumerate(pairs)]
    peer = object.__new__(WECHSEL)  # its own start would load models
    peer.source_embeddings, peer.target_embeddings = sides
    turn = peer._compute_align_matrix_from_dictionary(*sides, [*pairs, ("no", "word")])
    peer.source_transform, peer.target_transform = lambda x: x @ turn, lambda x: x
    rows, info = peer.apply(tokenizer(old), tokenizer(new), matrix, use_subword_info=False)
    return {"rows": rows, "turn": turn, **tensors}, {**facts, "dictionary": pairs, "not_found": info.not_found}


def omp(old: list[str], new: list[str], vectors: np.ndarray, matrix: np.ndarray) -> tuple[dict, dict]:
    """Orthogonal matching pursuit of tokensurgeon, in a drawn donor's space, 6 atoms of 24 dimensions."""
    import importlib
    import sysconfig
    from types import ModuleType

    import torch

    # The packages' own start imports all of mergekit; the module alone needs torch.
    for package in ("mergekit", "mergekit.tokensurgeon"):
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(Path(sysconfig.get_paths()["purelib"], *package.split(".")))]
    module = importlib.import_module("mergekit.tokensurgeon.omp")
    donor = np.random.default_rng(2).standard_normal((len(SPECIALS) + len(new), 24)).astype(np.float32)
    shared = [token for token in new if token in set(old)]
    place = {token: index for index, token in enumerate([*SPECIALS, *new])}
    rows = np.zeros((len(donor), matrix.shape[1]), np.float32)
    anchors = matrix[[old.index(token) + len(SPECIALS) for token in shared]]
    points = torch.from_numpy(donor[[place[token] for token in shared]])
    missing = [token for token in new if token not in set(old)]
    at = [place[token] for token in missing]
    indices, weights = module.batch_omp(torch.from_numpy(donor[at]), points, 6)
    rows[at] = np.einsum("nk,nkd->nd", weights.numpy(), anchors[indices.numpy()])
    rows[[place[token] for token in shared]] = anchors
    return {"rows": rows, "donor": donor}, {"k": 6}


def main() -> None:
    """Make the environments and run each peer in its own; inside one, write its rows."""
    if sys.argv[1:2] != ["--inside"]:
        for name in sys.argv[1:] or ROWS:
            python = python_of(name)
            if python is not None:
                subprocess.run([python, "-m", "benchmarks.parity", "--inside", name], check=True, cwd=ROOT)
                print(f"wrote {DATA / name}.safetensors", flush=True)
        return
    from safetensors.numpy import save_file

    name = sys.argv[2]
    old, new, vectors, matrix = draw_case(np.random.default_rng(0))
    tensors, facts = globals()[name](old, new, vectors, matrix)
    facts = {"source": old, "target": new, "package": PEERS[name][2], **facts}
    save_file(
        {k: np.ascontiguousarray(v) for k, v in {**tensors, "matrix": matrix}.items()},
        DATA / f"{name}.safetensors",
        {"case": json.dumps(facts, ensure_ascii=False)},
    )


if __name__ == "__main__":
    main()
