"""Learn a tokenizer from text, so that it drops into a given model."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lexigraft import InputError
from vocab.tokenizer.algorithm import ALGORITHMS, Algorithm, Task, Units
from vocab.tokenizer.auto import choose
from vocab.tokenizer.counting import Counted, Progress, altered, count, joined, letters_of, normal_form, notices
from vocab.tokenizer.cut import keeps_ascii
from vocab.tokenizer.like import Likeness, default, override, post_processor_state
from vocab.tokenizer.like import like as likeness_of
from vocab.tokenizer.load import load_tokenizer, wrap
from vocab.tokenizer.options import BuildOptions
from vocab.tokenizer.roles import parts_of
from vocab.tokenizer.sampling import remember
from vocab.tokenizer.shell import PLACEHOLDERS, decoder_of, override_normaliser, shell_state
from vocab.tokenizer.texts import Lines

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from vocab.compare.marks import Marks

_SHAPES = 10_000
_ALIKE = str.maketrans(ascii_letters + digits, "x" * len(ascii_letters) + "0" * len(digits))
_LONGEST = 1000  # characters of one part: a text without spaces is learnt from in pieces
_MARKS = {"metaspace": "▁", "byte-level": "Ġ", "wordpiece": ""}


def train_tokenizer(
    texts: Any,
    like: Any = None,
    algorithm: str = "unigram",
    vocab_size: int | str = 32_000,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> PreTrainedTokenizerFast:
    """Learn a tokenizer. The same text gives the same bytes, in whatever order its lines come.

    Args:
        texts: a file, files (plain, `.gz`, `.zst`, `.parquet`; UTF-8), a data set of the library `datasets`, or lines
            that can be gone through twice; or {language: any of these} for one vocabulary that several languages
            share. Text is streamed, at flat memory: of more than a million different words the most frequent count
            (half a million lines, where pieces may cross spaces).
        like: the source's tokenizer (folder, file, hub id or object). The new one takes over its normaliser, its
            special tokens by role, spelling and order of ids, its post-processor, `model_max_length` and truncation
            side. None: NFC, XLM-R's special tokens.
        algorithm: a name from `vocab.tokenizer.algorithm.ALGORITHMS`.
        vocab_size: pieces, specials included. "auto": the smallest size past which a doubling saves less than
            `auto_gain` of the pieces a word and of the bits a character, on one line in twenty that is held out.
        progress: called as (done, total, facts).
        options: see `vocab.tokenizer.options.BuildOptions`.

    Returns:
        The tokenizer. Its attribute `facts` says how much text there was (`lines`, `words`, `characters`), what the
        normaliser dropped or changed, with counts (`dropped`, `changed`, `lowercased`), what looks wrong with the text
        (`notices`), and where they were asked for, the `curve` of sizes, the `weights` of languages and the
        `normal_form` with the share of marked letters that NFC makes one character (`composed`).

    Raises:
        InputError: no text, a one-shot iterator, a file that is not UTF-8, options that are unknown or do not go
            together, more pieces than the text can give (names the most), or fewer than specials and letters need.
    """
    settings, marks = _with_marks(_validated(options | {"algorithm": algorithm, "vocab_size": vocab_size}))
    chosen: Algorithm = ALGORITHMS[settings.algorithm]
    source = None if like is None else load_tokenizer(like)
    likeness = default() if source is None else likeness_of(source)
    override(likeness, settings)
    same = chosen.family == "byte-level" and likeness.byte_level
    punctuation = settings.punctuation or ("source" if same else "words")
    fallback = settings.byte_fallback
    if fallback is None:
        fallback = _falls_back(source) and chosen.family == "metaspace"
    settings = settings.model_copy(update={"punctuation": punctuation, "byte_fallback": fallback})
    auto = settings.vocab_size == "auto" and chosen.sized
    across = chosen.across or punctuation == "source"

    counted, facts = _read(texts, settings, across=across, hold=auto, progress=progress)
    letters = letters_of(counted.words) + letters_of(counted.held)
    facts |= {"lines": counted.lines, "words": counted.running, "characters": counted.characters}
    facts["notices"] = notices(counted, letters, "lines" if across else "words")
    form: str | None = settings.normal_form
    if form == "auto":
        form, facts["composed"] = normal_form(counted.words)
    override_normaliser(likeness, settings, form)
    facts["normal_form"] = form
    units = chosen.units(letters) if chosen.units is not None else Units()
    shell = shell_state(chosen, likeness, settings, units)
    backend = _backend(shell)
    facts |= altered(letters, backend.normalizer.normalize_str)
    parts, held = (_parts(words, backend, across=across) for words in (counted.words, counted.held))
    if marks is not None:
        for words in (parts, held):
            _cut_as_marked(words, marks.cuts, backend, _MARKS[chosen.family])
    if not parts:
        raise InputError("there is no text to learn from", found=f"{counted.lines} lines", expected="text")
    if settings.spaces_as_tokens and not across:
        space = next(part for part, _ in backend.pre_tokenizer.pre_tokenize_str(" "))
        parts[space] += max(counted.running - counted.lines, 1)

    _notify(progress, 1, {"stage": "learning", "words": counted.running})
    if chosen.family != "byte-level" and "unk" not in likeness.specials:
        likeness.specials["unk"] = "<unk>"  # a byte-level source has none, a tokenizer over characters needs one
    task = Task(
        counts=parts,
        specials=likeness.tokens,
        unk=likeness.specials["unk"] if chosen.family != "byte-level" else None,
        vocab_size=settings.vocab_size if isinstance(settings.vocab_size, int) else 1 << 30,
        min_frequency=settings.min_frequency,
        character_coverage=settings.character_coverage,
        byte_fallback=fallback,
        max_piece_length=settings.max_piece_length,
        given=spelled(settings, backend, _MARKS[chosen.family], chosen),
    )
    if auto:
        size, curve = choose(
            chosen, task, held, counted.held_running, settings.auto_gain, lambda told: _notify(progress, 1, told)
        )
        facts["curve"] = [asdict(point) for point in curve]
        task = replace(task, counts=parts + held, vocab_size=size)
    if chosen.limits is not None:
        facts["notices"] += chosen.limits(task)
    with _nothing_collected():
        tokenizer = _finished(chosen, task, likeness, settings, units, shell)
    facts |= {"algorithm": settings.algorithm, "vocab_size": len(tokenizer), "punctuation": punctuation}
    facts["notices"] += [] if marks is None else marks.disregarded(tokenizer)
    tokenizer.facts = facts
    _notify(progress, 2, {"stage": "done"})
    return tokenizer


def _validated(options: dict[str, Any]) -> BuildOptions:
    try:
        return BuildOptions.model_validate(options)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise InputError(f"`{where}`: {message}" if where else message) from None


def _with_marks(settings: BuildOptions) -> tuple[BuildOptions, Marks | None]:
    """Add what a speaker marked to the words and morphemes that must be pieces."""
    if settings.marks is None:
        return settings, None
    from vocab.compare.marks import read_marks

    said = read_marks(settings.marks)
    more = {"words": [*settings.words, *said.words], "morphemes": [*settings.morphemes, *said.morphemes]}
    return settings.model_copy(update={name: list(dict.fromkeys(texts)) for name, texts in more.items()}), said


def _cut_as_marked(parts: Counter[str], cuts: Mapping[str, Sequence[str]], backend: Tokenizer, mark: str) -> None:
    """Count words that a speaker cut as the morphemes that they are cut into, so that they become no pieces whole."""
    for word, morphemes in cuts.items():
        whole = _parts_of(word, backend, mark)
        number = parts.pop(whole[0], 0) if len(whole) == 1 else 0
        for place, morpheme in enumerate(morphemes if number else ()):
            for part in _parts_within(morpheme, backend, mark, begins=place == 0):
                parts[part.removeprefix(mark) if place else part] += number


def _notify(progress: Progress | None, done: int, facts: dict[str, Any]) -> None:
    if progress is not None:
        progress(done, 2, facts)


def _read(
    texts: Any, settings: BuildOptions, *, across: bool, hold: bool, progress: Progress | None
) -> tuple[Counted, dict[str, Any]]:
    """Count the text, or the texts of several languages."""
    _notify(progress, 0, {"stage": "reading"})
    if not isinstance(texts, Mapping):
        return count(Lines(texts), across=across, hold=hold, progress=progress), {}
    languages = {
        str(name): count(Lines(text), across=across, hold=hold, progress=progress) for name, text in texts.items()
    }
    empty = [name for name, counted in languages.items() if not counted.running]
    if empty or not languages:
        raise InputError(
            "there is no text to learn from", found=", ".join(empty) or "no language", expected="text for each"
        )
    whole, weights = joined(languages, settings.alpha)
    return whole, {"weights": weights}


def _backend(state: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(state, ensure_ascii=False))


def _parts(words: Counter[str], backend: Tokenizer, *, across: bool) -> Counter[str]:
    """Normalise words and cut them into the parts that pieces may lie in; empties what is given, to save memory."""
    normalise, cut = backend.normalizer.normalize_str, _cutter(backend, across=across)
    kept = not across and keeps_ascii(backend)
    plain = cut("xx") if kept else []  # a word of ASCII letters, and there is most often nothing to cut in it
    before = plain[0].removesuffix("xx") if len(plain) == 1 and plain[0].endswith("xx") else None
    parts: Counter[str] = Counter()
    known = parts.get
    while words:
        word, number = words.popitem()
        if before is not None and word.isascii() and word.isalpha():
            part = before + word
            parts[part] = known(part, 0) + number
            continue
        if kept and word.isascii():
            normal = [word]
        else:  # white space ends whatever a normaliser looks at: each distinct word is normalised once
            normal = [normalise(word)] if across else normalise(word).split()
        for text in filter(None, normal):
            for part in cut(text):
                parts[part] = known(part, 0) + number
    for part in [part for part in parts if len(part) > _LONGEST]:
        number = parts.pop(part)
        for start in range(0, len(part), _LONGEST):
            parts[part[start : start + _LONGEST]] += number
    return parts


def _cutter(backend: Tokenizer, *, across: bool) -> Callable[[str], list[str]]:
    """Make what cuts a normalised word into parts.

    Our own pre-tokenisers, which cut all that is counted by words, take all letters alike, and all digits. So words
    that differ in nothing but ASCII letters and digits are cut at the same places, and one of them is looked at.
    """
    split = backend.pre_tokenizer.pre_tokenize_str
    if across:
        return lambda line: [part for part, _ in split(line)]
    # Words stand after a space; a normaliser that puts none before the text leaves it to the pre-tokeniser to see one.
    mark = " " if split(" x")[0][0] == "Ġx" else ""
    places: dict[str, list[tuple[str, int, int]]] = {}  # what is put before a part, its begin and end in the word

    def cut(word: str) -> list[str]:
        shape = word if "<0x" in word else word.translate(_ALIKE)  # but for what is written like a byte
        if shape not in places:
            alone = len(places) == _SHAPES or (mark and not word.isascii())  # other letters are written as bytes there
            cuts = [] if alone else split(mark + shape)
            found = [(part, max(start - len(mark), 0), end - len(mark)) for part, (start, end) in cuts]
            if alone or not all(part.endswith(shape[start:end]) for part, start, end in found):
                return [part for part, _ in split(mark + word)]
            places[shape] = [(part.removesuffix(shape[start:end]), start, end) for part, start, end in found]
        return [before + word[start:end] for before, start, end in places[shape]]

    return cut


def spelled(settings: BuildOptions, backend: Tokenizer, mark: str, chosen: Algorithm) -> tuple[str, ...]:
    """Spell the words and morphemes that must be pieces as the vocabulary spells them."""
    inside = "##" if chosen.family == "wordpiece" else ""
    given: list[str] = []

    wanted = [(text, False) for text in settings.words] + [(text, True) for text in settings.morphemes]
    for text, morpheme in wanted:
        within = morpheme and not text.strip().endswith("-")
        bare = text.strip().strip("-") if morpheme else text.strip()
        parts = _parts_within(bare, backend, mark, begins=not within) if morpheme else _parts_of(bare, backend, mark)
        if len(parts) != 1 or not bare:
            raise InputError(
                f"{text!r} cannot be a piece", found=f"cut into {parts}", expected="one part after the pre-tokeniser"
            )
        given.append(inside + parts[0].removeprefix(mark) if within else parts[0])
    if settings.tweets and chosen.sized:
        given += [parts[0] for text in PLACEHOLDERS if len(parts := _parts_of(text, backend, mark)) == 1]
    return tuple(dict.fromkeys(given))


def _parts_of(text: str, backend: Tokenizer, mark: str) -> list[str]:
    """Cut a text as it stands behind a space."""
    normaliser, cutter = backend.normalizer, backend.pre_tokenizer
    normal = text if normaliser is None else normaliser.normalize_str(text)
    whole = " " * (mark == "Ġ" and not normal.startswith(" ")) + normal
    return [whole] if cutter is None else [part for part, _ in cutter.pre_tokenize_str(whole)]


def _parts_within(text: str, backend: Tokenizer, mark: str, *, begins: bool) -> list[str]:
    """Cut a part of a word: a sign at its end is the word's own where it stands between letters there (`ma'-`)."""
    parts, before = _parts_of(text, backend, mark), "" if begins else "a"
    longer = _parts_of(f"{before}{text}a", backend, mark)
    whole = longer[0].removeprefix(mark)
    if len(parts) == 1 or len(longer) > 1 or not (whole.startswith(before) and whole.endswith("a")):
        return parts
    return [mark + whole.removeprefix(before).removesuffix("a")]


def _falls_back(source: PreTrainedTokenizerFast | None) -> bool:
    return source is not None and '"ByteFallback"' in json.dumps(
        json.loads(source.backend_tokenizer.decoder.__getstate__()) if source.backend_tokenizer.decoder else {}
    )


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Let no cycles be looked for meanwhile: vocabularies are long lists of short ones, and looking took 6 to 8 %."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _finished(
    chosen: Algorithm, task: Task, likeness: Likeness, settings: BuildOptions, units: Units, shell: dict[str, Any]
) -> PreTrainedTokenizerFast:
    model = chosen.learn(task)
    missing = set(task.given).difference(entry if isinstance(entry, str) else entry[0] for entry in model["vocab"])
    if missing:
        raise InputError(
            "not all words and morphemes that were asked for find room",
            found=f"vocab_size {task.vocab_size}; without {', '.join(sorted(missing)[:5])}",
            expected="a larger vocabulary",
        )
    flags = {"single_word": False, "normalized": False, "special": True}
    added = []
    for index, text in enumerate(task.specials):
        lstrip, rstrip = likeness.flags.get(text, (False, False))
        added.append({"id": index, "content": text, "lstrip": lstrip, "rstrip": rstrip, **flags})
    if shell["decoder"] is None:
        shell["decoder"] = decoder_of(
            chosen.family,
            byte_fallback=task.byte_fallback,
            spaces=settings.spaces_as_tokens,
            across=chosen.across,
            units=units,
        )
    if chosen.cutters is not None:
        parts = [*parts_of(shell["pre_tokenizer"]), *chosen.cutters(task, model)]
        shell["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}
    full = shell | {"added_tokens": added, "post_processor": post_processor_state(likeness), "model": model}
    roles = likeness.settings | {f"{role}_token": text for role, text in likeness.specials.items()}
    tokenizer = wrap(_backend(full), **roles)
    if settings.dropout:
        remember(tokenizer, settings.dropout)
    return tokenizer
