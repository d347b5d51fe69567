"""fastText on the tokenised text: the token vectors of FOCUS (Dobler & de Melo 2023, section 3 and appendix).

Text is cut by the new tokenizer and joined by spaces; cbow, 10 negatives, 3 epochs, minCount 10, n-grams of 3 to 6
characters, window 5, 100 dimensions. A token seen too rarely to be one of fastText's words has no vector.

And on words: the word vectors that WECHSEL trains where none are to be had (Minixhofer et al. 2022, appendix): cbow, 10
negatives, 20 epochs, n-grams of 5 characters alone, 100 dimensions.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lexigraft import InputError
from vocab.tokenizer.texts import Lines
from vocab.vectors.evidence import unit
from vocab.vectors.words import WordFile
from vocab.view import Kind, Vocabulary

_MARKS = "\u0300-\u036f"  # combining accents, which `re` does not take for parts of a word
_WORD = re.compile(rf"\w[\w{_MARKS}]*(?:['’ʼ-]\w[\w{_MARKS}]*)*|[^\w\s]")


def fasttext_vectors(
    vocabulary: Vocabulary,
    ids: np.ndarray,
    starts: np.ndarray,
    *,
    dim: int = 100,
    epochs: int = 3,
    min_count: int = 10,
    model: str = "cbow",
    buckets: int = 2_000_000,
    threads: int = 1,
) -> np.ndarray:
    """Train fastText on the encoded text.

    Args:
        vocabulary: the tokens.
        ids: the encoded text (see `vocab.vectors.counts.encode`).
        starts: its lines.
        dim: dimensions.
        epochs: passes over the text.
        min_count: tokens seen less often get no vector.
        model: cbow or skipgram.
        buckets: rows for n-grams; fewer need less memory (4 bytes times `dim` each).
        threads: threads of fastText; with more than one it does not give the same vectors twice. Its seed is fixed.

    Returns:
        float32 (tokens, dim), rows of length 1; 0 where fastText has no such word.
    """
    import fasttext

    result = np.zeros((len(vocabulary), dim), np.float32)
    usable = [
        kind <= Kind.BYTE and bool(t) and not any(c.isspace() for c in t) and "\0" not in t
        for t, kind in zip(vocabulary.tokens, vocabulary.kind.tolist(), strict=True)
    ]
    if np.bincount(ids, minlength=len(vocabulary)).max(initial=0) < min_count:
        return result  # fastText refuses an empty vocabulary
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens.txt"
        with file.open("w", encoding="utf-8", errors="replace", newline="\n") as out:
            for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
                out.write(" ".join(vocabulary.tokens[i] for i in ids[start:stop].tolist() if usable[i]) + "\n")
        trained = fasttext.train_unsupervised(
            str(file), model=model, dim=dim, epoch=epochs, minCount=min_count, neg=10, minn=3, maxn=6, ws=5,
            thread=threads, bucket=buckets, verbose=0,
        )  # fmt: skip
    words = set(trained.get_words(on_unicode_error="replace"))
    for token, text in enumerate(vocabulary.tokens):
        if text in words and usable[token]:
            result[token] = trained.get_word_vector(text)
    return unit(result)


def train_words(
    texts: Any, folder: Path, *, dim: int = 100, epochs: int = 20, min_count: int = 5, buckets: int = 500_000,
    threads: int = 1,
) -> WordFile:  # fmt: skip
    """Train word vectors, or find those that were trained on the same text in the same way.

    Args:
        texts: paths or a re-iterable of lines; words and punctuation marks are told apart.
        folder: where the model is kept, under a name made of text and settings.
        dim: dimensions.
        epochs: passes over the text.
        min_count: words seen less often are left out (their n-grams too).
        buckets: rows for n-grams; the authors have 2,000,000, which small texts do not fill.
        threads: with more than one the vectors do not repeat.

    Returns:
        The model's file.

    Raises:
        InputError: no word is seen so often.
    """
    import fasttext

    settings: dict[str, Any] = {
        "dim": dim,
        "epoch": epochs,
        "minCount": min_count,
        "bucket": buckets,
        "thread": threads,
    }
    settings |= {"model": "cbow", "neg": 10, "minn": 5, "maxn": 5, "verbose": 0}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as part:
        file = Path(part) / "words.txt"
        with file.open("w", encoding="utf-8", errors="replace", newline="\n") as out:
            for text in Lines(texts):
                line = " ".join(_WORD.findall(text)) + "\n"
                digest.update(line.encode("utf-8", "replace"))
                out.write(line)
        kept = folder / f"{digest.hexdigest()}.bin"
        if not kept.is_file():
            try:
                model = fasttext.train_unsupervised(str(file), **settings)
            except ValueError:
                raise InputError(
                    "no word vectors can be made of this text", found=f"no word that it shows {min_count} times"
                ) from None
            model.save_model(str(file.with_suffix(".bin")))
            file.with_suffix(".bin").replace(kept)
    return WordFile(kept)
