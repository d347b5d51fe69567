"""Tokenizers small enough to work out by hand what should come of them."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from vocab.tokenizer.load import wrap

ENCODER = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def metaspace(pieces: Sequence[str], specials: Sequence[str] = ENCODER) -> PreTrainedTokenizerFast:
    """A SentencePiece-like tokenizer with these tokens in this order; specials where `pieces` names them, or first.

    All pieces cost the same, so a text is cut into as few as possible.
    """
    order = list(pieces) if any(s in pieces for s in specials) else [*specials, *pieces]
    backend = Tokenizer(models.Unigram([(piece, -1.0) for piece in order], order.index("<unk>"), False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(list(specials))
    return wrap(backend)


def wordpiece(pieces: Sequence[str]) -> PreTrainedTokenizerFast:
    """A BERT-like tokenizer: [PAD] [UNK] [CLS] [SEP] [MASK], then the pieces."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    table = {piece: index for index, piece in enumerate([*specials, *pieces])}
    backend = Tokenizer(models.WordPiece(table, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(specials)
    return wrap(backend)
