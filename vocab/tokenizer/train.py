"""Learn a tokenizer from text, so that it drops into a given model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from lexigraft import InputError
from vocab.tokenizer.algorithm import ALGORITHMS, Algorithm, Task
from vocab.tokenizer.like import (
    Likeness,
    decoder_of,
    default,
    normaliser_state,
    post_processor_state,
    pre_tokeniser_state,
)
from vocab.tokenizer.like import (
    like as likeness_of,
)
from vocab.tokenizer.load import load_tokenizer, wrap
from vocab.tokenizer.texts import Lines

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

Progress = Callable[[float, float, dict[str, Any]], None]
Punctuation = Literal["words", "keep", "source"]
_BATCH = 10_000


def train_tokenizer(
    texts: Any,
    like: Any = None,
    algorithm: str = "unigram",
    vocab_size: int = 32_000,
    *,
    punctuation: Punctuation | None = None,
    lowercase: bool | None = None,
    strip_accents: bool | None = None,
    character_coverage: float = 0.9999,
    min_frequency: int = 2,
    byte_fallback: bool | None = None,
    max_piece_length: int = 16,
    model_max_length: int | None = None,
    progress: Progress | None = None,
) -> PreTrainedTokenizerFast:
    """Learn a tokenizer. The same text gives the same bytes, in whatever order its lines come.

    Args:
        texts: a file, files, or lines that can be gone through twice; UTF-8.
        like: the source's tokenizer (folder, file, hub id or object). The new one takes over its normaliser, its
            special tokens by role, spelling and order of ids, its post-processor, `model_max_length` and truncation
            side. None: NFC, XLM-R's special tokens.
        algorithm: unigram, bpe, byte-bpe or wordpiece.
        vocab_size: pieces, specials included.
        punctuation: `words` cuts punctuation off words, but for apostrophes and hyphens inside a word and the
            apostrophe that begins one; `keep` cuts at spaces only; `source` is the source's own pre-tokeniser, where
            the algorithm allows it. None: `source` for byte-bpe like a byte-level source, else `words`.
        lowercase: overrides the source's normaliser.
        strip_accents: overrides the source's normaliser.
        character_coverage: share of the text's characters that get pieces of their own.
        min_frequency: BPE and WordPiece merge only pairs that occur so often.
        byte_fallback: spell unknown characters by bytes (unigram, bpe). None: as the source does.
        max_piece_length: longest piece in characters.
        model_max_length: overrides the source's.
        progress: called as (done, total, facts).

    Returns:
        The tokenizer. Its attribute `facts` says what the normaliser dropped or changed, with counts (`dropped`,
        `changed`, `lowercased`), and how much text there was (`lines`, `words`, `characters`).

    Raises:
        InputError: no text, a one-shot iterator, a file that is not UTF-8, more pieces than the text can give (names
            the most), or fewer than specials and letters need.
    """
    chosen: Algorithm = ALGORITHMS[algorithm]
    lines = Lines(texts)
    source = None if like is None else load_tokenizer(like)
    likeness = default() if source is None else likeness_of(source)
    _override(likeness, lowercase, strip_accents)
    fallback = byte_fallback if byte_fallback is not None else _falls_back(source) and chosen.family == "metaspace"
    same = chosen.family == "byte-level" and likeness.byte_level
    punctuation = punctuation or ("source" if same else "words")
    shell = _shell(chosen, likeness, punctuation)
    _notify(progress, 0, {"stage": "reading"})
    counts, facts = _count(lines, shell, whole=punctuation == "source")
    _notify(progress, 1, {"stage": "learning", "words": facts["words"]})
    task = Task(
        counts=counts,
        specials=likeness.tokens,
        unk=likeness.specials.get("unk") if chosen.family != "byte-level" else None,
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        character_coverage=character_coverage,
        byte_fallback=fallback,
        max_piece_length=max_piece_length,
    )
    if task.unk is None and chosen.family != "byte-level":
        task = _with_unk(task, likeness)
    tokenizer = _finished(chosen, task, likeness, shell, model_max_length)
    facts |= {"algorithm": algorithm, "vocab_size": len(tokenizer), "punctuation": punctuation}
    tokenizer.facts = facts
    _notify(progress, 2, {"stage": "done"})
    return tokenizer


def _notify(progress: Progress | None, done: int, facts: dict[str, Any]) -> None:
    if progress is not None:
        progress(done, 2, facts)


def _with_unk(task: Task, likeness: Likeness) -> Task:
    """Add an unknown token: a byte-level source has none, a tokenizer over characters needs one."""
    likeness.specials["unk"] = "<unk>"
    return Task(**(task.__dict__ | {"specials": likeness.tokens, "unk": "<unk>"}))


def _falls_back(source: PreTrainedTokenizerFast | None) -> bool:
    return source is not None and '"ByteFallback"' in json.dumps(
        json.loads(source.backend_tokenizer.decoder.__getstate__()) if source.backend_tokenizer.decoder else {}
    )


def _override(likeness: Likeness, lowercase: bool | None, strip_accents: bool | None) -> None:
    for name, wanted, kind in (
        ("lowercase", lowercase, "Lowercase"),
        ("strip_accents", strip_accents, "StripAccents"),
    ):
        bert = [part for part in likeness.normaliser if part["type"] == "BertNormalizer"]
        if wanted is None:
            continue
        for part in bert:
            if name == "lowercase" and part.get("strip_accents") is None:
                part["strip_accents"] = part["lowercase"]  # None means: as `lowercase` says
            part[name] = wanted
        if not bert:
            rest = [part for part in likeness.normaliser if part["type"] != kind]
            first: list[dict[str, Any]] = [{"type": "NFD"}] if kind == "StripAccents" and wanted else []
            likeness.normaliser = [*rest, *first, {"type": kind}] if wanted else rest


def _shell(chosen: Algorithm, likeness: Likeness, punctuation: Punctuation) -> dict[str, Any]:
    """Make a tokenizer.json without a vocabulary: it cuts the text, before and after the learning alike."""
    own_marks = punctuation == "source" and likeness.byte_level and chosen.family == "byte-level"
    if punctuation == "source" and likeness.pre_tokeniser and (own_marks or chosen.family == "wordpiece"):
        pre_tokeniser = likeness.pre_tokeniser
    else:
        pre_tokeniser = pre_tokeniser_state(chosen.family, "keep" if punctuation == "source" else punctuation)
    normaliser: dict[str, Any] = (
        {"type": "Sequence", "normalizers": likeness.normaliser}
        if own_marks
        else normaliser_state(likeness.normaliser, chosen.family)
    )
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": normaliser,
        "pre_tokenizer": pre_tokeniser,
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        if own_marks
        else decoder_of(chosen.family, byte_fallback=False),
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }


def _count(lines: Iterable[str], shell: dict[str, Any], *, whole: bool) -> tuple[dict[str, int], dict[str, Any]]:
    """Normalise and cut the text, and count its parts and what the normaliser did to it.

    Args:
        lines: the text.
        shell: the tokenizer without a vocabulary.
        whole: the pre-tokeniser may look across spaces: cut whole lines, not each word once.

    Returns:
        Part -> how often, and facts.
    """
    from tokenizers import Tokenizer

    backend: Tokenizer = Tokenizer.from_str(json.dumps(shell))
    normalise, cut = backend.normalizer.normalize_str, backend.pre_tokenizer.pre_tokenize_str
    raw: Counter[str] = Counter()
    number = length = 0
    for line in lines:
        number += 1
        length += len(line)
        # White space ends whatever a normaliser looks at: each distinct word is normalised once.
        raw.update([line] if whole else line.split())
    words: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for word, count in raw.items():
        for character in word:
            characters[character] += count
        for part in [normalise(word)] if whole else normalise(word).split():
            words[part] += count
    words.pop("", None)
    if not words:
        raise InputError("there is no text to learn from", found=f"{number} lines", expected="text")
    mark = " " if not whole and cut(" x")[0][0] == "Ġx" else ""
    parts: Counter[str] = Counter()
    for word, count in words.items():
        for part, _ in cut(mark + word):
            parts[part] += count
    total = sum(len(line.split()) * count for line, count in raw.items()) if whole else raw.total()
    facts = {"lines": number, "words": total, "characters": length, **_altered(characters, normalise)}
    return dict(parts), facts


def _altered(characters: Counter[str], normalise: Callable[[str], str]) -> dict[str, Any]:
    """Say which characters the normaliser drops or changes when they stand alone, with counts, most frequent first."""
    dropped: dict[str, int] = {}
    changed: dict[str, int] = {}
    lowercased = 0
    for character, count in characters.most_common():
        if character.isspace():
            continue
        # Between letters that compose with nothing, so that no normaliser takes it for an accent or the end.
        out = normalise(f"q{character}q").strip()[1:-1].strip()
        if not out:
            dropped[character] = count
        elif out == character.lower() != character:
            lowercased += count
        elif out != character:
            changed[f"{character} → {out}"] = count
    return {"dropped": dropped, "changed": changed, "lowercased": lowercased}


def _finished(
    chosen: Algorithm, task: Task, likeness: Likeness, shell: dict[str, Any], model_max_length: int | None
) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer

    model = chosen.learn(task)
    flags = {"single_word": False, "normalized": False, "special": True}
    added = []
    for index, text in enumerate(task.specials):
        lstrip, rstrip = likeness.flags.get(text, (False, False))
        added.append({"id": index, "content": text, "lstrip": lstrip, "rstrip": rstrip, **flags})
    if task.byte_fallback:
        shell["decoder"] = decoder_of(chosen.family, byte_fallback=True)
    full = shell | {"added_tokens": added, "post_processor": post_processor_state(likeness), "model": model}
    settings = likeness.settings | {f"{role}_token": text for role, text in likeness.specials.items()}
    if model_max_length is not None:
        settings["model_max_length"] = model_max_length
    return wrap(Tokenizer.from_str(json.dumps(full, ensure_ascii=False)), **settings)
