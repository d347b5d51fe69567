"""Projects part-of-speech tags from English onto Chichewa: token evidence, type dictionary, word shapes.

O. Täckström, D. Das, S. Petrov, R. McDonald, J. Nivre, Token and Type Constraints for Cross-Lingual Part-of-Speech
Tagging, 2013: single alignments are noisy, what a word type is aligned to all over a corpus is not. Here a type's
distribution is smoothed by a classifier over the letters of words (the language is written with prefixes and suffixes
that give the class away), and a token's own alignment then chooses between what its type can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpora.sample.making.english import English
from corpora.tasks import UPOS

TAGS = sorted(UPOS)
INDEX = {tag: i for i, tag in enumerate(TAGS)}
SMOOTHING = 3.0
# Demonstratives bound to a word, and `-nso` (also): the word before them keeps its class.
ENCLITICS = frozenset("nso tu wo yo lo cho zo ko po mo wa yi li chi zi wu ka ku pa mu di".split())


def bare(token: str) -> str:
    """Spell a word as the type dictionary does: lower-cased, no apostrophes (`m'dziko` and `mdziko` are one)."""
    return token.lower().replace("'", "")


def is_word(token: str) -> bool:
    """Say whether a token has a letter or digit."""
    return token[0].isalnum() or any(c.isalnum() for c in token)


def link(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Combine both directions' posteriors into one weight a pair (Chichewa words, English words).

    A rare word collects links it does not deserve in one direction; the other direction takes them away.
    """
    if not forward.size or not backward.size:
        return np.zeros((forward.shape[0], backward.shape[0]))
    return np.round(forward[:, 1:] * (0.05 + 0.95 * backward[:, 1:].T), 5)


def evidence(english: English, links: np.ndarray) -> np.ndarray:
    """Weigh the tags of a verse's words by what they are linked to: (Chichewa words, tags)."""
    one_hot = np.zeros((links.shape[1], len(TAGS)))
    row = 0
    for token, tag in zip(english.tokens, english.tags, strict=True):
        if token[0].isalnum():
            if tag not in ("PART", "AUX"):  # they are prefixes of the Chichewa verb
                one_hot[row, INDEX["CCONJ" if tag == "SCONJ" else tag]] = 1.0
            row += 1
    return links @ one_hot


# Concords before a verb stem: `woyenda`, he who walks.
_CONCORDS = ("wo", "yo", "lo", "cho", "zo", "o")
# Words whose links say nothing, as English has several words for them or none.
_CLOSED = {"ndi": "ADP", "ndipo": "CCONJ"}


@dataclass
class Lexicon:
    """What every word type can be.

    Attributes:
        prior: type to a distribution over TAGS.
        counts: how often each type occurs.
        moved: types whose evidence for one tag counts for another, as MasakhaPOS tags them (`verb_forms`).
        shapes: the classifier over letters, for types never seen.
        columns: its features.
    """

    prior: dict[str, np.ndarray]
    counts: Counter[str]
    moved: dict[str, tuple[int, int]]
    shapes: Any
    columns: dict[str, int]

    def look(self, token: str, *, first: bool) -> np.ndarray:
        """Distribution over TAGS of a word anywhere; `first`: it begins the sentence."""
        word = bare(token)
        capital = token[0].isupper() and not first
        if word in self.prior:
            found = self.prior[word].copy()
        else:
            found = _predict(self.shapes, self.columns, [word], [capital])[0]
            known = next((s for s in _stems(word) if len(s) > 3 and self.counts[s] > 1), None)
            if known:
                found = (found + 3 * self.prior[known]) / 4
            if capital:
                found *= 0.1
                found[INDEX["PROPN"]] += 1
        if not token[0].isupper():
            found[INDEX["PROPN"]] = 0
        return found / found.sum()

    def tag(self, tokens: Sequence[str]) -> list[str]:
        """Tag a sentence of any text by the dictionary alone."""
        rows = [self.look(token, first=i == 0) if is_word(token) else None for i, token in enumerate(tokens)]
        return settle(tokens, rows)[0]


def build_lexicon(
    verses: Sequence[Sequence[str]], weights: Sequence[np.ndarray], *, inverse_penalty: float = 0.05
) -> Lexicon:
    """Aggregate token evidence over the whole text into one distribution a type.

    Args:
        verses: Chichewa tokens, punctuation included.
        weights: from `evidence`, one row a word.
        inverse_penalty: of the classifier over letters.
    """
    totals: dict[str, np.ndarray] = {}
    counts, capitals = Counter[str](), Counter[str]()
    for tokens, rows in zip(verses, weights, strict=True):
        row = 0
        for i, token in enumerate(tokens):
            if not is_word(token):
                continue
            word = bare(token)
            totals[word] = totals.get(word, 0.0) + rows[row]
            counts[word] += 1
            capitals[word] += bool(i and token[0].isupper())
            row += 1
    names = {word: capitals[word] * 2 > counts[word] for word in counts}
    moved = verb_forms(totals)
    for word, (old, new) in moved.items():
        totals[word] = _move(totals[word], old, new)
    shapes, columns = _learn_shapes(totals, names, inverse_penalty)
    types = list(totals)
    guesses = _predict(shapes, columns, types, [names[word] for word in types])
    prior = {
        word: (totals[word] + SMOOTHING * guess) / (totals[word].sum() + SMOOTHING)
        for word, guess in zip(types, guesses, strict=True)
    }
    return Lexicon(prior, counts, moved, shapes, columns)


def verb_forms(totals: dict[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    """Find forms of verbs that English renders by other classes.

    A stem is a verb's when at least two other words that end in it are mostly verbs. With a concord before it the form
    is an attribute (`woyenda`, who walks: VERB counts as ADJ), with `ku` an infinitive (`kuyenda`, walking: NOUN counts
    as VERB). MasakhaPOS tags both so; seen on its development set.

    Returns:
        {type: (tag the evidence is for, tag it counts for)}, as places in TAGS.
    """
    verbs, others = Counter[str](), Counter[str]()
    for word, total in totals.items():
        if total.sum() > 0.3 and not word.startswith((*_CONCORDS, "ku")):
            side = verbs if int(total.argmax()) == INDEX["VERB"] else others
            side.update(word[-k:] for k in range(3, len(word)))
    moved = {}
    for word in totals:
        prefix = "ku" if word.startswith("ku") else next((c for c in _CONCORDS if word.startswith(c)), None)
        if prefix and word.endswith("a"):
            stem = word[len(prefix) :]
            if verbs[stem] >= 2 and verbs[stem] > 1.5 * others[stem]:
                moved[word] = (INDEX["NOUN"], INDEX["VERB"]) if prefix == "ku" else (INDEX["VERB"], INDEX["ADJ"])
    return moved


def _move(weights: np.ndarray, old: int, new: int) -> np.ndarray:
    weights = weights.copy()
    weights[new] += weights[old]
    weights[old] = 0
    return weights


def label(tokens: Sequence[str], weights: np.ndarray, lexicon: Lexicon) -> tuple[list[str], float]:
    """Tag one verse: the type's distribution times the token's own evidence.

    Returns:
        Tags, and the mean probability of the tags chosen for words.
    """
    rows: list[np.ndarray | None] = []
    row = 0
    for token in tokens:
        if not is_word(token):
            rows.append(None)
            continue
        word = bare(token)
        weight = _move(weights[row], *lexicon.moved[word]) if word in lexicon.moved else weights[row]
        found = lexicon.prior[word] * (weight + 0.15)
        if not token[0].isupper():
            found[INDEX["PROPN"]] = 0
        rows.append(found / found.sum())
        row += 1
    return settle(tokens, rows)


def settle(tokens: Sequence[str], rows: Sequence[np.ndarray | None]) -> tuple[list[str], float]:
    """Choose tags, following MasakhaPOS where Chichewa and English differ.

    `ndi` (and, with) joins nouns and is an ADP there; a determiner-like word is ADJ beside its noun, else PRON. Both
    were chosen on the gold development set.
    """
    tags, sure = [], []
    for token, row in zip(tokens, rows, strict=True):
        if row is None:
            tags.append("PUNCT")
            continue
        if token[0].isdigit():
            tags.append("NUM")
            continue
        sure.append(float(row.max()))
        tag = _CLOSED.get(bare(token)) or TAGS[int(row.argmax())]
        if tag == "DET":
            tag = "ADJ" if tags and tags[-1] in ("NOUN", "PROPN", "ADJ") else "PRON"
        tags.append(tag)
    return tags, float(np.mean(sure)) if sure else 0.0


def _stems(word: str) -> list[str]:
    stems = [word[:-k] for k in (2, 3) if word[-k:] in ENCLITICS]
    return stems + [word[len(p) :] for p in ("m", "ku", "pa", "mu") if word.startswith(p)]


def _features(word: str, capital: bool) -> dict[str, float]:
    found = {f"^{word[:k]}": 1.0 for k in range(1, 6) if k <= len(word)}
    found |= {f"{word[-k:]}$": 1.0 for k in range(1, 6) if k <= len(word)}
    found |= {word[i : i + k]: 0.5 for k in (2, 3, 4) for i in range(1, len(word) - k)}
    found[f"length {min(len(word), 10)}"] = 1.0
    found[f"capital {capital}"] = 2.0
    return found


def _matrix(words: Sequence[str], capitals: Sequence[bool], columns: dict[str, int], *, grow: bool) -> Any:
    from scipy.sparse import csr_matrix

    values, index, starts = [], [], [0]
    for word, capital in zip(words, capitals, strict=True):
        for name, value in _features(word, capital).items():
            column = columns.setdefault(name, len(columns)) if grow else columns.get(name)
            if column is not None:
                values.append(value)
                index.append(column)
        starts.append(len(index))
    return csr_matrix(
        (np.array(values), np.array(index, dtype=np.int32), np.array(starts, dtype=np.int32)),
        shape=(len(words), len(columns)),
    )


def _learn_shapes(
    totals: dict[str, np.ndarray], names: dict[str, bool], inverse_penalty: float
) -> tuple[Any, dict[str, int]]:
    from sklearn.linear_model import LogisticRegression

    words, tags, weights = [], [], []
    for word, total in totals.items():
        mass = total.sum()
        if mass < 0.3:
            continue
        for k in np.argsort(-total, kind="stable")[:2]:
            if total[k] > 0.15 * mass:
                words.append(word)
                tags.append(int(k))
                weights.append(total[k] / (1 + mass))
    columns: dict[str, int] = {}
    matrix = _matrix(words, [names[word] for word in words], columns, grow=True)
    model = LogisticRegression(C=inverse_penalty, max_iter=150, tol=1e-3)
    model.fit(matrix, tags, sample_weight=np.array(weights) / np.mean(weights))
    return model, columns


def _predict(model: Any, columns: dict[str, int], words: Sequence[str], capitals: Sequence[bool]) -> np.ndarray:
    out = np.zeros((len(words), len(TAGS)))
    out[:, model.classes_] = model.predict_proba(_matrix(words, capitals, columns, grow=False))
    return out
