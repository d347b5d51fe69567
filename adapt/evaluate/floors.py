"""What a task gives without any pretrained model: the floors that every arm has to beat.

majority: the label most frequent in train. crf: a linear-chain CRF over characters and words (python-crfsuite). tfidf:
TF-IDF of words and character n-grams with logistic regression (scikit-learn). fasttext: the fastText classifier. The
first three draw nothing, so they have one seed; fastText has the run's seeds, one thread, and so the same scores again.

Sources: Lafferty et al. 2001 (CRF); Joulin et al. 2017 (fastText); Wang & Manning 2012 on how strong bags of n-grams
are.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adapt.evaluate import labelled
from adapt.evaluate.data import Data, Kind, load
from adapt.evaluate.job import Job, is_done

NAMES = {
    "majority": "majority class",
    "crf": "CRF over characters and words",
    "tfidf": "TF-IDF and logistic regression",
    "fasttext": "fastText classifier",
}
# fastText's settings are the best of 32 on Hausa dev (macro F1 63; 43 to 54 at a rate of 0.5 and 25 epochs).
_SETTINGS: dict[str, dict[str, Any]] = {
    "majority": {},
    "crf": {"c1": 0.1, "c2": 0.01, "max_iterations": 100, "feature.possible_transitions": True},
    "tfidf": {"c": [1.0, 3.0, 10.0]},
    "fasttext": {"dim": 50, "epoch": 100, "lr": 0.1, "wordNgrams": 2, "minn": 2, "maxn": 4, "bucket": 200_000},
}


def run(job: Job, kind: Kind, names: Sequence[str]) -> None:
    """Write every floor of a task that is not done yet, `<out>/<floor>/seed-N/` each.

    Args:
        job: the job; `out` is the folder of the task's floors.
        kind: `pos`, `ner` or `classes`.
        names: of `majority`, `crf`, `tfidf`, `fasttext`.
    """
    data = load(job, kind)
    work = [(name, seed) for name in names for seed in (job.shared.seeds if name == "fasttext" else [0])]
    for n, (name, seed) in enumerate(work):
        job.tell(n / len(work), step=f"floor {name}")
        fingerprint = labelled.text_fingerprint(name, _SETTINGS[name], seed, data.fingerprint())
        folder = job.out / name / f"seed-{seed}"
        if is_done(folder, fingerprint):
            continue

        def tell(share: float, n: int = n, name: str = name) -> None:
            job.tell((n + share) / len(work), step=f"floor {name}")

        predicted, facts = _FLOORS[name](data, seed, tell)
        folder.parent.mkdir(parents=True, exist_ok=True)
        facts["note"] = NAMES[name]
        labelled.finish(
            job, data, seed, predicted, fingerprint, facts=facts, arm=f"floor-{name}", mode="floor", folder=folder
        )
    job.tell(1.0)


Tell = Callable[[float], None]
Outcome = tuple[list[Any], dict[str, Any]]


def _majority(data: Data, seed: int, tell: Tell) -> Outcome:
    flat = labelled.label_ids(data.train, data).tolist()
    counts = Counter(flat)
    best = data.labels[min(counts, key=lambda label: (-counts[label], label))]
    if data.tagged:
        return [[best] * len(words) for words in data.test["tokens"]], {"label": best}
    return [best] * len(data.test), {"label": best}


def _shape(word: str) -> str:
    marks = re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "0", word))
    marks = "".join("A" if c.isupper() else m for c, m in zip(word, marks, strict=True))
    return re.sub(r"(.)\1+", r"\1\1", marks)


def _word_features(word: str) -> list[str]:
    low = word.lower()
    found = [f"w={low}", f"shape={_shape(word)}"]
    for n in range(1, 5):
        if len(low) >= n:
            found += [f"pre={low[:n]}", f"suf={low[-n:]}"]
    padded = f"<{low}>"
    found += [f"c={padded[i : i + 3]}" for i in range(len(padded) - 2)]
    if word[:1].isupper():
        found.append("upper" if word.isupper() and len(word) > 1 else "title")
    if any(c.isdigit() for c in word):
        found.append("digit")
    return found


def crf_features(words: Sequence[str]) -> list[list[str]]:
    """Describe each word: itself, its affixes, character trigrams and shape, and those of two neighbours a side."""
    own = [_word_features(word) for word in words]
    rows = []
    for i in range(len(words)):
        row = ["bias", *own[i]]
        for step in (-2, -1, 1, 2):
            if not 0 <= i + step < len(words):
                row.append(f"{step}:end")
                continue
            low = words[i + step].lower()
            row += [f"{step}:w={low}", f"{step}:shape={_shape(words[i + step])}", f"{step}:suf={low[-3:]}"]
        rows.append(row)
    return rows


def _crf(data: Data, seed: int, tell: Tell) -> Outcome:
    import pycrfsuite

    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    for words, tags in zip(data.train["tokens"], data.names(data.train), strict=True):
        trainer.append(crf_features(words), tags)
    trainer.set_params(_SETTINGS["crf"])
    tell(0.1)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "crf")
        trainer.train(file)
        tell(0.9)
        tagger = pycrfsuite.Tagger()
        tagger.open(file)
        predicted = [tagger.tag(crf_features(words)) if words else [] for words in data.test["tokens"]]
        tagger.close()
    return predicted, {}


def _tfidf(data: Data, seed: int, tell: Tell) -> Outcome:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline, make_union

    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    gold, dev = data.names(data.train), data.names(data.dev)
    states = union.fit_transform(data.train["text"][:])
    dev_states = union.transform(data.dev["text"][:])
    best: tuple[float, float, Any] | None = None
    for n, c in enumerate(_SETTINGS["tfidf"]["c"]):
        model = LogisticRegression(C=c, max_iter=300).fit(states, gold)
        score = float(
            f1_score(dev, model.predict(dev_states), average="macro", labels=sorted(set(dev)), zero_division=0)
        )
        if best is None or score > best[0]:
            best = (score, c, model)
        tell((n + 1) / 3)
    if best is None:
        raise ValueError("no regularisation to choose from")
    pipe = make_pipeline(union, best[2])
    return [str(label) for label in pipe.predict(data.test["text"][:])], {"dev_score": best[0], "c": best[1]}


def _fasttext(data: Data, seed: int, tell: Tell) -> Outcome:
    import fasttext

    def plain(text: str) -> str:
        return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        with file.open("w", encoding="utf-8", newline="\n") as out:
            for text, label in zip(data.train["text"], data.train["labels"], strict=True):
                out.write(f"__label__{label} {plain(text)}\n")
        model = fasttext.train_supervised(input=str(file), thread=1, seed=seed + 1, verbose=0, **_SETTINGS["fasttext"])
    predicted = []
    for text in data.test["text"]:
        found = model.predict(plain(text))[0]
        predicted.append(data.labels[int(found[0].removeprefix("__label__"))] if found else data.labels[0])
    return predicted, {}


_FLOORS: dict[str, Callable[[Data, int, Tell], Outcome]] = {
    "majority": _majority,
    "crf": _crf,
    "tfidf": _tfidf,
    "fasttext": _fasttext,
}
