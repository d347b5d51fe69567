"""Measures the silver labels: `python -m corpora.sample.measure GOLD`, GOLD a folder with pos/ and ner/ of Chichewa.

GOLD holds `pos/{dev,test}.txt` (MasakhaPOS) and `ner/{dev,test}.txt` (MasakhaNER 2.0). Nothing here is tuned on the
test sets; the README's figures come from this command.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from corpora.sample.export import export
from corpora.sample.making.project import Lexicon, bare
from corpora.tasks import Sentence, read_classified, read_tagged

Features = Callable[[Sequence[str], int], list[str]]
Scores = dict[str, float]


def measure(gold: Path) -> Scores:
    """Train on the silver training sets, test on the silver and on the gold test sets.

    Args:
        gold: folder with `pos` and `ner`.

    Returns:
        Name to per cent: accuracies for POS and sentiment, F1 of entities for NER.
    """
    scores: Scores = {}
    with tempfile.TemporaryDirectory() as name:
        sample = Path(name)
        export(sample)
        for task, features, metric in (("pos", word_features, accuracy), ("ner", name_features, entity_f1)):
            train = read_tagged(sample / task / "train.txt")
            tagger = train_crf(train, features, sample / "model.crf")
            usual = _most_frequent(train)
            for where, folder in (("silver", sample), ("gold", gold)):
                for split in ("dev", "test"):
                    test = read_tagged(folder / task / f"{split}.txt")
                    crf = [tagger.tag([features(s.tokens, i) for i in range(len(s.tokens))]) for s in test]
                    scores[f"{task} {where} {split}, CRF"] = metric(test, crf)
                    looked_up = [[usual.get(bare(token), usual[""]) for token in s.tokens] for s in test]
                    scores[f"{task} {where} {split}, most frequent tag"] = metric(test, looked_up)
        scores.update(_sentiment(sample / "sentiment"))
    return scores


def measure_lexicon(
    verses: Sequence[Sequence[str]], lexicon: Lexicon, entities: Sequence[Sequence[str]], gold: Path
) -> list[tuple[str, float]]:
    """Apply the dictionaries of all silver labels to the gold text, with no tagger between.

    Args:
        verses: Chichewa tokens.
        lexicon: of part-of-speech tags.
        entities: silver BIO tags of the verses; each word takes the one it has most often.
        gold: folder with `pos` and `ner`.
    """
    usual = _most_frequent([Sentence(list(t), list(tags), 0) for t, tags in zip(verses, entities, strict=True)])
    scores = []
    for split in ("dev", "test"):
        pos = read_tagged(gold / "pos" / f"{split}.txt")
        scores.append((f"pos gold {split}, lexicon", accuracy(pos, [lexicon.tag(s.tokens) for s in pos])))
        ner = read_tagged(gold / "ner" / f"{split}.txt")
        found = [[usual.get(bare(token), "O") for token in s.tokens] for s in ner]
        scores.append((f"ner gold {split}, lexicon", entity_f1(ner, found)))
    return scores


def word_features(tokens: Sequence[str], i: int) -> list[str]:
    """Describe a token for part-of-speech tagging: the word, its shape, affixes up to five letters, its neighbours."""
    word = bare(tokens[i])
    found = [f"w={word}", f"shape={_shape(tokens[i])}", f"length={min(len(word), 8)}"]
    found += [f"^{word[:k]}" for k in range(1, 6)] + [f"{word[-k:]}$" for k in range(1, 6)]
    for step in (-1, 1):
        if 0 <= i + step < len(tokens):
            near = bare(tokens[i + step])
            found += [f"{step} w={near}", f"{step} shape={_shape(tokens[i + step])}"]
            found += [f"{step} ^{near[:2]}", f"{step} {near[-2:]}$"]
        else:
            found.append(f"{step} end")
    return found


def name_features(tokens: Sequence[str], i: int) -> list[str]:
    """Describe a token for entities: what stands around it rather than how it is spelt, as names are new every time."""
    word, shape = bare(tokens[i]), _shape(tokens[i])
    first = i == 0 or tokens[i - 1] in (".", "!", "?", '"')
    found = [f"w={word}", f"shape={shape} first={first}"]
    if shape not in ("capital", "capitals"):
        found += [f"^{word[:k]}" for k in range(1, 4)] + [f"{word[-k:]}$" for k in range(1, 4)]
    for step in (-2, -1, 1, 2):
        if not 0 <= i + step < len(tokens):
            found.append(f"{step} end")
            continue
        near, near_shape = bare(tokens[i + step]), _shape(tokens[i + step])
        found.append(f"{step} shape={near_shape}")
        if near_shape not in ("capital", "capitals"):
            found.append(f"{step} w={near}")
            if step == -1:
                found += [f"-1 ^{near[:2]}", f"-1 w={near} shape={shape}"]
    return found


def train_crf(train: Sequence[Sentence], features: Features, path: Path) -> Any:
    """Train a linear-chain CRF and open it."""
    import pycrfsuite

    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params({"c1": 0.5, "c2": 1.0, "max_iterations": 80, "feature.minfreq": 2})
    for sentence in train:
        trainer.append([features(sentence.tokens, i) for i in range(len(sentence.tokens))], sentence.tags)
    trainer.train(str(path))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    return tagger


def accuracy(test: Sequence[Sentence], predicted: Sequence[Sequence[str]]) -> float:
    """Give the per cent of tokens with the right tag."""
    right = sum(a == b for s, p in zip(test, predicted, strict=True) for a, b in zip(s.tags, p, strict=True))
    return 100 * right / sum(len(s.tags) for s in test)


def entity_f1(test: Sequence[Sentence], predicted: Sequence[Sequence[str]]) -> float:
    """Give F1 in per cent over entities with their exact span and type."""
    truth = {(n, *e) for n, s in enumerate(test) for e in _entities(s.tags)}
    found = {(n, *e) for n, tags in enumerate(predicted) for e in _entities(tags)}
    return 200 * len(truth & found) / max(1, len(truth) + len(found))


def _entities(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    found, start = [], -1
    for i, tag in enumerate([*tags, "O"]):
        if start >= 0 and not (tag[0] == "I" and tag[2:] == tags[start][2:]):
            found.append((start, i, tags[start][2:]))
            start = -1
        if tag[0] == "B" or (tag[0] == "I" and start < 0):
            start = i
    return found


def _most_frequent(train: Sequence[Sentence]) -> dict[str, str]:
    """Word to its most frequent tag; the empty word stands for all unseen ones."""
    counts: dict[str, dict[str, int]] = {}
    for sentence in train:
        for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
            for key in (bare(token), ""):
                tags = counts.setdefault(key, {})
                tags[tag] = tags.get(tag, 0) + 1
    return {word: max(sorted(tags), key=lambda t: tags[t]) for word, tags in counts.items()}


def _sentiment(folder: Path) -> Scores:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    train, test = (read_classified(folder / f"{split}.tsv") for split in ("train", "test"))
    tfidf = TfidfVectorizer(sublinear_tf=True)
    model = LogisticRegression(C=4, max_iter=1000).fit(
        tfidf.fit_transform([item.text for item in train]), [item.label for item in train]
    )
    truth = [item.label for item in test]
    guess = list(model.predict(tfidf.transform([item.text for item in test])))
    usual = max(set(truth), key=truth.count)
    return {
        "sentiment silver test, TF-IDF accuracy": 100
        * sum(a == b for a, b in zip(truth, guess, strict=True))
        / len(truth),
        "sentiment silver test, TF-IDF macro F1": 100 * float(f1_score(truth, guess, average="macro")),
        "sentiment silver test, majority accuracy": 100 * truth.count(usual) / len(truth),
    }


def _shape(token: str) -> str:
    if not token[0].isalnum():
        return "mark"
    if token[0].isdigit():
        return "number"
    if token.isupper() and len(token) > 1:
        return "capitals"
    return "capital" if token[0].isupper() else "mixed" if token != token.lower() else "small"


if __name__ == "__main__":
    for key, value in measure(Path(sys.argv[1])).items():
        sys.stdout.write(f"{value:6.1f}  {key}\n")
