"""Write deepfocus's rows on a made-up case, for the parity test that runs without it.

    PYTHON_OF_DEEPFOCUS benchmarks/parity.py tests/vocab/data/deepfocus.safetensors

To be run with the environment that benchmarks/transplant.py makes. Tokens, vectors and source rows are drawn here and
written beside the rows, so that both sides are given exactly the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import deepfocus.focus as focus
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def tokenizer(pieces: list[str]) -> PreTrainedTokenizerFast:
    """Make a SentencePiece-like tokenizer with these pieces."""
    backend = Tokenizer(models.Unigram([(piece, -1.0) for piece in [*SPECIALS, *pieces]], 3, False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(SPECIALS)
    roles = {"bos": 0, "cls": 0, "pad": 1, "eos": 2, "sep": 2, "unk": 3, "mask": 4}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": SPECIALS[index] for role, index in roles.items()}
    )


def main() -> None:
    """Draw the case, run deepfocus, write both."""
    draw = np.random.default_rng(0)
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
    known = {
        token: vectors[index + len(SPECIALS)] for index, token in enumerate(new) if vectors[index + len(SPECIALS)].any()
    }
    focus.load_target_token_embedding = lambda **_: known
    rows = focus.FOCUS(
        target_tokenizer=tokenizer(new),
        source_tokenizer=tokenizer(old),
        source_embeddings=torch.from_numpy(matrix),
        target_training_data_path="made up",
        verbosity="silent",
    )
    facts = {"source": old, "target": new, "package": "deepfocus 1.0.1"}
    save_file(
        {"rows": rows.contiguous(), "vectors": torch.from_numpy(vectors), "matrix": torch.from_numpy(matrix)},
        Path(sys.argv[1]),
        {"case": json.dumps(facts, ensure_ascii=False)},
    )


if __name__ == "__main__":
    main()
