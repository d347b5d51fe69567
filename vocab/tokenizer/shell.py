"""The tokenizer without its vocabulary: how text is normalised and cut, before and after the learning alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.tokenizer.algorithm import Algorithm, Units
from vocab.tokenizer.options import BuildOptions
from vocab.tokenizer.roles import parts_of
from vocab.tokenizer.sentencepiece_model import BYTES_APART, SPACE, decoder_state

if TYPE_CHECKING:
    from vocab.tokenizer.like import Likeness

# A letter, mark or digit; what is none, nor a space; and the end of a word, where signs may be kept.
_WORD = r"[\p{L}\p{M}\p{N}]"
SIGN = rf"[^\p{{L}}\p{{M}}\p{{N}}\s{SPACE}]"
# (Non-)joiners that shape the letter or vowel sign before them, as in Persian, Sinhala and Malayalam; in an emoji they
# stand behind a sign or behind the selector of its style.
_SHAPING = r"(?<=[\p{L}\p{M}])(?<!\x{FE0F})[\x{200C}\x{200D}]"
ENDING = rf"(?=[\s{SPACE}]|$)"
_EMOJI = r"(?:\p{Regional_Indicator}{2}|\p{Extended_Pictographic}(?:\x{200D}\p{Extended_Pictographic})*)"
# An emoji has one spelling without the selectors of its style and colour; they go before the normal form is made, since
# they may stand between a letter and its accent. User names and links as in TweetEval (Barbieri et al. 2020), after it.
# All of it finds itself again, so a text may pass twice.
_SELECTORS = r"[\x{FE0E}\x{FE0F}\x{1F3FB}-\x{1F3FF}]"
_LINK, _USER = r"(?i)https?://\S+|www\.\S+", r"(?<![\w.@])@\w+"
PLACEHOLDERS = ("http", "@user")
_WHOLE = Units()
_FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def shell_state(chosen: Algorithm, likeness: Likeness, options: BuildOptions, units: Units) -> dict[str, Any]:
    """Make a tokenizer.json without a vocabulary.

    Args:
        chosen: the algorithm.
        likeness: what the source hands on.
        options: what the user chose; `punctuation` and `byte_fallback` are settled.
        units: how syllables are taken apart.

    Returns:
        The state of a `tokenizers.Tokenizer`, its model empty.

    Raises:
        InputError: options that do not go together.
    """
    source = options.punctuation == "source"
    own_marks = source and likeness.byte_level and chosen.family == "byte-level"
    if options.spaces_as_tokens and source:
        raise InputError(
            "spaces cannot be kept as tokens here",
            found="the pre-tokeniser of the source",
            expected="punctuation `words` or `keep`",
        )
    inner = [*likeness.normaliser, *units.apart]
    if options.tweets:
        links_and_users = [_replace(*rule) for rule in zip((_LINK, _USER), PLACEHOLDERS, strict=True)]
        inner = [_replace(_SELECTORS, ""), *likeness.normaliser, *links_and_users, *units.apart]
    pre_tokeniser: dict[str, Any] | None = None
    marked = any(part["type"] in ("Metaspace", "ByteLevel") for part in parts_of(likeness.pre_tokeniser))
    if source and likeness.pre_tokeniser and (own_marks or (chosen.family == "wordpiece" and not marked)):
        pre_tokeniser = likeness.pre_tokeniser
        if options.split_digits:
            pre_tokeniser, inner = _with_digits(pre_tokeniser, inner)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": inner}
        if own_marks
        else normaliser_state(inner, chosen.family, spaces=options.spaces_as_tokens),
        "pre_tokenizer": pre_tokeniser or pre_tokeniser_state(chosen.family, options, across=chosen.across),
        "post_processor": None,
        "decoder": _level() if own_marks else None,
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }


def override_normaliser(likeness: Likeness, options: BuildOptions, form: str | None) -> None:
    """Change the source's normaliser where the user wants it otherwise.

    Args:
        likeness: what the source hands on; changed here.
        options: what the user chose.
        form: the normal form; None leaves the source's.
    """
    if form is not None:
        # NFC before compiled rules is what makes them keep accents: it stays.
        rules = [n for n, part in enumerate(likeness.normaliser) if part["type"] == "Precompiled"]
        kept = [p for n, p in enumerate(likeness.normaliser) if p["type"] not in _FORMS or n + 1 in rules]
        likeness.normaliser = [*kept, {"type": form}]
    for name, wanted, kind in (
        ("lowercase", options.lowercase, "Lowercase"),
        ("strip_accents", options.strip_accents, "StripAccents"),
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


def normaliser_state(parts: list[dict[str, Any]], family: str, *, spaces: bool = False) -> dict[str, Any]:
    """Complete a normaliser: every run of white space becomes one space, as the new pre-tokeniser needs it.

    Args:
        parts: what comes before.
        family: metaspace, byte-level or wordpiece.
        spaces: every single space counts: none is dropped or joined.
    """
    if spaces:
        return {"type": "Sequence", "normalizers": [*parts, _replace(r"\s", " ")]}
    ending: list[dict[str, Any]] = [
        _replace(r"\s+", " "),
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]
    if family == "byte-level":
        ending.append({"type": "Prepend", "prepend": " "})
    return {"type": "Sequence", "normalizers": [*parts, *ending]}


def pre_tokeniser_state(family: str, options: BuildOptions | None = None, *, across: bool = False) -> dict[str, Any]:
    """Make the pre-tokeniser of a family.

    Args:
        family: metaspace, byte-level or wordpiece.
        options: where punctuation, digits and spaces are cut.
        across: do not cut at spaces.

    Returns:
        The `pre_tokenizer` part of a tokenizer.json.
    """
    options = options or BuildOptions()
    spaces = options.spaces_as_tokens
    mark = {"metaspace": SPACE, "byte-level": " ", "wordpiece": ""}[family]
    scheme = "never" if spaces else "always"
    marked = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": not (across or spaces)}
    parts: list[dict[str, Any]] = [] if family == "byte-level" else [marked]
    if family == "wordpiece":
        parts = [{"type": "WhitespaceSplit"}]
    elif spaces:
        parts.append(_isolated(mark))
    elif family == "byte-level" and not across:
        parts.append(_isolated(r" ?[^ ]+"))
    optional = f"{mark}?" if mark and not spaces else ""
    if options.punctuation in (None, "words"):
        parts.append(_isolated(optional + _signs(mark, options)))
    elif family == "metaspace" and options.byte_fallback:
        parts.append(BYTES_APART)
    if options.tweets:
        parts.append(_isolated(optional + _EMOJI))
    if options.split_digits:
        parts.append(_isolated(rf"{optional}\p{{N}}"))
    return {"type": "Sequence", "pretokenizers": [*parts, *([_level()] if family == "byte-level" else [])]}


def _signs(mark: str, options: BuildOptions) -> str:
    """Write the pattern of punctuation that is cut off words."""
    begins = rf"(?<={mark})" if mark and not options.spaces_as_tokens else "^"
    exceptions = [_SHAPING]
    if options.joiners:
        exceptions.append(rf"(?<={_WORD}){_any_of(options.joiners)}(?={_WORD})")
    if openers := options.openers + "@" * options.tweets:
        exceptions.append(rf"{begins}{_any_of(openers)}(?=\p{{L}})")
    if options.closers:
        exceptions.append(rf"(?<=\p{{L}}){_any_of(options.closers)}{ENDING}")
    return rf"(?:(?!{'|'.join(exceptions)}){SIGN})+"


def _any_of(signs: str) -> str:
    return "[" + "".join(f"\\{sign}" if sign in r"\]^-[&" else sign for sign in signs) + "]"


def _with_digits(
    state: dict[str, Any], normaliser: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Cut digits off first; a space before the text is then put by the normaliser, or each digit would get one."""
    parts = [part | {"add_prefix_space": False} if "add_prefix_space" in part else part for part in parts_of(state)]
    if any(part.get("add_prefix_space") for part in parts_of(state)):
        normaliser = [*normaliser, {"type": "Prepend", "prepend": " "}, _replace(r"\A  ", " ")]  # one, not two
    return {"type": "Sequence", "pretokenizers": [_isolated(r" ?\p{N}"), *parts]}, normaliser


def _isolated(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _level() -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def decoder_of(
    family: str, *, byte_fallback: bool, spaces: bool, across: bool = False, units: Units = _WHOLE
) -> dict[str, Any]:
    """Make the decoder of a family.

    Args:
        family: metaspace, byte-level or wordpiece.
        byte_fallback: some pieces are bytes.
        spaces: the text begins with no space that was put there.
        across: pieces may hold several words.
        units: how syllables are put together.
    """
    if family == "wordpiece":
        state: dict[str, Any] = {"type": "WordPiece", "prefix": "##", "cleanup": False}
    elif family == "byte-level":
        strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        state = _level() if spaces else {"type": "Sequence", "decoders": [_level(), strip]}
    elif across and not spaces:
        # The decoder `Metaspace` drops every mark of the first piece, not its first alone.
        steps: list[dict[str, Any]] = [{"type": "ByteFallback"}] if byte_fallback else []
        steps += [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "Fuse"}]
        state = {"type": "Sequence", "decoders": [*steps, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    else:
        state = decoder_state(byte_fallback, prefix=not spaces)
    if not units.together:
        return state
    return {"type": "Sequence", "decoders": [state, {"type": "Fuse"}, *units.together]}
