"""Makes the silver labels of the sample again: `python -m corpora.sample.build [FOLDER [GOLD]]`.

With GOLD (see corpora/sample/measure.py) it also says how well the dictionary of all silver labels does by itself.
Needs the extras `demo` and `build-sample`, some three minutes of one core and 1.5 GB of memory. The same
packages on the same kind of machine give the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpora.sample.labels import FOLDER, pack_entities, pack_tags, write_labels
from corpora.sample.making.align import train_hmm, train_model1
from corpora.sample.making.english import English, tag_english
from corpora.sample.making.mood import label_moods
from corpora.sample.making.names import tag_names, type_names
from corpora.sample.making.project import Lexicon, bare, build_lexicon, evidence, is_word, label, link
from corpora.sample.measure import measure_lexicon
from corpora.sample.verses import Verse, checksum, read_chichewa, read_english, split_of, tokenise
from corpora.text import letters

SIZES = {"train": 2000, "dev": 300, "test": 600}


@dataclass(frozen=True)
class Silver:
    """Everything that was found out about the verse pairs, before verses are chosen."""

    verses: list[Verse]
    tokens: list[list[str]]
    english: list[English]
    links: list[np.ndarray]
    lexicon: Lexicon
    pos: list[tuple[list[str], float]]
    ner: list[tuple[list[str], float]]
    moods: dict[Verse, tuple[str, float]]
    seal: str


def make() -> Silver:
    """Align, project and label all verse pairs."""
    chichewa, english_text = read_chichewa(), read_english()
    verses = [verse for verse in chichewa if verse in english_text]
    tokens = [tokenise(chichewa[verse]) for verse in verses]
    english = tag_english(english_text[verse] for verse in verses)
    links = align(tokens, [e.tokens for e in english])
    weights = [evidence(e, linked) for e, linked in zip(english, links, strict=True)]
    lexicon = build_lexicon(tokens, weights)
    pos = [label(t, w, lexicon) for t, w in zip(tokens, weights, strict=True)]
    kinds = type_names(english)
    ner = [
        tag_names(t, tags, e, linked, kinds)
        for t, (tags, _), e, linked in zip(tokens, pos, english, links, strict=True)
    ]
    moods = label_moods({verse: english_text[verse] for verse in verses})
    return Silver(verses, tokens, english, links, lexicon, pos, ner, moods, checksum(chichewa.values()))


def align(chichewa: Sequence[Sequence[str]], english: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Align every pair in both directions: weights (Chichewa words, English words), punctuation left out.

    Words are backed by stems (the last five letters in Chichewa, the first five in English), as most forms of a
    Chichewa verb are rare.
    """
    left = [[bare(t) for t in line if is_word(t)] for line in chichewa]
    right = [[t.lower() for t in line if t[0].isalnum()] for line in english]
    n, n_size = _number(left, lambda w: w)
    e, e_size = _number(right, lambda w: w)
    ns, ns_size = _number(left, lambda w: w[-5:])
    es, es_size = _number(right, lambda w: w[:5])
    forward = _one_way(e, n, e_size, n_size, es, ns, es_size, ns_size)
    backward = _one_way(n, e, n_size, e_size, ns, es, ns_size, es_size)
    return [link(f, b) for f, b in zip(forward, backward, strict=True)]


def choose(silver: Silver, task: str) -> dict[Verse, str]:
    """Choose the verses of a task, by book, and pack their labels.

    POS takes verses of 5 to 60 tokens whose labels are surest, as many from each book as its length allows for;
    sentiment the clearest; NER verses whose capitalised words are all explained, one in four without any entity.
    """
    chosen: dict[Verse, str] = {}
    for split, size in SIZES.items():
        seen: set[str] = set()
        candidates: list[tuple[float, Verse, str]] = []
        for i, verse in enumerate(silver.verses):
            key = letters(" ".join(silver.tokens[i]))
            if split_of(verse) != split or not 5 <= len(silver.tokens[i]) <= 60 or key in seen:
                continue
            seen.add(key)
            if task == "sentiment" and verse in silver.moods:
                name, strength = silver.moods[verse]
                candidates.append((strength, verse, name))
            elif task == "pos":
                candidates.append((silver.pos[i][1], verse, pack_tags(silver.pos[i][0])))
            elif task == "ner" and silver.ner[i][1] >= 1:
                # Told apart by hash only, but names of several words come first: they are rare in this text.
                tags = silver.ner[i][0]
                several = any(tag in ("I-PER", "I-LOC") for tag in tags)
                candidates.append((_draw(verse) + several, verse, pack_entities(tags)))
        if task == "ner":
            named = _best([c for c in candidates if c[2]], size * 3 // 4)
            candidates = named + _best([c for c in candidates if not c[2]], size - len(named))
        chosen.update({verse: labels for _, verse, labels in _best(candidates, size)})
    return chosen


def write(silver: Silver, folder: Path = FOLDER) -> None:
    """Write the three label files."""
    folder.mkdir(parents=True, exist_ok=True)
    notes = {
        "pos": "Silver part-of-speech tags of Chichewa verses, one a token; see README.md",
        "ner": "Silver entities of Chichewa verses, token:tag for all but O; see README.md",
        "sentiment": "Silver sentiment of Chichewa verses; see README.md",
    }
    for task, note in notes.items():
        write_labels(folder / f"{task}.tsv", choose(silver, task), silver.seal, note)


def _best(candidates: list[tuple[float, Verse, str]], size: int) -> list[tuple[float, Verse, str]]:
    """Take the best of each book, so many as its share of the candidates allows."""
    share = size / max(1, len(candidates))
    if share >= 1:
        return candidates
    books: dict[int, list[tuple[float, Verse, str]]] = {}
    for candidate in candidates:
        books.setdefault(candidate[1] // 1_000_000, []).append(candidate)
    taken, rest = [], []
    for book in books.values():
        book.sort(key=lambda c: (-c[0], c[1]))
        quota = int(len(book) * share)
        taken += book[:quota]
        rest += book[quota : quota + 1]
    rest.sort(key=lambda c: (-c[0], c[1]))
    return taken + rest[: size - len(taken)]


def _draw(verse: Verse) -> float:
    return int.from_bytes(hashlib.sha256(str(verse).encode()).digest()[:4], "big") / 2**32


def _number(lines: Iterable[Sequence[str]], form: Callable[[str], str]) -> tuple[list[np.ndarray], int]:
    """Give every form a number from 1: the lines as ids, and the number of ids with the empty word (0)."""
    ids: dict[str, int] = {}
    rows = [np.array([ids.setdefault(form(w), len(ids) + 1) for w in line], dtype=np.int64) for line in lines]
    return rows, len(ids) + 1


def _one_way(
    source: list[np.ndarray],
    target: list[np.ndarray],
    n_source: int,
    n_target: int,
    source_stems: list[np.ndarray],
    target_stems: list[np.ndarray],
    n_source_stems: int,
    n_target_stems: int,
) -> list[np.ndarray]:
    words = train_model1(source, target, n_source, n_target)
    stems = train_model1(source_stems, target_stems, n_source_stems, n_target_stems)
    return train_hmm(words, source, target, n_source, 3, stems, (source_stems, target_stems))[1]


if __name__ == "__main__":
    made = make()
    into = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    write(made, into)
    sys.stdout.write(f"wrote the silver labels into {into}\n")
    if len(sys.argv) > 2:
        for key, value in measure_lexicon(made.tokens, made.lexicon, [tags for tags, _ in made.ner], Path(sys.argv[2])):
            sys.stdout.write(f"{value:6.1f}  {key}\n")
