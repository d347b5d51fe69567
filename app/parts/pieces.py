"""Text in coloured pieces, as HTML: neighbours in different colours, words apart, every piece escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

from vocab.view import SPACE, Kind, Vocabulary

_COLOURS = 6


@dataclass(frozen=True)
class Cut:
    """How one tokenizer cuts a text.

    Attributes:
        name: what the tokenizer is called on the page.
        view: the tokenizer.
        words: one list of (piece, id, kind) a word of the text.
        text: the text.
    """

    name: str
    view: Vocabulary
    words: Sequence[Sequence[tuple[str, int, Any]]]
    text: str

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(map(len, self.words))

    @property
    def unknown(self) -> int:
        """Number of unknown tokens: what they stood for is lost."""
        return sum(self._is_unknown(index) for word in self.words for _, index, _ in word)

    @property
    def per_word(self) -> float:
        """Tokens per word (fertility)."""
        return self.tokens / len(self.words) if self.words else 0.0

    @property
    def per_token(self) -> float:
        """Characters per token, spaces included, as `vocab.compare` counts them."""
        return sum(map(len, self.text.splitlines())) / self.tokens if self.tokens else 0.0

    def loses(self, number: int) -> bool:
        """Say whether a word cannot be written with its pieces: dropped, or unknown in part."""
        return not self.words[number] or any(self._is_unknown(index) for _, index, _ in self.words[number])

    @cached_property
    def _whole(self) -> list[str]:
        return self.text.split()

    def _is_unknown(self, index: int) -> bool:
        return index == self.view.roles.get("unk", -1)

    def text_html(self) -> str:
        """Draw the whole text; below each word its number of tokens."""
        colour, shown = 0, []
        for number, word in enumerate(self.words):
            shown.append(self._word(number, colour))
            colour += len(word)
        return f'<div class="lx-text">{" ".join(shown)}</div>'

    def ids_html(self) -> str:
        """Draw every token with its id below it, and all ids in a row, to be copied."""
        tokens = [token for word in self.words for token in word]
        shown = "".join(
            f'<span class="lx-word">{self._piece(*token, colour)}<span class="lx-n">{token[1]}</span></span>'
            for colour, token in enumerate(tokens)
        )
        ids = ", ".join(str(index) for _, index, _ in tokens)
        return f'<div class="lx-text">{shown}</div><code class="lx-ids" title="one click selects all">[{ids}]</code>'

    def word_html(self, number: int) -> str:
        """Draw one word."""
        return self._word(number, 0)

    def _word(self, number: int, colour: int) -> str:
        word, whole = self.words[number], self._whole[number]
        pieces = "".join(self._piece(*piece, colour + n) for n, piece in enumerate(word))
        if not word:
            pieces = f'<span class="lx-p lx-unk" title="dropped by the tokenizer">{escape(whole)}</span>'
        many = " lx-many" if len(word) > 2 else ""
        count = f'<span class="lx-n{many}">{len(word)}</span>'
        return f'<span class="lx-word" title="{escape(whole)}"><span class="lx-pieces">{pieces}</span>{count}</span>'

    def _piece(self, text: str, index: int, kind: Any, colour: int) -> str:
        style, label = f"lx-c{colour % _COLOURS}", f"token {index}"
        if self._is_unknown(index):
            style, label = "lx-unk", f"unknown token {index}: this tokenizer cannot write it"
        elif kind == Kind.BYTE:
            style, label = "lx-byte", f"byte token {index}"
        elif kind == Kind.SPECIAL:
            style = "lx-special"
        bare = text[1:] if text.startswith(SPACE) and len(text) > 1 else text  # words stand apart already
        return f'<span class="lx-p {style}" title="{escape(label)}">{escape(bare)}</span>'


def remarks(cut: Cut) -> list[str]:
    """Say what the tokenizer does to every text before it cuts it."""
    changes = [
        *(["makes all letters small"] if cut.view.lowercases else []),
        *(["drops accents and dots"] if cut.view.strips_accents else []),
    ]
    return [" and ".join(changes)] if changes else []


def facts_html(cut: Cut) -> str:
    """Draw the numbers of one tokenizer on this text."""
    numbers = [
        (f"{cut.tokens:,}", "tokens"),
        (f"{cut.per_word:.2f}", "tokens per word"),
        (f"{cut.per_token:.2f}", "characters per token"),
        (f"{cut.unknown:,}", "unknown"),
    ]
    cells = "".join(
        f'<span class="lx-fact{" lx-bad" if label == "unknown" and cut.unknown else ""}"><b>{value}</b>{label}</span>'
        for value, label in numbers
    )
    said = "; ".join(remarks(cut))
    small = f"{len(cut.view):,} in the vocabulary" + (f" · {said}" if said else "")
    head = f"<h4>{escape(cut.name)}</h4><small>{escape(small)}</small>"
    return f'<div class="lx-cut">{head}<div class="lx-row">{cells}</div></div>'


def table_html(cuts: Sequence[Cut]) -> str:
    """Draw one row a word, one column a tokenizer, the fewest pieces marked."""
    words = cuts[0].text.split()
    head = "".join(f"<th>{escape(cut.name)}</th>" for cut in cuts)
    rows = []
    seen = set()
    for number, word in enumerate(words):
        if word in seen:
            continue
        seen.add(word)
        kept = [cut for cut in cuts if not cut.loses(number)]  # one unknown piece is few, and no merit
        counts = {len(cut.words[number]) for cut in kept}
        best = [cut for cut in kept if len(cut.words[number]) == min(counts)] if len(counts) > 1 else []
        cells = "".join(
            f'<td class="{"lx-is-best" if cut in best else ""}">{cut.word_html(number)}</td>' for cut in cuts
        )
        rows.append(f"<tr><th scope='row'>{escape(word)}</th>{cells}</tr>")
    return (
        f'<div class="lx-scroll lx-tall"><table class="lx-table lx-words"><thead><tr><th>Word</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
