"""Turns raw text into training and held-out text: duplicates and what tests are made of are taken out and counted.

Two texts are the same when their letters and digits are, lower-cased. A line overlaps a protected sentence (a dev or
test item, a held-out line) when it is the same (`exact`), shares a run of eight words with it, or holds the whole of a
protected sentence of five to seven words (`near`), or of four (`contained`).
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from corpora.repeats import Repeats
from corpora.text import CONTROL, INVISIBLE, number_lines, tidy, words
from lexigraft import InputError

RUN = 8
SHORTEST = 4
BLOCK = 50
FEWEST_LINES = 20
NO_LETTERS = "no letters"
PORTIONS = 1 << 12, 1 << 16  # lines among which repeats are looked for at a time: at first, and at most
LINE = 128  # characters of a line, above which a portion has fewer
Progress = Callable[[float, float, dict[str, Any]], None]


class Overlap:
    """Protected sentences, indexed: `why(words)` says how a line overlaps with one of them.

    Runs are kept as 64-bit hashes: 100,000 sentences take some 200 MB.
    """

    def __init__(self) -> None:
        self._same: set[int] = set()
        self._runs: dict[int, set[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._same)

    def add(self, sentence: list[str]) -> None:
        """Protect a sentence, given as `corpora.text.words` cuts it."""
        if not sentence:
            return
        self._same.add(hash("".join(sentence)))
        length = min(len(sentence), RUN)
        if length >= SHORTEST:
            self._runs.setdefault(length, set()).update(_runs(sentence, length))

    def update(self, other: Overlap) -> None:
        """Protect what another one protects, too."""
        self._same |= other._same
        for length, runs in other._runs.items():
            self._runs.setdefault(length, set()).update(runs)

    def why(self, line: list[str]) -> str | None:
        """Say how a line overlaps: `exact`, `near`, `contained`, or None."""
        if hash("".join(line)) in self._same:
            return "exact"
        for length in sorted(self._runs, reverse=True):
            if not self._runs[length].isdisjoint(_runs(line, length)):
                return "near" if length > SHORTEST else "contained"
        return None


def _runs(line: list[str], length: int) -> Iterator[int]:
    # zip, map and hash run in C: 4 MB of text and 12,000 protected sentences take some two seconds.
    return map(hash, zip(*(line[i:] for i in range(length)), strict=False))


def prepare(
    texts: Sequence[str | Path],
    folder: str | Path,
    *,
    heldout: str | Path | None = None,
    share: float = 0.05,
    heldout_lines: int | None = 20_000,
    protect: Mapping[str, Iterable[str]] | None = None,
    max_characters: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `train.txt`, `heldout.txt` and `facts.json` into a folder.

    Memory does not grow with the text: it holds some 100,000 lines at most, and the hashes of what is protected (some
    2 kB a line, so that `heldout_lines` bounds them). Two lines are taken for the same when a 64-bit hash of their
    letters is: of 400,000 texts of ten million lines, one loses a line by that. The same input gives the same bytes.

    Args:
        texts: text files, one sentence, verse or paragraph a line.
        folder: written into; made if need be.
        heldout: file of held-out text; without it, blocks of 50 neighbouring lines, chosen by hash, are set aside.
        share: share of the lines set aside when `heldout` is not given.
        heldout_lines: set aside no more lines than this, whatever the share; one block in any case.
        protect: sentences that must not be trained on, by name (`"pos test"`: sentences); overlap is counted by name.
        max_characters: stop after this many characters of training text (whole lines, from the start). Held-out lines
            that are set aside come from the whole text: the same for every size, and less text is the start of more.
        seed: another seed sets other blocks aside.
        progress: called as (bytes read, bytes in all, facts).

    Returns:
        The facts also written: `train` and `heldout` (lines, words, characters, bytes), `read`, `removed` (reason to
        lines: `no letters`, `duplicate`, `exact pos test`, `near heldout`, ...), `mended` (what was taken out of lines
        that were kept: control characters, invisible characters, not NFC).

    Raises:
        InputError: a file is empty, not UTF-8, has too few lines, or `heldout` is empty.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [Path(text) for text in texts]
    shields = {name: _shield(sentences) for name, sentences in (protect or {}).items()}
    removed: Counter[str] = Counter()
    mended: Counter[str] = Counter()
    if heldout is not None:
        kept = _clean([Path(heldout)], folder, shields={}, removed=Counter(), mended=Counter())
        held = _write(folder / ".heldout.txt", kept)
        if not held["lines"]:
            raise InputError("no text in it", file=heldout, expected="held-out text, one sentence or paragraph a line")
        shields = {"heldout": _shield(_lines(folder / ".heldout.txt")), **shields}
    lines = _clean(files, folder, shields=shields, removed=removed, mended=mended, progress=progress)
    staged = folder / ".staged.txt"  # what was in the folder stays until the new text is known to be good
    try:
        count = _write(staged, _start(lines, max_characters) if heldout is not None else lines)["lines"]
        _refuse_little(count, files)
        if heldout is not None:
            os.replace(folder / ".heldout.txt", folder / "heldout.txt")
            train = _write(folder / "train.txt", _lines(staged))
        else:
            block = min(BLOCK, max(1, count // 20))
            most = count if heldout_lines is None else heldout_lines
            chosen = _choose(count, block, share, most, seed)
            held = _write(
                folder / "heldout.txt", (line for n, line in enumerate(_lines(staged)) if n // block in chosen)
            )
            shield = _shield(_lines(folder / "heldout.txt"))
            rest = _training_lines(staged, block, chosen, shield, removed)
            train = _write(folder / "train.txt", _start(rest, max_characters))
    finally:
        for left in (staged, folder / ".heldout.txt"):
            left.unlink(missing_ok=True)
    if not train["lines"]:
        raise InputError(
            "every line overlaps with the held-out lines", file=files[0], expected="text that does not repeat itself"
        )
    facts: dict[str, Any] = {
        "files": [str(file) for file in files],
        "read": train["lines"] + held["lines"] * (heldout is None) + sum(removed.values()),
        "train": train,
        "heldout": held,
        "removed": dict(sorted(removed.items())),
        "mended": dict(sorted(mended.items())),
    }
    _replace(folder / "facts.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return facts


def count_text(path: str | Path) -> dict[str, int]:
    """Count lines with text, words (by white space), characters and bytes of a text file.

    Raises:
        InputError: the file is missing, not UTF-8, or has no text in it.
    """
    totals = Counter({"lines": 0, "words": 0, "characters": 0, "bytes": 0})
    for _, raw in number_lines(path):
        line = tidy(raw).strip()
        if line:
            totals.update(lines=1, words=len(line.split()), characters=len(line), bytes=len(line.encode()) + 1)
    if not totals["lines"]:
        raise InputError("no text in it", file=path, expected="UTF-8 text, one sentence or paragraph a line")
    return dict(totals)


class _Line(NamedTuple):
    """A line that was read: as it would be trained on, what was mended in it, and what speaks against it."""

    text: str
    key: int
    mended: tuple[str, ...]
    refused: str | None


def _clean(
    files: list[Path],
    folder: Path,
    *,
    shields: dict[str, Overlap],
    removed: Counter[str],
    mended: Counter[str],
    progress: Progress | None = None,
) -> Iterator[str]:
    """Yield the lines that may be trained on; counts the rest, and what was mended, as far as was read."""
    with Repeats(folder) as repeats:
        for portion in _portions(_read(files, shields, removed, progress)):
            again = repeats.among(np.array([line.key for line in portion], dtype=np.int64))
            for line, repeated in zip(portion, again, strict=True):
                mended.update(line.mended)
                if line.refused == NO_LETTERS:
                    removed[NO_LETTERS] += 1
                elif repeated:
                    removed["duplicate"] += 1
                elif line.refused:
                    removed[line.refused] += 1
                else:
                    yield line.text


def _read(
    files: list[Path], shields: dict[str, Overlap], removed: Counter[str], progress: Progress | None
) -> Iterator[_Line]:
    """Yield the lines that are not empty, mended and looked up among what is protected; `removed` is only shown."""
    everything = Overlap()
    for shield in shields.values():
        everything.update(shield)
    done, total = 0, sum(file.stat().st_size for file in files if file.is_file())
    for file in files:
        empty = True
        for number, raw in number_lines(file):
            done += len(raw) + 1
            if progress and number % 5000 == 0:
                progress(min(done, total), total, {"removed": sum(removed.values())})
            line = raw.strip()
            if not line:
                continue
            empty = False
            line, marks = _mend(line)
            parts = words(line)
            refused = None
            if not parts or not any(c.isalpha() for c in line):
                refused = NO_LETTERS
            elif everything.why(parts):  # one look-up for nearly all lines; which set it was is asked of the few
                refused = next(f"{how} {name}" for name, shield in shields.items() if (how := shield.why(parts)))
            yield _Line(line, hash("".join(parts)), marks, refused)
        if empty:
            raise InputError("no text in it", file=file, expected="UTF-8 text, one sentence or paragraph a line")


def _portions(lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    """Cut into portions, small ones first: less is read in vain where only the start of a text is asked for."""
    size, most = PORTIONS
    portion: list[_Line] = []
    characters = 0
    for line in lines:
        portion.append(line)
        characters += len(line.text)
        if len(portion) >= size or characters >= size * LINE:
            yield portion
            portion, characters, size = [], 0, min(2 * size, most)
    if portion:
        yield portion


def _start(lines: Iterable[str], limit: int | None) -> Iterator[str]:
    """Yield lines up to so many characters; the first one in any case."""
    characters = 0
    for line in lines:
        if limit is not None and 0 < characters and characters + len(line) > limit:
            return
        characters += len(line)
        yield line


def _mend(line: str) -> tuple[str, tuple[str, ...]]:
    """Take out what is no text; returns the line, and what was found in it."""
    found: tuple[str, ...] = ()
    if CONTROL.search(line):
        found = ("control characters",)
        line = " ".join(CONTROL.sub(" ", line).split())
    if "\t" in line:
        line = " ".join(line.split())
    if not line.isascii():
        tidied = tidy(line).strip()
        if tidied != line:
            found += ("invisible characters" if INVISIBLE.search(line) else "not NFC",)
            line = tidied
    return line, found


def _training_lines(
    staged: Path, block: int, chosen: set[int], shield: Overlap, removed: Counter[str]
) -> Iterator[str]:
    for number, line in enumerate(_lines(staged)):
        if number // block in chosen:
            continue
        why = shield.why(words(line))
        if why:
            removed[f"{why} heldout"] += 1
        else:
            yield line


def _choose(lines: int, block: int, share: float, most: int, seed: int) -> set[int]:
    """Numbers of the blocks set aside: those with the smallest hashes, as many as make the share or `most` lines."""
    blocks = max(1, lines // block)
    count = max(1, min(round(blocks * share), most // block))
    return set(heapq.nsmallest(count, range(blocks), key=lambda b: hashlib.sha256(f"{seed}:{b}".encode()).digest()))


def _shield(sentences: Iterable[str]) -> Overlap:
    overlap = Overlap()
    for sentence in sentences:
        overlap.add(words(tidy(sentence)))
    return overlap


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            yield line.rstrip("\n")


def _write(path: Path, lines: Iterable[str]) -> dict[str, int]:
    totals = {"lines": 0, "words": 0, "characters": 0, "bytes": 0}
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            for line in lines:
                stream.write(f"{line}\n")
                totals["lines"] += 1
                totals["words"] += len(line.split())
                totals["characters"] += len(line)
        totals["bytes"] = part.stat().st_size
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return totals


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)


def _refuse_little(lines: int, files: list[Path]) -> None:
    if lines < FEWEST_LINES:
        raise InputError(
            "too little text" if lines else "no text is left after cleaning",
            file=files[0] if files else None,
            found=f"{lines} usable line{'s' * (lines != 1)}",
            expected=f"at least {FEWEST_LINES} lines, one sentence or paragraph a line (a useful model needs some "
            "10,000 lines, 1 MB)",
        )
