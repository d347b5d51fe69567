"""Each option does what it says, in every family, after saving and loading; what does not go together is refused."""

from __future__ import annotations

import json
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoTokenizer

from adapt import config
from adapt.evaluate.features import Cutter
from adapt.pretrain.tokens import tokenise, word_starts
from lexigraft import InputError
from tests.vocab.invented_text import SIZES, TEXT, bert, gpt2, xlmr
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.algorithm import ALGORITHMS
from vocab.tokenizer.counting import normal_form
from vocab.tokenizer.options import BuildOptions
from vocab.tokenizer.sampling import Dropping, drawn, rate_of
from vocab.tokenizer.shell import pre_tokeniser_state

FAMILIES = {"metaspace": "unigram", "byte-level": "byte-bpe", "wordpiece": "wordpiece"}
MARKS = {"metaspace": "▁", "byte-level": "Ġ", "wordpiece": ""}


def learnt(algorithm: str, text: list[str] = TEXT, **options):
    size = SIZES.get(algorithm, 200) + options.pop("more", 0)
    return train_tokenizer(text, algorithm=algorithm, vocab_size=size, **options)


def pieces(tokenizer, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


def cut(tokenizer, text: str) -> list[str]:
    backend = tokenizer.backend_tokenizer
    return [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))]


@pytest.mark.parametrize("family", FAMILIES)
def test_signs_that_belong_to_words(family: str):
    tokenizer = learnt(FAMILIES[family], joiners="'", openers="'", closers="'")
    mark = MARKS[family]
    found = "|".join(cut(tokenizer, "'yan n' umu ba-ta n'umu 'a' !'x"))
    assert found == "|".join(f"{mark}{word}" for word in ("'yan", "n'", "umu", "ba|-|ta", "n'umu", "'a'", "!'|x"))
    bare = learnt(FAMILIES[family], joiners="", openers="")
    assert cut(bare, "'yan n'umu") == [f"{mark}'", "yan", f"{mark}n", "'", "umu"]


@pytest.mark.parametrize("algorithm", [spec.name for spec in ALGORITHMS if spec.sized])
@pytest.mark.parametrize("source", [None, gpt2], ids=["none", "gpt2"])
def test_digits_are_split(algorithm: str, source):
    text = [*TEXT, "2023 1234567890"]
    like = source() if source else None
    tokenizer = learnt(algorithm, text * 3, split_digits=True, like=like, character_coverage=1.0)
    assert not [p for p in tokenizer.get_vocab() if sum(c.isdigit() for c in p) > 1 and not p.startswith("<")]
    digits = [p for p in pieces(tokenizer, "ruwa 2023") if p[-1].isdigit()]
    assert [p[-1] for p in digits] == list("2023")
    together = learnt(algorithm, text * 3, character_coverage=1.0, words=["2023"])
    assert len([p for p in pieces(together, "2023") if p[-1].isdigit()]) == 1


@pytest.mark.parametrize("algorithm", [a for a in ALGORITHMS.names if ALGORITHMS[a].family != "wordpiece"])
def test_spaces_that_carry_meaning(algorithm: str):
    tokenizer = learnt(algorithm, spaces_as_tokens=True, character_coverage=1.0)
    for text in (" gida  ruwa ", "gida", "   ", "gidaruwa\tsarki"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text.replace("\t", " ")
    space = "Ġ" if ALGORITHMS[algorithm].family == "byte-level" else "▁"
    assert pieces(tokenizer, "  gida").count(space) == 2
    assert [piece for piece in tokenizer.get_vocab() if space in piece] == [space]


def test_spaces_that_cannot_be_kept():
    with pytest.raises(InputError, match="found the pre-tokeniser of the source"):
        learnt("byte-bpe", like=gpt2(), spaces_as_tokens=True)


TWEETS = ["@UserX duba https://x.y/z?q=1 😂😂👍🏽 ❤️ @me a@b.c #tag 👨‍👩‍👧 🇳🇬🇬🇭 www.abc.ng"] * 5


@pytest.mark.parametrize("algorithm", FAMILIES.values())
def test_tweets_are_brought_to_one_form(algorithm: str, tmp_path: Path):
    trained = learnt(algorithm, TEXT + TWEETS * 20, tweets=True, character_coverage=1.0, more=120)
    trained.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    found = tokenizer.decode(tokenizer(TWEETS[0], add_special_tokens=False)["input_ids"])
    wanted = "@user duba http 😂😂👍 ❤ @user a@b.c #tag 👨‍👩‍👧 🇳🇬🇬🇭 http"
    assert found.replace(" ", "") == wanted.replace(" ", "")
    assert tokenizer(found)["input_ids"] == tokenizer(TWEETS[0])["input_ids"]  # once done, done
    mark = MARKS[ALGORITHMS[algorithm].family]
    assert pieces(tokenizer, "@UserX https://x.y") == [f"{mark}@user", f"{mark}http"]
    parts = cut(trained, "😂😂👍🏽 🇳🇬🇬🇭 @a")
    assert f"{mark}http" in learnt(algorithm, tweets=True).get_vocab()  # though this text has no link
    assert len(parts) == 6  # each emoji and each flag alone, the user in one part


@pytest.mark.parametrize("algorithm", FAMILIES.values())
def test_a_tweet_is_the_same_tokens_in_pretraining_and_evaluation(algorithm: str, tmp_path: Path):
    learnt(algorithm, TEXT + TWEETS * 20, tweets=True, character_coverage=1.0, more=120).save_pretrained(tmp_path / "t")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    (tmp_path / "x.txt").write_text("\n".join(TWEETS), encoding="utf-8")
    ids = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in TWEETS]
    file = tokenise(tmp_path / "x.txt", tokenizer, tmp_path / "tokens")
    assert [file.ids[a:b].tolist() for a, b in pairwise(file.lines.tolist())] == ids
    cutter = Cutter(tmp_path / "t")
    assert [cut.ids for cut in cutter.texts(TWEETS)] == ids
    words = TWEETS[0].split()
    (cut,) = cutter.words([words])
    assert cut.ids == ids[0] and -1 not in cut.first  # users, links and emoji are words with a first piece of their own
    assert len(set(cut.first)) == len(words) and word_starts(
        [TWEETS[0]], [cutter.backend.encode(TWEETS[0]).offsets]
    ).sum() >= len(words)
    assert [tokenizer.convert_ids_to_tokens(cut.ids[place]).strip("▁Ġ") for place in cut.first[:3]][::2] == [
        "@user",
        "http",
    ]


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("@ae.w/:\u0301\ufe0f👍🏽"), max_size=20))
def test_the_form_of_tweets_is_stable(text: str):
    normalise = _tweets().backend_tokenizer.normalizer.normalize_str
    once = normalise(text)
    assert normalise(once) == once


def _tweets(known: list = []):  # noqa: B006 - trained once, for all examples
    if not known:
        known.append(learnt("unigram", tweets=True))
    return known[0]


@pytest.mark.parametrize("source", [None, bert, xlmr, gpt2], ids=["none", "bert", "xlmr", "gpt2"])
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normal_forms(source, form: str):
    like = source() if source else None
    tokenizer = learnt("unigram", like=like, normal_form=form, lowercase=False, strip_accents=False)
    normalise = tokenizer.backend_tokenizer.normalizer.normalize_str
    for text in ("Ọ̀rọ̀", "ﬁ", "é", "e\u0301"):
        assert normalise(text) == unicodedata.normalize(form, text)


def test_the_normal_form_that_keeps_letters_whole():
    whole = {"ọmọ": 5, "àwọn": 5}  # every marked letter is one character in NFC
    assert normal_form(whole) == ("NFC", 1.0)
    # ọ̀ stays two characters in NFC, three times a word; à is one
    assert normal_form({"ọ̀rọ̀ẹ̀": 3, "à": 3}) == ("NFD", 0.25)
    assert normal_form({"ruwa": 9}) == ("NFC", None)
    assert normal_form({"ب\u064e": 3}) == ("NFC", None)  # written alike in both
    facts = learnt("unigram", [*TEXT, "ọ̀rọ̀ ọ̀rọ̀"], normal_form="auto").facts
    assert facts["normal_form"] == "NFD" and facts["composed"] == 0.0


ASKED = {"words": ["makarantarmu", "Zuciya"], "morphemes": ["ba-", "-nsa", "rmu"]}


@pytest.mark.parametrize("algorithm", [spec.name for spec in ALGORITHMS if spec.sized])
def test_words_and_morphemes_of_the_user(algorithm: str):
    tokenizer = learnt(algorithm, **ASKED, more=20)
    assert len(tokenizer) == SIZES.get(algorithm, 200) + 20
    family = ALGORITHMS[algorithm].family
    mark, inside = MARKS[family], "##" if family == "wordpiece" else ""
    wanted = {f"{mark}{word}" for word in ("makarantarmu", "Zuciya", "ba")} | {f"{inside}nsa", f"{inside}rmu"}
    assert wanted <= tokenizer.get_vocab().keys()
    assert pieces(tokenizer, "Zuciya makarantarmu") == [f"{mark}Zuciya", f"{mark}makarantarmu"]
    again = learnt(algorithm, TEXT[::-1], **ASKED, more=20)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@pytest.mark.parametrize("algorithm", ["bpe", "byte-bpe", "wordpiece", "unigram", "sentencepiece-bpe"])
def test_a_word_longer_than_pieces_may_be(algorithm: str):
    long = "makarantarmugundumi"
    tokenizer = learnt(algorithm, words=[long], more=20)
    assert pieces(tokenizer, f"ba {long}")[-1] == f"{MARKS[ALGORITHMS[algorithm].family]}{long}"


def test_a_word_that_is_part_of_others_too():
    assert {"▁zuqa", "zuqa"} <= learnt("unigram", words=["zuqa"], morphemes=["zuqa"], more=20).get_vocab().keys()


@pytest.mark.parametrize("algorithm", ["bpe", "byte-bpe", "wordpiece"])
def test_joiners_that_shape_letters_are_part_of_words(algorithm: str):
    """Persian, Sinhala and Malayalam words hold them; in emoji they are cut off like any sign."""
    words = ["می\u200cخواهم", "ශ්\u200dරී", "അവന്\u200d"]
    tokenizer = learnt(algorithm, [*TEXT, " ".join(words)], words=words, character_coverage=1.0, more=120)
    assert all(len(pieces(tokenizer, word)) == 1 for word in words)
    ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == " ".join(words)
    cut = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a👩\u200d🔧a❤\ufe0f\u200d🔥")
    assert [span for _, span in cut] == [(0, 1), (1, 4), (4, 5), (5, 6), (6, 7), (7, 9)]


def test_words_that_cannot_be_pieces():
    for words in (["ruwa,gida"], ["ruwa gida"], [" "]):
        with pytest.raises(InputError, match="cannot be a piece; found cut into"):
            learnt("unigram", words=words)
    with pytest.raises(InputError, match="find room; found vocab_size 46; without"):
        train_tokenizer(TEXT, algorithm="bpe", vocab_size=46, words=["makarantarmu", "littafinsa", "yarinyarta"])


@pytest.mark.parametrize("algorithm", ["bpe", "byte-bpe", "sentencepiece-bpe", "supertokens"])
def test_dropout_is_on_in_training_and_off_in_evaluation(algorithm: str, tmp_path: Path):
    trained = learnt(algorithm, dropout=0.5)
    plain = learnt(algorithm)
    trained.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert rate_of(tokenizer) == rate_of(trained) == 0.5 and rate_of(plain) == 0.0
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["dropout"] is None
    lines = TEXT[:40]
    settled = [plain(line, add_special_tokens=False)["input_ids"] for line in lines]
    assert [tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines] == settled
    found = [[one.ids for one in drawn(tokenizer, seed).backend_tokenizer.encode_batch(lines)] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]  # what is drawn depends on the seed and the text alone
    assert sum(map(len, found[0])) > 1.2 * sum(map(len, settled))
    assert tokenizer.batch_decode(found[0]) == lines
    assert drawn(plain, 0) is plain


@pytest.mark.parametrize("algorithm", ["bpe", "byte-bpe", "sentencepiece-bpe", "supertokens"])
def test_what_dropout_draws(algorithm: str):
    """Nothing at 0, everything at 1; between them much as `tokenizers` does, and words begin where they did."""
    backend = learnt(algorithm).backend_tokenizer
    lines = [line for line in TEXT if line.isascii()] + ["ƙasa  ɗaya\u0301 ?? 漢字"]
    settled = backend.encode_batch(lines, add_special_tokens=False)
    for one, whole in zip(Dropping(backend, 0.0, 0).encode_batch(lines), settled, strict=True):
        assert one.ids == whole.ids and one.offsets == whole.offsets
    made = {left + right for left, right in json.loads(backend.to_str())["model"]["merges"]}
    assert not any(
        backend.id_to_token(index) in made for one in Dropping(backend, 1.0, 0).encode_batch(lines) for index in one.ids
    )
    tenth = Dropping(backend, 0.1, 0)
    for one, line, whole in zip(tenth.encode_batch(lines), lines, settled, strict=True):
        texts = [backend.decode(ids, skip_special_tokens=False) for ids in (one.ids, whole.ids)]
        assert texts[0] == texts[1]
        starts = word_starts([line], [one.offsets])
        assert starts.sum() == word_starts([line], [whole.offsets]).sum() or algorithm == "supertokens"
        assert len(starts) == len(one.ids)
    often = np.mean([sum(len(one.ids) for one in Dropping(backend, 0.1, n).encode_batch(lines)) for n in range(20)])
    backend.model.dropout = 0.1
    theirs = [sum(len(one.ids) for one in backend.encode_batch(lines, add_special_tokens=False)) for _ in range(20)]
    whole = sum(len(one.ids) for one in settled)
    assert often > whole and abs(often / np.mean(theirs) - 1) < 0.04


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "unigram", "dropout": 0.1}, "no merges to leave out; found unigram; expected an algorithm that"),
        ({"algorithm": "byte", "dropout": 0.1}, "no merges to leave out; found byte"),
        ({"algorithm": "wordpiece", "byte_fallback": True}, "no bytes to fall back on; found wordpiece"),
        ({"algorithm": "byte-bpe", "byte_fallback": True}, "bytes are its pieces anyway; found byte-bpe"),
        ({"algorithm": "character", "words": ["gida"]}, "holds no words; found character"),
        ({"algorithm": "wordpiece", "spaces_as_tokens": True}, "spaces cannot be kept as tokens here; found wordpiece"),
        ({"punctuation": "source", "spaces_as_tokens": True}, "spaces cannot be kept as tokens here"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_text_is_read(options: dict, message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        train_tokenizer(tmp_path / "there is no such file", **options)
    with pytest.raises(ValidationError, match=message):
        config.Tokenizer(**options)


def test_coverage_and_frequency():
    text = [*TEXT, "ž"]
    assert "ž" in learnt("bpe", text, character_coverage=1.0).get_vocab()
    assert "ž" not in learnt("bpe", text, character_coverage=0.999).get_vocab()
    rare = [*TEXT, "zuciya zuciya"]
    with pytest.raises(InputError, match="or a lower min_frequency than 9") as error:
        train_tokenizer(rare, algorithm="bpe", vocab_size=9000, min_frequency=9)
    most = int(str(error.value).split("at most ")[1].split(",")[0])
    assert "▁zuciya" not in train_tokenizer(rare, algorithm="bpe", vocab_size=most, min_frequency=9).get_vocab()


def test_specials_and_template_of_the_users_own():
    renamed = learnt("unigram", like=xlmr(), specials=["cls=[CLS]", "<extra>"], truncation_side="left")
    assert renamed.convert_ids_to_tokens(range(6)) == ["[CLS]", "<pad>", "</s>", "<unk>", "<mask>", "<extra>"]
    assert renamed.bos_token == renamed.cls_token == "[CLS]" and renamed.truncation_side == "left"
    assert renamed.convert_ids_to_tokens(renamed("ruwa")["input_ids"]) == ["[CLS]", "▁ruwa", "</s>"]
    assert renamed.tokenize("ruwa<extra>") == ["▁ruwa", "<extra>"]
    decoder = learnt("byte-bpe", like=gpt2(), specials=["pad=<pad>"], model_max_length=99)
    assert (decoder.pad_token, decoder.pad_token_id, decoder.model_max_length) == ("<pad>", 1, 99)
    wrapped = learnt("byte-bpe", like=gpt2(), template="encoder")
    assert wrapped("a")["input_ids"][0] == wrapped("a")["input_ids"][-1] == 0  # <|endoftext|> is bos and eos
    bare = learnt("unigram", like=xlmr(), template="none")
    assert len(bare("ruwa")["input_ids"]) == 1
    with pytest.raises(InputError, match="at both ends of a text; found the roles pad, unk"):
        lone = learnt("unigram", template="none")
        lone.bos_token = lone.cls_token = lone.eos_token = lone.sep_token = lone.mask_token = None
        learnt("unigram", like=lone, template="encoder")


def test_options_that_are_not_known():
    for options, message in (
        ({"lower_case": True}, "unknown key 'lower_case', did you mean 'lowercase'"),
        ({"vocab_size": "many"}, "`vocab_size`: found 'many', expected how many pieces, or auto"),
        ({"vocab_size": 0}, "`vocab_size`: found 0"),
        ({"character_coverage": 1.5}, "`character_coverage`: Input should be less than or equal to 1"),
        ({"normal_form": "NFX"}, "`normal_form`: Input should be 'auto'"),
        ({"algorithm": "unigramm"}, "did you mean 'unigram'"),
        ({"vocab_size": 10**12, "algorithm": "bpe"}, "at most"),
    ):
        with pytest.raises(InputError, match=message):
            train_tokenizer(TEXT, **options)


def test_every_option_is_described():
    assert [name for name, field in BuildOptions.model_fields.items() if not field.description] == []
    assert pre_tokeniser_state("metaspace") == pre_tokeniser_state("metaspace", BuildOptions(punctuation="words"))
