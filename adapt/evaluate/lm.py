"""Language modelling: bits per character of held-out words, the same words for every arm.

Words are whitespace words of the held-out text, drawn once with the run's seed; each is scored whole (vocab.score): a
masked model hides all pieces of the word and fills them in from left to right (PLL-word-l2r, Kauf & Ivanova 2023),
which gives *pseudo*-bits; a decoder reads from left to right, which gives bits. The two never stand in one column. The
denominator is the raw characters of the scored words. A word that any arm maps to the unknown token, alters by its
normaliser or cannot fit is left out for all arms, and the share of such words is reported (adapt.report does that,
since only it sees all arms; the score written here leaves out this arm's own).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from adapt.evaluate import features
from adapt.evaluate.job import Job, is_done, write_seed
from adapt.evaluate.task import Task
from lexigraft import InputError
from vocab.options import Options

NO_HEAD = "no language-modelling head"
_HEADS = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "ForPreTraining", "WithLMHeadModel")
_VERSION = 2


class LM(Options):
    """Language modelling has no files of its own: it reads the run's held-out text."""


def has_head(model: Path) -> bool:
    """Whether a model folder's configuration names a class with a language-modelling head."""
    file = model / "config.json"
    if not file.is_file():
        raise InputError("the folder holds no model", file=model, expected="a config.json")
    names = json.loads(file.read_text(encoding="utf-8")).get("architectures") or []
    return any(name.endswith(_HEADS) for name in names)


def run(job: Job) -> None:
    """Score the held-out words with one arm; writes seed-0/scores.json and seed-0/words.npz.

    words.npz: `bits` (float64, nan where not scored), `pieces`, `status`, `line`, `start`, `end`, `characters` of every
    drawn word.

    Raises:
        InputError: no held-out text, or none with words in it.
    """
    job.set_threads()
    model, tokenizer = job.folders()
    lines = _lines(job)
    folder = job.out / "seed-0"
    settings = [_VERSION, job.shared.lm_words, job.seed, lines]
    fingerprint = features.fingerprint(model, tokenizer, settings)
    if is_done(folder, fingerprint):
        return
    base: dict[str, Any] = {
        "task": job.task,
        "arm": job.arm,
        "seed": 0,
        "mode": "words",
        "better": "lower",
        "metrics": {},
        "fingerprint": fingerprint,
    }
    job.out.mkdir(parents=True, exist_ok=True)
    if not has_head(model):
        write_seed(folder, {**base, "main": None, "unit": None, "n_test": 0, "note": NO_HEAD})
        return
    from adapt.pretrain.device import autocast, device
    from adapt.tuning.adapters import load_tuned
    from vocab.score import bits_per_character, word_bits
    from vocab.tokenizer.load import load_tokenizer
    from vocab.windows import sample_words

    words = sample_words(lines, job.shared.lm_words, job.seed)
    if not words:
        raise InputError("no words in the held-out text", file=job.heldout)
    with autocast(features.fast()):  # 1.8 times as fast; 200 words of Chichewa: 0.0005 bits per character off
        found = word_bits(
            load_tuned(model).float().to(device()),
            load_tokenizer(tokenizer),
            lines,
            words,
            progress=lambda done, total, facts: job.tell(done / max(1, total), step="scoring words", **facts),
        )
    status = np.array(found.status)
    use = status == "ok"
    main = "pseudo_bits_per_character" if found.kind == "pseudo-bits" else "bits_per_character"
    scores = {
        **base,
        "main": main,
        "unit": f"{found.kind} per character",
        "metrics": {main: bits_per_character(found.bits, words, use)} if use.any() else {},
        "n_test": len(words),
        "n_scored": int(use.sum()),
        "status": dict(sorted(Counter(found.status).items())),
        "pieces_per_word": float(np.mean(found.pieces)),
    }

    def fill(target: Path) -> None:
        np.savez(
            target / "words.npz",
            bits=found.bits,
            pieces=found.pieces,
            status=status.astype("U8"),
            line=np.array([w.line for w in words]),
            start=np.array([w.start for w in words]),
            end=np.array([w.end for w in words]),
            characters=np.array([len(w.text) for w in words]),
        )

    write_seed(folder, scores, fill=fill)
    job.tell(1.0)


def _lines(job: Job) -> list[str]:
    from corpora.text import read_lines

    if job.heldout is None:
        raise InputError("language modelling needs held-out text", expected="corpus.heldout, or a share set aside")
    return list(read_lines(job.heldout))


SPEC = Task(
    name="lm",
    summary="language modelling: bits of held-out words per character (pseudo-bits for masked models)",
    paper="Kauf & Ivanova 2023, A Better Way to Do Masked Language Model Scoring, section 3 (PLL-word-l2r)",
    metric="pseudo_bits_per_character",
    better="lower",
    unit="pseudo-bits per character",
    options=LM,
    run=run,
    files=False,
)
