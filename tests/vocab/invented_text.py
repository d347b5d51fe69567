"""A text of invented words that look like Hausa, and tokenizers of the three common kinds to be like."""

from __future__ import annotations

import random

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SIZES = {"byte-bpe": 330, "byte": 330}  # pieces that each algorithm can make of it; 200 elsewhere


def lines(count: int = 400) -> list[str]:
    draw = random.Random(0)
    stems = ["gida", "ruwa", "littafi", "makaranta", "ɗalibi", "ƙasa", "mutum", "yarinya", "m'mawa", "sarki"]
    stems += [a + b for a in ("ba", "ta", "ka", "mi", "sho", "gu") for b in ("ri", "lo", "na", "zu", "wa", "fe")]
    ends = ["", "n", "r", "mu", "ku", "su", "nsa", "rta"]
    made = []
    for _ in range(count):
        words = [draw.choice(stems) + draw.choice(ends) for _ in range(draw.randint(3, 9))]
        made.append(
            " ".join([words[0].capitalize(), *words[1:-1], "'yan", words[-1]]) + draw.choice([".", "?", ", 12!"])
        )
    return made


TEXT = lines()


def bert() -> PreTrainedTokenizerFast:
    names = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"]
    backend = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    backend.add_special_tokens([name for name in names if name.isupper() or name[1:-1].isupper()])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=77,
        truncation_side="left",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def gpt2() -> PreTrainedTokenizerFast:
    backend = Tokenizer(
        models.BPE({letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


def xlmr() -> PreTrainedTokenizerFast:
    pieces = [(t, 0.0) for t in ("<s>", "<pad>", "</s>", "<unk>")] + [("▁a", -1.0), ("<mask>", 0.0)]
    backend = Tokenizer(models.Unigram(pieces, 3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=AddedToken("<mask>", lstrip=True),
    )
