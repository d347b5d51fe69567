"""What a transplant starts from: model, both vocabularies, the old matrices, and evidence, made once when needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexigraft import InputError
from vocab.memory import give_back
from vocab.transplant.method import METHODS, Problem
from vocab.transplant.template import with_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from vocab.mixture import Mixture
    from vocab.transplant.skeleton import Carrier
    from vocab.vectors.evidence import Evidence
    from vocab.view import Vocabulary

DEFAULT_EVIDENCE = "counts+characters"
PUBLISHED_EVIDENCE = "fasttext"
WITHOUT_TEXT = "characters"


class _Old:
    """The source's tokenizer, loaded when it is first asked for: evidence, which takes memory too, is made before it.

    Args:
        carrier: the source model, without new rows before anything here has been asked for.
        where: what the tokenizer is loaded from.
    """

    def __init__(self, carrier: Carrier, where: Any) -> None:
        self.carrier, self.where = carrier, where

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast | None:
        from vocab.tokenizer.load import load_tokenizer

        return load_tokenizer(self.where)

    @cached_property
    def known(self) -> tuple[Vocabulary, dict[str, Any]]:
        """The tokenizer's view, and the model's matrices, which are held against it."""
        from vocab.transplant.apply import matrices_of
        from vocab.view import Vocabulary

        view = Vocabulary.of(self.tokenizer)
        give_back()
        return view, matrices_of(self.carrier.model, view)

    def drop(self) -> None:
        """Let go of the tokenizer; what is known of its tokens stays."""
        view, matrices = self.known
        self.tokenizer, self.where = None, None
        self.known = (view.without_tokenizer(), matrices)


@dataclass
class Setting:
    """All that methods are given, and the model that the rows are for. Make one with `Setting.of`.

    Attributes:
        carrier: the source model, or its skeleton; a copy of its own.
        tokenizer: the new tokenizer.
        new: view of the target vocabulary.
        texts: lines in the language, or None.
        vectors: what the caller gave as vectors: an array, `Evidence`, a kind of them, or None.
        source_vectors: vectors of the source's tokens, or None.
        extra: dictionary, parallel text, helper and texts, None where not given.
        seed: seed of everything drawn.
        notes: what the report should say.
    """

    carrier: Carrier
    _old: _Old
    tokenizer: PreTrainedTokenizerFast
    new: Vocabulary
    texts: Any = None
    vectors: Any = None
    source_vectors: Any = None
    extra: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    _made: dict[str, Evidence] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        source: Any,
        target: Any,
        *,
        texts: Any = None,
        source_tokenizer: Any = None,
        trust_remote_code: bool = False,
        **given: Any,
    ) -> Setting:
        """Load what the caller named; the arguments are those of `vocab.transplant`.

        Raises:
            InputError: something is missing or no seed, or model and tokenizer do not belong together.
        """
        from vocab.tokenizer.load import load_tokenizer
        from vocab.tokenizer.texts import Lines
        from vocab.view import Vocabulary

        seed = given.get("seed", 0)
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError("a seed is a whole number from 0", found=repr(seed))
        given["seed"] = int(seed)  # a NumPy number is none to JSON
        texts = None if texts is None else Lines(texts)
        tokenizer = load_tokenizer(target)
        carrier, old = _source(source, source_tokenizer, trust_remote_code)
        extra = {name: given.pop(name, None) for name in ("dictionary", "parallel", "helper")}
        return cls(carrier, old, tokenizer, Vocabulary.of(tokenizer), texts, extra={**extra, "texts": texts}, **given)

    @property
    def old_tokenizer(self) -> PreTrainedTokenizerFast | None:
        """The source's tokenizer; None once it was let go of."""
        return self._old.tokenizer

    @property
    def old(self) -> Vocabulary:
        """View of the source vocabulary."""
        return self._old.known[0]

    @property
    def matrices(self) -> dict[str, Any]:
        """The source model's matrices by role, see `vocab.transplant.apply.matrices_of`."""
        return self._old.known[1]

    def problem(self, links: tuple[str, ...], *, default: bool, vectors: Any = None) -> Problem:
        """Pose the problem to a chain.

        Args:
            links: the chain's methods.
            default: whether it is our default chain, whose evidence is counts and characters.
            vectors: use these instead of what the caller gave.
        """
        evidence = self.evidence(links, default=default, vectors=vectors)
        return Problem(
            self.old, self.new, self.matrices, evidence, self.source_vectors, self.seed, self.extra, notes=self.notes
        )

    def mixture(self, method: str | None, *, options: Any = None, vectors: Any = None) -> Mixture:
        """Make the rows of a method or chain.

        Args:
            method: as `vocab.transplant` takes it; None is the default chain.
            options: options by method name.
            vectors: use these instead of what the caller gave.
        """
        from vocab.transplant import chain

        links, default = chain.parse(method), method is None
        problem = self.problem(links, default=default, vectors=vectors)
        return chain.run(problem, links, chain.options_of(links, options, default=default))

    def evidence(self, links: tuple[str, ...], *, default: bool, vectors: Any = None) -> Evidence | None:
        """Take the vectors given, or make those that a chain needs; None where it needs none.

        Raises:
            InputError: the chain needs vectors and there is nothing to make them from.
        """
        from vocab.vectors import KINDS, as_evidence, token_vectors

        vectors = self.vectors if vectors is None else vectors
        if vectors is not None and not (isinstance(vectors, str) and vectors in KINDS):
            return as_evidence(vectors, self.new, self.texts)
        if not any("vectors" in METHODS[link].needs for link in links):
            return None
        kind = vectors or (DEFAULT_EVIDENCE if default else PUBLISHED_EVIDENCE)
        if self.texts is None and default and kind == DEFAULT_EVIDENCE:
            self.notes.append("no text was given: tokens were compared by their characters alone")
            kind = WITHOUT_TEXT
        if self.texts is None and kind != WITHOUT_TEXT:
            raise InputError(
                f"{links[0]} needs vectors, or text to make them from", expected="vectors=... or texts=...",
            )  # fmt: skip
        if kind not in self._made:
            self._made[kind] = token_vectors(self.new, self.texts, kind, seed=self.seed)
            give_back()
        return self._made[kind]

    def drop_evidence(self) -> None:
        """Let go of vectors that were made: rows are mixed. The frequencies stay."""
        _ = self.frequency
        self._made.clear()
        give_back()

    def drop_old_tokenizer(self) -> None:
        """Let go of the old tokenizer, once nothing is cut with it any more: 300 MB where it has 250,000 pieces."""
        if self.old_tokenizer is not None:
            self.tokenizer = with_template(self.tokenizer, self.old_tokenizer, self.notes)
            self._old.drop()
            give_back()

    @cached_property
    def frequency(self) -> np.ndarray | None:
        """How often the text shows each new token, (target vocabulary,), or None without text."""
        for evidence in self._made.values():
            if evidence.frequency is not None:
                return evidence.frequency
        if self.texts is None:
            return None
        from vocab.vectors.counts import encode

        return np.bincount(encode(self.new, self.texts)[0], minlength=len(self.new))


def _source(source: Any, tokenizer: Any, trust_remote_code: bool) -> tuple[Carrier, _Old]:
    """Load the source model, or as much of it as is needed, and say where its tokenizer is."""
    from vocab.transplant.skeleton import Carrier

    if isinstance(source, str | Path):
        carrier = Carrier.load(source, trust_remote_code=trust_remote_code)
        return carrier, _Old(carrier, source if tokenizer is None else tokenizer)
    if not hasattr(source, "get_input_embeddings"):
        raise InputError("this is no model", found=type(source).__name__, expected="a folder, a hub id or a model")
    where = tokenizer if tokenizer is not None else getattr(source, "name_or_path", "")
    if not where:
        raise InputError(
            "the source model does not say where its tokenizer is", expected="source_tokenizer=: folder or tokenizer"
        )
    carrier = Carrier.of(source)
    return carrier, _Old(carrier, where)
