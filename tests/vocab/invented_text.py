"""A text of invented words that look like Hausa, and tokenizers of the three common kinds to be like."""

from __future__ import annotations

import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from vocab.tokenizer.convert import PATTERN

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


def with_roles(backend: Tokenizer) -> PreTrainedTokenizerFast:
    """Special tokens by role, as RoBERTa and XLM-R have them."""
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


def xlmr() -> PreTrainedTokenizerFast:
    pieces = [(t, 0.0) for t in ("<s>", "<pad>", "</s>", "<unk>")] + [("▁a", -1.0), ("<mask>", 0.0)]
    backend = Tokenizer(models.Unigram(pieces, 3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return with_roles(backend)


def llama2() -> PreTrainedTokenizerFast:
    """SentencePiece BPE as transformers converts it: the normaliser writes word marks, unknown letters are bytes."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "▁a"]
    table = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(table, [("▁", "a")], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )


def llama3() -> PreTrainedTokenizerFast:
    """Byte-level BPE with a pattern of its own, whole parts looked up first, and a post-processor in a sequence."""
    backend = gpt2().backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    backend.model.ignore_merges = True
    backend.add_special_tokens(["<|begin_of_text|>"])
    begin = ("<|begin_of_text|>", 257)
    template = processors.TemplateProcessing(f"{begin[0]} $A", f"{begin[0]} $A {begin[0]}:1 $B:1", [begin])
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=begin[0], eos_token="<|endoftext|>", model_max_length=131
    )


def roberta() -> PreTrainedTokenizerFast:
    """Byte-level BPE that puts a space before the text."""
    backend = gpt2().backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.add_special_tokens(["<s>", "</s>", "<pad>", "<unk>", "<mask>"])
    backend.post_processor = processors.RobertaProcessing(("</s>", 258), ("<s>", 257))
    return with_roles(backend)


SOURCES = {"bert": bert, "xlmr": xlmr, "gpt2": gpt2, "llama2": llama2, "llama3": llama3, "roberta": roberta}
